package remote

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailstead/smtp/dns"
)

// Large receivers refuse mail over IPv6 from an address whose name does not lead back to it, and are less
// strict over IPv4. So IPv6 is used only from an address of ours that has such a name, or where there is no other way.
const (
	namedFor   = time.Hour        // how long a name is believed to be there
	unnamedFor = 10 * time.Minute // how long it is believed to be missing
	maxSources = 64               // addresses of ours that are remembered
	maxNames   = 5                // of an address that are looked up
	maxOwn     = 16               // addresses of ours that are looked at: stable ones, and those of some days of privacy extensions
)

// sources are our IPv6 addresses, as far as something could be sent from them.
type sources struct {
	mu    sync.Mutex
	known map[netip.Addr]source
}

// source is what is known of an address of ours.
type source struct {
	name  naming
	until time.Time
}

// naming is whether an address has a name that leads back to it; the better one is larger.
type naming int

const (
	nameless naming = iota
	someName        // by some name
	ourName         // by the one that EHLO says
)

// origin is where mail to an address goes from.
type origin struct {
	addr  netip.Addr
	name  naming
	bound bool // it is our choice, and not the system's
}

// sourceFor finds the address that the system sends from to another, without sending anything. If from is valid it is
// that one, and an error where it is not ours or no way leads on from it.
func sourceFor(ctx context.Context, from, to netip.Addr) (netip.Addr, error) {
	var d net.Dialer
	if from.IsValid() {
		d.LocalAddr = &net.UDPAddr{IP: from.AsSlice(), Zone: from.Zone()}
	}
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(to.String(), strconv.Itoa(9)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// dialFrom opens a connection from one of our addresses.
func dialFrom(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice(), Zone: from.Zone()}}
	return d.DialContext(ctx, network, address)
}

// ownAddresses are those of this machine's interfaces; none, if they cannot be found out.
func ownAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Addr
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, addr.Unmap())
			}
		}
	}
	return own
}

// originOf chooses the address of ours that mail to another goes from. The system's choice stays, which after RFC 6724 is
// often one of a day (RFC 8981), unless another of our IPv6 addresses has the better name and a way leads on from it, too.
// Neighbours need no name, and IPv4 has one address nearly always.
func (c *Courier) originOf(ctx context.Context, to netip.Addr) (origin, error) {
	from, err := c.source(ctx, netip.Addr{}, to)
	if err != nil || to.Is4() || !dns.IsPublic(to) {
		return origin{addr: from, name: someName}, err
	}
	best := origin{addr: from, name: c.nameOf(ctx, from)}
	if best.name == ourName {
		return best, nil
	}
	for _, other := range c.others(from) {
		if name := c.nameOf(ctx, other); name > best.name {
			if _, err := c.source(ctx, other, to); err == nil {
				best = origin{other, name, true}
			}
		}
	}
	return best, nil
}

// others are our IPv6 addresses that the Internet leads to, without one.
func (c *Courier) others(but netip.Addr) []netip.Addr {
	list := slices.DeleteFunc(c.addresses(), func(a netip.Addr) bool { return !a.Is6() || a == but || !dns.IsPublic(a) })
	return list[:min(len(list), maxOwn)]
}

// reachable leaves the addresses of a host that mail should be sent to from here: those of a kind that this
// machine has no address of would cost time only, and IPv6 waits for our name.
func (a *attempt) reachable(ctx context.Context, addrs []netip.Addr) []netip.Addr {
	if !slices.ContainsFunc(addrs, netip.Addr.Is6) {
		return addrs // a connection that cannot be made is as quick to fail
	}
	var four, six, good []netip.Addr
	for _, addr := range addrs {
		from, err := a.c.originOf(ctx, addr)
		switch {
		case err != nil: // no route
		case addr.Is4():
			four = append(four, addr)
		default:
			six = append(six, addr)
			if from.name != nameless {
				good = append(good, addr)
			}
			a.noteOrigin(from)
		}
	}
	switch {
	case len(four)+len(six) == 0:
		return addrs // the error tells why
	case len(four) == 0:
		return six
	case len(good) < len(six):
		a.told.note("not over IPv6: our address has no name that leads back to it")
		six = good
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(addr netip.Addr) bool {
		return !slices.Contains(four, addr) && !slices.Contains(six, addr)
	})
}

// noteOrigin tells once in an attempt of an address that the system would not have chosen.
func (a *attempt) noteOrigin(o origin) {
	if o.bound && a.boundTo != o.addr {
		a.boundTo = o.addr
		a.told.note("over IPv6 from %s, as its name leads back to it", o.addr)
	}
}

// nameOf tells whether an address of ours has a name that leads back to it.
func (c *Courier) nameOf(ctx context.Context, from netip.Addr) naming {
	c.sources.mu.Lock()
	s, ok := c.sources.known[from]
	c.sources.mu.Unlock()
	if now := time.Now(); !ok || now.After(s.until) {
		s = source{c.lookUpName(ctx, from), now.Add(unnamedFor)}
		if s.name != nameless {
			s.until = now.Add(namedFor)
		}
		c.sources.remember(from, s)
	}
	return s.name
}

func (c *Courier) lookUpName(ctx context.Context, from netip.Addr) naming {
	names, err := c.resolver.LookupPTR(ctx, from)
	if err != nil {
		return nameless
	}
	best := nameless
	for _, name := range names.Records[:min(len(names.Records), maxNames)] {
		addrs, err := c.resolver.LookupAAAA(ctx, name)
		if err != nil || !slices.Contains(addrs.Records, from) {
			continue
		}
		if strings.EqualFold(name, c.hostname) {
			return ourName
		}
		best = someName
	}
	return best
}

func (s *sources) remember(from netip.Addr, state source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSources {
		s.known = make(map[netip.Addr]source)
	}
	s.known[from] = state
}

// shunIPv6 notes that a server does not like the name of our address, whatever we found.
func (a *attempt) shunIPv6(ctx context.Context, t target) {
	a.fourOnly = true
	a.told.note("once more, over IPv4, if there is a way")
	if from, err := a.c.originOf(ctx, t.addr); err == nil {
		a.c.sources.remember(from.addr, source{nameless, time.Now().Add(namedFor)})
	}
}

// left leaves the addresses that are still of use.
func (a *attempt) left(addrs []netip.Addr) []netip.Addr {
	if !a.fourOnly {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(addr netip.Addr) bool { return !addr.Is4() })
}

// reverseWords are what servers say when they speak of the name of an address.
var reverseWords = []string{"ptr", "reverse dns", "rdns", "reverse lookup", "reverse hostname", "reverse name", "ipv6 sending guidelines"}

// aboutReverse tells whether a server refuses mail because of the name of our IPv6 address: X.7.25 of RFC 7372
// section 3.3 says so, and others use words.
func (v verdict) aboutReverse(addr netip.Addr) bool {
	if v.code < 400 || addr.Is4() {
		return false
	}
	if strings.HasSuffix(v.enhanced, ".7.25") {
		return true
	}
	text := strings.ToLower(v.text)
	return strings.Contains(v.enhanced, ".7.") && slices.ContainsFunc(reverseWords, func(w string) bool { return strings.Contains(text, w) })
}
