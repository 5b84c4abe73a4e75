package directory

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// formerDays is for how long it is remembered which addresses an account had: as long as mail for them can
	// be in the queue, and the journal of messages names them.
	formerDays = 31
	// maxFormer bounds them: they are read and written with the account.
	maxFormer = 200
)

// former is an address that an account had.
type former struct {
	Address string    `json:"address"`
	Until   time.Time `json:"until"` // when it is forgotten
}

// leave notes that an address is not the account's any more.
func (a *accountRecord) leave(address string, now time.Time) {
	a.Former = slices.DeleteFunc(slices.Clone(a.Former), func(f former) bool { return !now.Before(f.Until) || f.Address == address })
	a.Former = append(a.Former, former{address, now.UTC().AddDate(0, 0, formerDays)})
	a.Former = a.Former[max(0, len(a.Former)-maxFormer):]
}

// RenameAccount gives an account another name, which may be one of its further addresses. The old name
// stays as a further address, unless dropOld is set. Mail, passwords, rights, routes and what it taught stay
// the account's; aliases, lists, forwards and catch-alls that lead to the old name lead to the new one. All of that is
// one record, so a crash leaves the one or the other. Its sessions end. ErrNoSuch, ErrExists, ErrAddress,
// ErrNotLocal, ErrAliasDomain.
func (d *Directory) RenameAccount(ctx context.Context, account, name string, dropOld bool) (Entry, error) {
	d.change.Lock()
	defer d.change.Unlock()
	a, err := d.find(account)
	if err != nil {
		return Entry{}, err
	}
	to, err := d.nameFor(a, name)
	if err != nil {
		return Entry{}, err
	}
	from, err := d.names.parse(a.Name)
	if err != nil {
		return Entry{}, fmt.Errorf("name of account %d: %w", a.ID, err)
	}
	record := *a
	record.Name = to.String()
	record.Addresses = slices.DeleteFunc(slices.Clone(a.Addresses), func(s string) bool { return s == record.Name })
	if dropOld {
		record.leave(a.Name, d.now())
	} else {
		record.Addresses = append(record.Addresses, a.Name)
	}
	var r revision
	r.account(&record)
	d.lead(&r, from, to)
	if err := d.commit(ctx, &r); err != nil {
		return Entry{}, fmt.Errorf("rename account %s: %w", a.Name, err)
	}
	d.logins.endAll(a.ID)
	return record.Entry, nil
}

// nameFor is an address that an account can be renamed to.
func (d *Directory) nameFor(a *accountRecord, name string) (address, error) {
	if to, err := d.names.parse(name); err == nil {
		switch {
		case to.String() == a.Name:
			return address{}, problem(ErrExists, "%s has that name already", a.Name)
		case d.names.addresses[to] != nil && d.names.addresses[to].ID == a.ID:
			return to, nil
		}
	}
	return d.free(name)
}

// lead has everything lead to another address that led to one, with a plus-detail or without.
func (d *Directory) lead(r *revision, from, to address) {
	renamed := func(text string) (string, bool) {
		at, err := d.names.parse(text)
		base, detail, ok := splitDetail(at.local)
		switch {
		case err == nil && at == from:
			return to.String(), true
		case err == nil && ok && (address{base, at.domain}) == from:
			return address{to.local + "+" + detail, to.domain}.String(), true
		}
		return text, false
	}
	all := func(list []string) (now []string, changed bool) {
		for _, text := range list {
			text, is := renamed(text)
			changed = changed || is
			if !slices.Contains(now, text) {
				now = append(now, text)
			}
		}
		return now, changed
	}
	for _, v := range d.names.aliases {
		members, changed := all(v.Members)
		owner, is := renamed(v.Owner)
		if changed || v.Owner != "" && is {
			v.Members, v.Owner = members, owner
			r.alias(v)
		}
	}
	for _, other := range d.names.accounts {
		if to, changed := all(other.Forward.To); changed {
			record := *other
			record.Forward.To = to
			r.account(&record)
		}
	}
	for _, v := range d.names.domains {
		if v.CatchAll == from.String() {
			v.CatchAll = to.String()
			r.domain(v)
		}
	}
}

// ResolveQueued is Resolve for mail that was taken before: an address that an account had of late, and nobody has
// now, still leads to it.
func (d *Directory) ResolveQueued(s string) (Route, error) {
	d.mu.RLock()
	a := d.names.formerOwner(s, d.now())
	d.mu.RUnlock()
	if a != nil {
		return Route{Local: []Delivery{{Account: a.ID, Name: a.Name}}}, nil
	}
	return d.Resolve(s)
}

// formerOwner is who had an address that is nobody's now.
func (n *names) formerOwner(s string, now time.Time) *accountRecord {
	at, err := n.parse(s)
	if err != nil {
		return nil
	}
	base, _, _ := splitDetail(at.local)
	plain := address{base, at.domain}
	if n.has(at) || n.has(plain) {
		return nil
	}
	for _, a := range n.accounts {
		for _, f := range a.Former {
			if was, err := n.parse(f.Address); err == nil && (was == at || was == plain) && now.Before(f.Until) {
				return a
			}
		}
	}
	return nil
}

// namesOf are all addresses that tell of an account, now or of late, masked ones among them, as somebody may have
// written them: at alias domains, too.
func (d *Directory) namesOf(a *accountRecord) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := append([]string{a.Name}, a.Addresses...)
	for _, f := range a.Former {
		all = append(all, f.Address)
	}
	for at, m := range d.names.masked {
		if m.Account == a.ID {
			all = append(all, at.String())
		}
	}
	return d.names.spelled(all)
}

// spelled adds to addresses those that are the same at alias domains.
func (n *names) spelled(all []string) []string {
	for _, v := range n.domains {
		if v.AliasOf == "" {
			continue
		}
		for _, text := range all {
			if at, err := parseAddress(text); err == nil && at.domain == v.AliasOf {
				all = append(all, address{at.local, v.Name}.String())
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
