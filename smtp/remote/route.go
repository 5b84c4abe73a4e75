package remote

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"mailstead/smtp/dns"
)

// maxHosts is how many mail exchangers of a domain are considered.
const maxHosts = 10

// plan says where mail for a domain goes: hosts in groups of equal preference,
// the best first; or why nowhere.
type plan struct {
	groups  [][]string
	nowhere *verdict
}

// String is the hosts in their order.
func (p plan) String() string { return strings.Join(slices.Concat(p.groups...), ", ") }

// planRoute decides by the rules of RFC 5321 section 5.1 what an MX look-up for
// domain means. Own tells the names of this server; shuffle is that of
// math/rand.
func planRoute(domain string, mxs []dns.MX, err error, own func(host string) bool, shuffle func(n int, swap func(i, j int))) plan {
	if err != nil {
		return withoutMX(domain, err, own)
	}
	if len(mxs) == 1 && mxs[0].Host == "" {
		v := permanent("5.1.10", "%s does not accept mail (null MX)", domain) // RFC 7505 section 4.2
		return plan{nowhere: &v}
	}
	mxs = slices.DeleteFunc(slices.Clone(mxs), func(mx dns.MX) bool {
		name, err := dns.ASCII(mx.Host)
		return err != nil || name != mx.Host
	})
	if len(mxs) == 0 {
		v := permanent("5.4.4", "no mail exchanger of %s is a host name", domain)
		return plan{nowhere: &v}
	}
	if mxs = aboveOwn(mxs, own); len(mxs) == 0 {
		v := loop(domain)
		return plan{nowhere: &v}
	}
	shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b dns.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	return plan{groups: groupHosts(mxs)}
}

// withoutMX decides for a domain whose MX look-up gave nothing: with no such
// record, the domain itself is the host (the implicit MX).
func withoutMX(domain string, err error, own func(string) bool) plan {
	var e *dns.Error
	var v verdict
	switch {
	case !errors.As(err, &e) || !e.NotFound:
		v = temporary("4.4.3", "%v", err)
	case e.NoName:
		v = permanent("5.1.2", "domain %s does not exist", domain)
	case own(domain):
		v = loop(domain)
	default:
		return plan{groups: [][]string{{domain}}}
	}
	return plan{nowhere: &v}
}

func loop(domain string) verdict {
	return permanent("5.4.6", "mail for %s loops back to this server", domain)
}

// aboveOwn drops the hosts that are no better than this server, if it is among
// them: handing mail to those would bring it back.
func aboveOwn(mxs []dns.MX, own func(string) bool) []dns.MX {
	limit := 1 << 16 // above every preference
	for _, mx := range mxs {
		if own(mx.Host) {
			limit = min(limit, int(mx.Preference))
		}
	}
	return slices.DeleteFunc(mxs, func(mx dns.MX) bool { return int(mx.Preference) >= limit })
}

// groupHosts cuts sorted exchangers into groups of one preference, each host
// only once and maxHosts in all.
func groupHosts(mxs []dns.MX) [][]string {
	var groups [][]string
	seen := make(map[string]bool)
	last := -1
	for _, mx := range mxs {
		if seen[mx.Host] || len(seen) == maxHosts {
			continue
		}
		seen[mx.Host] = true
		if int(mx.Preference) != last {
			groups = append(groups, nil)
			last = int(mx.Preference)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], mx.Host)
	}
	return groups
}

// interleave orders the addresses of a host: one of each kind in turn, the
// first of the first kind given leading (RFC 8305 section 4). What cannot be a
// server's address is left out; to connect to the unspecified one would reach
// this machine.
func interleave(addrs []netip.Addr) []netip.Addr {
	var kinds [2][]netip.Addr // those of the first address's kind, the others
	for _, a := range addrs {
		a = a.Unmap()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			continue
		}
		kind := 0
		if len(kinds[0]) > 0 && kinds[0][0].Is4() != a.Is4() {
			kind = 1
		}
		kinds[kind] = append(kinds[kind], a)
	}
	out := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(kinds[0]), len(kinds[1])) {
		for _, kind := range kinds {
			if i < len(kind) {
				out = append(out, kind[i])
			}
		}
	}
	return out
}
