package directory

import (
	"context"
	"fmt"
	"slices"

	"mailstead/mailbox"
	"mailstead/mailbox/directory/loginlog"
)

// EraseAccount removes an account as RemoveAccount does, and everything of it
// from the disk, see mailbox.Store.EraseAccount. Where no account has the name,
// that is the one removed last that had it. It returns which it was. Between the
// two, also is told whose other traces are to be erased, and all addresses that tell of the account; with its error nothing
// more is, and the same can be asked for again. ErrNoSuch.
func (d *Directory) EraseAccount(ctx context.Context, name string, also func(e Entry, addresses []string) error, tell func(doing string, done, total int64)) (Entry, mailbox.Erasure, error) {
	a, err := d.toErase(ctx, name)
	if err != nil {
		return Entry{}, mailbox.Erasure{}, err
	}
	addresses := d.namesOf(a)
	if err := d.logbook.Forget(ctx, a.ID); err != nil {
		return a.Entry, mailbox.Erasure{}, fmt.Errorf("erase account %s: %w", a.Name, err)
	}
	if err := also(a.Entry, addresses); err != nil {
		return a.Entry, mailbox.Erasure{}, fmt.Errorf("erase account %s: %w", a.Name, err)
	}
	words := append(addresses, loginlog.Prefix(a.ID))
	result, err := d.store.EraseAccount(ctx, a.ID, words, tell, d.forgetRemoved(a.ID)...)
	if err != nil {
		return a.Entry, result, fmt.Errorf("erase account %s: %w", a.Name, err)
	}
	return a.Entry, result, nil
}

// toErase returns the account, which is removed now or was before.
func (d *Directory) toErase(ctx context.Context, name string) (*accountRecord, error) {
	a, err := d.find(name)
	if err == nil {
		return a, d.RemoveAccount(ctx, a.Name)
	}
	addr, e := parseAddress(name)
	if e != nil {
		return nil, noAccount(name)
	}
	list, e := d.removed()
	if e != nil {
		return nil, e
	}
	for _, r := range slices.Backward(list) {
		if r.Name == addr.String() {
			return &r.accountRecord, nil
		}
	}
	return nil, err
}
