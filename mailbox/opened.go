package mailbox

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	goimap "github.com/emersion/go-imap/v2"
)

// Mailbox is an open mailbox: its messages as arrays in memory, shared by all
// sessions that have it open.
type Mailbox struct {
	s    *Store
	box  *box
	once sync.Once
}

// OpenMailbox loads the mailbox, or shares it when it is open. ErrNoAccount,
// ErrNoMailbox, ErrClosed.
func (s *Store) OpenMailbox(ctx context.Context, a AccountID, name string) (*Mailbox, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	l, err := s.durable.find(a, canonicalName(name))
	s.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	if err := s.hold(l.box); err != nil {
		return nil, err
	}
	return &Mailbox{s: s, box: l.box}, nil
}

// Close gives the session's share back. A second Close does nothing.
func (m *Mailbox) Close() { m.once.Do(func() { m.s.release(m.box) }) }

// Info is the durable state now. ErrGone after the mailbox was deleted.
func (m *Mailbox) Info() (Info, error) {
	m.s.mu.RLock()
	defer m.s.mu.RUnlock()
	l := m.s.durable.listings[m.box.id]
	if l == nil {
		return Info{}, ErrGone
	}
	return m.s.info(m.box.account, l), nil
}

// keepOpen is how many messages of mailboxes that no session has open stay in
// memory, so that opening them again costs nothing: about 12 MB.
// keepIdle is how many such mailboxes there are at most.
const (
	keepOpen = 256 << 10
	keepIdle = 512
)

// opened are the mailboxes in memory: those that sessions have open, and those that were
// opened, or without messages, since the store was.
type opened struct {
	mu       sync.Mutex
	idle     []*box // without sessions, the longest unused first
	messages int    // in them
}

// hold loads a mailbox's messages and keeps them until release.
func (s *Store) hold(b *box) error {
	b.loading.Lock()
	defer b.loading.Unlock()
	s.opened.take(b)
	b.mu.Lock()
	if b.messages != nil {
		b.mu.Unlock()
		return nil
	}
	b.keep = true // from here on no change is dropped that the load may lack
	b.mu.Unlock()
	m, applied, err := s.load(b)
	b.mu.Lock()
	b.keep = false
	if err == nil {
		m.applyAll(b.since(applied))
		b.messages = m
	}
	b.mu.Unlock()
	b.applied(ModSeq(s.disk.applied()))
	if err != nil {
		s.release(b)
	}
	return err
}

// load reads the messages of a mailbox from state.db, and the LSN they are true for.
func (s *Store) load(b *box) (*messages, ModSeq, error) {
	m, lsn, err := s.disk.openMessages(b.id, b.unapplied())
	if err != nil {
		return nil, 0, errors.Join(errors.New("mailbox: loading messages"), err)
	}
	return m, ModSeq(lsn), nil
}

// unapplied is how many messages came that state.db may lack.
func (b *box) unapplied() (n int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, c := range b.changes {
		n += len(c.added)
	}
	return n
}

// since returns the published changes behind lsn. The caller holds mu.
func (b *box) since(lsn ModSeq) []*change {
	published := b.changes[:b.published]
	n, _ := slices.BinarySearchFunc(published, lsn+1, func(c *change, lsn ModSeq) int { return cmp.Compare(c.lsn, lsn) })
	return published[n:]
}

// take counts a session in.
func (o *opened) take(b *box) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b.users++
	if i := slices.Index(o.idle, b); i >= 0 {
		o.idle = slices.Delete(o.idle, i, i+1)
		o.messages -= b.idleSize
	}
}

// adopt keeps a mailbox that came into memory without a session.
func (o *opened) adopt(b *box) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if b.users == 0 && !slices.Contains(o.idle, b) {
		o.keep(b)
	}
}

// keep makes a mailbox the last used of those without sessions. The caller holds mu.
func (o *opened) keep(b *box) {
	b.idleSize = b.size()
	o.idle = append(o.idle, b)
	o.messages += b.idleSize
	o.trim()
}

// written notes that mailboxes were written to: those without a session are used, may be
// larger than they were, or deleted.
func (o *opened) written(boxes map[*box]struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var used []*box
	o.idle = slices.DeleteFunc(o.idle, func(b *box) bool {
		_, is := boxes[b]
		if is {
			used = append(used, b)
			o.messages -= b.idleSize
		}
		return is
	})
	for _, b := range used {
		if !b.isGone() || !b.drop() {
			o.keep(b)
		}
	}
}

// release counts a session out, and drops the messages of mailboxes unused for
// long when there are too many.
func (s *Store) release(b *box) {
	o := &s.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	b.users--
	if b.users > 0 {
		return
	}
	if b.isGone() && b.drop() {
		return
	}
	o.keep(b)
}

// trim drops the messages of the mailboxes longest unused until few enough
// stay. One that is being expunged from is passed over: a later release, or commit, will
// try again. The caller holds mu.
func (o *opened) trim() {
	for i := 0; i < len(o.idle) && (len(o.idle) > keepIdle || o.messages > keepOpen); {
		old := o.idle[i]
		if !old.drop() {
			i++
			continue
		}
		o.idle = slices.Delete(o.idle, i, i+1)
		o.messages -= old.idleSize
	}
}

func (b *box) isGone() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.durable.gone
}

// size is the number of messages in memory.
func (b *box) size() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.messages == nil {
		return 0
	}
	return b.messages.len()
}

// drop forgets the messages, unless expunges are about to be published that
// have to be counted against them.
func (b *box) drop() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.changes[b.published:], func(c *change) bool { return len(c.expunged) > 0 }) {
		return false
	}
	b.messages = nil
	return true
}

// Vanished returns the UIDs expunged after since, ascending; ok is false when
// the history does not reach back that far (RFC 7162 section 3.2.5). UIDs
// expunged earlier, or never given, may be among them.
func (m *Mailbox) Vanished(since ModSeq) (gone goimap.UIDSet, ok bool) {
	fresh := m.box.made > ModSeq(m.s.disk.applied()) // not on disk yet: all its history is in memory
	ranges := m.box.expungedSince(since)             // before the disk: what is dropped here is there by then
	stored, ok, err := m.s.disk.vanished(m.box.id, since)
	if err != nil {
		m.s.logger.Error("reading what was expunged", "mailbox", m.box.id, "err", err)
		return nil, false
	}
	if !ok && !fresh {
		return nil, false
	}
	for _, r := range joinRanges(append(stored, ranges...)) {
		gone = append(gone, goimap.UIDRange{Start: r.First, Stop: r.Last})
	}
	return gone, true
}

// expungedSince returns what changes that state.db may lack removed after since.
func (b *box) expungedSince(since ModSeq) []uidRange {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []uidRange
	for _, c := range b.changes[:b.published] {
		if c.lsn > since {
			list = append(list, c.expunged...)
		}
	}
	return list
}
