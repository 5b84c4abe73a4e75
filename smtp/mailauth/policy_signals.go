package mailauth

// What a client is like adds up. None of it is rare among small, honest
// servers, so one signal alone decides nothing but whether to come twice.
const (
	suspiciousAt = 1 // weight from which on strangers have to come twice, if greylisting is on
	junkFrom     = 4 // weight from which on strangers' mail goes to Junk
)

// signal is something odd about a client.
type signal struct {
	weight int
	words  string
}

// signals collects what is odd. Results that could not be found out for now are
// not.
func (f *Facts) signals() []signal {
	var out []signal
	add := func(is bool, weight int, words string) {
		if is {
			out = append(out, signal{weight, words})
		}
	}
	add(f.EarlyTalker, 2, "the client spoke before it was greeted")
	add(f.Harvesting, 2, "the client has asked for many unknown recipients")
	switch f.Helo {
	case "":
	case HeloForged:
		out = append(out, signal{2, "HELO: " + string(f.Helo)})
	default:
		out = append(out, signal{1, "HELO: " + string(f.Helo)})
	}
	add(f.IPRev == PermError, 1, "the client's address has no name")
	add(f.IPRev == Fail, 1, "the client's names do not lead back to its address")
	switch f.SPF.Result {
	case Fail:
		out = append(out, signal{2, f.spfWords("says that the client may not send for it")})
	case SoftFail:
		out = append(out, signal{1, f.spfWords("says that the client probably may not send for it")})
	case PermError:
		out = append(out, signal{1, f.spfWords("has an SPF record that cannot be used")})
	}
	add(f.Author.Sloppy, 1, "From is not well formed")
	return out
}

// spfWords says what SPF came to, with the owner's own words where there are
// any, marked as theirs (RFC 7208 section 6.2).
func (f *Facts) spfWords(what string) string {
	words := "SPF: " + f.SPF.Domain + " " + what
	if f.SPF.Explanation != "" {
		words += "; it explains: " + f.SPF.Explanation
	}
	return words
}

// suspicion weighs the signals against a stranger. Known correspondents, senders
// whom the recipient lets in, relays and clients on a list of good ones are none.
func (j *judgement) suspicion() (Verdict, bool) {
	_, allowed := listed(j.Allowed)
	if allowed || j.allowed() || j.TrustedRelay || j.KnownCorrespondent {
		return Verdict{}, false
	}
	weight := 0
	for _, s := range j.signals {
		weight += s.weight
	}
	if j.rules.Greylist && j.Fresh && (weight >= suspiciousAt || j.unproven()) {
		return deferred(451, "4.7.1", "We do not know you yet, try again in a few minutes"), true
	}
	if weight >= junkFrom {
		return junked("the client behaves like a sender of junk"), true
	}
	return Verdict{}, false
}

// unproven tells whether nobody vouches for a message, neither SPF nor a signature. What is
// open, or was not looked at, is not counted.
func (j *judgement) unproven() bool {
	no := func(r Result) bool { return r != "" && r != Pass && r != TempError }
	return no(j.SPF.Result) && no(j.DKIM)
}
