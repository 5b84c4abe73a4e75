package directory

import (
	"context"
	"errors"
	"fmt"
)

// ErrAliasDomain says that a domain has no addresses of its own, as it stands for another.
var ErrAliasDomain = errors.New("directory: the domain stands for another")

// parse gives an address in the form that is looked up: one at an alias domain is that of the domain it
// stands for. ErrAddress.
func (n *names) parse(s string) (address, error) {
	a, err := parseAddress(s)
	return n.canonical(a), err
}

func (n *names) canonical(a address) address {
	if of := n.domains[a.domain].AliasOf; of != "" {
		a.domain = of
	}
	return a
}

// AddAliasDomain makes every address of a domain one of alias, too; alias may be a domain of this server that has no addresses of
// its own. ErrAddress, ErrNoSuch, ErrExists, ErrInUse, ErrLoop for a domain that stands for
// another itself.
func (d *Directory) AddAliasDomain(ctx context.Context, alias, domain string) error {
	d.change.Lock()
	defer d.change.Unlock()
	name := foldDomain(alias)
	if !validDomain(name) {
		return domainProblem(alias)
	}
	of, err := d.Domain(domain)
	if err != nil {
		return err
	}
	v, exists := d.names.domains[name]
	switch {
	case of.Name == name:
		return problem(ErrLoop, "%s cannot stand for itself", name)
	case of.AliasOf != "":
		return problem(ErrLoop, "%s stands for %s itself: say %s in its place", of.Name, of.AliasOf, of.AliasOf)
	case exists && v.AliasOf == of.Name:
		return problem(ErrExists, "%s stands for %s already", name, of.Name)
	case exists && v.AliasOf != "":
		return problem(ErrExists, "%s stands for %s; remove it first: mailstead domain alias remove %s", name, v.AliasOf, name)
	}
	if err := d.unused(name); err != nil {
		return err
	}
	if v.CatchAll != "" {
		return problem(ErrInUse, "%s is still in use: its catch-all is %s; end that first: mailstead domain catch-all %s", name, v.CatchAll, name)
	}
	return d.keepDomain(ctx, Domain{Name: name, AliasOf: of.Name})
}

// unused checks that nothing is at a domain. ErrInUse, with what there is.
func (d *Directory) unused(name string) error {
	for _, v := range d.names.domains {
		if v.AliasOf == name {
			return problem(ErrInUse, "%s is still in use: %s stands for it; remove that first: mailstead domain alias remove %s", name, v.Name, v.Name)
		}
	}
	for addr, a := range d.names.addresses {
		if addr.domain == name {
			return problem(ErrInUse, "%s is still in use: %s is an address of the account %s; rename or remove the account, or take the address back", name, addr, a.Name)
		}
	}
	for addr := range d.names.aliases {
		if addr.domain == name {
			return problem(ErrInUse, "%s is still in use: there is the alias %s; remove it first: mailstead alias remove %s", name, addr, addr)
		}
	}
	for addr, m := range d.names.masked {
		if a := d.names.accounts[m.Account]; addr.domain == name && a != nil {
			return problem(ErrInUse, "%s is still in use: %s is a masked address of the account %s; remove it first: mailstead alias masked remove %s", name, addr, a.Name, addr)
		}
	}
	return nil
}

// domainProblem says what is wrong with a text that is no domain.
func domainProblem(s string) error {
	return problem(ErrAddress, "%s is no domain name: it is to be like example.org, without @, spaces or underscores", quoted(s))
}

// noDomain is the error for a domain that is not here.
func noDomain(name string) error {
	return problem(ErrNoSuch, "%s is no domain of this server; mailstead domain list has them", quoted(name))
}

// RemoveDomain removes a domain, or an alias domain, without accounts, aliases and masked addresses. Masked addresses of
// accounts that were removed go with it. ErrNoSuch, ErrInUse.
func (d *Directory) RemoveDomain(ctx context.Context, name string) error {
	d.change.Lock()
	defer d.change.Unlock()
	v, err := d.Domain(name)
	if err != nil {
		return err
	}
	return d.removeDomain(ctx, v)
}

// RemoveAliasDomain removes an alias domain. ErrNoSuch for one that is none.
func (d *Directory) RemoveAliasDomain(ctx context.Context, name string) error {
	d.change.Lock()
	defer d.change.Unlock()
	v, err := d.Domain(name)
	if err != nil {
		return err
	}
	if v.AliasOf == "" {
		return problem(ErrNoSuch, "%s is no alias domain; a domain is removed by: mailstead domain remove %s", v.Name, v.Name)
	}
	return d.removeDomain(ctx, v)
}

func (d *Directory) removeDomain(ctx context.Context, v Domain) error {
	if err := d.unused(v.Name); err != nil {
		return err
	}
	r := revision{}
	for at := range d.names.masked {
		if at.domain == v.Name {
			r.mask(maskedAddress{at: at})
		}
	}
	r.changes = append(r.changes, remove(domainKey+v.Name))
	if err := d.commit(ctx, &r); err != nil {
		return fmt.Errorf("remove domain %s: %w", v.Name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names.domains, v.Name)
	return nil
}
