package dns_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// No name of others has us knock at a door that the Internet does not lead to.
func TestDialerStaysOutside(t *testing.T) {
	zone := dnstest.New(t, "web.example.test. A 10.0.0.1\nweb.example.test. A 127.0.0.1\nweb.example.test. A 100.64.0.1\nweb.example.test. AAAA fd00::1\nweb.example.test. AAAA 64:ff9b::a00:1")
	resolver, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	refused := errors.New("refused")
	d := dns.Dialer{Resolver: resolver, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		asked = append(asked, address)
		return nil, refused
	}}
	if _, err := d.DialContext(t.Context(), "tcp", "web.example.test:443"); !errors.Is(err, dns.ErrNoPlace) || len(asked) != 0 {
		t.Errorf("asked %v, %v", asked, err)
	}
	d.Private = true
	if _, err := d.DialContext(t.Context(), "tcp", "web.example.test:443"); !errors.Is(err, refused) || len(asked) != 4 {
		t.Errorf("asked %v, %v", asked, err)
	}
}
