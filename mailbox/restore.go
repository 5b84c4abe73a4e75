package mailbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// restoredName is the mailbox that single messages are restored into.
const restoredName = "Restored"

// Restored says what was restored.
type Restored struct {
	Mailbox  string // the name it has now; "" for an account
	Messages int
}

// RestoreMessages puts deleted messages of account a, chosen as by
// DeletedMessages, into the mailbox "Restored", which is made where it is
// missing: with flags but \Deleted, INTERNALDATE and keywords. Each body comes
// back once. Bodies do not move, so the quota is not asked: they may go over
// it. Many messages are several records; an error says that the rest can still
// be restored. ErrNoAccount, ErrLimit, ErrNoSpace, ErrClosed.
func (s *Store) RestoreMessages(ctx context.Context, a AccountID, f DeletedFilter) (Restored, error) {
	s.retention.mu.Lock()
	defer s.retention.mu.Unlock()
	search, err := s.searchDeleted(a, f)
	if err != nil {
		return Restored{}, err
	}
	r := restoring{s: s, account: a, target: func(d *decision, acc *account) (*change, error) {
		if l := acc.names[restoredName]; l != nil {
			return d.change(l.box), nil
		}
		d.ops = append(d.ops, opSubscription{Account: a, Name: restoredName, On: true})
		return d.createTree(acc, a, restoredName, "")
	}}
	seen := make(map[BodyID]bool)
	err = search.each(ctx, nil, func(found *foundDeleted) (bool, error) {
		found.entry.Messages = slices.DeleteFunc(found.entry.Messages, func(msg added) bool {
			had := seen[msg.Body]
			seen[msg.Body] = true
			return had
		})
		return true, r.take(ctx, found.entry, found.source)
	})
	if err == nil && len(r.batch.list) > 0 {
		err = r.flush(ctx, nil)
	}
	return Restored{Mailbox: restoredName, Messages: r.messages}, err
}

// RestoreMailbox makes the deleted mailbox of account a again, the one deleted
// last where several had the name: under its old name, or "NAME (restored)"
// where that is taken, as a new mailbox with a new UIDVALIDITY. It gets what
// was in it when it was deleted, with flags, dates and keywords, and its special
// use unless another has that. It may go over the quota. Many messages are several
// records; after an error the rest can be restored in the same way.
// ErrNoAccount, ErrNoMailbox, ErrLimit, ErrNoSpace, ErrClosed.
func (s *Store) RestoreMailbox(ctx context.Context, a AccountID, name string) (Restored, error) {
	s.retention.mu.Lock()
	defer s.retention.mu.Unlock()
	if _, err := s.boxes(a); err != nil {
		return Restored{}, err
	}
	gone, err := s.goneOf(a)
	if err != nil {
		return Restored{}, err
	}
	name = canonicalName(name)
	gone = slices.DeleteFunc(gone, func(m goneMailbox) bool { return m.Name != name })
	if len(gone) == 0 {
		return Restored{}, ErrNoMailbox
	}
	return s.restoreGone(ctx, &gone[len(gone)-1], nil)
}

// RestoreAccount makes the deleted account a again, under the same id, with
// the mailboxes that were deleted with it, all subscribed, and with changes.
// Its quota is that of a new account, and it may go over it. INBOX and changes come last, in one record: before
// that the account is not whole, and RestoreAccount goes on where it ended.
// ErrNoAccount, ErrExists, ErrRoomKey, ErrLimit, ErrNoSpace, ErrClosed.
func (s *Store) RestoreAccount(ctx context.Context, a AccountID, changes ...RoomChange) (Restored, error) {
	if err := checkRooms(changes); err != nil {
		return Restored{}, err
	}
	s.retention.mu.Lock()
	defer s.retention.mu.Unlock()
	gone, err := s.goneOf(a)
	if err != nil {
		return Restored{}, err
	}
	i := slices.IndexFunc(gone, func(m goneMailbox) bool { return m.Name == inbox })
	switch _, err := s.boxes(a); {
	case i < 0 && err == nil:
		return Restored{}, ErrExists
	case i < 0:
		return Restored{}, ErrNoAccount
	}
	_, gone = goneWith(gone)
	if err := s.beginAccount(ctx, a); err != nil {
		return Restored{}, err
	}
	// Levels above others come before them, and INBOX last.
	slices.SortStableFunc(gone, func(x, y goneMailbox) int { return strings.Compare(x.Name, y.Name) })
	var all Restored
	var last *goneMailbox
	for i := range gone {
		m := &gone[i]
		if m.Name == inbox {
			last = m
			continue
		}
		r, err := s.restoreGone(ctx, m, &accountPart{})
		all.Messages += r.Messages
		if err != nil {
			return all, err
		}
	}
	r, err := s.restoreGone(ctx, last, &accountPart{changes: changes})
	all.Messages += r.Messages
	return all, err
}

