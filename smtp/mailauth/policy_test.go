package mailauth

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// The building blocks of the table below.
var (
	client       = netip.MustParseAddr("192.0.2.1")
	author       = Author{Domain: "example.org", Address: "ann@example.org"}
	proven       = Identifier{"dkim", "example.org", Pass}
	dmarcPass    = DMARCResult{Result: Pass, Author: "example.org", Published: DMARCReject, Policy: DMARCNone, Aligned: proven}
	listedAt     = []ListHit{{Zone: "empty.test"}, {Zone: "block.test", Listed: true, Reason: "see block.test"}}
	spfFail      = SPFResult{Result: Fail, Domain: "example.org", Explanation: "use our servers"}
	badClient    = Facts{Client: client, Author: author, IPRev: PermError, Helo: HeloShort, SPF: spfFail}
	strangeNames = Facts{Client: client, Author: author, IPRev: PermError, Helo: HeloShort}
)

func dmarcFail(p DMARCPolicy) DMARCResult {
	return DMARCResult{Result: Fail, Author: "example.org", Published: p, Policy: p}
}

// with gives facts of one address and author, changed as told.
func with(change func(*Facts)) Facts {
	f := Facts{Client: client, Author: author}
	change(&f)
	return f
}

var verdicts = []struct {
	name  string
	facts Facts
	rules Rules
	want  string // action, rule, and the reply if there is one
}{
	{"nothing is known", Facts{}, Rules{}, "accept default"},
	{"nothing is known, greylisting", Facts{Fresh: true}, Rules{Greylist: true}, "accept default"},
	{"all is well", with(func(f *Facts) { f.IPRev, f.SPF.Result, f.DKIM, f.DMARC = Pass, Pass, Pass, dmarcPass }), Rules{}, "accept default"},

	// DMARC.
	{"no policy", with(func(f *Facts) { f.DMARC = dmarcFail(DMARCNone) }), Rules{}, "accept default"},
	{"quarantine", with(func(f *Facts) { f.DMARC = dmarcFail(DMARCQuarantine) }), Rules{}, "junk dmarc"},
	{"quarantine, of a correspondent", with(func(f *Facts) { f.DMARC, f.KnownCorrespondent = dmarcFail(DMARCQuarantine), true }), Rules{}, "junk dmarc"},
	{"reject", with(func(f *Facts) { f.DMARC = dmarcFail(DMARCReject) }), Rules{},
		"refuse dmarc 550 5.7.1 Refused by the DMARC policy of example.org: neither SPF nor a DKIM signature shows that it is its own"},
	{"reject, by a list", with(func(f *Facts) { f.DMARC, f.MailingList = dmarcFail(DMARCReject), true }), Rules{}, "junk dmarc"},
	{"reject, with ARC", with(func(f *Facts) { f.DMARC, f.ARC = dmarcFail(DMARCReject), Pass }), Rules{}, "junk dmarc"},
	{"reject, with a broken chain", with(func(f *Facts) { f.DMARC, f.ARC = dmarcFail(DMARCReject), Fail }), Rules{},
		"refuse dmarc 550 5.7.1 Refused by the DMARC policy of example.org: neither SPF nor a DKIM signature shows that it is its own"},
	{"reject, chain open", with(func(f *Facts) { f.DMARC, f.ARC = dmarcFail(DMARCReject), TempError }), Rules{}, "junk dmarc"},
	{"reject, by a relay", with(func(f *Facts) { f.DMARC, f.TrustedRelay = dmarcFail(DMARCReject), true }), Rules{}, "junk dmarc"},
	{"reject, of a correspondent", with(func(f *Facts) { f.DMARC, f.KnownCorrespondent = dmarcFail(DMARCReject), true }), Rules{}, "junk dmarc"},
	{"reject, tried out", with(func(f *Facts) {
		f.DMARC = dmarcFail(DMARCReject)
		f.DMARC.Policy, f.DMARC.Testing = DMARCQuarantine, true
	}), Rules{}, "junk dmarc"},
	{"DMARC open", with(func(f *Facts) { f.DMARC = DMARCResult{Result: TempError, Policy: DMARCNone} }), Rules{}, "accept default"},
	{"DMARC open, with a policy", with(func(f *Facts) {
		f.DMARC = DMARCResult{Result: TempError, Author: "example.org", Published: DMARCReject}
	}), Rules{},
		"defer open 451 4.7.0 Cannot look up now whether example.org sent this, try again later"},
	{"DMARC open, with a milder policy", with(func(f *Facts) { f.DMARC = DMARCResult{Result: TempError, Published: DMARCQuarantine} }), Rules{}, "accept default"},
	{"DMARC open, of a correspondent", with(func(f *Facts) {
		f.DMARC, f.KnownCorrespondent = DMARCResult{Result: TempError, Published: DMARCReject}, true
	}), Rules{}, "accept default"},
	{"DMARC open, by a relay", with(func(f *Facts) {
		f.DMARC, f.TrustedRelay = DMARCResult{Result: TempError, Published: DMARCReject}, true
	}), Rules{}, "accept default"},
	{"DMARC broken", with(func(f *Facts) { f.DMARC = DMARCResult{Result: PermError, Policy: DMARCNone} }), Rules{}, "accept default"},

	// What the operator sets.
	{"let in", with(func(f *Facts) { f.DMARC, f.Override, f.JunkScore = dmarcFail(DMARCReject), OverrideAccept, 1 }), Rules{}, "accept override"},
	{"filed", with(func(f *Facts) { f.DMARC, f.Override = dmarcPass, OverrideJunk }), Rules{}, "junk override"},
	{"shut out", with(func(f *Facts) { f.DMARC, f.Override, f.KnownCorrespondent = dmarcPass, OverrideRefuse, true }), Rules{},
		"refuse override 550 5.7.1 Mail in the name of example.org is not accepted here"},
	{"shut out, by a relay", with(func(f *Facts) { f.Override, f.TrustedRelay = OverrideRefuse, true }), Rules{}, "junk override"},

	// What the recipient sets.
	{"a blocked sender", with(func(f *Facts) { f.DMARC, f.Standing, f.KnownCorrespondent = dmarcPass, SenderBlocked, true }), Rules{},
		"refuse sender 550 5.7.1 Your mail is not wanted by the recipient"},
	{"blocked, whom the operator lets in", with(func(f *Facts) { f.Standing, f.Override = SenderBlocked, OverrideAccept }), Rules{},
		"refuse sender 550 5.7.1 Your mail is not wanted by the recipient"},
	{"blocked, by a relay", with(func(f *Facts) { f.Standing, f.TrustedRelay = SenderBlocked, true }), Rules{}, "junk sender"},
	{"allowed, with junk", with(func(f *Facts) { f.Standing, f.JunkScore = SenderAllowed, 1 }), Rules{}, "accept default"},
	{"allowed, quarantine", with(func(f *Facts) { f.Standing, f.DMARC = SenderAllowed, dmarcFail(DMARCQuarantine) }), Rules{}, "accept default"},
	{"allowed, reject", with(func(f *Facts) { f.Standing, f.DMARC = SenderAllowed, dmarcFail(DMARCReject) }), Rules{}, "junk dmarc"},
	{"allowed, reject, by a list", with(func(f *Facts) { f.Standing, f.DMARC, f.MailingList = SenderAllowed, dmarcFail(DMARCReject), true }), Rules{}, "accept default"},
	{"allowed, of a bad client", with(func(f *Facts) { *f = badClient; f.Standing, f.Fresh = SenderAllowed, true }), Rules{Greylist: true}, "accept default"},
	{"allowed, of a listed client", with(func(f *Facts) { f.Standing, f.Blocked = SenderAllowed, listedAt }), Rules{}, "accept default"},
	{"allowed, shut out", with(func(f *Facts) { f.Standing, f.Override = SenderAllowed, OverrideRefuse }), Rules{},
		"refuse override 550 5.7.1 Mail in the name of example.org is not accepted here"},
	{"allowed, beyond a limit", with(func(f *Facts) { f.Standing, f.Excess = SenderAllowed, "messages" }), Rules{},
		"defer limit 450 4.7.0 Too many messages from your address, try again later"},
	{"allowed, without author", Facts{Standing: SenderAllowed, Author: Author{Problem: AuthorMissing}}, Rules{},
		"refuse from 554 5.6.0 A message must have one author that can be checked: there is no From field with an address"},

	// Authors.
	{"no author", Facts{Author: Author{Problem: AuthorMissing}}, Rules{},
		"refuse from 554 5.6.0 A message must have one author that can be checked: there is no From field with an address"},
	{"two authors", Facts{Author: Author{Problem: AuthorSeveral}, KnownCorrespondent: true, MailingList: true}, Rules{},
		"refuse from 554 5.6.0 A message must have one author that can be checked: From holds addresses of several domains"},
	{"no author, by a relay", Facts{Author: Author{Problem: AuthorMissing}, TrustedRelay: true}, Rules{}, "junk from"},
	{"a sloppy author", with(func(f *Facts) { f.Author.Sloppy = true }), Rules{}, "accept default"},

	// Lists in the DNS.
	{"listed", with(func(f *Facts) { f.Blocked, f.DMARC = listedAt, dmarcPass }), Rules{},
		"refuse list 554 5.7.1 Your address 192.0.2.1 is listed at block.test: see block.test"},
	{"listed, without a word", with(func(f *Facts) { f.Blocked = []ListHit{{Zone: "block.test", Listed: true}} }), Rules{},
		"refuse list 554 5.7.1 Your address 192.0.2.1 is listed at block.test"},
	{"listed at both", with(func(f *Facts) { f.Blocked, f.Allowed = listedAt, listedAt }), Rules{}, "accept default"},
	{"listed, a correspondent", with(func(f *Facts) { f.Blocked, f.KnownCorrespondent = listedAt, true }), Rules{}, "junk list"},
	{"listed, a proven correspondent", with(func(f *Facts) { f.Blocked, f.KnownCorrespondent, f.DMARC = listedAt, true, dmarcPass }), Rules{}, "accept default"},
	{"listed, by a relay", with(func(f *Facts) { f.Blocked, f.TrustedRelay = listedAt, true }), Rules{}, "junk list"},
	{"listed, good ones unknown", with(func(f *Facts) { f.Blocked, f.Allowed = listedAt, []ListHit{{Zone: "good.test", Err: errRefused}} }), Rules{}, "junk list"},
	{"list does not answer", with(func(f *Facts) { f.Blocked = []ListHit{{Zone: "block.test", Err: errRefused}} }), Rules{}, "accept default"},

	// Content.
	{"likely junk", with(func(f *Facts) { f.JunkScore = 0.95 }), Rules{}, "junk junk"},
	{"not quite junk", with(func(f *Facts) { f.JunkScore = 0.89 }), Rules{}, "accept default"},
	{"a bar of one's own", with(func(f *Facts) { f.JunkScore = 0.89 }), Rules{JunkAt: 0.5}, "junk junk"},
	{"likely junk of a proven correspondent", with(func(f *Facts) { f.JunkScore, f.KnownCorrespondent, f.DMARC = 0.95, true, dmarcPass }), Rules{}, "accept default"},
	{"likely junk in a correspondent's name", with(func(f *Facts) { f.JunkScore, f.KnownCorrespondent = 0.95, true }), Rules{}, "junk junk"},
	{"likely junk of a listed good one", with(func(f *Facts) { f.JunkScore, f.Allowed = 0.95, listedAt }), Rules{}, "accept default"},
	{"extreme, well proven", with(func(f *Facts) { f.JunkScore, f.DMARC, f.SPF = 1, dmarcPass, spfFail }), Rules{}, "junk junk"},
	{"extreme, of a proven correspondent", with(func(f *Facts) { f.JunkScore, f.KnownCorrespondent, f.DMARC = 1, true, dmarcPass }), Rules{}, "junk junk"},
	{"extreme, nothing to prove", with(func(f *Facts) { f.JunkScore = 1 }), Rules{}, "junk junk"},
	{"extreme, SPF fails", with(func(f *Facts) { f.JunkScore, f.SPF = 1, spfFail }), Rules{},
		"refuse junk 550 5.7.1 Refused as junk, and it is not proven to come from whom it says"},
	{"extreme, SPF fails, a signature holds", with(func(f *Facts) { f.JunkScore, f.SPF, f.DKIM = 1, spfFail, Pass }), Rules{}, "junk junk"},
	{"extreme, DMARC fails", with(func(f *Facts) { f.JunkScore, f.DMARC = 0.995, dmarcFail(DMARCNone) }), Rules{},
		"refuse junk 550 5.7.1 Refused as junk, and it is not proven to come from whom it says"},
	{"extreme, DMARC fails, a correspondent", with(func(f *Facts) { f.JunkScore, f.DMARC, f.KnownCorrespondent = 1, dmarcFail(DMARCNone), true }), Rules{}, "junk junk"},
	{"extreme, SPF fails, DKIM open", with(func(f *Facts) { f.JunkScore, f.SPF, f.DKIM = 1, spfFail, TempError }), Rules{}, "junk junk"},
	{"extreme, SPF open", with(func(f *Facts) { f.JunkScore, f.SPF.Result, f.DMARC = 1, TempError, dmarcFail(DMARCNone) }), Rules{}, "junk junk"},

	// Clients.
	{"one signal", with(func(f *Facts) { f.IPRev = PermError }), Rules{Greylist: true}, "accept default"},
	{"names that do not fit", strangeNames, Rules{}, "accept default"},
	{"SPF fails", with(func(f *Facts) { f.SPF = spfFail }), Rules{}, "accept default"},
	{"too many signals", badClient, Rules{}, "junk signals"},
	{"names open", with(func(f *Facts) { f.IPRev, f.SPF.Result, f.Helo = TempError, TempError, HeloForged }), Rules{}, "accept default"},
	{"early and harvesting", with(func(f *Facts) { f.EarlyTalker, f.Harvesting = true, true }), Rules{}, "junk signals"},
	{"a correspondent's server", func() Facts { f := badClient; f.KnownCorrespondent = true; return f }(), Rules{Greylist: true}, "accept default"},
	{"a relay", func() Facts { f := badClient; f.TrustedRelay = true; return f }(), Rules{Greylist: true}, "accept default"},
	{"a listed good one", func() Facts { f := badClient; f.Allowed = listedAt; return f }(), Rules{Greylist: true}, "accept default"},

	// Greylisting.
	{"fresh and suspicious", func() Facts { f := strangeNames; f.Fresh = true; return f }(), Rules{Greylist: true},
		"defer signals 451 4.7.1 We do not know you yet, try again in a few minutes"},
	{"fresh and suspicious, off", func() Facts { f := strangeNames; f.Fresh = true; return f }(), Rules{}, "accept default"},
	{"suspicious, come again", strangeNames, Rules{Greylist: true}, "accept default"},
	{"fresh and of good standing", with(func(f *Facts) { f.Fresh, f.IPRev = true, Pass }), Rules{Greylist: true}, "accept default"},
	{"fresh, with one oddity", with(func(f *Facts) { f.Fresh, f.IPRev, f.SPF.Result = true, PermError, Pass }), Rules{Greylist: true},
		"defer signals 451 4.7.1 We do not know you yet, try again in a few minutes"},
	{"fresh, and nothing proven", with(func(f *Facts) { f.Fresh, f.IPRev, f.SPF.Result, f.DKIM = true, Pass, None, None }), Rules{Greylist: true},
		"defer signals 451 4.7.1 We do not know you yet, try again in a few minutes"},
	{"fresh, and signed", with(func(f *Facts) { f.Fresh, f.IPRev, f.SPF.Result, f.DKIM = true, Pass, None, Pass }), Rules{Greylist: true}, "accept default"},
	{"fresh, and the signature is open", with(func(f *Facts) { f.Fresh, f.IPRev, f.SPF.Result, f.DKIM = true, Pass, None, TempError }), Rules{Greylist: true}, "accept default"},
	{"fresh, a correspondent", func() Facts { f := strangeNames; f.Fresh, f.KnownCorrespondent = true, true; return f }(), Rules{Greylist: true}, "accept default"},

	// Limits.
	{"too much", with(func(f *Facts) { f.Excess, f.DMARC = "connections", dmarcPass }), Rules{},
		"defer limit 450 4.7.0 Too many connections from your address, try again later"},
	{"too much, by a relay", with(func(f *Facts) { f.Excess, f.TrustedRelay = "messages", true }), Rules{}, "accept default"},
}

