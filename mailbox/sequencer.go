package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"unsafe"

	"mailstead/mailbox/log"
)

// record is one record of the log, from its numbering until the databases hold
// what it says.
type record struct {
	entry    log.Entry
	ops      []op
	changes  []*change
	index    []byte // the body's index for derived.db; nil without a body
	accounts []AccountID
	weight   int64 // bytes it is counted with until it is applied

	// Room for what most records have one of: four allocations less for each.
	op1       [1]op
	change1   [1]*change
	made1     change
	accounts1 [2]AccountID
}

// decision collects what one record will say. It exists under Store.seq only,
// and nothing of the pending state moves before it is numbered: a refusal
// leaves no trace.
type decision struct {
	s       *Store
	lsn     log.LSN
	at      int64 // Unix seconds: when it is made
	ops     []op
	changes []*change
	made    *change // to be used for the first of changes
}

// work says how a record may use the disk.
type work uint8

const (
	// ordinary work brings new bytes and stops while the disk is nearly full.
	ordinary work = iota
	// urgent work may use the reserve, so that deleting always helps.
	urgent
)

// write has decide fill one record, and returns when that is durable. need is
// an upper bound of its metadata in bytes. body may be nil. With nothing
// decided nothing is written; but what was decided against is durable, too: a
// STORE of flags that another session is just setting is answered when a crash
// cannot take them back any more.
func (s *Store) write(ctx context.Context, w work, need int, body *NewBody, decide func(*decision) error) error {
	rec, before, err := s.begin(ctx, w, need, body, decide)
	if rec == nil {
		return s.await(before, err)
	}
	return s.finish(rec, err)
}

// begin is write up to the moment where it would wait: rec is numbered and queued, or
// nil, and then before is the newest record that decide could know of, nil for none.
// Somebody has to finish rec, or a later one.
func (s *Store) begin(ctx context.Context, w work, need int, body *NewBody, decide func(*decision) error) (rec, before *record, err error) {
	if err := s.admit(ctx); err != nil {
		return nil, nil, err
	}
	promised := log.RecordSize(min(need, s.log.MetaLimit()), body.inline())
	if err := s.log.Reserve(promised, w == urgent); err != nil {
		return nil, nil, s.spaceError(err)
	}
	rec = new(record)
	body.fill(rec)
	used, before, err := s.number(rec, decide)
	s.log.Release(promised - used)
	if used == 0 {
		return nil, before, err
	}
	return rec, nil, err
}

// finish waits until rec is durable.
func (s *Store) finish(rec *record, err error) error {
	if err := s.await(rec, err); err != nil {
		return err
	}
	rec.entry.Meta, rec.entry.Body = nil, nil // the record lives until it is applied
	return nil
}

// await returns err when rec (nil is none), and so everything numbered before
// it, is durable.
func (s *Store) await(rec *record, err error) error {
	if rec == nil {
		return err
	}
	if failed := s.log.Wait(&rec.entry); failed != nil && err == nil {
		return fmt.Errorf("mailbox: writing the log: %w", failed)
	}
	return err
}

// number lets decide make up its mind against the pending state and gives the
// outcome its LSN. It returns the number of bytes that it appended to the log,
// and the newest record that decide could know of, nil for none.
func (s *Store) number(rec *record, decide func(*decision) error) (used int64, before *record, err error) {
	s.seq.Lock()
	defer s.seq.Unlock()
	if s.closed {
		return 0, nil, ErrClosed
	}
	before = s.newest
	d := decision{s: s, lsn: s.last + 1, at: s.now().Unix(), ops: rec.op1[:0], changes: rec.change1[:0], made: &rec.made1}
	if err := decide(&d); err != nil || len(d.ops) == 0 {
		return 0, before, err
	}
	rec.entry.Meta = appendOps(make([]byte, 0, usualMeta), d.ops)
	if len(rec.entry.Meta) > s.log.MetaLimit() {
		return 0, before, fmt.Errorf("%w: one change of so many messages", ErrLimit)
	}
	rec.entry.Value = rec
	rec.ops, rec.changes, rec.accounts = d.ops, d.changes, rec.accounts1[:0]
	rec.weight = int64(len(rec.index)) + weigh(d.ops)
	used = rec.entry.Size()
	s.applier.numbered(rec.weight)
	s.written.Add(used)
	d.move(rec)
	s.newest = rec
	switch s.log.Append(&rec.entry) {
	case d.lsn:
		return used, before, nil
	case 0:
		return 0, nil, s.log.Wait(&rec.entry) // closed, or failed for good
	}
	err = fmt.Errorf("mailbox: record %d got number %d", d.lsn, rec.entry.LSN)
	s.fatal(err) // what was decided and what is written differ
	return used, nil, err
}

// usualMeta is what the metadata of a delivery with a room's change fits in, in bytes.
const usualMeta = 128

// recordOverhead is about what a record takes in memory beside its lists and values, in bytes.
const recordOverhead = 512

