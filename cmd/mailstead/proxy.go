package main

import (
	"net"
	"net/netip"
	"slices"

	"mailstead/tls/serve"
)

// proxied is a listener of a front over l that takes the addresses of clients from the proxies of the settings, if there are any. Metrics
// are asked for past them.
func (s *server) proxied(name string, l net.Listener) net.Listener {
	if name == metricsName {
		return l
	}
	networks, err := parseNetworks(s.settings.ProxyFrom)
	if err != nil || len(networks) == 0 {
		return l // no error: the settings were checked
	}
	isProxy := func(ip netip.Addr) bool {
		return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
	}
	return serve.ListenProxied(l, isProxy, s.log)
}
