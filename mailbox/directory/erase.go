package directory

import (
	"context"
	"fmt"
	"slices"

	"mailstead/mailbox"
)

// EraseAccount removes an account as RemoveAccount does, and everything of it
// from the disk, see mailbox.Store.EraseAccount. Where no account has the name,
// that is the one removed last that had it. It returns which it was. Between the
// two, also is told whose other traces are to be erased; with its error nothing
// more is, and the same can be asked for again. ErrNoSuch.
func (d *Directory) EraseAccount(ctx context.Context, name string, also func(Entry) error, tell func(doing string, done, total int64)) (Entry, mailbox.Erasure, error) {
	a, err := d.toErase(ctx, name)
	if err != nil {
		return Entry{}, mailbox.Erasure{}, err
	}
	if err := also(a); err != nil {
		return a, mailbox.Erasure{}, fmt.Errorf("erase account %s: %w", a.Name, err)
	}
	words := append([]string{a.Name}, a.Addresses...)
	result, err := d.store.EraseAccount(ctx, a.ID, words, tell, forgetRemoved(a.ID)...)
	if err != nil {
		return a, result, fmt.Errorf("erase account %s: %w", a.Name, err)
	}
	return a, result, nil
}

// toErase returns the account, which is removed now or was before.
func (d *Directory) toErase(ctx context.Context, name string) (Entry, error) {
	a, err := d.Account(name)
	if err == nil {
		return a, d.RemoveAccount(ctx, a.Name)
	}
	addr, err := parseAddress(name)
	if err != nil {
		return Entry{}, ErrNoSuch
	}
	list, err := d.removed()
	if err != nil {
		return Entry{}, err
	}
	for _, r := range slices.Backward(list) {
		if r.Name == addr.String() {
			return r.Entry, nil
		}
	}
	return Entry{}, ErrNoSuch
}
