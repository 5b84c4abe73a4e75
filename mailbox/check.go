package mailbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"mailstead/mailbox/log"
)

// Check verifies every invariant of log, databases and memory and returns all
// violations joined. It ends every test of a store. Writers wait while memory
// is compared with state.db.
func (s *Store) Check() error {
	errs := []error{s.checkMemory(), s.disk.check(), s.checkFiles()}
	damage, err := s.log.Verify(func(log.Record, []byte) error { return nil })
	for _, d := range damage {
		errs = append(errs, fmt.Errorf("log, segment %d, records %d to %d: %s", d.Segment, d.First, d.Last, d.What))
	}
	return errors.Join(append(errs, err)...)
}

// checkMemory brings everything numbered into the databases and holds the
// memory against them, with nothing changing meanwhile.
func (s *Store) checkMemory() error {
	errs, err := s.compareMemory(false)
	return errors.Join(append(errs, err)...)
}

// compareMemory is checkMemory, with what is wrong apart from what kept it
// from looking. inUse leaves out what sessions change meanwhile, and large
// mailboxes, for which everybody would have to wait.
func (s *Store) compareMemory(inUse bool) (violations []error, err error) {
	s.recordTold()
	s.seq.Lock()
	defer s.seq.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.newest != nil {
		if err := s.log.Wait(&s.newest.entry); err != nil {
			return nil, err
		}
	}
	if err := s.apply(); err != nil {
		return nil, err
	}
	h, err := s.disk.load()
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := comparison{s: s, inUse: inUse}
	c.catalogues()
	c.headers(&h)
	c.annotations(&h)
	return c.errs, nil
}

// comparison collects violations.
type comparison struct {
	s     *Store
	inUse bool
	errs  []error
}

// mostInUse is the length of the largest mailbox that is compared while the
// store is in use: some ten milliseconds.
const mostInUse = 100_000

func (c *comparison) expect(ok bool, format string, args ...any) {
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("memory: "+format, args...))
	}
}

// catalogues compares the pending with the durable one.
func (c *comparison) catalogues() {
	p, d := c.s.pending, c.s.durable
	c.expect(len(p.accounts) == len(d.accounts) && len(p.listings) == len(d.listings), "catalogues differ in length")
	c.expect(len(p.shared) == len(d.shared), "%d mailboxes are shared, %d durably", len(p.shared), len(d.shared))
	for id, acc := range d.accounts {
		other := p.accounts[id]
		c.expect(other != nil && maps.Equal(acc.subscribed, other.subscribed), "account %d: subscriptions differ", id)
		c.expect(other != nil && acc.quota == other.quota && acc.usage == other.usage, "account %d: quota or usage differs", id)
		var sum Usage
		for _, l := range acc.names {
			sum.add(l.box.pending.usage())
		}
		c.expect(acc.usage == sum, "account %d: usage %+v, its mailboxes have %+v", id, acc.usage, sum)
		for name, l := range acc.names {
			c.expect(other != nil && other.names[name] != nil && other.names[name].box == l.box, "account %d: %q differs", id, name)
			c.expect(other != nil && other.names[name] != nil && slices.Equal(other.names[name].grants, l.grants), "account %d: rights on %q differ", id, name)
			c.expect((d.shared[l.box.id] == l) == (len(l.grants) > 0), "account %d: %q is not listed by its rights", id, name)
			c.expect(l.name == name && d.listings[l.box.id] == l, "account %d: %q is listed under another name", id, name)
		}
	}
}

