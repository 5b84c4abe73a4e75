package directory

import (
	"slices"
	"strings"

	"mailstead/mailbox"
)

// maxExpansion bounds the addresses that one alias can lead to, through all
// its levels, so that no tangle of aliases turns a message into a flood.
const maxExpansion = 1000

// Delivery is one account an address leads to.
type Delivery struct {
	Account mailbox.AccountID
	Name    string // the account's name
	Detail  string // what stood behind "+", "" for none
}

// Route is where mail for an address goes: local accounts and, by aliases,
// addresses elsewhere, each once.
type Route struct {
	Local  []Delivery
	Remote []string
}

// Resolve follows aliases, plus-details, catch-all and the postmaster and
// abuse rules. Loops end silently. "postmaster" without a domain is the
// server's (RFC 5321 section 4.5.1). ErrAddress, ErrNotLocal, ErrNoSuch,
// ErrTangle.
func (d *Directory) Resolve(s string) (Route, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if strings.EqualFold(s, "postmaster") {
		return d.names.role("")
	}
	addr, err := parseAddress(s)
	if err != nil {
		return Route{}, err
	}
	return d.names.resolve(addr)
}

// IsLocal reports whether domain (any case, U-label or A-label) is of this server.
func (d *Directory) IsLocal(domain string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, ok := d.names.domains[foldDomain(domain)]
	return ok
}

// MaySend reports whether the account may use address as MAIL FROM or From:
// whatever leads to it, which is its addresses with any plus-detail, aliases
// it is a member of and, for a domain's catch-all account, every local part
// there that is nobody else's.
func (d *Directory) MaySend(a mailbox.AccountID, address string) bool {
	route, err := d.Resolve(address)
	return err == nil && slices.ContainsFunc(route.Local, func(l Delivery) bool { return l.Account == a }) || d.isGranted(a, address)
}

// resolve walks from addr over aliases, breadth first, each address once.
func (n *names) resolve(addr address) (Route, error) {
	if _, ok := n.domains[addr.domain]; !ok {
		return Route{}, ErrNotLocal
	}
	var route Route
	seen := map[address]bool{addr: true}
	for queue := []address{addr}; len(queue) > 0; queue = queue[1:] {
		here, members := n.step(queue[0])
		for _, l := range here {
			route.addLocal(l)
		}
		for _, m := range members {
			next, err := parseAddress(m)
			if err != nil || seen[next] {
				continue
			}
			if len(seen) == maxExpansion {
				return Route{}, ErrTangle // to leave the others out would lose their mail
			}
			seen[next] = true
			if _, ok := n.domains[next.domain]; ok {
				queue = append(queue, next)
			} else {
				route.Remote = append(route.Remote, m)
			}
		}
	}
	if len(route.Local) > 0 || len(route.Remote) > 0 {
		return route, nil
	}
	if isRole(addr.local) { // an alias of that name leads nowhere
		return n.role(addr.domain)
	}
	return Route{}, ErrNoSuch
}

// step is one local address: the account it is, or the members of the alias.
func (n *names) step(at address) (here []Delivery, members []string) {
	base, detail, hasDetail := splitDetail(at.local)
	for _, try := range []struct {
		addr   address
		detail string
		ok     bool
	}{{at, "", true}, {address{base, at.domain}, detail, hasDetail}} {
		if !try.ok {
			continue
		}
		if a := n.addresses[try.addr]; a != nil {
			return []Delivery{{Account: a.ID, Name: a.Name, Detail: try.detail}}, nil
		}
		if alias, ok := n.aliases[try.addr]; ok {
			return nil, alias.Members
		}
	}
	if isRole(at.local) {
		route, _ := n.role(at.domain)
		return route.Local, nil
	}
	if a := n.catchAll(at.domain); a != nil {
		return []Delivery{{Account: a.ID, Name: a.Name}}, nil
	}
	return nil, nil
}

// isRole reports whether a local part is one that every domain must have
// (RFC 5321 section 4.5.1, RFC 2142 section 2), with a plus-detail or without.
func isRole(local string) bool {
	base, _, _ := splitDetail(local)
	return base == "postmaster" || base == "abuse"
}

// role is who answers for a domain where nobody has the role's name: its
// oldest account, else the server's (RFC 2142 section 5, RFC 5321 section
// 4.5.1). Without a domain, the server's postmaster.
func (n *names) role(domain string) (Route, error) {
	var own, any *accountRecord
	for _, a := range n.accounts {
		if any == nil || a.ID < any.ID {
			any = a
		}
		if strings.HasSuffix(a.Name, "@"+domain) && (own == nil || a.ID < own.ID) {
			own = a
		}
	}
	if domain == "" && any != nil {
		if _, home, ok := strings.Cut(any.Name, "@"); ok {
			return n.resolve(address{"postmaster", home})
		}
	}
	if own == nil {
		own = any
	}
	if own == nil {
		return Route{}, ErrNoSuch
	}
	return Route{Local: []Delivery{{Account: own.ID, Name: own.Name}}}, nil
}

func (n *names) catchAll(domain string) *accountRecord {
	name := n.domains[domain].CatchAll
	if name == "" {
		return nil
	}
	addr, err := parseAddress(name)
	if err != nil {
		return nil
	}
	return n.addresses[addr]
}

func (r *Route) addLocal(l Delivery) {
	if !slices.ContainsFunc(r.Local, func(o Delivery) bool { return o.Account == l.Account }) {
		r.Local = append(r.Local, l)
	}
}