// weigh is about what a record of ops takes in memory until it is applied, in
// bytes: several times its metadata where that is packed well.
func weigh(ops []op) int64 {
	n := int64(recordOverhead)
	for _, o := range ops {
		switch o := o.(type) {
		case opAdd:
			n += int64(len(o.Messages)) * int64(unsafe.Sizeof(added{}))
		case opFlags:
			n += int64(len(o.UIDs)) * int64(unsafe.Sizeof(uidRange{}))
		case opExpunge:
			n += int64(len(o.UIDs)) * int64(unsafe.Sizeof(uidRange{}))
		case opRoom:
			n += int64(len(o.Room) + len(o.Key) + len(o.Value))
		case opMailbox:
			n += recordOverhead // a box with two headers
		case opSubscription:
			n += int64(len(o.Name))
		case opRights:
			n += int64(len(o.Grants)) * int64(unsafe.Sizeof(Grant{}))
		case opAnnotation:
			n += int64(len(o.Name) + 2*len(o.Value))
		case opPurge:
			n += int64(len(o.Messages)) * int64(unsafe.Sizeof(deletedID{}))
		case opRestored:
			n += int64(len(o.Messages)) * int64(unsafe.Sizeof(deletedPart{})+unsafe.Sizeof(uidRange{}))
		}
	}
	return n
}

// move makes the decision pending state. It comes before Append: from then on
// the record can be published at any moment.
func (d *decision) move(rec *record) {
	s := d.s
	s.last = d.lsn
	d.audience(rec) // of those that go
	for _, o := range d.ops {
		s.pending.apply(o, d.changes)
		rec.accounts = appendAccount(rec.accounts, o)
		if o, ok := o.(opAnnotation); ok {
			rec.accounts = append(rec.accounts, s.pending.annotationsSeenBy(o)...)
		}
	}
	if slices.ContainsFunc(d.ops, changesRights) {
		d.audience(rec) // of those that are shared now
	}
	for _, c := range d.changes {
		c.lsn = ModSeq(d.lsn)
		if len(c.added)+len(c.flags)+len(c.expunged) > 0 {
			c.after.highest = c.lsn
		}
		c.grown = growth(&c.box.pending, &c.after)
		c.box.numbered(c)
		if len(rec.accounts) == 0 || rec.accounts[len(rec.accounts)-1] != c.box.account {
			rec.accounts = append(rec.accounts, c.box.account)
		}
	}
	s.pending.count(d.changes)
}

// audience adds the accounts that the changed mailboxes are shared with.
func (d *decision) audience(rec *record) {
	for _, c := range d.changes {
		rec.accounts = d.s.pending.appendAudience(rec.accounts, c.box)
	}
}

// appendAccount adds the account whose catalogue o changes.
func appendAccount(list []AccountID, o op) []AccountID {
	switch o := o.(type) {
	case opMailbox:
		return append(list, o.Account)
	case opSubscription:
		return append(list, o.Account)
	case opAccount:
		return append(list, o.Account)
	}
	return list
}

// change returns the decision's change of b.
func (d *decision) change(b *box) *change {
	for _, c := range d.changes {
		if c.box == b {
			return c
		}
	}
	c := d.made
	if len(d.changes) > 0 {
		c = new(change)
	}
	*c = change{box: b, after: b.pending}
	d.changes = append(d.changes, c)
	return c
}

// recordKeywords puts keywords that have a bit but were never recorded on record.
func (d *decision) recordKeywords(c *change) {
	b := c.box
	b.mu.RLock()
	names := b.keywords[c.after.keywords:]
	b.mu.RUnlock()
	if len(names) > 0 {
		d.ops = append(d.ops, opKeywords{Mailbox: b.id, First: c.after.keywords, Names: names})
		c.after.keywords += len(names)
	}
}

// add decides that messages come into c's mailbox. Their UIDs are given here.
func (d *decision) add(c *change, list []added) {
	for i := range list {
		a := &list[i]
		a.UID = c.after.uidNext
		c.after.uidNext++
		c.after.count(a.Flags, a.Size, 1)
	}
	if c.added == nil {
		c.added = list[:len(list):len(list)] // shared with the operation
	} else {
		c.added = append(c.added, list...)
	}
	d.ops = append(d.ops, opAdd{Mailbox: c.box.id, Messages: list})
}

// setFlags decides the flags of messages; the counters are the caller's.
func (d *decision) setFlags(c *change, runs []flagRun) {
	c.flags = append(c.flags, runs...)
	for _, r := range runs {
		d.ops = append(d.ops, opFlags{Mailbox: c.box.id, Flags: r.flags, UIDs: r.uids})
	}
}

// expunge decides that messages go; the counters are the caller's.
func (d *decision) expunge(c *change, uids []uidRange) {
	c.expunged = uids
	d.ops = append(d.ops, opExpunge{Mailbox: c.box.id, UIDs: uids, Time: d.at})
}

// dropMailbox decides that a mailbox is deleted with its messages.
func (d *decision) dropMailbox(b *box) {
	d.change(b).after.gone = true
	d.ops = append(d.ops, opMailboxGone{ID: b.id, Time: d.at})
}

// rooms decides changes of rooms. The values are kept until they are applied,
// so they must not be the caller's.
func (d *decision) rooms(changes []RoomChange) {
	for _, c := range changes {
		d.ops = append(d.ops, opRoom{Room: c.Room, Key: c.Key, Value: bytes.Clone(c.Value), Body: c.Body})
	}
}