// headers compares what state.db says of accounts and mailboxes with the memory.
func (c *comparison) headers(h *diskHeaders) {
	s := c.s
	c.expect(h.Applied == s.last, "applied LSN is %d, last %d", h.Applied, s.last)
	c.expect(len(h.Accounts) == len(s.durable.accounts), "%d accounts, %d on disk", len(s.durable.accounts), len(h.Accounts))
	c.expect(len(h.Mailboxes) == len(s.durable.listings), "%d mailboxes, %d on disk", len(s.durable.listings), len(h.Mailboxes))
	subscriptions := 0
	for id, acc := range s.durable.accounts {
		c.expect(acc.quota == h.Quotas[id], "account %d: quota %+v, on disk %+v", id, acc.quota, h.Quotas[id])
		subscriptions += len(acc.subscribed)
	}
	c.expect(len(h.Subscriptions) == subscriptions, "%d subscriptions, %d on disk", subscriptions, len(h.Subscriptions))
	c.expect(uint64(h.Last.Body) <= s.lastBody.Load() && h.Last.Mailbox <= s.lastMailbox &&
		uint32(h.Last.Account) <= s.lastAccount.Load() && h.Last.UIDValidity <= s.lastValidity, "ids on disk are ahead: %+v", h.Last)
	for i := range h.Mailboxes {
		m := &h.Mailboxes[i]
		if l := s.durable.listings[m.ID]; l == nil {
			c.expect(false, "mailbox %d is on disk only", m.ID)
		} else {
			c.mailbox(l, m)
		}
	}
}

// mailbox compares one mailbox with state.db.
func (c *comparison) mailbox(l *listing, m *diskMailbox) {
	b := l.box
	b.mu.RLock()
	defer b.mu.RUnlock()
	stored := storedBox(m)
	c.expect(l.name == m.Name && l.use == m.SpecialUse && b.account == m.Account && b.validity == m.UIDValidity,
		"mailbox %d is described otherwise on disk: %+v", b.id, m.Info)
	c.expect(slices.Equal(l.grants, m.Grants), "mailbox %d: rights %v, on disk %v", b.id, l.grants, m.Grants)
	c.expect(b.durable == b.pending, "mailbox %d: durable %+v, pending %+v", b.id, b.durable, b.pending)
	c.expect(b.durable == stored.durable, "mailbox %d: %+v, on disk %+v", b.id, b.durable, stored.durable)
	c.expect(slices.Equal(b.keywords[:b.durable.keywords], m.Keywords), "mailbox %d: keywords %q, on disk %q", b.id, b.keywords, m.Keywords)
	c.expect(c.inUse || b.told == stored.told && b.recent == stored.recent, "mailbox %d: %d recent from %d, on disk %d from %d",
		b.id, b.recent, b.told, stored.recent, stored.told)
	c.expect(len(b.changes) == 0 && b.published == 0, "mailbox %d: %d changes were not applied", b.id, len(b.changes))
	c.expect(b.durable.highest <= ModSeq(c.s.last), "mailbox %d: HIGHESTMODSEQ %d above the last record", b.id, b.durable.highest)
	if b.messages != nil && (!c.inUse || b.messages.len() <= mostInUse) {
		c.messages(b)
	}
}

// messages compares an open mailbox with state.db, and its counters with its messages.
func (c *comparison) messages(b *box) {
	m := b.messages
	i := 0
	count := header{uidNext: b.durable.uidNext, highest: b.durable.highest, keywords: b.durable.keywords}
	var last Message
	_, err := c.s.disk.loadMessages(b.id, func(block []Message) {
		for _, stored := range block {
			if i >= m.len() {
				c.expect(false, "mailbox %d: message %d is on disk only", b.id, stored.UID)
				return
			}
			var have Message
			m.at(i, &have)
			i++
			stored.FlagsID = have.FlagsID
			c.expect(have == stored, "mailbox %d: message %+v, on disk %+v", b.id, have, stored)
			c.expect(have.UID > last.UID && have.UID < b.durable.uidNext, "mailbox %d: UID %d out of order", b.id, have.UID)
			c.expect(have.ModSeq <= b.durable.highest, "mailbox %d: UID %d has MODSEQ %d", b.id, have.UID, have.ModSeq)
			count.count(have.Flags, have.Size, 1)
			last = have
		}
	})
	c.expect(err == nil, "mailbox %d: %v", b.id, err)
	c.expect(i == m.len(), "mailbox %d: %d messages, %d on disk", b.id, m.len(), i)
	c.expect(count == b.durable, "mailbox %d: counters %+v, counted %+v", b.id, b.durable, count)
}
