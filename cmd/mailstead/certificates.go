package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/dns"
	"mailstead/tls"
	"mailstead/tls/rfc2136"
)

// openCertificates makes the one source that serves every listener: the operator's files for the names that they have,
// what an authority has given, else a certificate of our own.
func (s *server) openCertificates() (err error) {
	if err := s.openOwnCertificate(); err != nil {
		return err
	}
	o := tls.Options{Logger: s.log}
	var byName, fetched tls.Source
	s.files.use(s.settings.Certificate, s.settings.Key, o)
	if s.settings.ACMEEmail != "" {
		if err := s.openACME(o); err != nil {
			return err
		}
		byName, fetched = s.acme.ByName(), s.acme
	} else if s.settings.Certificate == "" && !s.settings.local {
		s.log.Warn("mail programs will not trust the certificate: set acme_email, and certificates are fetched")
	}
	s.source = tls.Chain(byName, &s.files, fetched, s.certificate)
	return nil
}

// openOwnCertificate makes the certificate for when there is no other.
func (s *server) openOwnCertificate() (err error) {
	o := tls.Options{Logger: s.log}
	if !s.settings.local {
		s.certificate, err = tls.SelfSigned(filepath.Join(s.settings.Dir, "tls"), s.names(), o)
		return err
	}
	ca, err := tls.LocalCA(s.settings.Dir, o)
	if err != nil {
		return err
	}
	s.certificate, err = ca.Leaf(s.names()...)
	return err
}

// openACME reads the certificates that were fetched before.
func (s *server) openACME(o tls.Options) (err error) {
	options := tls.ACMEOptions{
		Options: o, Storage: newCertificateStore(s.store), Email: s.settings.ACMEEmail, Directory: s.settings.ACMEDirectory,
		EABKeyID: s.settings.ACMEEABKeyID, HTTP: len(s.settings.Listen.HTTP) > 0, TLSALPN: len(s.settings.Listen.HTTPS) > 0,
		Here: s.leadsHere, HostKey: s.certificate.Key(), Poll: s.settings.acmePoll,
	}
	if options.Roots, err = readRoots(s.settings.ACMECAFile); err != nil {
		return err
	}
	if options.EABKey, err = readSecret(s.settings.ACMEEABKeyFile); err != nil {
		return err
	}
	if options.DNS, err = s.dnsChallenge(); err != nil {
		return err
	}
	s.acme, err = tls.NewACME(context.Background(), options, s.certifiedNames()...)
	return err
}

// dnsChallenge is how records for challenges come into the DNS; nil where they do not. A provider with an interface of its own
// (https://github.com/libdns) takes the place of rfc2136's here.
func (s *server) dnsChallenge() (*tls.DNSChallenge, error) {
	if s.settings.ACMEDNSServer == "" {
		return nil, nil
	}
	provider := &rfc2136.Provider{Server: s.settings.ACMEDNSServer}
	if file := s.settings.ACMEDNSKeyFile; file != "" {
		key, err := rfc2136.ReadKey(file)
		if err != nil {
			return nil, err
		}
		provider.Key = key
	}
	return &tls.DNSChallenge{Provider: provider, Resolvers: s.settings.Resolvers, Delay: s.settings.acmeDelay}, nil
}

// readRoots reads the certificates of a file; nil without one.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("acme_ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("acme_ca_file: %s has no certificate in PEM form", file)
	}
	return roots, nil
}

// maxSecret bounds a file with a secret, in octets.
const maxSecret = 4 << 10

// readSecret reads a file of one line; "" without one.
func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("acme_eab_key_file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", fmt.Errorf("acme_eab_key_file: %w", err)
	}
	return strings.TrimRight(strings.TrimSpace(string(text)), "="), nil
}

// certifiedNames are those that certificates are fetched for: what the operator's files have needs no other.
func (s *server) certifiedNames() []string {
	names := append([]string{s.settings.Hostname}, s.names()...)
	return slices.DeleteFunc(names, s.files.Covers)
}

// renameCertificate follows a change of the domains.
func (s *server) renameCertificate() error {
	s.renaming.Lock()
	defer s.renaming.Unlock()
	if err := s.certificate.SetNames(s.names()...); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if s.acme == nil {
		return nil
	}
	return s.acme.SetNames(context.Background(), s.certifiedNames()...)
}

// lookHereTime bounds the look at where a name leads.
const lookHereTime = 20 * time.Second

// leadsHere fails for a name that an authority would not find us under.
func (s *server) leadsHere(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, lookHereTime)
	defer cancel()
	found, err := s.lookUpFresh(ctx, name)
	if err != nil {
		return err
	}
	if s.settings.ACMEDNSServer != "" && !s.directory.IsLocal(name) {
		return nil // nobody connects, and all that are not domains, with perhaps a web server elsewhere, are for mail only
	}
	ours, err := s.present.Load().ownAddresses()
	if err != nil {
		return err
	}
	if len(s.present.Load().PublicAddresses) == 0 && !slices.ContainsFunc(ours, isPublic) {
		// Behind a router that translates addresses: the server's own name leads to what the world sees of it.
		world, err := s.lookUpFresh(ctx, s.settings.Hostname)
		if err != nil {
			return err
		}
		ours = append(ours, world...)
	}
	for _, ip := range found {
		if !slices.Contains(ours, ip) {
			return fmt.Errorf("%w: %s is %s, which is not an address of this server; if it is one after all, name it in public_addresses", tls.ErrNotHere, name, ip)
		}
	}
	return nil
}

// lookUpFresh gives the addresses of a name as the DNS has them now.
func (s *server) lookUpFresh(ctx context.Context, name string) ([]netip.Addr, error) {
	// One that remembers nothing: who has just made a record should not have to wait for our cache.
	r, err := dns.New(dns.Options{Servers: s.settings.Resolvers})
	if err != nil {
		return nil, fmt.Errorf("resolvers: %w", err)
	}
	if r.Disabled() {
		return nil, fmt.Errorf("%w: there are no resolvers to look it up", tls.ErrNotHere)
	}
	a, err := r.LookupAddrs(ctx, name)
	if dns.IsNotFound(err) {
		return nil, fmt.Errorf("%w: %s has no address in the DNS", tls.ErrNotHere, name)
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", name, err)
	}
	return a.Records, nil
}

// ownAddresses are those of the machine that others could reach, and what the operator says.
func (s *settings) ownAddresses() ([]netip.Addr, error) {
	ours, err := parseAddresses(s.PublicAddresses)
	if err != nil {
		return nil, err
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this machine: %w", err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
				ours = append(ours, ip.Unmap())
			}
		}
	}
	return ours, nil
}

// sharedAddresses are of providers that translate addresses (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// isPublic tells whether an address is one that the world can reach, as far as it shows. What the operator names counts.
func isPublic(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedAddresses.Contains(ip)
}

// parseAddresses reads IP addresses.
func parseAddresses(texts []string) (list []netip.Addr, err error) {
	for _, t := range texts {
		ip, err := netip.ParseAddr(t)
		if err != nil {
			return nil, fmt.Errorf("%q is no IP address", t)
		}
		list = append(list, ip.Unmap())
	}
	return list, nil
}
