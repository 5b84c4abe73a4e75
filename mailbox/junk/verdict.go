package junk

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Verdict is what is thought of a letter, and why.
type Verdict struct {
	// Score is the probability that it is junk, from 0 to 1. From 0.9 on it belongs into Junk.
	Score float64
	// Signals are what weighed most, the heaviest first, whichever way they point; at most six.
	Signals []Signal
}

// Signal is one reason.
type Signal struct {
	// Weight is what it adds to the logit of the score: above 0 it speaks for junk.
	Weight float64
	// Words say what was found, like: the words "click here". UTF-8, one line.
	Words string
}

// Classify judges a letter by the rules and by what the models have learned. Either may be nil.
func Classify(l *Letter, server, account *Model) Verdict {
	t := trust(server, account)
	server.weigh(l)
	counted := server.counted(l)
	z := l.known(t, counted) + server.sum(l) + account.sum(l) + l.facts.reputation() - caution(server, account) - doubt(t)
	v := Verdict{Score: sigmoid(z), Signals: signals(l, ruleShare(t), t*counted, server, account)}
	if l.facts.known() {
		v.Score = min(v.Score, knownMost)
	}
	return v
}

// caution is what is taken off the score, in logits, while much more junk than good mail was taught. Owners move what annoys them
// and say nothing of the rest, so that what all letters have in common would come to speak for junk.
//
// It is bounded: a mailbox may be flooded with junk, and then that is no exaggeration.
func caution(models ...*Model) float64 {
	bad, good := 4.0, 4.0 // so few lessons say little of how they will be
	for _, m := range models {
		if m != nil {
			bad, good = bad+float64(m.junk), good+float64(m.good)
		}
	}
	return min(max(0, math.Log(bad/good)), mostCaution)
}

// mostCaution is the most that is taken off: after some forty letters of junk alone.
const mostCaution = 3

// found is a signal before it is put in words.
type found struct {
	weight  float64
	feature int // its number, or -1
	words   string
}

// leastSignal is the weight below which something is no reason.
const leastSignal = 0.02

// signals picks what weighs most; rules is what of their weight counts.
func signals(l *Letter, rules, counted float64, server, account *Model) []Signal {
	top := make([]found, 0, maxSignals+1)
	for _, r := range l.rules {
		top = keepTop(top, found{rules * r.weight, -1, r.words})
	}
	if p := min(l.evidence.phrases, maxPhrases); p > 0 {
		top = keepTop(top, found{rules * p, -1, fmt.Sprintf("what junk says, like %q", l.words(l.features[l.evidence.phrase]))})
	}
	switch {
	case counted >= leastSignal:
		top = keepTop(top, found{counted, -1, "its words together are those of junk"})
	case counted <= -leastSignal:
		top = keepTop(top, found{counted, -1, "its words together are those of good mail"})
	}
	if w := l.facts.reputation(); w != 0 {
		top = keepTop(top, found{w, -1, "the owner knows the sender"})
	}
	for i, f := range l.features {
		if w := (server.weight(f) + account.weight(f)) * l.clues[i].scale / l.length; math.Abs(w) >= leastSignal {
			top = keepTop(top, found{w, i, ""})
		}
	}
	out := make([]Signal, len(top))
	for i, t := range top {
		if t.feature >= 0 {
			t.words = l.describe(l.features[t.feature])
		}
		out[i] = Signal{Weight: t.weight, Words: t.words}
	}
	return out
}

// keepTop puts one more into the list of those that weigh most.
func keepTop(top []found, f found) []found {
	if len(top) == maxSignals && math.Abs(top[maxSignals-1].weight) >= math.Abs(f.weight) {
		return top
	}
	at, _ := slices.BinarySearchFunc(top, f, func(a, b found) int {
		return cmp.Compare(math.Abs(b.weight), math.Abs(a.weight))
	})
	top = slices.Insert(top, at, f)
	return top[:min(len(top), maxSignals)]
}

// described says of each kind how it is put in words.
var described = map[kind]string{
	kindWord:        "the word %q",
	kindPair:        "the words %q",
	kindSubject:     "%q in the subject",
	kindSubjectPair: "%q in the subject",
	kindFrom:        "the sender %q",
	kindFromDomain:  "the sender's domain %q",
	kindFromName:    "%q in the sender's name",
	kindReplyTo:     "answers go to %q",
	kindTo:          "the recipient %q",
	kindMessageID:   "a Message-ID with %q",
	kindHeader:      "it has the field %q",
	kindValue:       "in the header, %q",
	kindMailer:      "%q in the mail program's name",
	kindList:        "the mailing list %q",
	kindHost:        "a link to %q",
	kindTag:         "the HTML tag %q",
	kindStructure:   "its form: %q",
	kindFact:        "checked: %q",
	kindDomain:      "sent by %q",
	kindClient:      "from the network %q",
	kindRule:        "learned of: %q",
}

func (l *Letter) describe(f feature) string { return fmt.Sprintf(described[f.kind], l.words(f)) }
