package dns

import (
	"slices"
	"testing"

	"mailstead/smtp/dns/dnstest"
)

// TestLookupCAA reads records as owners write them; a name without any is not found.
func TestLookupCAA(t *testing.T) {
	server := dnstest.New(t, `a.test. CAA 0 issue "LetsEncrypt.org; validationmethods=dns-01"
a.test. CAA 128 Odd "x\"y"
a.test. CAA 0 issue ";"
b.test. A 192.0.2.1
`)
	r, err := New(Options{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.LookupCAA(t.Context(), "a.test")
	want := []CAA{{false, "issue", "LetsEncrypt.org; validationmethods=dns-01"}, {true, "odd", `x"y`}, {false, "issue", ";"}}
	if err != nil || !slices.Equal(a.Records, want) {
		t.Errorf("%+v, %v", a.Records, err)
	}
	if first, none := want[0].Issuer(), want[2].Issuer(); first != "letsencrypt.org" || none != "" {
		t.Errorf("issuers %q and %q", first, none)
	}
	if _, err := r.LookupCAA(t.Context(), "b.test"); !IsNotFound(err) {
		t.Errorf("without a record: %v", err)
	}
}