// beginAccount makes the account where an earlier attempt has not.
func (s *Store) beginAccount(ctx context.Context, a AccountID) error {
	return s.write(ctx, ordinary, baseNeed, nil, func(d *decision) error {
		if s.pending.accounts[a] == nil {
			d.ops = append(d.ops, opAccount{Account: a})
			if q := *s.newQuota.Load(); q != (Quota{}) {
				d.ops = append(d.ops, opLimits{Account: a, Quota: q})
			}
		}
		return nil
	})
}

// goneOf returns the deleted mailboxes of an account, the oldest deletion
// first. Nothing of them is purged or restored while the caller holds retention.mu.
func (s *Store) goneOf(a AccountID) ([]goneMailbox, error) {
	if err := s.settle(); err != nil {
		return nil, err
	}
	gone, err := s.disk.goneMailboxes()
	gone = slices.DeleteFunc(gone, func(m goneMailbox) bool { return m.Account != a })
	gone = restorable(gone)
	slices.SortFunc(gone, byTime)
	return gone, err
}

// goneWith returns when an account was deleted, and the mailboxes that went
// with it: INBOX can be deleted in no other way.
func goneWith(gone []goneMailbox) (at int64, with []goneMailbox) {
	newest := ID(0)
	for i := range gone {
		if m := &gone[i]; m.Name == inbox && m.ID > newest {
			newest, at = m.ID, m.At
		}
	}
	for i := range gone {
		if m := gone[i]; m.At == at && (m.Name != inbox || m.ID == newest) {
			with = append(with, m)
		}
	}
	return at, with
}

// accountPart is what a mailbox is restored with when it is part of an account.
type accountPart struct {
	changes []RoomChange // made by its last record
}

// restoreGone makes a deleted mailbox again; with nil it is restored alone.
func (s *Store) restoreGone(ctx context.Context, m *goneMailbox, part *accountPart) (Restored, error) {
	var id ID // once it is made
	var name string
	r := restoring{s: s, account: m.Account, need: 2*mailboxNeed(m.Name) + maxGrants*grantNeed}
	r.target = func(d *decision, acc *account) (*change, error) {
		if id != 0 {
			if l := s.pending.listings[id]; l != nil {
				return d.change(l.box), nil
			}
			return nil, ErrGone
		}
		c, made, err := d.remake(acc, m, part != nil)
		if err == nil {
			id, name = c.box.id, made
		}
		return c, err
	}
	source := deletedSource{name: m.Name, keywords: m.Keywords}
	if err := r.annotations(ctx, m); err != nil {
		return Restored{}, err
	}
	err := s.disk.eachDeleted(deletedID{Time: m.At}.key(), func(e *deletedEntry) (bool, error) {
		if e.Time != m.At || e.Mailbox != m.ID {
			return e.Time == m.At, nil
		}
		return true, r.take(ctx, e, source)
	})
	if err == nil {
		r.batch.op.Mailboxes = []ID{m.ID}
		var changes []RoomChange
		if part != nil {
			changes = part.changes
		}
		err = r.flush(ctx, changes)
	}
	return Restored{Mailbox: name, Messages: r.messages}, err
}

// remake decides under which name a deleted mailbox is made again. Within an
// account that is being restored it is subscribed, and INBOX is INBOX.
func (d *decision) remake(acc *account, m *goneMailbox, whole bool) (c *change, name string, err error) {
	if l := acc.names[m.Name]; l != nil && whole && m.Name == inbox {
		return d.change(l.box), m.Name, nil
	}
	name = m.Name
	for n := 1; acc.names[name] != nil; n++ {
		name = m.Name + " (restored)"
		if n > 1 {
			name = fmt.Sprintf("%s (restored %d)", m.Name, n)
		}
	}
	use := m.SpecialUse
	if use != "" && acc.withUse(use) != nil {
		use = ""
	}
	grants := withoutAccounts(m.Grants, func(a AccountID) bool { return d.s.pending.accounts[a] == nil })
	inherited := acc.inherited(name)
	if c, err = d.createTree(acc, m.Account, name, use); err != nil {
		return nil, "", err
	}
	if !slices.Equal(grants, inherited) {
		d.grant(c.box, grants) // its own, and not those of the level above
	}
	if whole {
		d.ops = append(d.ops, opSubscription{Account: m.Account, Name: name, On: true})
	}
	return c, name, nil
}

