package remote

import (
	"net/netip"
	"slices"

	"mailstead/smtp/dns"
)

// publicHosts leaves the hosts that the Internet leads to, with such addresses only: a domain whose MX names a
// machine behind our firewall would have us knock at its door. It records why others are left out.
func (a *attempt) publicHosts(hosts []host) []host {
	if a.c.private {
		return hosts
	}
	var public []host
	for _, h := range hosts {
		all := h.addrs
		h.addrs = slices.DeleteFunc(slices.Clone(all), func(addr netip.Addr) bool { return !dns.IsPublic(addr) })
		if len(h.addrs) == 0 {
			a.recordOpen(target{host: h.name}, permanent("5.4.4", "%s is not on the Internet: %s is a private address", h.name, all[0]))
			continue
		}
		public = append(public, h)
	}
	return public
}
