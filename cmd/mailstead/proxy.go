package main

import (
	"net"
	"net/netip"
	"slices"

	"mailstead/tls/serve"
)

// proxied is a listener over l that takes the addresses of clients from the proxies of the settings, if there are any.
func (s *server) proxied(l net.Listener) net.Listener {
	networks, err := parseNetworks(s.settings.ProxyFrom)
	if err != nil || len(networks) == 0 {
		return l // no error: the settings were checked
	}
	isProxy := func(ip netip.Addr) bool {
		return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
	}
	return serve.ListenProxied(l, isProxy, s.log)
}
