package junk

import (
	"errors"
	"math"
)

// Model is what was learned: a weight for each bucket of hashed features, and how many letters taught it. It is not safe
// for concurrent use while something is learned.
type Model struct {
	bits       int
	weights    []int32 // in units of 1/unit logits
	counts     []count // of the server's only
	junk, good uint32
}

// unit is 1 as a weight. Weights are integers, so that a lesson can be taken back exactly. A step of a lesson is below
// 2^14 (see maxStep), so a weight goes beyond 32 bits only after more than 2^17 of the largest steps in one direction, and
// even then undoing a lesson is exact, as integers wrap around.
const unit = 1 << 12

// NewServer returns a server's model that knows nothing.
func NewServer() *Model {
	m := newModel(serverBits)
	m.counts = make([]count, 1<<countBits)
	return m
}

// NewAccount returns an account's model that knows nothing.
func NewAccount() *Model { return newModel(accountBits) }

func newModel(bits int) *Model { return &Model{bits: bits, weights: make([]int32, 1<<bits)} }

// Letters is how many letters of each class the model has learned from, not counting those undone.
func (m *Model) Letters() (junk, good int) { return int(m.junk), int(m.good) }

// sum is what the model says of a letter that was weighed, in logits. It is divided by the letter's length: so all letters
// count alike, however long.
func (m *Model) sum(l *Letter) float64 {
	if m == nil {
		return 0
	}
	total, shift := 0.0, 32-m.bits
	for i, f := range l.features {
		total += float64(m.weights[f.hash>>shift]) * l.clues[i].scale
	}
	return total / unit / l.length
}

// weight is what the model says of one feature.
func (m *Model) weight(f feature) float64 {
	if m == nil {
		return 0
	}
	return float64(m.weights[f.hash>>(32-m.bits)]) / unit
}

// add changes the weights of all features of a letter by step, in the parts that lack it. Two features in one bucket count
// twice, as they do in sum.
func (m *Model) add(l *Letter, step int32, lacks func(part int) bool) {
	shift := 32 - m.bits
	for _, f := range l.features {
		if i := f.hash >> shift; lacks == nil || lacks(int(i>>partBits)) {
			m.weights[i] += step
		}
	}
}

// Class is what a letter is to its reader.
type Class uint8

// The classes.
const (
	Good Class = iota
	Junk
)

// Receipt is what a lesson changed. With it the lesson can be undone.
type Receipt struct {
	// Class is what was learned.
	Class Class
	// Server and Account are what was added to the weights of the letter's features; one that is zero was not changed.
	Server, Account int32
	// Features is a checksum of the letter's features.
	Features uint32
	// Counted says that the letter was counted: a mere hint is not.
	Counted bool
}

// ErrOtherLetter says that a receipt is not for this letter: its bytes or its facts are others, or another version read it.
var ErrOtherLetter = errors.New("junk: the receipt is for another letter")

// How lessons are taught.
const (
	// firstRate is how much of the error goes into one step at first, and rate once lessons are believed. One lesson alone is carried over to
	// whatever has the same form; beside many, what others say of that form holds against it.
	firstRate = 4.0
	rate      = 18.0
	// margin is how sure of a class the model is to be after a lesson, in logits, if maxSteps steps are enough for it.
	// What it is sure of teaches it nothing.
	margin   = 4.0
	maxSteps = 4
	// beyond bounds how far beyond the margin a lesson goes, in logits: what one letter teaches too much, others have to take back.
	beyond = 1.0
	// maxStep bounds the sum of the steps of one lesson, in logits.
	maxStep = 32
)

// Train teaches the models that a letter is of a class. weight is from 0 to 1: 1 for what the owner says, less for what
// only hints at it. Either model may be nil. The account's learns what the server's does not know.
//
// Lessons are about the letter, not about who wrote it: reputations of the facts make no difference.
func Train(l *Letter, server, account *Model, class Class, weight float64) Receipt {
	r := Receipt{Class: class, Features: l.sum(), Counted: weight >= 1}
	t := trust(server, account)
	server.weigh(l)
	known := l.known(t, server.counted(l))
	if server != nil {
		r.Server = lesson(l, known+server.sum(l), class, weight, t)
		server.Redo(l, r.Step(true, false), nil)
	}
	if account != nil {
		r.Account = lesson(l, known+server.sum(l)+account.sum(l), class, weight, t)
		account.Redo(l, r.Step(false, false), nil)
	}
	return r
}

