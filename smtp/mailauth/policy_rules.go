package mailauth

import (
	"fmt"
	"slices"
)

// limit holds back who takes more than its share. A relay carries the mail of
// many.
func (j *judgement) limit() (Verdict, bool) {
	if j.Excess == "" || j.TrustedRelay {
		return Verdict{}, false
	}
	return deferred(450, "4.7.0", fmt.Sprintf("Too many %s from your address, try again later", j.Excess)), true
}

// sender refuses whom the recipient does not want to hear of. The one who blocks
// may have others who do, so the words are about the sender alone.
func (j *judgement) sender() (Verdict, bool) {
	if j.Standing != SenderBlocked {
		return Verdict{}, false
	}
	return refuse(550, "5.7.1", "Your mail is not wanted by the recipient"), true
}

// allowed tells whether the recipient lets the sender in.
func (j *judgement) allowed() bool { return j.Standing == SenderAllowed }

// override does what the operator has set for a domain.
func (j *judgement) override() (Verdict, bool) {
	switch j.Override {
	case OverrideAccept:
		return Verdict{Action: Accept, Reasons: []string{"mail of " + j.Author.Domain + " is let in here"}}, true
	case OverrideJunk:
		return junked("mail of %s is filed into Junk here", j.Author.Domain), true
	case OverrideRefuse:
		return refuse(550, "5.7.1", "Mail in the name of "+j.Author.Domain+" is not accepted here"), true
	}
	return Verdict{}, false
}

// from refuses mail whose author nobody can check, as every mail program may
// show another one (RFC 9989 section 11.5).
func (j *judgement) from() (Verdict, bool) {
	if j.Author.Problem == "" {
		return Verdict{}, false
	}
	return refuse(554, "5.6.0", "A message must have one author that can be checked: "+string(j.Author.Problem)), true
}

// open has mail come again whose author's domain asks to refuse what is not proven,
// as long as the proof cannot be looked up (RFC 9989 section 4.10.1). It is no
// forger's to say that the DNS is in trouble, but the client's own names are
// looked up, too.
func (j *judgement) open() (Verdict, bool) {
	if j.DMARC.Result != TempError || j.DMARC.Published != DMARCReject || j.indirect() != "" {
		return Verdict{}, false
	}
	return deferred(451, "4.7.0", fmt.Sprintf("Cannot look up now whether %s sent this, try again later", j.DMARC.Author)), true
}

// dmarc does what the author's domain asks for. "reject" alone refuses nothing
// where the mail may have come by a way that breaks authentication (RFC 9989
// section 7.4): then it is quarantined.
func (j *judgement) dmarc() (Verdict, bool) {
	if j.DMARC.Result != Fail {
		return Verdict{}, false
	}
	switch j.DMARC.Policy {
	case DMARCQuarantine:
		if j.allowed() {
			return Verdict{}, false
		}
		return junked("DMARC: %s asks to quarantine mail that is not proven to be its own", j.DMARC.Author), true
	case DMARCReject:
		if j.allowed() && j.detour() != "" {
			return Verdict{}, false
		}
		if way := j.indirect(); way != "" {
			return junked("DMARC: %s asks to refuse mail that is not proven to be its own, but %s", j.DMARC.Author, way), true
		}
		return refuse(550, "5.7.1", fmt.Sprintf(
			"Refused by the DMARC policy of %s: neither SPF nor a DKIM signature shows that it is its own", j.DMARC.Author)), true
	}
	return Verdict{}, false
}

// indirect says what speaks for honest mail that has lost its proof.
func (j *judgement) indirect() string {
	switch way := j.detour(); {
	case way != "":
		return way
	case j.KnownCorrespondent:
		return "the author is a known correspondent"
	case j.allowed():
		return "the recipient lets the sender in"
	}
	return ""
}

// detour says what speaks for a way on which mail loses its proof.
func (j *judgement) detour() string {
	switch {
	case j.TrustedRelay:
		return "a trusted relay handed it on"
	case j.MailingList:
		return "it came through a mailing list"
	case j.ARC == Pass:
		return "an ARC chain shows who handed it on"
	case j.ARC == TempError:
		return "its ARC chain cannot be looked up now"
	}
	return ""
}

// list refuses clients that a list of the operator's choice names, unless
// another one, or the recipient, knows better.
func (j *judgement) list() (Verdict, bool) {
	hit, ok := listed(j.Blocked)
	if !ok {
		return Verdict{}, false
	}
	if _, ok := listed(j.Allowed); ok || j.allowed() || j.KnownCorrespondent && j.authenticated() {
		return Verdict{}, false
	}
	if j.KnownCorrespondent {
		return junked("%s is listed at %s, but the author is a known correspondent", j.Client, hit.Zone), true
	}
	if i := slices.IndexFunc(j.Allowed, func(h ListHit) bool { return h.Err != nil }); i >= 0 {
		return junked("%s is listed at %s, but %s cannot be asked now", j.Client, hit.Zone, j.Allowed[i].Zone), true
	}
	text := fmt.Sprintf("Your address %s is listed at %s", j.Client, hit.Zone)
	if hit.Reason != "" {
		text += ": " + hit.Reason
	}
	return refuse(554, "5.7.1", text), true
}

func listed(hits []ListHit) (ListHit, bool) {
	for _, h := range hits {
		if h.Listed {
			return h, true
		}
	}
	return ListHit{}, false
}

// junk does what the content asks for. Whoever is trusted for other reasons has
// to write extreme things to be filed, and nobody is refused for content alone.
func (j *judgement) junk() (Verdict, bool) {
	if j.allowed() {
		return Verdict{}, false
	}
	extreme := j.JunkScore >= j.rules.ExtremeAt
	if extreme && j.failing() && !j.KnownCorrespondent {
		v := refuse(550, "5.7.1", "Refused as junk, and it is not proven to come from whom it says")
		v.KeepCopy = true
		return v, true
	}
	_, allowed := listed(j.Allowed)
	trusted := allowed || j.KnownCorrespondent && j.authenticated()
	if extreme || j.JunkScore >= j.rules.JunkAt && !trusted {
		return junked("the content looks like junk (%.1f %%)", 100*j.JunkScore), true
	}
	return Verdict{}, false
}

// authenticated tells whether the author's domain is proven: by DMARC, or where
// no policy is known by SPF or DKIM of that very domain.
func (j *judgement) authenticated() bool { return j.DMARC.Aligned.Domain != "" }

// failing tells whether authentication was tried and has failed. As long as any
// of it is open nothing has.
func (j *judgement) failing() bool {
	if j.SPF.Result == TempError || j.DKIM == TempError || j.DMARC.Result == TempError {
		return false
	}
	if j.DMARC.Result == Pass {
		return false
	}
	return j.DMARC.Result == Fail || j.DKIM != Pass && (j.SPF.Result == Fail || j.SPF.Result == SoftFail)
}
