package dns_test

import (
	"testing"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// TestFromCache: what is there is answered, what is not is said to be missing and asks nobody.
func TestFromCache(t *testing.T) {
	server := dnstest.New(t, `a.test. TXT "here"`)
	r, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	cached := r.FromCache(t.Context())
	if !dns.OnlyFromCache(cached) || dns.OnlyFromCache(t.Context()) {
		t.Error("it cannot be told from another")
	}
	if _, err := r.LookupTXT(cached, "a.test"); err == nil || dns.IsNotFound(err) || !cached.Missed() {
		t.Errorf("before it was asked: %v, missed %v", err, cached.Missed())
	}
	if n := len(server.Queries()); n != 0 {
		t.Errorf("%d questions", n)
	}
	if _, err := r.LookupTXT(t.Context(), "a.test"); err != nil {
		t.Fatal(err)
	}
	cached = r.FromCache(t.Context())
	if a, err := r.LookupTXT(cached, "a.test"); err != nil || a.Records[0] != "here" || cached.Missed() {
		t.Errorf("after: %v, %v, missed %v", a, err, cached.Missed())
	}
}
