package mailbox

import (
	"iter"

	goimap "github.com/emersion/go-imap/v2"
)

// Columns are messages with sequence numbers that follow each other, as the store has
// them: an array for each property, without a copy. What is given must not be changed, and
// is valid while the loop over View.Columns is at it.
type Columns struct {
	Seq      uint32 // of the first message
	messages *messages
	from, to int // indexes in messages
}

// Columns yields the messages from sequence number from to to (inclusive, clipped), for
// whoever looks at all of them and needs few. Messages that other sessions expunged
// meanwhile are left out; where none were, all come at once. The mailbox is held
// while the loop goes on: call nothing of the store, wait for nothing and write to nobody in it.
func (v *View) Columns(from, to uint32) iter.Seq[Columns] {
	return func(yield func(Columns) bool) {
		first, end := int(max(from, 1))-1, int(min(to, v.Len()))
		b := v.box
		b.mu.RLock()
		defer b.mu.RUnlock()
		if first >= end || b.durable.gone {
			return
		}
		m := b.messages
		if v.generation == m.generation { // the view is a prefix of the messages
			yield(Columns{uint32(first) + 1, m, first, end})
			return
		}
		v.runs(first, end, yield)
	}
}

// runs yields the messages with places from first to end (not included) in the view that
// are still there, in runs that are next to each other in the mailbox and in the view. The
// caller holds the box's mu.
func (v *View) runs(first, end int, yield func(Columns) bool) {
	m := v.box.messages
	i := m.search(v.uids[first])
	for first < end {
		if i = m.next(i, v.uids[first]); i == m.len() {
			return
		}
		n := 0
		for first+n < end && i+n < m.len() && v.uids[first+n] == m.uids[i+n] {
			n++
		}
		if n > 0 && !yield(Columns{uint32(first) + 1, m, i, i + n}) {
			return
		}
		first, i = first+max(n, 1), i+n
	}
}

// Len is the number of messages.
func (c Columns) Len() int { return c.to - c.from }

// Row fills in the message with index i.
func (c Columns) Row(i int, out *Row) {
	out.Seq = c.Seq + uint32(i)
	c.messages.at(c.from+i, &out.Message)
}

// UID is Message.UID of the message with index i.
func (c Columns) UID(i int) goimap.UID { return c.messages.uids[c.from+i] }

// ModSeq is Message.ModSeq of the message with index i.
func (c Columns) ModSeq(i int) ModSeq { return c.messages.modseq[c.from+i] }

// Size is Message.Size of the message with index i.
func (c Columns) Size(i int) int64 { return int64(c.messages.size[c.from+i]) }

// Flags are Message.FlagsID and Message.Flags of the message with index i.
func (c Columns) Flags(i int) (uint32, FlagSet) {
	id := c.messages.sets[c.from+i]
	return id, c.messages.flags.sets[id]
}

// Bodies are Message.Body of each.
func (c Columns) Bodies() []BodyID { return c.messages.body[c.from:c.to:c.to] }
