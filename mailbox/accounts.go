package mailbox

import (
	"context"
	"fmt"
	"maps"
	"slices"

	goimap "github.com/emersion/go-imap/v2"
)

// The mailboxes of a new account: those that mail programs look for by their
// special use (RFC 6154), under the names that most of them make themselves.
var newAccountMailboxes = []struct {
	name string
	use  goimap.MailboxAttr
}{
	{inbox, ""},
	{"Drafts", goimap.MailboxAttrDrafts},
	{"Sent", goimap.MailboxAttrSent},
	{"Junk", goimap.MailboxAttrJunk},
	{"Trash", goimap.MailboxAttrTrash},
	{"Archive", goimap.MailboxAttrArchive},
}

// CreateAccount makes an account with INBOX, Drafts, Sent, Junk, Trash and
// Archive, all subscribed and with their special uses (RFC 6154), and with the
// quota that Options has for new ones. It is
// durable, together with changes, when it returns. changes may be nil. ErrRoomKey.
func (s *Store) CreateAccount(ctx context.Context, changes func(AccountID) []RoomChange) (AccountID, error) {
	id := AccountID(s.lastAccount.Add(1))
	var rooms []RoomChange
	if changes != nil {
		rooms = changes(id)
	}
	if err := checkRooms(rooms); err != nil {
		return 0, err
	}
	need := roomNeed(rooms) + len(newAccountMailboxes)*mailboxNeed("Archive")
	err := s.write(ctx, ordinary, need, nil, func(d *decision) error {
		d.ops = append(d.ops, opAccount{Account: id})
		if q := *s.newQuota.Load(); q != (Quota{}) {
			d.ops = append(d.ops, opLimits{Account: id, Quota: q})
		}
		for _, m := range newAccountMailboxes {
			d.create(id, m.name, m.use, nil)
			d.ops = append(d.ops, opSubscription{Account: id, Name: m.name, On: true})
		}
		d.rooms(rooms)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

// DeleteAccount removes the account with all its mailboxes, with changes. ErrNoAccount, ErrRoomKey.
func (s *Store) DeleteAccount(ctx context.Context, a AccountID, changes ...RoomChange) error {
	if err := checkRooms(changes); err != nil {
		return err
	}
	return s.write(ctx, urgent, roomNeed(changes)+maxMailboxes*goneNeed, nil, func(d *decision) error {
		acc := s.pending.accounts[a]
		if acc == nil {
			return ErrNoAccount
		}
		for _, l := range acc.sorted() {
			d.dropMailbox(l.box)
		}
		d.ops = append(d.ops, opAccount{Account: a, Deleted: true, Time: d.at})
		d.rooms(changes)
		return nil
	})
}

// Subscriptions returns all subscribed names of a, sorted, also of names
// without a mailbox. ErrNoAccount.
func (s *Store) Subscriptions(a AccountID) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc := s.durable.accounts[a]
	if acc == nil {
		return nil, ErrNoAccount
	}
	return slices.Sorted(maps.Keys(acc.subscribed)), nil
}

// Subscribe sets or takes back the subscription of a name, which need not
// exist. ErrNoAccount, ErrName, ErrLimit.
func (s *Store) Subscribe(ctx context.Context, a AccountID, name string, on bool) error {
	name = canonicalName(name)
	return s.write(ctx, urgent, mailboxNeed(name), nil, func(d *decision) error {
		acc := s.pending.accounts[a]
		if acc == nil {
			return ErrNoAccount
		}
		if _, is := acc.subscribed[name]; is == on {
			return nil
		}
		if on {
			if err := checkSubscription(name); err != nil {
				return err
			}
			if len(acc.subscribed) >= maxMailboxes {
				return fmt.Errorf("%w: %d subscriptions", ErrLimit, maxMailboxes)
			}
		}
		d.ops = append(d.ops, opSubscription{Account: a, Name: name, On: on})
		return nil
	})
}
