package journal

import (
	"maps"
	"strings"
	"time"
)

// Figures are what was told since the journal was opened, written down or not. Numbers only grow, but for those
// of LastHour and LastDay.
type Figures struct {
	Copies    map[string]uint64   // filed, by mailbox: "INBOX", "Junk", and "other" for all else
	Refusals  map[Refusal]uint64  // of MAIL, RCPT and messages
	Verdicts  map[Decision]uint64 // on messages
	Abandoned uint64              // messages

	// Recipients of attempts from the queue: each attempt counts.
	Delivered, Deferred, Failed uint64

	Dropped uint64 // steps that the disk was too slow for

	LastHour, LastDay Traffic
}

// Refusal is what was refused, and how.
type Refusal struct {
	Command string // MAIL, RCPT or DATA
	Status  string // the enhanced status code (RFC 3463), or the reply code where there was none
}

// Decision is what was decided about messages, and by which rule.
type Decision struct{ Verdict, Rule string }

// Traffic is what came and went in a time.
type Traffic struct {
	Filed     int `json:"filed"`     // copies in mailboxes
	Refused   int `json:"refused"`   // MAIL, RCPT or messages
	Delivered int `json:"delivered"` // recipients of the queue
	Failed    int `json:"failed"`    // recipients that were given up
}

func (t *Traffic) add(u *Traffic) {
	t.Filed += u.Filed
	t.Refused += u.Refused
	t.Delivered += u.Delivered
	t.Failed += u.Failed
}

const (
	// maxNames bounds the refusals, and the decisions, that are told apart. All are of our own making, some
	// dozens; what others say stands in a reply of ours at most behind the code.
	maxNames = 100
	// otherName is what the rest counts as.
	otherName = "other"

	slotTime = 5 * time.Minute // of one slot
	slots    = int64(24 * time.Hour / slotTime)
)

// tally counts steps. It is guarded by Journal.mu.
type tally struct {
	f    Figures
	ring [slots]struct {
		slot int64 // since 1970
		Traffic
	}
}

func newTally() *tally {
	return &tally{f: Figures{Copies: map[string]uint64{}, Refusals: map[Refusal]uint64{}, Verdicts: map[Decision]uint64{}}}
}

// count counts a step. more says that it is the rest of one about more recipients than an event has: what is
// counted by message was counted with the first part.
func (t *tally) count(e *Event, more bool) {
	people := uint64(len(e.To))
	switch e.Step {
	case Filed:
		t.f.Copies[mailboxClass(e.Mailbox)] += people
		t.at(e.At).Filed += len(e.To)
	case Refused:
		if more {
			return
		}
		countName(t.f.Refusals, Refusal{e.Command, statusOf(e.Reply)}, Refusal{otherName, otherName})
		t.at(e.At).Refused++
	case Judged:
		if !more {
			countName(t.f.Verdicts, Decision{e.Verdict, e.Rule}, Decision{otherName, otherName})
		}
	case Abandoned:
		if !more {
			t.f.Abandoned++
		}
	case Delivered:
		t.f.Delivered += people
		t.at(e.At).Delivered += len(e.To)
	case Deferred:
		t.f.Deferred += people
	case Failed:
		t.f.Failed += people
		t.at(e.At).Failed += len(e.To)
	}
}

// countName adds one under a name, or under the other one where there are too many.
func countName[K comparable](counts map[K]uint64, name, other K) {
	if _, known := counts[name]; !known && len(counts) >= maxNames {
		name = other
	}
	counts[name]++
}

// mailboxClass is what a mailbox is counted as: what others are called is their owners' business.
func mailboxClass(name string) string {
	if name == "INBOX" || name == "Junk" {
		return name
	}
	return otherName
}

// statusOf is the enhanced status code of a reply, or its reply code.
func statusOf(reply string) string {
	code, rest, _ := strings.Cut(reply, " ")
	status, _, _ := strings.Cut(rest, " ")
	if isStatus(status) {
		return strings.Clone(status) // the reply is long
	}
	if len(code) == 3 && isStatus(code+".0.0") {
		return strings.Clone(code)
	}
	return otherName
}

// isStatus reports whether s is three numbers with dots between them (RFC 3463 section 2).
func isStatus(s string) bool {
	const longest = len("5.999.999")
	digits, dots := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && digits > 0:
			digits = 0
			dots++
		default:
			return false
		}
	}
	return len(s) <= longest && dots == 2 && digits > 0
}

func slotOf(at time.Time) int64 { return at.Unix() / int64(slotTime/time.Second) }

// at is the traffic of the slot of a time.
func (t *tally) at(at time.Time) *Traffic {
	n := slotOf(at)
	s := &t.ring[((n%slots)+slots)%slots]
	if s.slot != n {
		s.slot, s.Traffic = n, Traffic{}
	}
	return &s.Traffic
}

// since adds up the last slots before a time, with that of the time itself.
func (t *tally) since(now time.Time, span time.Duration) (sum Traffic) {
	last := slotOf(now)
	for i := range t.ring {
		if s := &t.ring[i]; s.slot <= last && s.slot > last-int64(span/slotTime) {
			sum.add(&s.Traffic)
		}
	}
	return sum
}

// Figures tells what was told so far. All is zero of a nil journal.
func (j *Journal) Figures() Figures {
	if j == nil {
		return Figures{}
	}
	now := j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.tally.f
	f.Copies, f.Refusals, f.Verdicts = maps.Clone(f.Copies), maps.Clone(f.Refusals), maps.Clone(f.Verdicts)
	f.LastHour, f.LastDay = j.tally.since(now, time.Hour), j.tally.since(now, 24*time.Hour)
	return f
}
