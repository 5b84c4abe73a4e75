package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/log"
)

// ErrBehind says that a feed cannot go on: the log has given up records that
// it had not read, or they are damaged. Whoever keeps state by the feed makes
// it anew from the mailboxes as they are, and follows from there.
var ErrBehind = errors.New("mailbox: the log does not have all changes any more")

// Change is what one record of the log did to mailboxes and messages. What a
// record says of other things (rooms, subscriptions) is none; such a record
// comes with nothing but its LSN.
type Change struct {
	LSN       ModSeq // also the mod-sequence of everything in it
	Body      BodyID // that is new with the record; 0 = none
	Mailboxes []MailboxChange
	Erased    []AccountID // accounts that were erased, with all their mailboxes
	Restored  bool        // what came into mailboxes was taken out of what was deleted
}

// MailboxChange is what a record did to one mailbox, in the order of the fields.
type MailboxChange struct {
	Mailbox   ID
	Account   AccountID // its owner; 0 when the mailbox is not there any more
	Described bool      // made, renamed, or given another UIDVALIDITY
	Deleted   bool      // with its messages
	Added     []AddedMessage
	Flags     []FlagChange
	Expunged  goimap.UIDSet // ascending
}

// AddedMessage is a message that came into a mailbox.
type AddedMessage struct {
	UID      goimap.UID
	Flags    FlagSet
	Size     int64 // octets
	Internal Date
	Body     BodyID // of this record, or an older one
}

// FlagChange says which flags messages have now.
type FlagChange struct {
	Flags FlagSet
	UIDs  goimap.UIDSet // ascending; those of them that exist
}

// Feed reads the changes of a store in the order in which they became
// durable. It keeps nothing open and holds nothing back, so one that nobody
// reads costs nothing. It belongs to one goroutine.
type Feed struct {
	s      *Store
	cursor *log.Cursor
}

// Feed returns one that reads behind the change with LSN after; LastChange is
// where one begins that wants only what is new.
func (s *Store) Feed(after ModSeq) *Feed { return &Feed{s: s, cursor: s.log.Cursor(log.LSN(after))} }

// LastChange is the LSN of the newest durable change.
func (s *Store) LastChange() ModSeq { return ModSeq(s.published.Load()) }

// WatchAll has c signalled, without blocking (so give it a buffer of one),
// whenever anything became durable, until stop is called. The feed has it by then.
func (s *Store) WatchAll(c chan<- struct{}) (stop func()) {
	return s.watchers.add(everybody, &watcher{c: c})
}

// everybody is no account: 0 is never given to one.
const everybody AccountID = 0

var wholeStore = []AccountID{everybody}

// At is the LSN of the change that was read last.
func (f *Feed) At() ModSeq { return ModSeq(f.cursor.Last()) }

// Read calls fn with every durable change behind the one that was read last.
// An error of fn ends it, and that change counts as not read; so does ctx.
// ErrBehind: the changes are not all there any more.
func (f *Feed) Read(ctx context.Context, fn func(Change) error) error {
	err := f.cursor.Read(log.LSN(f.s.published.Load()), func(r log.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		ops, err := decodeOps(r.Meta)
		if err != nil {
			return fmt.Errorf("record %d: %w", r.LSN, err)
		}
		return fn(f.s.changeOf(r, ops))
	})
	if errors.Is(err, log.ErrGone) {
		return fmt.Errorf("%w: %w", ErrBehind, err)
	}
	return err
}

// changeOf says what a record did, in the words of those outside.
func (s *Store) changeOf(r log.Record, ops []op) Change {
	c := Change{LSN: ModSeq(r.LSN), Body: BodyID(r.BodyID)}
	for _, o := range ops {
		switch o := o.(type) {
		case opMoved:
			c.Body = 0 // it came before: see cleaning
		case opAccount:
			if o.Deleted {
				c.Erased = append(c.Erased, o.Account)
			}
		case opRestored:
			c.Restored = true
		case opMailbox:
			c.mailbox(o.ID).Described = true
		case opMailboxGone:
			c.mailbox(o.ID).Deleted = true
		case opAdd:
			m := c.mailbox(o.Mailbox)
			m.Added = addedMessages(m.Added, o.Messages)
		case opFlags:
			m := c.mailbox(o.Mailbox)
			m.Flags = append(m.Flags, FlagChange{Flags: o.Flags, UIDs: uidSet(o.UIDs)})
		case opExpunge:
			m := c.mailbox(o.Mailbox)
			m.Expunged = append(m.Expunged, uidSet(o.UIDs)...)
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range c.Mailboxes {
		m := &c.Mailboxes[i]
		if l := s.durable.listings[m.Mailbox]; l != nil {
			m.Account = l.box.account
		}
	}
	return c
}

// mailbox is the part of the change about mailbox id.
func (c *Change) mailbox(id ID) *MailboxChange {
	for i := range c.Mailboxes {
		if c.Mailboxes[i].Mailbox == id {
			return &c.Mailboxes[i]
		}
	}
	c.Mailboxes = append(c.Mailboxes, MailboxChange{Mailbox: id})
	return &c.Mailboxes[len(c.Mailboxes)-1]
}

func addedMessages(to []AddedMessage, list []added) []AddedMessage {
	to = slices.Grow(to, len(list))
	for i := range list {
		a := &list[i]
		to = append(to, AddedMessage{UID: a.UID, Flags: a.Flags, Size: a.Size, Internal: a.Internal, Body: a.Body})
	}
	return to
}

func uidSet(ranges []uidRange) goimap.UIDSet {
	set := make(goimap.UIDSet, len(ranges))
	for i, r := range ranges {
		set[i] = goimap.UIDRange{Start: r.First, Stop: r.Last}
	}
	return set
}