// restoring puts messages from retention into a mailbox, some thousands a record.
type restoring struct {
	s       *Store
	account AccountID
	need    int // bytes of metadata for the mailbox, where that is made
	target  func(*decision, *account) (*change, error)

	batch    restoreBatch
	messages int // restored
}

// restoreBatch is what one record will restore.
type restoreBatch struct {
	list   []added         // with the flags of the mailboxes they were in
	from   []deletedSource // that list came from, in order
	counts []int           // of list, of each
	op     opRestored
}

// restoreMessages is how many messages one record restores at most: an apply
// of so many takes some tens of milliseconds.
const restoreMessages = 10_000

// take adds messages of one entry to the batch, and writes that before when it is full.
func (r *restoring) take(ctx context.Context, e *deletedEntry, source deletedSource) error {
	if len(e.Messages) == 0 {
		return nil
	}
	b := &r.batch
	most := min(restoreMessages, r.s.log.MetaLimit()/2/messageNeed)
	if len(b.list) > 0 && len(b.list)+len(e.Messages) > most {
		if err := r.flush(ctx, nil); err != nil {
			return err
		}
	}
	part := deletedPart{From: e.deletedID}
	for i := range e.Messages {
		part.UIDs = appendUID(part.UIDs, e.Messages[i].UID)
	}
	b.op.Messages = append(b.op.Messages, part)
	b.list = append(b.list, e.Messages...)
	b.from = append(b.from, source)
	b.counts = append(b.counts, len(e.Messages))
	return nil
}

// write writes one record of what decide changes in the mailbox that is restored into, which takes need bytes of
// metadata besides that mailbox.
func (r *restoring) write(ctx context.Context, need int, decide func(*decision, *change) error) error {
	return r.s.write(ctx, ordinary, transferNeed+r.need+need, nil, func(d *decision) error {
		acc := r.s.pending.accounts[r.account]
		if acc == nil {
			return ErrNoAccount
		}
		c, err := r.target(d, acc)
		if err != nil {
			return err
		}
		return decide(d, c)
	})
}

// flush writes the batch as one record, with changes.
func (r *restoring) flush(ctx context.Context, changes []RoomChange) error {
	b := &r.batch
	need := roomNeed(changes) + len(b.list)*(messageNeed+rangeNeed) + len(b.op.Messages)*deletedNeed
	err := r.write(ctx, need, func(d *decision, c *change) error {
		if len(b.list) > 0 {
			b.translate(c.box, d.at)
			d.recordKeywords(c)
			d.add(c, b.list)
		}
		d.ops = append(d.ops, b.op)
		d.rooms(changes)
		return nil
	})
	if err != nil {
		return err
	}
	r.messages += len(b.list)
	r.batch = restoreBatch{}
	return nil
}

// annotations restores those of a deleted mailbox, which is made by their records.
// What is there already, because an earlier attempt ended, stays.
func (r *restoring) annotations(ctx context.Context, m *goneMailbox) error {
	list, err := r.s.disk.annotationsOf(m.ID)
	if err != nil {
		return err
	}
	for _, part := range r.s.annotationsIn(list) {
		err := r.write(ctx, r.s.log.MetaLimit()/2, func(d *decision, c *change) error {
			return d.inheritAnnotations(part, c.box.id, r.account)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// translate gives the messages their flags in the mailbox they come into, and
// their SAVEDATE. \Deleted is left out: the next EXPUNGE would take them again.
func (b *restoreBatch) translate(to *box, at int64) {
	list := b.list
	for i, source := range b.from {
		t := translator{from: source.keywords, to: to}
		for j := range b.counts[i] {
			list[j].Flags = t.flags(list[j].Flags).Without(FlagDeleted)
			list[j].Saved = at
		}
		list = list[b.counts[i]:]
	}
}
