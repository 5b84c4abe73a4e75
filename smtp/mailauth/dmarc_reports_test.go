package mailauth

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// reportZone is a world of domains that want reports, and of readers that want them, or do not.
const reportZone = `
_dmarc.own.test. TXT "v=DMARC1; p=reject; sp=none; adkim=s; t=y; rua=mailto:a@own.test"
_dmarc.broken.test. TXT "v=DMARC1; p=all; rua=mailto:a@own.test"
_dmarc.two.test. TXT "v=DMARC1; p=none"
_dmarc.two.test. TXT "v=DMARC1; p=reject"
own.test._report._dmarc.willing.test. TXT "v=DMARC1"
own.test._report._dmarc.leads.test. TXT "other"
own.test._report._dmarc.leads.test. TXT "v=DMARC1; rua=mailto:b@leads.test,mailto:c@leads.test!1k"
own.test._report._dmarc.misleads.test. TXT "v=DMARC1; rua=mailto:b@victim.test"
own.test._report._dmarc.other.test. TXT "v=spf1 -all"
own.test._report._dmarc.any.test. TXT "v=DMARC1;"
`

func reporting(t *testing.T) (*DMARC, *dnstest.Server) {
	t.Helper()
	zone := dnstest.New(t, reportZone)
	r, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	return &DMARC{Resolver: r}, zone
}

// TestReportAddresses: reports go to a domain's own addresses, and to others that say that they want them (RFC 9990
// section 4).
func TestReportAddresses(t *testing.T) {
	d, zone := reporting(t)
	for rua, want := range map[string][]ReportAddress{
		"mailto:a@own.test":                                          {{"a@own.test", 0}},
		"mailto:a@deep.sub.own.test!10m":                             {{"a@deep.sub.own.test", 10 << 20}},
		"MAILTO:a@OWN.test , mailto:a@own.test":                      {{"a@own.test", 0}},
		"mailto:a@willing.test":                                      {{"a@willing.test", 0}},
		"mailto:x@any.test!2":                                        {{"x@any.test", 2}},
		"mailto:a@leads.test":                                        {{"b@leads.test", 0}, {"c@leads.test", 1 << 10}},
		"mailto:a@misleads.test":                                     nil,
		"mailto:a@other.test":                                        nil,
		"mailto:victim@stranger.test":                                nil,
		"https://own.test/,mailto:a@own.test":                        {{"a@own.test", 0}},
		"mailto:" + strings.Repeat("a", 60) + "@" + long(230):        nil,
		"mailto:a@b@own.test,mailto:,x,mailto:a%0d%0ab@own.test":     nil,
		"mailto:a.@own.test,mailto:\"a\"@own.test,mailto:a@own..tst": nil,
		"mailto:a+b%2Bc@own.test?subject=x!1t":                       {{"a+b+c@own.test", 1 << 40}},
		"mailto:a@own.test!,mailto:b@own.test!-1,mailto:c@own.test!9999999999g": {
			{"a@own.test", 0}, {"b@own.test", 0}, {"c@own.test", 0},
		},
	} {
		got, err := d.ReportAddresses(t.Context(), "own.test", rua)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", rua, err, diff)
		}
	}
	zone.SetFault("own.test._report._dmarc.down.test", dnstest.Fault{ServFail: true})
	if got, err := d.ReportAddresses(t.Context(), "own.test", "mailto:a@down.test"); err == nil {
		t.Errorf("nobody knows whether it wants reports: %v", got)
	}
}

// long is a domain name of so many octets.
func long(n int) string {
	s := strings.Repeat("abcdefghi.", n/10)
	return s[:n-5] + ".test"
}

// TestPublished: what a record says is repeated, with nothing for what it does not say.
func TestPublished(t *testing.T) {
	d, _ := reporting(t)
	for domain, want := range map[string]DMARCPublished{
		"own.test":    {P: DMARCReject, SP: DMARCNone, StrictDKIM: true, Testing: true, Reports: "mailto:a@own.test"},
		"broken.test": {P: DMARCNone, Reports: "mailto:a@own.test"},
	} {
		got, ok, err := d.Published(t.Context(), domain)
		if diff := cmp.Diff(want, got); diff != "" || err != nil || !ok {
			t.Errorf("%s: %v, %v %s", domain, ok, err, diff)
		}
	}
	for _, domain := range []string{"two.test", "none.test"} {
		if got, ok, err := d.Published(t.Context(), domain); ok || err != nil {
			t.Errorf("%s: %+v, %v", domain, got, err)
		}
	}
}

// FuzzReportURIs: an address that comes of any list can stand in a header field and in RCPT TO.
func FuzzReportURIs(f *testing.F) {
	f.Add("mailto:a@own.test!10m,https://x/,mailto:a%40b@own.test")
	f.Fuzz(func(t *testing.T, list string) {
		all := ParseReportURIs(list)
		if len(all) > maxReportAddresses {
			t.Errorf("%d addresses", len(all))
		}
		for _, a := range all {
			if strings.ContainsAny(a.Address, " ,;<>\r\n\"\x00") || strings.Count(a.Address, "@") != 1 || a.MaxSize < 0 {
				t.Errorf("%+v", a)
			}
		}
	})
}