func TestJudge(t *testing.T) {
	for _, tt := range verdicts {
		t.Run(tt.name, func(t *testing.T) {
			v := Judge(tt.facts, tt.rules)
			got := fmt.Sprintf("%s %s", v.Action, v.Rule)
			if v.Code != 0 {
				got += fmt.Sprintf(" %d %s %s", v.Code, v.Enhanced, v.Text)
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if v.Action != Accept && len(v.Reasons) == 0 {
				t.Error("no reason given")
			}
		})
	}
}

func TestVerdictGivesReasons(t *testing.T) {
	v := Judge(badClient, Rules{})
	want := []string{
		"the client behaves like a sender of junk",
		"HELO: its name has one label only",
		"the client's address has no name",
		"SPF: example.org says that the client may not send for it; it explains: use our servers",
	}
	if !reflect.DeepEqual(v.Reasons, want) {
		t.Errorf("got %q", v.Reasons)
	}
	if v := Judge(with(func(f *Facts) { f.JunkScore, f.SPF = 1, spfFail }), Rules{}); !v.KeepCopy {
		t.Error("no copy kept of what was refused for its content")
	}
	f := with(func(f *Facts) { f.JunkScore, f.SPF, f.TrustedRelay = 1, spfFail, true })
	if v := Judge(f, Rules{}); v.KeepCopy || v.Code != 0 {
		t.Errorf("a relay's mail is not refused, got %+v", v)
	}
}

// randomFacts draws facts of every kind, so that many rules have a word to say.
func randomFacts(r *rand.Rand) Facts {
	results := []Result{"", None, Pass, Fail, SoftFail, Neutral, TempError, PermError, Policy}
	result := func() Result { return results[r.IntN(len(results))] }
	yes := func(oneIn int) bool { return r.IntN(oneIn) == 0 }
	f := Facts{
		Client: client, Author: author,
		Helo:        []HeloProblem{"", HeloForged, HeloLiteral, HeloMalformed, HeloShort}[r.IntN(5)],
		IPRev:       result(),
		EarlyTalker: yes(4), Harvesting: yes(4), MailingList: yes(4), TrustedRelay: yes(4), KnownCorrespondent: yes(4), Fresh: yes(2),
		SPF: SPFResult{Result: result(), Domain: "example.org"}, DKIM: result(), ARC: result(),
		JunkScore: r.Float64() * 1.2,
	}
	f.DMARC = DMARCResult{Result: result(), Author: "example.org", Policy: DMARCNone}
	if f.DMARC.Result == Fail {
		f.DMARC.Policy = []DMARCPolicy{DMARCNone, DMARCQuarantine, DMARCReject}[r.IntN(3)]
	}
	if f.DMARC.Result == Pass {
		f.DMARC.Aligned = proven
	}
	if yes(10) {
		f.Author = Author{Problem: AuthorSeveral}
	}
	if yes(10) {
		f.Override = []Override{OverrideAccept, OverrideJunk, OverrideRefuse}[r.IntN(3)]
	}
	if yes(10) {
		f.Excess = "messages"
	}
	if yes(4) {
		f.Blocked = listedAt
	}
	f.Allowed = [][]ListHit{nil, nil, nil, listedAt, {{Zone: "good.test", Err: errRefused}}}[r.IntN(5)]
	return f
}

// What must hold whatever the facts are.
func TestJudgePromises(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100_000 {
		f, rules := randomFacts(r), Rules{Greylist: r.IntN(2) == 0}
		v := Judge(f, rules)
		if broken := brokenPromise(f, rules, v); broken != "" {
			t.Fatalf("%s: %+v\ngives %+v", broken, f, v)
		}
	}
}

func brokenPromise(f Facts, rules Rules, v Verdict) string {
	refused := v.Action == Refuse
	switch {
	case f.TrustedRelay && (refused || v.Action == Defer):
		return "a relay's mail is turned away"
	case refused && f.KnownCorrespondent && f.Author.Problem == "" && f.Override == "":
		return "a correspondent is refused"
	case v.Rule == "signals" && f.KnownCorrespondent:
		return "a correspondent is held to be suspicious"
	case refused && openAnswerRefused(f, rules):
		return "what could not be looked up is a reason to refuse"
	case refused != (v.Code/100 == 5) || (v.Action == Defer) != (v.Code/100 == 4):
		return "the reply does not fit the action"
	case v.Code != 0 && (!strings.HasPrefix(v.Enhanced, fmt.Sprint(v.Code/100, ".")) || v.Text == "" || len(v.Text) > maxReplyText):
		return "the reply is not whole"
	case v.Action != Accept && len(v.Reasons) == 0:
		return "no reason is given"
	}
	return ""
}

// openAnswerRefused tells whether facts that are refused would not be, had the
// look-ups that failed for now come to a good end.
func openAnswerRefused(f Facts, rules Rules) bool {
	for _, result := range []*Result{&f.IPRev, &f.SPF.Result, &f.DKIM, &f.ARC, &f.DMARC.Result} {
		if *result == TempError {
			*result = Pass
		}
	}
	if len(f.Allowed) == 1 {
		f.Allowed = listedAt
	}
	return Judge(f, rules).Action != Refuse
}

// The longest words that can come together still fit a reply.
func TestReplyFits(t *testing.T) {
	long := strings.Repeat("a.", 126) + "a"
	f := Facts{Client: netip.MustParseAddr("2001:db8:1111:2222:3333:4444:5555:6666"),
		Blocked: []ListHit{{Zone: long, Listed: true, Reason: strings.Repeat("x", maxListReason)}}}
	if v := Judge(f, Rules{}); v.Action != Refuse || len(v.Text) != maxReplyText {
		t.Errorf("%d bytes", len(v.Text))
	}
}

func BenchmarkJudge(b *testing.B) {
	f := badClient
	f.DMARC = dmarcPass
	b.ReportAllocs()
	for b.Loop() {
		Judge(f, Rules{Greylist: true})
	}
}
