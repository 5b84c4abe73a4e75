package main

import (
	"bytes"
	cryptotls "crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"mailstead/cmd/internal/web"
)

// webOptions are those of the HTTP front.
func (s *server) webOptions(set *settings) web.Options {
	o := web.Options{
		Ours: s.servesHost, Domain: s.mailDomain, Access: set.access(), Certificate: s.trusted, Policy: set.policy(),
		HTTPSPort: set.port(set.Listen.HTTPS), Logger: s.log,
	}
	if uri := set.Admin; !strings.ContainsFunc(uri, unicode.IsControl) {
		o.Contact = uri
	}
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

// mailDomain gives a domain of ours as the directory has it.
func (s *server) mailDomain(name string) (string, bool) {
	d, err := s.directory.Domain(name)
	return d.Name, err == nil
}

// trusted gives a host's certificate if it is from an authority, and not of our own making; nil otherwise.
func (s *server) trusted(host string) *cryptotls.Certificate {
	if s.settings.local {
		return nil
	}
	c, err := s.source.GetCertificate(&cryptotls.ClientHelloInfo{ServerName: host})
	if err != nil || c.Leaf == nil || bytes.Equal(c.Leaf.RawIssuer, c.Leaf.RawSubject) || c.Leaf.VerifyHostname(host) != nil {
		return nil
	}
	return c
}

// access is what mail programs are told of the listeners.
func (s *settings) access() web.Access {
	l := &s.Listen
	a := web.Access{
		Host: s.Hostname, IMAPS: s.port(l.IMAPS), IMAP: s.port(l.IMAP), POP3S: s.port(l.POP3S), POP3: s.port(l.POP3),
		Submissions: s.port(l.Submissions), Submission: s.port(l.Submission),
	}
	if s.local {
		a.Host = "localhost" // the server's own name leads nowhere
	}
	return a
}

// port is that of the first of addresses that others reach, 0 without: what listens on loopback is for programs
// of the machine itself.
func (s *settings) port(addresses []string) int {
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			continue
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() && !s.local {
			continue
		}
		if n, err := strconv.Atoi(port); err == nil {
			return n
		}
	}
	return 0
}
