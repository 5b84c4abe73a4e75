package training

import (
	"context"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

const (
	// maxCopies bounds the copies whose source is watched; the oldest is forgotten.
	maxCopies = 1024
	// copyLife is how many records a copy is watched whose source was gone already when the copy was read of.
	copyLife = 1000
	// maxScanned bounds the messages that are looked through for the source of copies.
	maxScanned = 200_000
)

// copies are messages that were copied into or out of Junk. When the source is marked \Deleted, or expunged, the owner has moved
// them, as mail programs do that do not know MOVE (RFC 6851).
type copies struct{ list []copied }

// copied is one of them.
type copied struct {
	account mailbox.AccountID
	body    mailbox.BodyID
	dest    mailbox.ID
	to      place
	source  mailbox.ID // 0: it was gone already; the next mailbox from which something goes is it
	uid     goimap.UID
	lsn     mailbox.ModSeq // of the copy
}

func (c *copies) add(one copied) {
	if len(c.list) >= maxCopies {
		c.list = slices.Delete(c.list, 0, 1)
	}
	c.list = append(c.list, one)
}

// expire forgets those whose source is not found out about any more.
func (c *copies) expire(now mailbox.ModSeq) {
	c.list = slices.DeleteFunc(c.list, func(one copied) bool { return one.source == 0 && one.lsn+copyLife < now })
}

// copied looks for the sources of copies, and learns from those that are gone, or marked, by now.
func (t *Trainer) copied(ctx context.Context, c *mailbox.Change, m *mailbox.MailboxChange, to place) error {
	if to != inJunk && to != elsewhere {
		return nil
	}
	found, err := t.sources(ctx, m)
	if err != nil {
		return err
	}
	for i := range m.Added {
		body := m.Added[i].Body
		one := copied{account: m.Account, body: body, dest: m.Mailbox, to: to, lsn: c.LSN}
		s, ok := found[body]
		switch {
		case !ok:
			t.copies.add(one)
		case (s.place == inJunk) == (to == inJunk): // within Junk, or nothing to do with it
		case s.deleted:
			if err := t.move(m.Account, body, s.place, to, c.LSN); err != nil {
				return err
			}
		default:
			one.source, one.uid = s.mailbox, s.uid
			t.copies.add(one)
		}
	}
	return nil
}

// source is where a copied message is.
type source struct {
	mailbox mailbox.ID
	uid     goimap.UID
	place   place
	deleted bool
}

// sources finds the messages that were copied, in the mailboxes of the account as they are now.
func (t *Trainer) sources(ctx context.Context, m *mailbox.MailboxChange) (map[mailbox.BodyID]source, error) {
	wanted := make(map[mailbox.BodyID]bool, len(m.Added))
	for i := range m.Added {
		wanted[m.Added[i].Body] = true
	}
	list, err := t.store.Mailboxes(m.Account)
	if err != nil {
		return nil, passing(err)
	}
	found := make(map[mailbox.BodyID]source)
	scanned := uint32(0)
	for _, info := range list {
		if info.ID == m.Mailbox || info.Messages == 0 || scanned+info.Messages > maxScanned {
			continue
		}
		scanned += info.Messages
		if err := t.scan(ctx, &info, wanted, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// scanRows is how many messages are looked at at a time.
const scanRows = 500

func (t *Trainer) scan(ctx context.Context, info *mailbox.Info, wanted map[mailbox.BodyID]bool, found map[mailbox.BodyID]source) error {
	box, err := t.store.OpenMailbox(ctx, info.Account, info.Name)
	if err != nil {
		return passing(err)
	}
	defer box.Close()
	at, _, _ := t.placeOf(info.Account, info.ID)
	v := box.View(false)
	var rows []mailbox.Row
	for from := uint32(1); from <= v.Len(); from += scanRows {
		rows = v.Rows(rows[:0], from, from+scanRows-1)
		for i := range rows {
			if r := &rows[i]; wanted[r.Body] {
				// Of several the one that is on its way out is the source.
				if had, ok := found[r.Body]; !ok || !had.deleted {
					found[r.Body] = source{info.ID, r.UID, at, r.Flags.Has(mailbox.FlagDeleted)}
				}
			}
		}
	}
	return nil
}

// resolve learns from copies whose source has gone: messages of m that were marked or expunged.
func (t *Trainer) resolve(m *mailbox.MailboxChange, lsn mailbox.ModSeq, uids goimap.UIDSet) error {
	if len(t.copies.list) == 0 || len(uids) == 0 {
		return nil
	}
	var done []copied
	t.copies.list = slices.DeleteFunc(t.copies.list, func(one copied) bool {
		is := one.source == m.Mailbox && uids.Contains(one.uid) ||
			one.source == 0 && one.account == m.Account && one.dest != m.Mailbox
		if is {
			done = append(done, one)
		}
		return is
	})
	if len(done) == 0 {
		return nil
	}
	from, _, ok := t.placeOf(m.Account, m.Mailbox)
	if !ok {
		return nil
	}
	for _, one := range done {
		if err := t.move(one.account, one.body, from, one.to, lsn); err != nil {
			return err
		}
	}
	return nil
}
