package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailstead/cmd/internal/check"
	"mailstead/cmd/internal/threshold"
	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/keyring"
	"mailstead/smtp/mtasts"
	"mailstead/smtp/route"
)

// checkOptions are what a round of checks is made with; the domains are left out.
func (a *admin) checkOptions() (check.Options, error) {
	var o check.Options
	var err error
	if o.Host, err = a.checkedHost(); err != nil {
		return o, err
	}
	resolver, err := a.freshResolver()
	if err != nil {
		return o, err
	}
	o.Resolver = resolver
	o.Dial = a.settings.dialSelf
	if !resolver.Disabled() && !a.settings.local {
		o.DialWorld = dns.Dialer{Resolver: resolver}.DialContext
	}
	o.Policy = func(ctx context.Context, domain string) (mtasts.Policy, error) {
		return mtasts.Fetch(ctx, mtasts.Options{Resolver: resolver, Private: true}, domain)
	}
	return o, nil
}

// dialSelf connects to a listener of this server, as a proxy where the machine itself is one of proxy_from: that has to say for whom
// it connects, and says that it does for itself.
func (s *settings) dialSelf(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	proxies, err := parseNetworks(s.ProxyFrom)
	if err != nil {
		conn.Close()
		return nil, err
	}
	from, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil || !slices.ContainsFunc(proxies, func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap()) }) {
		return conn, nil
	}
	if _, err := conn.Write([]byte("PROXY UNKNOWN\r\n")); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// freshResolver is one that remembers nothing, so that what was mended is seen. Nothing is looked up where the server's own
// name is not known, and so nothing could be compared.
func (a *admin) freshResolver() (*dns.Resolver, error) {
	servers := a.settings.Resolvers
	switch {
	case a.hostname == "":
		servers = nil
	case servers == nil:
		var err error
		if servers, err = readResolvConf(systemResolvers); err != nil {
			return nil, err
		}
	}
	r, err := dns.New(dns.Options{Servers: servers})
	if err != nil {
		return nil, fmt.Errorf("resolvers: %w", err)
	}
	return r, nil
}

// checkedHost is what the server knows of itself.
func (a *admin) checkedHost() (h check.Host, err error) {
	s := a.settings
	h = check.Host{
		Name: keyring.Domain(a.hostname), Version: version, Running: !a.alone, Filtered: len(s.TrustedRelays) > 0, Issuer: s.issuer(),
		Sending: sendingAddresses(),
	}
	if a.hostname == "" {
		h.Name = ""
	}
	if h.Addresses, err = s.publicAddresses(); err != nil {
		return h, err
	}
	if r := a.routes.For(route.Mail{}); !r.Direct() {
		h.Smarthost = r.Name
	}
	if a.hostTLSA != nil {
		h.TLSA = a.hostTLSA()
	}
	if s.local {
		h.TLSName = "localhost" // its certificate is for trying it out
	} else if h.Certificates, err = a.checkedCertificates(); err != nil {
		return h, err
	}
	for _, l := range s.Listen.all() {
		for _, address := range l.addresses {
			h.Listeners = append(h.Listeners, check.Listener{Name: l.name, Address: fromInside(address)})
		}
	}
	h.Clock, h.Disk, h.Memory, h.Files = check.ReadMachine(storeDir(s.Dir), !a.alone)
	if h.Disk.Samples, err = check.Samples(a.store); err != nil {
		return h, err
	}
	if h.Backup.Last, err = check.LastBackup(a.store); err != nil {
		return h, err
	}
	h.Queue, err = a.checkedQueue(time.Now())
	return h, err
}

func (a *admin) checkedCertificates() (list []check.Certificate, err error) {
	own := a.settings.ACMEEmail == "" && a.settings.Certificate == ""
	states, err := a.certificateList(context.Background(), nothing{})
	for _, s := range states {
		list = append(list, check.Certificate{Name: s.Name, Issuer: s.Issuer, NotAfter: s.NotAfter, Error: cmp.Or(s.Addresses, s.Error), Own: own})
	}
	return list, err
}

// checkedQueue is how mail on its way out is.
func (a *admin) checkedQueue(now time.Time) (q check.Queue, err error) {
	list, err := a.queue.Destinations()
	for _, d := range list {
		free := d.Entries - d.Held
		q.Entries += d.Entries
		if free == 0 {
			continue
		}
		age := now.Sub(d.Oldest)
		q.Oldest = max(q.Oldest, age)
		if age > threshold.QueueLong {
			q.Waiting++
		}
	}
	return q, err
}

// fromInside is where a listener is connected to from the machine itself.
func fromInside(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip, e := netip.ParseAddr(host); err == nil && (host == "" || e == nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
		if e == nil && ip.Is6() {
			host = "::1"
		}
		return net.JoinHostPort(host, port)
	}
	return address
}

// publicAddresses are those under which the world reaches the machine, as far as it can know them.
func (s *settings) publicAddresses() ([]netip.Addr, error) {
	all, err := s.ownAddresses()
	named, _ := parseAddresses(s.PublicAddresses) // ownAddresses has read them
	return slices.DeleteFunc(all, func(ip netip.Addr) bool { return !isPublic(ip) && !slices.Contains(named, ip) }), err
}

// sendingAddresses are those that connections to the world leave from: what the kernel chooses for a socket that sends nothing.
func sendingAddresses() (list []netip.Addr) {
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		conn, err := net.Dial("udp", far)
		if err != nil {
			continue // there is no way to such addresses
		}
		if local, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
			list = append(list, local.Addr().Unmap())
		}
		conn.Close()
	}
	return list
}

// issuers are the names that authorities have in CAA records (RFC 8659 section 4.2), by the hosts of their directories.
var issuers = map[string]string{
	"acme-v02.api.letsencrypt.org": "letsencrypt.org", "acme.zerossl.com": "sectigo.com", "dv.acme-v02.api.pki.goog": "pki.goog",
	"api.buypass.com": "buypass.com", "acme.ssl.com": "ssl.com",
}

// issuer is the name of the authority in use; "" = none, or one that is not known.
func (s *settings) issuer() string {
	if s.ACMEEmail == "" {
		return ""
	}
	if s.ACMEDirectory == "" {
		return "letsencrypt.org"
	}
	u, err := url.Parse(s.ACMEDirectory)
	if err != nil {
		return ""
	}
	return issuers[strings.ToLower(u.Hostname())]
}

// usedSpace is what the files of a folder take, in octets.
func usedSpace(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				total += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		return err
	})
	return total, err
}

// watch makes the daily round of checks.
func (s *server) watch() *check.Watch {
	return &check.Watch{
		Store: s.store,
		Round: func(ctx context.Context) ([]check.Result, error) { return s.admin().check(ctx, checkParams{}) },
		Used:  func() (int64, error) { return usedSpace(storeDir(s.settings.Dir)) },
		Tell: func(ctx context.Context, subject, text string, changes ...mailbox.RoomChange) error {
			return s.warn(ctx, []string{"postmaster"}, subject, text, changes...)
		},
		Logger: s.log,
	}
}
