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

// opened are the mailboxes in memory.
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
	b.mu.RLock()
	n := int(b.durable.messages)
	b.mu.RUnlock()
	m := new(messages)
	m.grow(n + n/64 + 16)
	lsn, err := s.disk.loadMessages(b.id, m.addBlock)
	if err != nil {
		return nil, 0, errors.Join(errors.New("mailbox: loading messages"), err)
	}
	m.lateFrom = m.flagged
	return m, ModSeq(lsn), nil
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
	b.idleSize = b.size()
	o.idle = append(o.idle, b)
	o.messages += b.idleSize
	o.trim()
}

// trim drops the messages of the mailboxes longest unused until few enough
// stay. One that a writer is at work on is passed over: a later release will
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

// drop forgets the messages, unless changes are about to be published that
// have to be counted against them.
func (b *box) drop() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.published < len(b.changes) {
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
