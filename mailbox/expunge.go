package mailbox

import (
	"context"

	goimap "github.com/emersion/go-imap/v2"
)

// Expunge removes messages for good; durable when it returns. With only set
// (not nil), just those uids (ascending) of them; deleted restricts to those with
// \Deleted. It returns what was removed, ascending. ErrGone.
func (m *Mailbox) Expunge(ctx context.Context, only []goimap.UID, deleted bool) ([]goimap.UID, error) {
	if only != nil && len(only) == 0 {
		return nil, nil
	}
	b := m.box
	var removed []goimap.UID
	err := m.s.write(ctx, urgent, baseNeed+m.count(only)*rangeNeed, nil, func(d *decision) error {
		if b.pending.gone {
			return ErrGone
		}
		if deleted && b.pending.deleted == 0 {
			return nil
		}
		c := d.change(b)
		var gone runs
		b.candidates(only, func(msg *candidate) {
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

// count bounds the number of messages that uids (nil means all) name.
func (m *Mailbox) count(uids []goimap.UID) int {
	if uids != nil {
		return len(uids)
	}
	m.box.mu.RLock()
	defer m.box.mu.RUnlock()
	n := m.box.messages.len()
	for _, c := range m.box.changes[m.box.published:] {
		n += len(c.added)
	}
	return n
}
