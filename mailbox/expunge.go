package mailbox

import (
	"context"

	goimap "github.com/emersion/go-imap/v2"
)

// selection says which messages of a mailbox are meant. Its zero value means
// none: all of them have to be asked for by name.
type selection struct {
	all  bool
	uids []goimap.UID // ascending; unless all
}

// Expunge removes messages for good; durable when it returns. They are those of
// uids (ascending), none without any; deleted restricts them to those with
// \Deleted. It returns what was removed, ascending. ErrGone, ErrRights.
func (m *Mailbox) Expunge(ctx context.Context, uids []goimap.UID, deleted bool, permits ...Permit) ([]goimap.UID, error) {
	if len(uids) == 0 {
		return nil, nil
	}
	return m.expunge(ctx, selection{uids: uids}, deleted, permits)
}

// ExpungeAll is Expunge of every message in the mailbox.
func (m *Mailbox) ExpungeAll(ctx context.Context, deleted bool, permits ...Permit) ([]goimap.UID, error) {
	return m.expunge(ctx, selection{all: true}, deleted, permits)
}

func (m *Mailbox) expunge(ctx context.Context, asked selection, deleted bool, permits []Permit) ([]goimap.UID, error) {
	b := m.box
	var removed []goimap.UID
	err := m.s.write(ctx, urgent, baseNeed+m.count(asked)*rangeNeed, nil, func(d *decision) error {
		if _, err := d.permitted(b, permits); err != nil {
			return err
		}
		if deleted && b.pending.deleted == 0 {
			return nil
		}
		c := d.change(b)
		var gone runs
		b.candidates(asked, func(msg *candidate) {
			if deleted && !msg.Flags.Has(FlagDeleted) {
				return
			}
			c.after.count(msg.Flags, msg.Size, -1)
			gone.add(msg)
			removed = append(removed, msg.UID)
		})
		if len(removed) > 0 {
			d.expunge(c, gone.list)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return removed, nil
}

// count bounds the number of messages that are asked for.
func (m *Mailbox) count(asked selection) int {
	if !asked.all {
		return len(asked.uids)
	}
	m.box.mu.RLock()
	defer m.box.mu.RUnlock()
	n := m.box.messages.len()
	for _, c := range m.box.changes[m.box.published:] {
		n += len(c.added)
	}
	return n
}
