package mailbox

import (
	"slices"
	"sort"

	goimap "github.com/emersion/go-imap/v2"
)

// Row is a message with its sequence number in a view.
type Row struct {
	Seq uint32
	Message
}

// View is one session's picture of a mailbox: which message has which
// sequence number. It changes only by Update. It belongs to one goroutine.
type View struct {
	s          *Store
	box        *box
	claims     bool
	uids       []goimap.UID
	generation uint64     // of the messages uids is a prefix of
	own        bool       // uids is the view's own copy
	owing      bool       // messages of uids are gone, and the session was not told
	seen       ModSeq     // flags set up to here were told
	whole      ModSeq     // everything up to here was told, expunges too
	looked     uint64     // box.last when the view was moved
	reported   []ModSeq   // changes above seen that the session told itself, ascending
	recent     []uidRange // what is \Recent in this session, ascending
}

// View returns the present picture. With claim, the session is the one that is
// told of new messages as \Recent (SELECT; EXAMINE and POP3 do not claim).
func (m *Mailbox) View(claim bool) *View {
	b := m.box
	v := &View{s: m.s, box: b, claims: claim}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.durable.gone {
		return v // the first Update says so
	}
	v.looked = b.last.Load()
	v.uids = slices.Clip(b.messages.uids)
	v.generation = b.messages.generation
	v.seen = b.durable.highest
	v.whole = v.seen
	v.takeRecent()
	return v
}

// takeRecent makes \Recent what no session was told of before. The caller
// holds the box's mu for writing.
func (v *View) takeRecent() {
	if len(v.uids) == 0 {
		return
	}
	r := uidRange{First: v.box.told, Last: v.uids[len(v.uids)-1]}
	var last *uidRange
	if n := len(v.recent); n > 0 {
		last = &v.recent[n-1]
		r.First = max(r.First, last.Last+1)
	}
	if r.First > r.Last {
		return
	}
	if last != nil && last.Last+1 == r.First {
		last.Last = r.Last
	} else { // other sessions were told of what is between
		v.recent = append(v.recent, r)
	}
	if v.claims {
		v.box.tell(r.Last + 1)
		v.s.told(v.box)
	}
}

// Len is the number of messages in the view.
func (v *View) Len() uint32 { return uint32(len(v.uids)) }

// UIDs are the view's UIDs in sequence order; the slice must not be changed
// and is valid until the next Update.
func (v *View) UIDs() []goimap.UID { return v.uids }

// Seq returns the sequence number of uid.
func (v *View) Seq(uid goimap.UID) (seq uint32, ok bool) {
	i, ok := slices.BinarySearch(v.uids, uid)
	if !ok {
		return 0, false
	}
	return uint32(i) + 1, true
}

// Rows appends the messages from sequence number from to to (inclusive,
// clipped) to dst. Messages that other sessions expunged meanwhile are left
// out. Call it for a few hundred at a time and write to nobody meanwhile.
func (v *View) Rows(dst []Row, from, to uint32) []Row {
	for c := range v.Columns(from, to) {
		dst = slices.Grow(dst, c.Len())
		for i := range c.Len() {
			dst = append(dst, Row{})
			c.Row(i, &dst[len(dst)-1])
		}
	}
	return dst
}

// Counted returns how many of the mailbox's messages lack \Seen and how many have \Deleted
// now, those included that the view does not show yet.
func (v *View) Counted() (unseen, deleted uint32) {
	v.box.mu.RLock()
	defer v.box.mu.RUnlock()
	return v.box.durable.unseen, v.box.durable.deleted
}

// Recent reports whether uid is \Recent in this session.
func (v *View) Recent(uid goimap.UID) bool {
	i := sort.Search(len(v.recent), func(i int) bool { return v.recent[i].Last >= uid })
	return i < len(v.recent) && v.recent[i].First <= uid
}

// RecentCount is the number of messages that are \Recent in this session.
func (v *View) RecentCount() uint32 {
	n := 0
	for _, r := range v.recent {
		from, _ := slices.BinarySearch(v.uids, r.First)
		to, found := slices.BinarySearch(v.uids, r.Last)
		if found {
			to++
		}
		n += to - from
	}
	return uint32(n)
}

// Update is what happened since the last one, in the order to be told:
// expunges, then the new size, then flags.
type Update struct {
	Expunged []uint32     // sequence numbers, each as it counts at its moment (RFC 3501 section 7.4.1)
	Vanished []goimap.UID // the same messages
	Exists   bool         // there are new messages: tell EXISTS and RECENT
	Changed  []Row        // messages whose flags or MODSEQ changed and were not reported
	Gone     bool         // the mailbox was deleted
}

