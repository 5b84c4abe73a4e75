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
// strict over IPv4. So IPv6 is used only while ours has such a name, or where there is no other way.
const (
	namedFor   = time.Hour        // how long a name is believed to be there
	unnamedFor = 10 * time.Minute // how long it is believed to be missing
	maxSources = 64               // addresses of ours that are remembered
	maxNames   = 5                // of an address that are looked up
)

// sources are our IPv6 addresses, as far as something was sent from them.
type sources struct {
	mu    sync.Mutex
	known map[netip.Addr]source
}

// source is whether an address has a name that leads back to it.
type source struct {
	named bool
	until time.Time
}

// sourceFor finds the address that the system sends from to another, without sending anything.
func sourceFor(ctx context.Context, to netip.Addr) (netip.Addr, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort(to.String(), strconv.Itoa(9)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// reachable leaves the addresses of a host that mail should be sent to from here: those of a kind that this
// machine has no address of would cost time only, and IPv6 waits for our name.
func (a *attempt) reachable(ctx context.Context, addrs []netip.Addr) []netip.Addr {
	if !slices.ContainsFunc(addrs, netip.Addr.Is6) {
		return addrs // a connection that cannot be made is as quick to fail
	}
	var four, six, named []netip.Addr
	for _, addr := range addrs {
		from, err := a.c.source(ctx, addr)
		switch {
		case err != nil: // no route
		case addr.Is4():
			four = append(four, addr)
		default:
			six = append(six, addr)
			if !dns.IsPublic(addr) || a.c.isNamed(ctx, from) {
				named = append(named, addr)
			}
		}
	}
	switch {
	case len(four)+len(six) == 0:
		return addrs // the error tells why
	case len(four) == 0:
		return six
	case len(named) < len(six):
		a.told.note("not over IPv6: our address has no name that leads back to it")
		six = named
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(addr netip.Addr) bool {
		return !slices.Contains(four, addr) && !slices.Contains(six, addr)
	})
}

// isNamed tells whether an address of ours has a name that leads back to it.
func (c *Courier) isNamed(ctx context.Context, from netip.Addr) bool {
	c.sources.mu.Lock()
	s, ok := c.sources.known[from]
	c.sources.mu.Unlock()
	if now := time.Now(); !ok || now.After(s.until) {
		s = source{named: c.lookUpName(ctx, from), until: now.Add(unnamedFor)}
		if s.named {
			s.until = now.Add(namedFor)
		}
		c.sources.remember(from, s)
	}
	return s.named
}

func (c *Courier) lookUpName(ctx context.Context, from netip.Addr) bool {
	names, err := c.resolver.LookupPTR(ctx, from)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(names.Records[:min(len(names.Records), maxNames)], func(name string) bool {
		addrs, err := c.resolver.LookupAAAA(ctx, name)
		return err == nil && slices.Contains(addrs.Records, from)
	})
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
	if from, err := a.c.source(ctx, t.addr); err == nil {
		a.c.sources.remember(from, source{until: time.Now().Add(namedFor)})
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
