package mailbox

import (
	"slices"

	goimap "github.com/emersion/go-imap/v2"
)

// messages is an open mailbox's durable content: one array for each property,
// in UID order, 46 bytes a message.
type messages struct {
	uids   []goimap.UID
	sets   []uint32 // index into flags
	modseq []ModSeq
	size   []uint32
	date   []int64
	zone   []int16
	saved  []int64
	body   []BodyID

	flags flagTable

	// Views hold a prefix of uids, whose elements therefore never change: new
	// ones are appended, an expunge makes a new slice and a new generation.
	generation uint64
	flagged    ModSeq // of the last change of flags
	late       []flagChange
	lateFrom   ModSeq // late has all changes of flags above it
}

// flagChange says among which messages a record changed flags. The last few
// are kept, ascending: whoever comes by often need not look at all messages.
type flagChange struct {
	lsn   ModSeq
	among uidRange
}

const maxLate = 16

// newMessages has n messages that are to be filled in, and room for more.
func newMessages(n, room int) *messages {
	return &messages{
		uids:   make([]goimap.UID, n, n+room),
		sets:   make([]uint32, n, n+room),
		modseq: make([]ModSeq, n, n+room),
		size:   make([]uint32, n, n+room),
		date:   make([]int64, n, n+room),
		zone:   make([]int16, n, n+room),
		saved:  make([]int64, n, n+room),
		body:   make([]BodyID, n, n+room),
	}
}

func (m *messages) len() int { return len(m.uids) }

// grow makes room for n more messages.
func (m *messages) grow(n int) {
	m.uids = slices.Grow(m.uids, n)
	m.sets = slices.Grow(m.sets, n)
	m.modseq = slices.Grow(m.modseq, n)
	m.size = slices.Grow(m.size, n)
	m.date = slices.Grow(m.date, n)
	m.zone = slices.Grow(m.zone, n)
	m.saved = slices.Grow(m.saved, n)
	m.body = slices.Grow(m.body, n)
}

// add appends a message above all others.
func (m *messages) add(a *added, modseq ModSeq) {
	set := m.intern(a.Flags)
	m.uids = append(m.uids, a.UID)
	m.sets = append(m.sets, set)
	m.modseq = append(m.modseq, modseq)
	m.size = append(m.size, uint32(a.Size))
	m.date = append(m.date, a.Internal.Unix)
	m.zone = append(m.zone, a.Internal.Zone)
	m.saved = append(m.saved, a.Saved)
	m.body = append(m.body, a.Body)
}

// at fills in the message with index i.
func (m *messages) at(i int, out *Message) {
	out.UID = m.uids[i]
	out.FlagsID = m.sets[i]
	out.Flags = m.flags.sets[m.sets[i]]
	out.ModSeq = m.modseq[i]
	out.Size = int64(m.size[i])
	out.Internal = Date{Unix: m.date[i], Zone: m.zone[i]}
	out.Saved = m.saved[i]
	out.Body = m.body[i]
}

// search returns the index of the first message with a UID not below uid.
func (m *messages) search(uid goimap.UID) int {
	i, _ := slices.BinarySearch(m.uids, uid)
	return i
}

// from is the number of messages with a UID not below uid.
func (m *messages) from(uid goimap.UID) uint32 { return uint32(m.len() - m.search(uid)) }

// countFrom is the number of messages in ranges with a UID not below uid.
func (m *messages) countFrom(uid goimap.UID, ranges []uidRange) uint32 {
	var n uint32
	for _, r := range ranges {
		if first := max(r.First, uid); first <= r.Last {
			n += m.from(first) - m.from(r.Last) + m.has(r.Last)
		}
	}
	return n
}

// has is 1 when there is a message uid, else 0.
func (m *messages) has(uid goimap.UID) uint32 {
	if _, ok := slices.BinarySearch(m.uids, uid); ok {
		return 1
	}
	return 0
}

// applyAll moves the arrays by changes, in their order.
func (m *messages) applyAll(changes []*change) {
	n := 0
	for _, c := range changes {
		n += len(c.added)
	}
	m.grow(n)
	for _, c := range changes {
		m.apply(c)
	}
}

// apply moves the arrays by a change.
func (m *messages) apply(c *change) {
	m.grow(len(c.added))
	for i := range c.added {
		m.add(&c.added[i], c.lsn)
	}
	for i := range c.flags {
		m.setFlags(&c.flags[i], c.lsn)
	}
	if len(c.expunged) > 0 {
		m.expunge(c.expunged)
	}
}

func (m *messages) setFlags(run *flagRun, lsn ModSeq) {
	set := m.intern(run.flags)
	i := 0
	for _, r := range run.uids {
		for i = m.next(i, r.First); i < m.len() && m.uids[i] <= r.Last; i++ {
			m.sets[i], m.modseq[i] = set, lsn
		}
	}
	m.flagged = lsn
	m.remember(flagChange{lsn: lsn, among: uidRange{First: run.uids[0].First, Last: run.uids[len(run.uids)-1].Last}})
}

