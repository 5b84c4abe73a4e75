package directory

import (
	"slices"
	"strings"

	"mailstead/mailbox"
	"mailstead/mailbox/directory/srs"
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

// Route is where mail for an address goes: local accounts and, by aliases and
// forwards, addresses elsewhere, each once.
type Route struct {
	Local  []Delivery
	Remote []string
	// By says through whom mail gets to an address of Remote.
	By map[string]Leading
	// Masked are the masked addresses on the way, see Directory.Arrived.
	Masked []string
	// Closed are the lists on the way that only members may write to.
	Closed []string
	// Bounces says that the address is the return address of mail that was handed on. It
	// takes notices of delivery, which have the null reverse-path, and nothing else: what
	// is not told of it, nobody sends through us.
	Bounces bool
}

// Leading is who leads mail to an address elsewhere.
type Leading struct {
	Address string            // of this server: the alias, or the name of the account that forwards
	Account mailbox.AccountID // that forwards; 0 for an alias
	List    string            // the list, an alias with an owner, that mail came through; "" for none
}

// Resolve follows aliases, forwards, plus-details, catch-all and the postmaster
// and abuse rules. Loops end silently. "postmaster" without a domain is the
// server's (RFC 5321 section 4.5.1). ErrAddress, ErrNotLocal, ErrNoSuch,
// ErrTangle; ErrRefusesMail, ErrSwitchedOff and ErrTimeOver where all that it leads to takes no mail.
func (d *Directory) Resolve(s string) (Route, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if strings.EqualFold(s, "postmaster") {
		return d.names.role("")
	}
	addr, err := d.names.parse(s)
	if err != nil {
		return Route{}, err
	}
	if srs.Is(addr.local) && !d.names.has(addr) {
		return d.returnRoute(s, addr)
	}
	return d.names.resolve(addr, true)
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
// there that is nobody else's. What it forwards does not count, nor what is
// forwarded to it: that is somebody else's address.
func (d *Directory) MaySend(a mailbox.AccountID, address string) bool {
	return d.isTheirs(a, address) || d.isGranted(a, address)
}

// isTheirs reports whether an address leads to an account without a forward on the way.
func (d *Directory) isTheirs(a mailbox.AccountID, address string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	addr, err := d.names.parse(address)
	if err != nil {
		return false
	}
	route, err := d.names.resolve(addr, false)
	return err == nil && slices.ContainsFunc(route.Local, func(l Delivery) bool { return l.Account == a })
}

// walk is the way from an address over aliases and forwards, breadth first, each
// address once.
type walk struct {
	*names
	forwards bool // are followed
	route    Route
	seen     map[address]bool
	queue    []step
	silent   []Delivery // accounts that forward and keep nothing
	refused  error      // why something on the way takes no mail; the first reason
}

func (w *walk) refuse(err error) {
	if w.refused == nil {
		w.refused = err
	}
}

// step is an address on the way, and through whom it was reached.
type step struct {
	at address
	by Leading
}

// resolve walks from addr.
func (n *names) resolve(addr address, forwards bool) (Route, error) {
	addr = n.canonical(addr)
	if _, ok := n.domains[addr.domain]; !ok {
		return Route{}, ErrNotLocal
	}
	w := walk{names: n, forwards: forwards, seen: map[address]bool{addr: true}, queue: []step{{at: addr}}}
	for ; len(w.queue) > 0; w.queue = w.queue[1:] {
		if err := w.step(w.queue[0]); err != nil {
			return Route{}, err
		}
	}
	switch {
	case len(w.route.Local) > 0 || len(w.route.Remote) > 0:
		return w.route, nil
	case len(w.silent) > 0: // they forward to each other: the first keeps what would be lost
		w.route.Local = w.silent[:1]
		return w.route, nil
	case isRole(addr.local): // an alias of that name leads nowhere
		return n.role(addr.domain)
	case w.refused != nil:
		return Route{}, w.refused
	}
	return Route{}, ErrNoSuch
}

// step looks at one address of this server.
func (w *walk) step(s step) error {
	base, detail, hasDetail := splitDetail(s.at.local)
	if done, err := w.exactly(s.at, "", s.by); done || err != nil {
		return err
	}
	if hasDetail {
		if done, err := w.exactly(address{base, s.at.domain}, detail, s.by); done || err != nil {
			return err
		}
	}
	if owner := w.ownerOf(s.at); owner != "" {
		return w.follow([]string{owner}, Leading{Address: s.at.String()})
	}
	if isRole(s.at.local) {
		// What is wrong with the server, forwards among it, is told here.
		role, _ := w.role(s.at.domain)
		for _, l := range role.Local {
			w.route.addLocal(l)
		}
		return nil
	}
	if a := w.catchAll(s.at.domain); a != nil {
		return w.account(a, "", s.by)
	}
	return nil
}

// exactly is step for the account or alias that has the address; false where nobody has it.
func (w *walk) exactly(at address, detail string, by Leading) (bool, error) {
	if a := w.addresses[at]; a != nil {
		return true, w.account(a, detail, by)
	}
	if m, ok := w.masked[at]; ok {
		return true, w.unmask(at, m, detail, by)
	}
	alias, ok := w.aliases[at]
	if !ok {
		return false, nil
	}
	by = Leading{Address: alias.Address, List: by.List}
	if alias.Owner != "" && by.List == "" {
		by.List = alias.Address
	}
	if alias.MembersOnly {
		w.route.Closed = append(w.route.Closed, alias.Address)
	}
	return true, w.follow(alias.Members, by)
}

// account brings mail to an account, and to where it forwards.
func (w *walk) account(a *accountRecord, detail string, by Leading) error {
	if !a.takesMail() {
		w.refuse(ErrRefusesMail)
		return nil
	}
	d := Delivery{Account: a.ID, Name: a.Name, Detail: detail}
	if !w.forwards || len(a.Forward.To) == 0 {
		w.route.addLocal(d)
		return nil
	}
	if a.Forward.Keep {
		w.route.addLocal(d)
	} else {
		w.silent = append(w.silent, d)
	}
	return w.follow(a.Forward.To, Leading{Address: a.Name, Account: a.ID, List: by.List})
}

// follow goes on to addresses, here and elsewhere. ErrTangle: to leave some out would
// lose their mail.
func (w *walk) follow(addresses []string, by Leading) error {
	for _, m := range addresses {
		next, err := w.parse(m)
		if err != nil || w.seen[next] {
			continue
		}
		if len(w.seen) == maxExpansion {
			return ErrTangle
		}
		w.seen[next] = true
		if _, ok := w.domains[next.domain]; ok {
			w.queue = append(w.queue, step{next, by})
			continue
		}
		w.route.Remote = append(w.route.Remote, m)
		if w.route.By == nil {
			w.route.By = map[string]Leading{}
		}
		w.route.By[m] = by
	}
	return nil
}

// has reports whether an account or an alias has the address, or it is a masked one.
func (n *names) has(a address) bool {
	_, alias := n.aliases[a]
	_, masked := n.masked[a]
	return alias || masked || n.addresses[a] != nil
}

// isRole reports whether a local part is one that every domain must have
// (RFC 5321 section 4.5.1, RFC 2142 section 2), with a plus-detail or without.
func isRole(local string) bool {
	base, _, _ := splitDetail(local)
	return base == "postmaster" || base == "abuse"
}

// role is who answers for a domain where nobody has the role's name: its
// oldest account, else the server's (RFC 2142 section 5, RFC 5321 section
// 4.5.1). One that takes no mail answers only where all are so. Without a domain, the server's postmaster.
func (n *names) role(domain string) (Route, error) {
	var own, any *accountRecord
	before := func(a, than *accountRecord) bool {
		return than == nil || a.takesMail() && !than.takesMail() || a.takesMail() == than.takesMail() && a.ID < than.ID
	}
	for _, a := range n.accounts {
		if before(a, any) {
			any = a
		}
		if strings.HasSuffix(a.Name, "@"+domain) && before(a, own) {
			own = a
		}
	}
	if own != nil && !own.takesMail() && any.takesMail() {
		own = any
	}
	if domain == "" && any != nil {
		if _, home, ok := strings.Cut(any.Name, "@"); ok {
			return n.resolve(address{"postmaster", home}, true)
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
	addr, err := n.parse(name)
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
