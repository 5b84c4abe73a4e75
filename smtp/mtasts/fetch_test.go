package mtasts

import (
	"context"
	"errors"
	"net"
	"testing"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// Nobody's policy has us knock at a door that the Internet does not lead to.
func TestFetchStaysOutside(t *testing.T) {
	zone := dnstest.New(t, "mta-sts.example.test. A 10.0.0.1\nmta-sts.example.test. A 127.0.0.1\nmta-sts.example.test. AAAA fd00::1")
	resolver, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	refused := errors.New("refused")
	o := Options{Resolver: resolver, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		asked = append(asked, address)
		return nil, refused
	}}
	if _, err := o.connect(t.Context(), "tcp", "mta-sts.example.test:443"); !errors.Is(err, errNoPlace) || len(asked) != 0 {
		t.Errorf("asked %v, %v", asked, err)
	}
	o.Private = true
	if _, err := o.connect(t.Context(), "tcp", "mta-sts.example.test:443"); !errors.Is(err, refused) || len(asked) != 3 {
		t.Errorf("asked %v, %v", asked, err)
	}
}