func (m *messages) remember(c flagChange) {
	n := len(m.late)
	switch {
	case n > 0 && m.late[n-1].lsn == c.lsn:
		m.late[n-1].among = m.late[n-1].among.span(c.among)
		return
	case n == maxLate:
		m.lateFrom = m.late[0].lsn
		m.late = slices.Delete(m.late, 0, 1)
	}
	m.late = append(m.late, c)
}

// span is the range from the first to the last UID of both.
func (r uidRange) span(o uidRange) uidRange {
	return uidRange{First: min(r.First, o.First), Last: max(r.Last, o.Last)}
}

// flaggedSince returns the indexes, from to to (not included), among which are
// all messages whose flags were changed after since, but by the changes in except.
func (m *messages) flaggedSince(since ModSeq, except []ModSeq) (from, to int) {
	if m.flagged <= since {
		return 0, 0
	}
	if since < m.lateFrom {
		return 0, m.len()
	}
	var among uidRange
	for _, c := range m.late {
		switch {
		case c.lsn <= since || slices.Contains(except, c.lsn):
		case among.Last == 0:
			among = c.among
		default:
			among = among.span(c.among)
		}
	}
	if among.Last == 0 {
		return 0, 0
	}
	return m.search(among.First), m.search(among.Last + 1)
}

// expunge cuts the messages in ranges, which ascend, out of all arrays: one
// pass over each, however many ranges.
func (m *messages) expunge(ranges []uidRange) {
	spans := m.spans(ranges)
	m.uids = cut(slices.Clone(m.uids), spans)
	m.sets = cut(m.sets, spans)
	m.modseq = cut(m.modseq, spans)
	m.size = cut(m.size, spans)
	m.date = cut(m.date, spans)
	m.zone = cut(m.zone, spans)
	m.saved = cut(m.saved, spans)
	m.body = cut(m.body, spans)
	m.generation++
}

// span is a half-open range of indexes.
type span struct{ from, to int }

func (m *messages) spans(ranges []uidRange) []span {
	list := make([]span, 0, len(ranges))
	var s span
	for _, r := range ranges {
		s.from = m.next(s.to, r.First)
		s.to = m.next(s.from, r.Last)
		if s.to < m.len() && m.uids[s.to] == r.Last {
			s.to++
		}
		if s.to > s.from {
			list = append(list, s)
		}
	}
	return list
}

// cut removes spans from list in place and returns what is left.
func cut[E any](list []E, spans []span) []E {
	if len(spans) == 0 {
		return list
	}
	to := spans[0].from
	for i, s := range spans {
		end := len(list)
		if i+1 < len(spans) {
			end = spans[i+1].from
		}
		to += copy(list[to:], list[s.to:end])
	}
	return list[:to]
}

// flagTable numbers the different flag sets of an open mailbox, so that the
// arrays hold four bytes a message and a session can keep the wire form of each.
type flagTable struct {
	sets []FlagSet
	ids  map[FlagSet]uint32
	last uint32 // given out last: most messages have the flags of the one before
	full int    // number of sets at which those no message has any more are dropped
}

// minFlagTable is the size up to which a table is never rebuilt.
const minFlagTable = 1024

// intern returns the number of f, which is given out for a message at once:
// a rebuild drops what no message has.
func (m *messages) intern(f FlagSet) uint32 {
	t := &m.flags
	if int(t.last) < len(t.sets) && t.sets[t.last] == f {
		return t.last
	}
	id, ok := t.ids[f]
	if !ok {
		id = m.number(f)
	}
	t.last = id
	return id
}

// number gives a set that the table lacks its number.
func (m *messages) number(f FlagSet) uint32 {
	t := &m.flags
	if t.ids == nil {
		t.ids, t.full = make(map[FlagSet]uint32), minFlagTable
	}
	if len(t.sets) >= t.full {
		m.rebuildFlags()
	}
	id := uint32(len(t.sets))
	t.sets = append(t.sets, f)
	t.ids[f] = id
	return id
}

// rebuildFlags numbers anew the sets that messages have.
func (m *messages) rebuildFlags() {
	old := m.flags.sets
	const unused = ^uint32(0)
	renumbered := slices.Repeat([]uint32{unused}, len(old))
	t := flagTable{ids: make(map[FlagSet]uint32)}
	for i, set := range m.sets {
		if renumbered[set] == unused {
			renumbered[set] = uint32(len(t.sets))
			t.ids[old[set]] = renumbered[set]
			t.sets = append(t.sets, old[set])
		}
		m.sets[i] = renumbered[set]
	}
	t.full = max(minFlagTable, 2*len(t.sets))
	m.flags = t
}
