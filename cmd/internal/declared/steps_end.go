package declared

import (
	"fmt"
	"reflect"
	"slices"
)

// changeRoutes comes when all accounts are there. What is for the same mail as a route that is to be made goes before it.
func (p *planner) changeRoutes() {
	var change []string
	for _, name := range sorted(p.to.Routes) {
		if was, ok := p.now.Routes[name]; !ok || !reflect.DeepEqual(was, p.to.Routes[name]) {
			change = append(change, name)
		}
	}
	p.removeRoutes(func(r Route) bool {
		return slices.ContainsFunc(change, func(name string) bool { return r.meets(p.to.Routes[name]) })
	})
	for _, name := range change {
		p.route(name)
	}
}

// meets tells whether two routes may be for the same mail.
func (r Route) meets(o Route) bool {
	return r.After == o.After && meet(r.To, o.To) && meet(r.Accounts, o.Accounts) && meet(r.From, o.From)
}

// meet tells whether two lists are both empty, or have an entry in common.
func meet(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(e string) bool { return slices.Contains(b, e) })
}

func (p *planner) route(name string) {
	was, exists := p.now.Routes[name]
	r := p.to.Routes[name]
	file := p.file.routes[name].said.PasswordFile
	keep := exists && r.User != "" && r.User == was.User && file == ""
	line := fmt.Sprintf("+ route %s: %s", name, r.Hop)
	if exists {
		line = fmt.Sprintf("~ route %s: %s", name, r.Hop)
		if was.Hop != r.Hop {
			line += fmt.Sprintf(", was %s", was.Hop)
		}
	}
	s := p.step("route add", params{
		"name": name, "to": r.To, "accounts": r.Accounts, "from": r.From, "after": r.After, "hop": r.Hop,
		"user": r.User, "ca": r.CA, "pin": r.Pin, "replace": exists, "keep_password": keep,
	}, line)
	if r.User != "" && !keep {
		s.Password = &Password{For: name, File: file}
	}
	p.now.Routes[name] = r
}

func (p *planner) removeRoutes(which func(r Route) bool) {
	for _, name := range sorted(p.now.Routes) {
		if _, stays := p.to.Routes[name]; !stays && which(p.now.Routes[name]) {
			p.step("route remove", params{"name": name}, "- route "+name)
			delete(p.now.Routes, name)
		}
	}
}

// remove takes away all that is not to be there. What is based on something goes before it.
func (p *planner) remove() {
	p.removeRoutes(func(Route) bool { return true })
	p.removeNames(func(string, string) bool { return true })
	for _, alias := range []bool{true, false} {
		for _, name := range sorted(p.now.Domains) {
			if _, stays := p.to.Domains[name]; !stays && (p.now.Domains[name].AliasOf != "") == alias {
				p.step("domain remove", params{"name": name}, "- domain "+name)
				delete(p.now.Domains, name)
			}
		}
	}
}

// removeNames takes away what has addresses and is not to be there, if which says so of an address and of what that is.
func (p *planner) removeNames(which func(address, whose string) bool) {
	p.removeAddresses(which)
	for _, name := range sorted(p.now.Aliases) {
		if _, stays := p.to.Aliases[name]; !stays && which(name, "an alias") {
			p.step("alias remove", params{"address": name}, "- alias "+name)
			delete(p.now.Aliases, name)
		}
	}
	p.removeAccounts(which)
}

// removeAddresses takes masked and further ones away.
func (p *planner) removeAddresses(which func(address, whose string) bool) {
	now := p.now.uses()
	for _, address := range sorted(p.now.Masked) {
		m := p.now.Masked[address]
		if is, stays := p.to.Masked[address]; (!stays || is.Account != m.Account) && which(address, now[address]) {
			p.step("alias masked remove", params{"name": address}, fmt.Sprintf("- masked %s: of %s", address, m.Account))
			delete(p.now.Masked, address)
		}
	}
	for _, name := range sorted(p.now.Accounts) {
		is, stays := p.to.Accounts[name]
		if !stays {
			continue
		}
		a := p.now.Accounts[name]
		for _, further := range without(a.Addresses, is.Addresses) {
			if which(further, now[further]) {
				p.step("account address remove", params{"account": name, "address": further}, fmt.Sprintf("- account %s: address %s", name, further))
				a.Addresses = without(a.Addresses, []string{further})
			}
		}
		p.now.Accounts[name] = a
	}
}

// removeAccounts takes accounts away with what leads to them.
func (p *planner) removeAccounts(which func(address, whose string) bool) {
	now := p.now.uses()
	for _, name := range sorted(p.now.Accounts) {
		a := p.now.Accounts[name]
		if _, stays := p.to.Accounts[name]; stays {
			continue
		}
		way := func(address string) bool { return which(address, now[address]) }
		if !slices.ContainsFunc(append([]string{name}, a.Addresses...), way) {
			continue
		}
		p.step("account remove", params{"name": name}, "- account "+name+", with all its mail")
		before := p.now.clone()
		delete(p.now.Accounts, name)
		p.now.dropGone(&before)
		for address, m := range p.now.Masked {
			if m.Account == name {
				delete(p.now.Masked, address)
			}
		}
	}
}
