package junk

import "strings"

// evidence is what the rules look at.
type evidence struct {
	from, date, messageID, subject bool // the letter has one
	fromDomain, replyDomain        string
	idDomain, toDomain             string // of Message-ID, and of the first recipient
	spoofedName                    bool   // From's name is somebody else's address
	recipients                     int
	list                           bool
	answers, reply                 bool // has In-Reply-To or References; a subject that says Re
	numbered                       bool
	subjectCount, text             textCount

	parts, attachments, images        int
	html, plain                       bool
	links, hosts, imageTags, comments int
	addressLink, userLink, maskedLink bool
	hiddenText, form, active          bool

	phrases float64 // weight of what junk says
	phrase  int     // the last of these features
}

// rule is something that speaks for or against a letter before anything was learned.
type rule struct {
	weight float64 // in logits: with 2.2 a letter of which nothing is known is junk with a probability of 0.9
	words  string
	holds  func(*evidence, *Facts) bool
}

// baseline is the weight of a letter of which no rule says anything: junk with a probability of 0.1.
const baseline = -2.2

// maxPhrases bounds what phrases can do together: who writes about junk uses its words.
const maxPhrases = 2.6

// rules are few and mild: each is true of some honest mail. A letter is junk when many agree, or when the owner taught more.
var rules = []rule{
	{0.8, "it has no sender", func(e *evidence, _ *Facts) bool { return !e.from || e.fromDomain == "" }},
	{0.6, "it has no date", func(e *evidence, _ *Facts) bool { return !e.date }},
	{0.6, "it has no Message-ID", func(e *evidence, _ *Facts) bool { return !e.messageID }},
	{0.5, "it is addressed to nobody", func(e *evidence, _ *Facts) bool { return e.recipients == 0 }},
	{0.4, "it has no subject", func(e *evidence, _ *Facts) bool { return !e.subject }},
	{1.5, "the sender's name is somebody else's address", func(e *evidence, _ *Facts) bool { return e.spoofedName }},
	{0.5, "answers go to another domain", func(e *evidence, _ *Facts) bool {
		return !e.list && e.replyDomain != "" && baseDomain(e.replyDomain) != baseDomain(e.fromDomain)
	}},
	{1.0, "the subject is in capitals", func(e *evidence, _ *Facts) bool {
		return e.subjectCount.words >= 3 && share(e.subjectCount.capitals, e.subjectCount.words) >= 50
	}},
	{0.5, "the subject shouts", func(e *evidence, _ *Facts) bool { return e.subjectCount.exclaimed > 0 }},
	{1.2, "the subject has a number behind a gap", func(e *evidence, _ *Facts) bool { return e.numbered }},
	{0.9, "it is HTML only", func(e *evidence, _ *Facts) bool { return e.html && !e.plain }},
	{0.8, "it is a picture with few words", func(e *evidence, _ *Facts) bool {
		return e.images+e.imageTags > 0 && e.text.words < 60
	}},
	{1.8, "a link leads to a bare address", func(e *evidence, _ *Facts) bool { return e.addressLink }},
	{1.5, "a link hides where it leads", func(e *evidence, _ *Facts) bool { return e.userLink || e.maskedLink }},
	{1.0, "it has hidden text", func(e *evidence, _ *Facts) bool { return e.hiddenText || e.text.hidden > 3 }},
	{0.7, "it has a form or a program in it", func(e *evidence, _ *Facts) bool { return e.form || e.active }},
	{1.5, "words are made of two alphabets", func(e *evidence, _ *Facts) bool {
		return e.text.mixed+e.subjectCount.mixed >= 2
	}},
	{0.8, "much of it is in capitals", func(e *evidence, _ *Facts) bool {
		return e.text.words >= 20 && share(e.text.capitals, e.text.words) >= 15
	}},
	{0.5, "it shouts", func(e *evidence, _ *Facts) bool {
		return e.text.exclaimed >= 3 && share(e.text.exclaimed, e.text.words) >= 2
	}},

	{-1.5, "it is an answer", func(e *evidence, _ *Facts) bool { return e.answers }},
	{-0.8, "the subject is one of an answer", func(e *evidence, _ *Facts) bool { return e.reply && e.subject }},
	{-1.0, "it came by a mailing list", func(e *evidence, _ *Facts) bool { return e.list }},
	{-0.8, "it quotes another letter", func(e *evidence, _ *Facts) bool { return e.text.quoted >= 2 }},
	{-0.4, "it is plain text without links", func(e *evidence, _ *Facts) bool { return !e.html && e.links == 0 }},

	{1.5, "DMARC fails", func(_ *evidence, f *Facts) bool { return f.DMARC == Fail }},
	{-0.5, "DMARC passes", func(_ *evidence, f *Facts) bool { return f.DMARC == Pass }},
	{1.0, "SPF fails", func(_ *evidence, f *Facts) bool { return f.SPF == Fail }},
	{0.5, "SPF says that the client may probably not send it", func(_ *evidence, f *Facts) bool { return f.SPF == SoftFail }},
	{-0.3, "a DKIM signature is good", func(_ *evidence, f *Facts) bool { return f.DKIM == Pass }},
	{0.6, "the client's names do not lead back to it", func(_ *evidence, f *Facts) bool { return f.IPRev == Fail }},
	{0.5, "the client's HELO is odd", func(_ *evidence, f *Facts) bool { return f.Helo }},
	{3.0, "the client is on a list of bad ones", func(_ *evidence, f *Facts) bool { return f.Blocked }},
	{-2.0, "the client is on a list of good ones", func(_ *evidence, f *Facts) bool { return f.Allowed }},
}