// Update moves the view to the durable state. Without expunge, messages that
// are gone keep their numbers until an Update with it (RFC 3501 section 5.5).
func (v *View) Update(expunge bool) Update {
	b := v.box
	if v.looked == b.last.Load() && !(v.owing && expunge) {
		return Update{}
	}
	var u Update
	exists := false
	b.mu.RLock()
	v.looked = b.last.Load()
	if u.Gone = b.durable.gone; !u.Gone {
		known := len(v.uids) // before the new ones
		if expunge && v.generation != b.messages.generation {
			v.leave(&u)
			known = len(v.uids)
		}
		exists = v.arrive()
		v.changes(&u, v.uids[:known])
		if v.generation == b.messages.generation {
			v.whole = v.seen
		}
	}
	b.mu.RUnlock()
	if u.Exists = exists; exists {
		b.mu.Lock()
		v.takeRecent()
		b.mu.Unlock()
	}
	return u
}

// leave takes out the messages that are gone. The view is a prefix of the
// messages then. The caller holds the box's mu.
func (v *View) leave(u *Update) {
	m := v.box.messages
	i := 0
	for at, uid := range v.uids {
		if i < m.len() && m.uids[i] == uid {
			i++
			continue
		}
		u.Expunged = append(u.Expunged, uint32(at-len(u.Expunged))+1)
		u.Vanished = append(u.Vanished, uid)
	}
	v.uids, v.generation, v.own = m.uids[:i:i], m.generation, false
	v.owing = false
}

// arrive adds what is new and reports whether there is any. The caller holds
// the box's mu.
func (v *View) arrive() bool {
	m := v.box.messages
	if v.generation == m.generation {
		had := len(v.uids)
		v.uids = slices.Clip(m.uids)
		return len(v.uids) > had
	}
	// Some messages are gone that the session still counts: it goes on with a
	// list of its own.
	v.owing = true
	fresh := m.uids
	if n := len(v.uids); n > 0 {
		fresh = m.uids[m.search(v.uids[n-1]+1):]
	}
	if !v.own {
		v.uids, v.own = slices.Clone(v.uids), true
	}
	v.uids = append(v.uids, fresh...)
	return len(fresh) > 0
}

// changes finds the messages among known, the view's before its last arrivals,
// whose flags changed. The caller holds the box's mu.
func (v *View) changes(u *Update, known []goimap.UID) {
	m := v.box.messages
	if from, to := m.flaggedSince(v.seen, v.reported); from < to && len(known) > 0 {
		to = min(to, m.search(known[len(known)-1]+1))
		v.collect(u, from, to)
	}
	v.seen = max(v.seen, v.box.durable.highest)
	v.reported = slices.DeleteFunc(v.reported, func(m ModSeq) bool { return m <= v.seen })
}

// collect takes the changed ones of the messages with index from to to (not included).
func (v *View) collect(u *Update, from, to int) {
	m := v.box.messages
	n := 0
	for _, modseq := range m.modseq[from:max(from, to)] {
		if !v.told(modseq) {
			n++
		}
	}
	if n == 0 {
		return
	}
	u.Changed = make([]Row, 0, n)
	for i := from; i < to; i++ {
		if v.told(m.modseq[i]) {
			continue
		}
		seq := uint32(i) + 1 // the view is a prefix of the messages
		if v.generation != m.generation {
			seq, _ = v.Seq(m.uids[i])
		}
		u.Changed = append(u.Changed, Row{Seq: seq})
		m.at(i, &u.Changed[len(u.Changed)-1].Message)
	}
}

// HighestModSeq is the mod-sequence up to which the session was told of all changes, of
// expunges too (RFC 7162 sections 3.1.2.1 and 3.2): who asks later for what changed
// since misses nothing.
func (v *View) HighestModSeq() ModSeq { return v.whole }

// Behind reports whether something of the messages in the view has changed that the
// session was not told of: flags set by others, or an expunge.
func (v *View) Behind() bool {
	b := v.box
	if v.looked == b.last.Load() && !v.owing {
		return false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.durable.gone {
		return false
	}
	from, to := b.messages.flaggedSince(v.seen, v.reported)
	return v.generation != b.messages.generation || from < to
}

// Gone reports whether the mailbox was deleted.
func (v *View) Gone() bool {
	v.box.mu.RLock()
	defer v.box.mu.RUnlock()
	return v.box.durable.gone
}

// told reports whether the session was told of the change with mod-sequence m.
func (v *View) told(m ModSeq) bool {
	if m <= v.seen {
		return true
	}
	_, found := slices.BinarySearch(v.reported, m)
	return found
}

// Reported tells the view that the session has itself told its client the
// flags set by the change with mod-sequence m (a STORE's own answer), so that
// Update does not tell them again.
func (v *View) Reported(m ModSeq) {
	if m > v.seen {
		v.reported = append(v.reported, m)
	}
}
