package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// Update follows what became of messages that were taken another day. Of flags, what
// changed there since they were last looked at is changed here: what was changed here
// stays. What is gone there is removed here, and can be restored as usual. Messages that
// were moved here meanwhile are left alone.
func (m *Importer) Update(ctx context.Context, u Update) error {
	if len(m.announced) > 0 {
		if err := m.prepare(ctx); err != nil {
			return err
		}
	}
	b := m.books[u.Folder]
	if b == nil || b.validity != u.Validity {
		return fmt.Errorf("%s: an update of a folder that was not sent", u.Folder)
	}
	if m.o.DryRun {
		m.waiting.count(func(t *Totals) {
			t.Changed += int64(len(u.UIDs))
			t.Removed += int64(len(u.Gone))
		})
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := m.follow(ctx, b, u); err != nil {
		return err
	}
	return b.write(ctx)
}

// turn is a change of flags in one mailbox.
type turn struct {
	validity    uint32
	add, remove string // see flagWords
}

func (m *Importer) follow(ctx context.Context, b *book, u Update) error {
	words := flagWords(u.Flags)
	turns := map[turn][]goimap.UID{}
	gone := map[uint32][]goimap.UID{}
	for _, uid := range u.UIDs {
		if t := b.find(uid); t != nil && t.flags != words {
			m.turns(turns, t, words)
			t.flags = words
			b.dirty[b.at[uid][0]] = true
			m.waiting.count(func(t *Totals) { t.Changed++ })
		}
	}
	for _, uid := range u.Gone {
		if t := b.find(uid); t != nil {
			for _, c := range t.copies {
				gone[c.validity] = append(gone[c.validity], c.uid)
			}
			b.dirty[b.at[uid][0]] = true
			*t = taken{}
			delete(b.at, uid)
			m.waiting.count(func(t *Totals) { t.Removed++ })
		}
	}
	return m.change(ctx, turns, gone)
}

// turns notes how a message's copies change.
func (m *Importer) turns(turns map[turn][]goimap.UID, t *taken, words string) {
	before, now := flagList(t.flags), flagList(words)
	without := func(list, other []goimap.Flag) string {
		return flagWords(slices.DeleteFunc(slices.Clone(list), func(f goimap.Flag) bool { return slices.Contains(other, f) }))
	}
	for _, c := range t.copies {
		key := turn{c.validity, without(now, before), without(before, now)}
		turns[key] = append(turns[key], c.uid)
	}
}

// change makes the changes in the account's mailboxes.
func (m *Importer) change(ctx context.Context, turns map[turn][]goimap.UID, gone map[uint32][]goimap.UID) error {
	if len(turns)+len(gone) == 0 {
		return nil
	}
	list, err := m.o.Store.Mailboxes(m.o.Account)
	if err != nil {
		return err
	}
	for _, info := range list {
		err := m.changeMailbox(ctx, info, turns, gone[info.UIDValidity])
		if err != nil && !errors.Is(err, mailbox.ErrNoMailbox) && !errors.Is(err, mailbox.ErrGone) {
			return fmt.Errorf("mailbox %s: %w", info.Name, err)
		}
	}
	return nil
}

func (m *Importer) changeMailbox(ctx context.Context, info mailbox.Info, turns map[turn][]goimap.UID, gone []goimap.UID) error {
	var box *mailbox.Mailbox
	defer func() {
		if box != nil {
			box.Close()
		}
	}()
	open := func() (err error) {
		if box == nil {
			box, err = m.o.Store.OpenMailbox(ctx, m.o.Account, info.Name)
		}
		return err
	}
	for t, uids := range turns {
		if t.validity != info.UIDValidity {
			continue
		}
		if err := open(); err != nil {
			return err
		}
		slices.Sort(uids)
		for op, words := range map[mailbox.FlagOp]string{mailbox.FlagsAdd: t.add, mailbox.FlagsRemove: t.remove} {
			if words == "" {
				continue
			}
			_, err := box.Store(ctx, mailbox.StoreChange{UIDs: uids, Op: op, Flags: flagList(words)})
			if err != nil && !errors.Is(err, mailbox.ErrLimit) { // a keyword that finds no room
				return err
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := open(); err != nil {
		return err
	}
	slices.Sort(gone)
	_, err := box.Expunge(ctx, gone, false)
	return err
}