// applyRules notes which rules hold. Each is a feature, too, so that their weights are corrected by what the owner teaches.
func (l *Letter) applyRules() {
	for i := range rules {
		if r := &rules[i]; r.holds(&l.evidence, &l.facts) {
			l.rules = append(l.rules, r)
			l.add(kindRule, r.words)
		}
	}
}

// prior is what the rules say of a letter, in logits.
func (l *Letter) prior() float64 {
	z := baseline + min(l.evidence.phrases, maxPhrases)
	for _, r := range l.rules {
		z += r.weight
	}
	return z
}

// What a good name with the owner is worth. It is no free ticket: a stolen account of a friend sends junk.
const (
	writtenTo = -4.0
	rescued   = -3.0
	// knownMost keeps mail of those who have a good name out of Junk, whose threshold is 0.9.
	knownMost = 0.8
)

// reputation is what the author's good name is worth, in logits.
func (f *Facts) reputation() float64 {
	switch {
	case !f.known():
		return 0
	case f.WrittenTo:
		return writtenTo
	}
	return rescued
}

// lexicon is what junk says, in English as most of it is, with weights in logits: words and pairs. The owner's lessons soon
// weigh more.
var lexicon = []struct {
	weight float64
	words  []string
}{
	{1.0, []string{"viagra", "cialis", "xanax", "casino", "jackpot", "refinance", "herbal", "porn", "xxx", "lottery", "inheritance"}},
	{0.7, []string{"mortgage", "unsecured", "hottest", "erectile", "enlargement", "weight-loss", "singles", "toner", "creditors", "beneficiary",
		"confidentiality", "spammers", "bitcoin", "forex"}},
	{0.9, []string{"work from", "from home", "dear friend", "dear beneficiary", "dear customer", "million dollars", "million united", "no obligation",
		"risk free", "risk-free", "act now", "order now", "apply now", "click here", "click below", "be removed", "remove me",
		"removed from", "opt out", "opt-out", "to unsubscribe", "limited time", "money back", "money-back", "free trial",
		"bulk email", "email addresses", "credit card", "extra income", "financial freedom", "lose weight", "hot girls", "adult site",
		"of kin", "strictly confidential", "foreign account", "verify your", "account suspended", "you won",
		"winning notification", "guaranteed !", "free !", "now !", "online pharmacy", "lowest prices", "best prices",
		"000% free", "000% guaranteed"}},
}

// phrases are the weights of the lexicon by the hashes of its features.
var phrases = func() map[uint32]float64 {
	weights := make(map[uint32]float64)
	for _, entry := range lexicon {
		for _, text := range entry.words {
			weights[phraseHash(text)] = 0.5 * entry.weight
		}
	}
	return weights
}()

// phraseHash is the hash of the feature that a word, or two, makes.
func phraseHash(text string) uint32 {
	first, second, pair := strings.Cut(text, " ")
	if !pair {
		return uint32(mix(hashOf([]byte(first))+kindWord.seed()) >> 32)
	}
	return uint32(mix(hashOf([]byte(first))*3+hashOf([]byte(second))+kindPair.seed()) >> 32)
}
