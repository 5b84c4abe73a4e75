package mailauth

import (
	"fmt"
	"net/netip"
)

// Facts are what is known of a message, or so far of a connection, when it is
// to be decided on. The zero value of each says that nothing is known, and what
// is not known speaks against nobody.
//
// Standing, KnownCorrespondent, TrustedRelay and JunkScore can differ from one
// recipient to the next; a message is then judged once for each.
type Facts struct {
	// Client is the address that is judged, for the words of a refusal: that of
	// the connection, or behind a trusted relay of the host before it.
	Client netip.Addr
	// Helo is what is odd about the client's name.
	Helo HeloProblem
	// IPRev is what its reverse names came to.
	IPRev Result
	// EarlyTalker says that it spoke before it was greeted.
	EarlyTalker bool
	// Harvesting says that it has asked for many unknown recipients of late.
	Harvesting bool
	// Excess names the limit that it is beyond, like "connections"; empty for
	// none.
	Excess string

	// SPF is the result for MAIL FROM.
	SPF SPFResult
	// DKIM is Pass if any signature passed, else TempError if any could not be
	// judged, else Fail if there is any, else None.
	DKIM Result
	// DMARC is the result for the author's domain.
	DMARC DMARCResult
	// ARC is the result for the chain; TempError where a key could not be looked
	// up.
	ARC Result
	// Author is who the message says it is from.
	Author Author
	// MailingList says that it has the header fields of one (RFC 2369, RFC
	// 2919).
	MailingList bool

	// TrustedRelay says that it came through a host that the operator, or the
	// recipient as a forwarder of theirs, trusts to hand on mail.
	TrustedRelay bool
	// Standing is what the recipient has set for the sender.
	Standing Standing
	// KnownCorrespondent says that the recipient has written to the author, or
	// rescued their mail from Junk.
	KnownCorrespondent bool
	// Override is what the operator has set for the author's domain.
	Override Override

	// Blocked and Allowed are what lists of bad and of good clients say.
	Blocked, Allowed []ListHit
	// Fresh says that this client, sender and recipient have not come together
	// before, or came again too soon. Only looked at while greylisting is on.
	Fresh bool
	// JunkScore is the probability that the content is junk, as a filter sees
	// it: from 0 to 1.
	JunkScore float64
}

// Standing is what a recipient wants done with a sender's mail.
type Standing string

// The standings. The empty one leaves it to the rules.
const (
	SenderBlocked Standing = "block" // refused, whatever else is known
	SenderAllowed Standing = "allow" // not filed into Junk
)

// Override is what an operator wants done with mail in a domain's name, whatever
// its owner asks for.
type Override string

// The overrides. The empty one leaves it to the rules.
const (
	OverrideAccept Override = "accept" // neither refused nor filed into Junk
	OverrideJunk   Override = "junk"
	OverrideRefuse Override = "refuse"
)

// Rules are what can be chosen about decisions.
type Rules struct {
	// Greylist lets suspicious strangers come twice. Default off.
	Greylist bool
	// JunkAt is the score from which on mail goes to Junk. Default 0.9.
	JunkAt float64
	// ExtremeAt is the score from which on mail that also fails authentication
	// is refused. Default 0.99.
	ExtremeAt float64
}

const (
	defaultJunkAt    = 0.9
	defaultExtremeAt = 0.99
)

// Action is what is to be done with a message.
type Action string

// The actions, from the mildest to the hardest.
const (
	Accept Action = "accept"
	Junk   Action = "junk"   // accept, and file into Junk
	Defer  Action = "defer"  // answer 4xx: the sender's server tries again
	Refuse Action = "refuse" // answer 5xx: the sender is told
)

// Verdict is what is decided about a message, and why.
type Verdict struct {
	Action Action
	// Rule is the name of the rule that decided, for logs: "dmarc", "junk" …,
	// and "default" if none did.
	Rule string
	// Code, Enhanced and Text are the reply for Defer and Refuse: one line of
	// printable ASCII, 400 bytes at most.
	Code     int
	Enhanced string
	Text     string
	// KeepCopy asks for a copy that the recipient can get back, as the refusal
	// rests on a guess about the content.
	KeepCopy bool
	// Reasons say in words what was found, the decisive first.
	Reasons []string
}

// judgement is a rule at work: the facts, and the rules with their defaults.
type judgement struct {
	*Facts
	rules   Rules
	signals []signal
}

// RuleSignals is the rule that weighs what is odd about a client, and that asks
// strangers to come again.
const RuleSignals = "signals"

// order is the order in which the rules are asked; the first that has something
// to say decides.
var order = []struct {
	name string
	rule func(*judgement) (Verdict, bool)
}{
	{"limit", (*judgement).limit},
	{"sender", (*judgement).sender},
	{"override", (*judgement).override},
	{"from", (*judgement).from},
	{"dmarc", (*judgement).dmarc},
	{"open", (*judgement).open},
	{"list", (*judgement).list},
	{"junk", (*judgement).junk},
	{RuleSignals, (*judgement).suspicion},
}

// Judge decides on a message. It depends on nothing but its arguments.
//
// Mail through a trusted relay is neither refused nor deferred, as nobody would
// be told but the relay, and a known correspondent is refused only where the
// mail is malformed or the operator says so. A sender that the recipient lets in is
// a known correspondent whose mail goes to Junk only where the operator says so, or
// where the author's domain asks to refuse it and nothing explains why. What could not be looked up for now
// is never a reason to refuse.
func Judge(f Facts, rules Rules) Verdict {
	if rules.JunkAt <= 0 {
		rules.JunkAt = defaultJunkAt
	}
	if rules.ExtremeAt <= 0 {
		rules.ExtremeAt = defaultExtremeAt
	}
	j := &judgement{Facts: &f, rules: rules, signals: f.signals()}
	for _, o := range order {
		if v, ok := o.rule(j); ok {
			v.Rule = o.name
			return j.explain(j.soften(v))
		}
	}
	return j.explain(Verdict{Action: Accept, Rule: "default"})
}

// soften makes of a refusal what a trusted relay gets.
func (j *judgement) soften(v Verdict) Verdict {
	if !j.TrustedRelay || v.Action != Refuse {
		return v
	}
	return Verdict{Action: Junk, Rule: v.Rule, Reasons: append(v.Reasons, "a trusted relay handed it on")}
}

// explain puts the signals behind the decisive reason.
func (j *judgement) explain(v Verdict) Verdict {
	for _, s := range j.signals {
		v.Reasons = append(v.Reasons, s.words)
	}
	return v
}

// maxReplyText keeps a reply within a line of 512 octets (RFC 5321 section
// 4.5.3.1.5), with its codes and what may be put around it.
const maxReplyText = 400

func refuse(code int, enhanced, text string) Verdict {
	text = text[:min(len(text), maxReplyText)]
	return Verdict{Action: Refuse, Code: code, Enhanced: enhanced, Text: text, Reasons: []string{text}}
}

func deferred(code int, enhanced, text string) Verdict {
	return Verdict{Action: Defer, Code: code, Enhanced: enhanced, Text: text, Reasons: []string{text}}
}

func junked(format string, args ...any) Verdict {
	return Verdict{Action: Junk, Reasons: []string{fmt.Sprintf(format, args...)}}
}