const (
	// halfTrust is how many letters of each class have to be learned before lessons are half believed.
	halfTrust = 30
	// leastRules is what remains of the rules' weight when lessons are believed.
	leastRules = 0.3
	// mostDoubt is the most that is taken off a score for lessons that are believed in part, in logits.
	mostDoubt = 1.0
	// care is what is taken off always once lessons are believed: good mail in Junk is the worse mistake.
	care = 0.4
)

// trust says how far lessons are believed, from 0 to 1: it grows with the letters of the class that fewer were learned of, as those of
// one class alone do not tell what sets it apart.
func trust(models ...*Model) float64 {
	n := 0.0
	for _, m := range models {
		if m != nil {
			n = max(n, float64(min(m.junk, m.good)))
		}
	}
	return n / (n + halfTrust)
}

// known is what is known of a letter besides weights, in logits: what the rules say, the less the more was learned, and what counting says, the
// more the more was learned. Lessons start from it, so it must not depend on reputations.
func (l *Letter) known(trust, counted float64) float64 {
	return ruleShare(trust)*l.prior() + trust*counted
}

// ruleShare is what of the rules' weight counts: they are features as well, and lessons say what these are worth to this owner.
func ruleShare(trust float64) float64 { return 1 - (1-leastRules)*trust }

// doubt is what is taken off a score: most while a few lessons could mislead. Before any, there is only what rules say, which needs none.
func doubt(trust float64) float64 { return mostDoubt*4*trust*(1-trust) + care*trust }

// lesson is what to add to the weights of a letter of a class, of which the models say z. It is a few steps of gradient
// descent at once: the same step on all weights, whatever they count, moves z by as much or more.
func lesson(l *Letter, z float64, class Class, weight, trust float64) int32 {
	sign := 1.0
	if class == Good {
		sign = -1
	}
	weight = min(max(weight, 0), 1)
	rate, total := firstRate+(rate-firstRate)*trust, 0.0
	for range maxSteps {
		if sure := sign * (z + sign*total); sure >= margin {
			break
		}
		total += rate * (1 - sigmoid(sign*z+total))
		total = min(total, margin+beyond-sign*z)
	}
	return int32(math.Round(sign * weight * min(total, maxStep) * unit / l.length))
}

// Fits reports whether the receipt is for this letter: its bytes, its facts and what reads them are those of the lesson.
func (r *Receipt) Fits(l *Letter) bool { return r.Features == l.sum() }

// Untrain takes a lesson back: afterwards the models are the sum of all their other lessons. The letter must have been
// read with the facts of the lesson, and the models be those it was taught to. The error is ErrOtherLetter; then nothing has changed.
func Untrain(l *Letter, server, account *Model, r Receipt) error {
	if !r.Fits(l) {
		return ErrOtherLetter
	}
	if server != nil {
		server.Redo(l, r.Step(true, true), nil)
	}
	if account != nil {
		account.Redo(l, r.Step(false, true), nil)
	}
	return nil
}

// Step is what a lesson, or the undoing of one, did to one model.
type Step struct {
	Class Class
	Size  int32 // what the lesson added, as its receipt says
	Undo  bool

	counted bool
}

// Step is what the lesson did to the server's model or to the account's, or with undo what undoes it.
func (r *Receipt) Step(server, undo bool) Step {
	s := Step{Class: r.Class, Size: r.Account, Undo: undo, counted: r.Counted && server}
	if server {
		s.Size = r.Server
	}
	return s
}

// Redo repeats a step on the parts of a model that lack it, all if lacks is nil. The letter must fit the lesson's receipt.
func (m *Model) Redo(l *Letter, s Step, lacks func(part int) bool) {
	size, one := s.Size, uint32(1)
	if s.Undo {
		size, one = -size, ^uint32(0)
	}
	m.add(l, size, lacks)
	if s.counted && m.counts != nil {
		m.count(l, s.Class, uint16(one), lacks)
	}
	switch {
	case lacks != nil && !lacks(0):
	case s.Class == Junk:
		m.junk += one
	default:
		m.good += one
	}
}

// sigmoid makes a probability of logits.
func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
