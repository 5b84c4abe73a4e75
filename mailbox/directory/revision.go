package directory

import (
	"context"

	"mailstead/mailbox"
)

// revision is a change of several entries that depend on each other: one record on disk, then all of
// them at once in memory. Who makes one holds the lock for changes.
type revision struct {
	changes  []mailbox.RoomChange
	accounts []*accountRecord
	aliases  []Alias
	domains  []Domain
	masked   []maskedAddress
}

func (r *revision) account(a *accountRecord) {
	r.accounts, r.changes = append(r.accounts, a), append(r.changes, put(accountPath(a.ID), a))
}

// alias keeps an alias, or ends it when it has no members.
func (r *revision) alias(v Alias) {
	r.aliases, r.changes = append(r.aliases, v), append(r.changes, keepAlias(v))
}

func (r *revision) domain(v Domain) {
	r.domains, r.changes = append(r.domains, v), append(r.changes, put(domainKey+v.Name, v))
}

// mask keeps a masked address, or ends it when it is nobody's.
func (r *revision) mask(v maskedAddress) {
	change := put(maskedKey+v.at.String(), v.maskedRecord)
	if v.Account == 0 {
		change = remove(maskedKey + v.at.String())
	}
	r.masked, r.changes = append(r.masked, v), append(r.changes, change)
}

// commit makes it durable, and what is looked up.
func (d *Directory) commit(ctx context.Context, r *revision) error {
	if err := d.store.Change(ctx, r.changes...); err != nil {
		return err
	}
	d.show(r)
	return nil
}

// show has what is on disk looked up.
func (d *Directory) show(r *revision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range r.domains {
		d.names.domains[v.Name] = v
	}
	for _, a := range r.accounts {
		d.names.dropAccount(a)
	}
	for _, a := range r.accounts {
		d.names.addAccount(a)
	}
	for _, v := range r.aliases {
		d.names.setAlias(v)
	}
	for _, v := range r.masked {
		d.names.setMasked(v)
	}
}
