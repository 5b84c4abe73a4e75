package main

import (
	"bytes"
	"strings"
	"testing"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// TestDomainRecords: what is printed is a zone file, and says of each record what the DNS has of it.
func TestDomainRecords(t *testing.T) {
	const head = "\n; To be published in the DNS, so that mail comes here, others can verify what is sent\n; from here, and report what they find.\n"
	proposed := func() []dnsRecord {
		keys := []dnsRecord{{Name: "k._domainkey.xn--bcher-kva.test", Type: "TXT", Text: "v=DKIM1; k=ed25519; p=" + strings.Repeat("x", 250)}}
		return proposals("bücher.test", "mail.us.test", keys, func(d string) bool { return d == "us.test" || d == "xn--bcher-kva.test" })
	}
	shown := func(zone string) string {
		t.Helper()
		server := dnstest.New(t, zone)
		r, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		records := proposed()
		lookUp(t.Context(), r, records)
		var b bytes.Buffer
		if err := printRecords(&b, records); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const (
		mx     = "xn--bcher-kva.test. IN MX 10 mail.us.test.\n"
		spf    = "xn--bcher-kva.test. IN TXT \"v=spf1 mx ~all\"\n"
		dmarc  = "_dmarc.xn--bcher-kva.test. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@xn--bcher-kva.test\"\n"
		tlsrpt = "_smtp._tls.xn--bcher-kva.test. IN TXT \"v=TLSRPTv1; rua=mailto:postmaster@xn--bcher-kva.test\"\n"
	)
	key := "k._domainkey.xn--bcher-kva.test. IN TXT \"v=DKIM1; k=ed25519; p=" + strings.Repeat("x", 233) + "\" \"" + strings.Repeat("x", 17) + "\"\n"
	t.Run("nobody looked", func(t *testing.T) {
		var b bytes.Buffer
		if err := printRecords(&b, proposed()); err != nil || b.String() != head+mx+spf+dmarc+tlsrpt+key {
			t.Errorf("%s%v", b.String(), err)
		}
	})
	for name, tc := range map[string]struct{ zone, want string }{
		"nothing is there": {"", head + "; missing\n" + mx + "; missing\n" + spf + "; missing\n" + dmarc + "; missing\n" + tlsrpt + "; missing\n" + key},
		"what is printed is there": {head + mx + spf + dmarc + tlsrpt + key,
			head + "; matches\n" + mx + "; matches\n" + spf + "; matches\n" + dmarc + "; matches\n" + tlsrpt + "; matches\n" + key},
		"more than that is there": {`xn--bcher-kva.test. MX 5 other.test.
xn--bcher-kva.test. MX 20 MAIL.us.test.
xn--bcher-kva.test. TXT "v=spf1 a:mail.us.test include:b.test -all"
xn--bcher-kva.test. TXT "some-verification=1"
_dmarc.xn--bcher-kva.test. TXT "v=DMARC1;p=reject;rua=mailto:d@far.test,mailto:dmarc@US.test!10m"
_smtp._tls.xn--bcher-kva.test. TXT "v=TLSRPTv1;rua=https://far.test/x,mailto:tls@us.test"
` + strings.Replace(key, "p=", "p= ", 1),
			head + "; matches\n" + mx + "; matches\n" + spf + "; matches\n" + dmarc + "; matches\n" + tlsrpt + "; matches\n" + key},
		"others are there": {`xn--bcher-kva.test. MX 5 other.test.
xn--bcher-kva.test. TXT "v=spf1 -all"
xn--bcher-kva.test. TXT "some-verification=1"
_dmarc.xn--bcher-kva.test. TXT "v=DMARC1; p=none; rua=mailto:d@far.test"
_smtp._tls.xn--bcher-kva.test. TXT "v=TLSRPTv1; rua=https://us.test/"
k._domainkey.xn--bcher-kva.test. TXT "p=;\009\""
`,
			head + "; differs\n;   there is \"5 other.test.\"\n" + mx + "; differs\n;   there is \"v=spf1 -all\"\n" + spf +
				"; differs\n;   there is \"v=DMARC1; p=none; rua=mailto:d@far.test\"\n" + dmarc +
				"; differs\n;   there is \"v=TLSRPTv1; rua=https://us.test/\"\n" + tlsrpt + "; differs\n;   there is \"p=;\\t\\\"\"\n" + key},
		"two of what may be one": {mx + spf + "xn--bcher-kva.test. TXT \"v=spf1 mx -all\"\n" + dmarc + "_dmarc.xn--bcher-kva.test. TXT \"v=DMARC1; p=none\"\n" + tlsrpt + key,
			head + "; matches\n" + mx + "; differs\n;   there is \"v=spf1 mx ~all\"\n;   there is \"v=spf1 mx -all\"\n" + spf +
				"; differs\n;   there is \"v=DMARC1; p=none; rua=mailto:postmaster@xn--bcher-kva.test\"\n;   there is \"v=DMARC1; p=none\"\n" + dmarc +
				"; matches\n" + tlsrpt + "; matches\n" + key},
	} {
		t.Run(name, func(t *testing.T) {
			if got := shown(tc.zone); got != tc.want {
				t.Errorf("printed\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
	t.Run("no answer", func(t *testing.T) {
		r, err := dns.New(dns.Options{})
		if err != nil {
			t.Fatal(err)
		}
		records := proposals("a.test", "", nil, func(string) bool { return true })
		lookUp(t.Context(), r, records)
		for _, rec := range records {
			if rec.State != recordUnknown || rec.Type == "MX" {
				t.Errorf("%+v", rec)
			}
		}
	})
}
