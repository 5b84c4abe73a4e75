package main

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"mailstead/cmd/internal/web"
)

// webOptions are those of the HTTP front.
func (s *server) webOptions() web.Options {
	o := web.Options{Ours: s.servesHost, HTTPSPort: firstPort(s.settings.Listen.HTTPS), Logger: s.log}
	if s.acme != nil {
		o.Challenge = s.acme.HTTPChallenge
	}
	return o
}

// servesHost reports whether HTTP requests for a host are ours to answer.
func (s *server) servesHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return s.settings.local && ip.IsLoopback()
	}
	return slices.Contains(s.names(), host)
}

// firstPort is the port of the first of addresses, 0 without.
func firstPort(addresses []string) int {
	if len(addresses) == 0 {
		return 0
	}
	_, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}
