package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// queueOracle knows what was submitted, what the sink took and what senders were told, and judges the queue by it.
type queueOracle struct {
	mu       sync.Mutex
	sent     map[string][]string // recipients by message
	answered map[string]bool     // messages with a 250
	denied   map[string]bool     // messages with another answer
	taken    map[delivery][]int64
	notices  map[delivery]int
	strange  []error
}

// delivery is a message for a recipient.
type delivery struct{ subject, to string }

func newQueueOracle() *queueOracle {
	return &queueOracle{
		sent: map[string][]string{}, answered: map[string]bool{}, denied: map[string]bool{},
		taken: map[delivery][]int64{}, notices: map[delivery]int{},
	}
}

// sends says that a message is about to be submitted.
func (o *queueOracle) sends(subject string, to []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[subject] = to
}

// answers says that it was answered 250.
func (o *queueOracle) answers(subject string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answered[subject] = true
}

// refused says that it was not.
func (o *queueOracle) refused(subject string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.denied[subject] = true
}

// takes says that the sink has it, from the server's nth life.
func (o *queueOracle) takes(subject, to string, life int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := delivery{subject, to}
	o.taken[d] = append(o.taken[d], life)
}

// told reads a letter in a sender's mailbox, which has to be a notice of failure.
func (o *queueOracle) told(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	subject, ok := strings.CutPrefix(subjectOf([]byte(text)), "Not delivered: ")
	if !ok {
		o.strange = append(o.strange, fmt.Errorf("a sender has %q", text))
		return
	}
	for group := range strings.SplitSeq(text, "Final-Recipient: rfc822; ") {
		if to, rest, ok := strings.Cut(group, "\n"); ok && strings.HasPrefix(rest, "Action: failed\n") {
			o.notices[delivery{subject, to}]++
		}
	}
}

// atOnce is how many entries the queue tries at the same time (queue.Limits.Attempts): so many results can be lost in a kill.
const atOnce = 40

// judge compares what was promised with what happened, and returns how many messages were sent again after a kill.
func (o *queueOracle) judge(kills int) (again int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.strange
	for _, subject := range slices.Sorted(maps.Keys(o.sent)) {
		all = append(all, o.judgeOne(subject))
	}
	lost := map[int64]map[string]bool{} // entries whose result a kill has taken, by the life it ended
	for d, lives := range o.taken {
		if !slices.Contains(o.sent[d.subject], d.to) {
			all = append(all, fmt.Errorf("%v was taken and never sent", d))
		}
		for i := 1; i < len(lives); i++ {
			before := lives[i-1]
			if lives[i] == before {
				all = append(all, fmt.Errorf("%v was taken twice within life %d", d, before))
			}
			if lost[before] == nil {
				lost[before] = map[string]bool{}
			}
			_, domain, _ := strings.Cut(d.to, "@")
			lost[before][d.subject+" "+domain] = true
		}
	}
	for life, entries := range lost {
		if again += len(entries); len(entries) > atOnce {
			all = append(all, fmt.Errorf("the end of life %d has made %d messages come twice", life, len(entries)))
		}
	}
	extra := 0
	for _, n := range o.notices {
		extra += n - 1
	}
	if extra > kills*atOnce {
		all = append(all, fmt.Errorf("%d notices came twice after %d kills", extra, kills))
	}
	return again, errors.Join(all...)
}

// judgeOne judges one message: what was answered 250 is with all recipients or told of; of what has no answer all is or
// nothing.
func (o *queueOracle) judgeOne(subject string) error {
	var missing []string
	to := o.sent[subject]
	for _, r := range to {
		d := delivery{subject, r}
		taken, told := len(o.taken[d]) > 0, o.notices[d] > 0
		if refuses := strings.HasPrefix(r, "refuse@"); taken && refuses || told && !refuses {
			return fmt.Errorf("%v: taken %v, told of failure %v", d, taken, told)
		}
		if !taken && !told {
			missing = append(missing, r)
		}
	}
	switch {
	case o.answered[subject] && len(missing) > 0:
		return fmt.Errorf("%s was answered 250 and is lost for %q", subject, missing)
	case o.denied[subject] && len(missing) < len(to):
		return fmt.Errorf("%s was refused and came to some of %q", subject, to)
	case len(missing) > 0 && len(missing) < len(to):
		return fmt.Errorf("%s had no answer and came to some of %q, but not to %q", subject, to, missing)
	}
	return nil
}

// TestQueueOracleCatchesLies shows the oracle a truth that it must accept and lies that it must not.
func TestQueueOracleCatchesLies(t *testing.T) {
	const notice = "Subject: Not delivered: one\n\nFinal-Recipient: rfc822; refuse@a.test\nAction: failed\n"
	truth := func() *queueOracle {
		o := newQueueOracle()
		o.sends("one", []string{"take@a.test", "refuse@a.test"})
		o.answers("one")
		o.takes("one", "take@a.test", 1)
		o.takes("one", "take@a.test", 2) // a kill was in between
		o.told(notice)
		o.sends("open", []string{"take@a.test"})
		o.sends("no", []string{"take@a.test"})
		o.refused("no")
		return o
	}
	if again, err := truth().judge(1); again != 1 || err != nil {
		t.Fatalf("the truth: %d, %v", again, err)
	}
	for name, lie := range map[string]func(*queueOracle){
		"a message is lost":              func(o *queueOracle) { delete(o.taken, delivery{"one", "take@a.test"}) },
		"nobody is told":                 func(o *queueOracle) { clear(o.notices) },
		"a delivered message is told of": func(o *queueOracle) { o.notices[delivery{"one", "take@a.test"}] = 1 },
		"a refused recipient has it":     func(o *queueOracle) { o.takes("one", "refuse@a.test", 1) },
		"it came twice without a kill":   func(o *queueOracle) { o.takes("one", "take@a.test", 2) },
		"half of an open message came": func(o *queueOracle) {
			o.sent["open"] = append(o.sent["open"], "x@a.test")
			o.takes("open", "x@a.test", 1)
		},
		"a message that was refused came":  func(o *queueOracle) { o.takes("no", "take@a.test", 1) },
		"one came that nobody sent":        func(o *queueOracle) { o.takes("two", "take@a.test", 1) },
		"a notice is none":                 func(o *queueOracle) { o.told("Subject: hello\n") },
		"too many came twice after a kill": func(o *queueOracle) { o.many(atOnce) },
		"too many notices came twice":      func(o *queueOracle) { o.notices[delivery{"one", "refuse@a.test"}] += atOnce + 1 },
	} {
		o := truth()
		lie(o)
		if _, err := o.judge(1); err == nil {
			t.Errorf("%s, and the oracle believes it", name)
		}
	}
}

// many has n messages come twice, before and after the first kill.
func (o *queueOracle) many(n int) {
	for i := range n {
		subject := fmt.Sprint("many", i)
		o.sends(subject, []string{"take@a.test"})
		o.takes(subject, "take@a.test", 1)
		o.takes(subject, "take@a.test", 2)
	}
}
