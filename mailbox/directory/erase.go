package directory

import (
	"context"
	"fmt"

	"mailstead/mailbox"
)

// EraseAccount removes an account as RemoveAccount does, and everything of it
// from the disk, see mailbox.Store.EraseAccount. ErrNoSuch.
func (d *Directory) EraseAccount(ctx context.Context, name string, tell func(doing string, done, total int64)) (mailbox.Erasure, error) {
	a, err := d.Account(name)
	if err != nil {
		return mailbox.Erasure{}, err
	}
	if err := d.RemoveAccount(ctx, a.Name); err != nil {
		return mailbox.Erasure{}, err
	}
	result, err := d.store.EraseAccount(ctx, a.ID, append([]string{a.Name}, a.Addresses...), tell)
	if err != nil {
		return result, fmt.Errorf("erase account %s: %w", a.Name, err)
	}
	return result, nil
}
