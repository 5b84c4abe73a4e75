package mailauth

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"mailstead/smtp/dns"
)

func TestIPRev(t *testing.T) {
	r := scenario{
		zone: `
1.2.0.192.in-addr.arpa. PTR Mail.Example.test.
mail.example.test.      A 192.0.2.1
mail.example.test.      AAAA 2001:db8::1
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.example.test.
2.2.0.192.in-addr.arpa. PTR other.example.test.
2.2.0.192.in-addr.arpa. PTR two.example.test.
2.2.0.192.in-addr.arpa. PTR second.example.test.
other.example.test.     A 192.0.2.99
two.example.test.       A 192.0.2.2
second.example.test.    A 192.0.2.2
3.2.0.192.in-addr.arpa. PTR mail.example.test.
4.2.0.192.in-addr.arpa. PTR nowhere.example.test.
6.2.0.192.in-addr.arpa. PTR x.example.test.
7.2.0.192.in-addr.arpa. PTR broken.example.test.
8.2.0.192.in-addr.arpa. PTR broken.example.test.
8.2.0.192.in-addr.arpa. PTR eight.example.test.
eight.example.test.     A 192.0.2.8
`,
		faults: []string{"6.2.0.192.in-addr.arpa", "broken.example.test"},
	}.resolver(t)
	for _, tt := range []struct {
		name, ip string
		want     Result
		names    []string
	}{
		{"leads back", "192.0.2.1", Pass, []string{"mail.example.test"}},
		{"IPv4 in IPv6", "::ffff:192.0.2.1", Pass, []string{"mail.example.test"}},
		{"IPv6", "2001:db8::1", Pass, []string{"mail.example.test"}},
		{"several names", "192.0.2.2", Pass, []string{"second.example.test", "two.example.test"}},
		{"leads elsewhere", "192.0.2.3", Fail, nil},
		{"leads nowhere", "192.0.2.4", Fail, nil},
		{"no name", "192.0.2.5", PermError, nil},
		{"names unknown", "192.0.2.6", TempError, nil},
		{"address unknown", "192.0.2.7", TempError, nil},
		{"one address unknown", "192.0.2.8", Pass, []string{"eight.example.test"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := CheckIPRev(t.Context(), r, netip.MustParseAddr(tt.ip))
			slices.Sort(got.Names)
			if got.Result != tt.want || !slices.Equal(got.Names, tt.names) || (got.Err == nil) != (got.Result == Pass) {
				t.Errorf("got %+v, want %s %v", got, tt.want, tt.names)
			}
		})
	}
	disabled, err := dns.New(dns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := CheckIPRev(t.Context(), disabled, netip.MustParseAddr("192.0.2.1")); got.Result != None || !errors.Is(got.Err, dns.ErrDisabled) {
		t.Errorf("without DNS: %+v", got)
	}
}

func TestCheckHeloName(t *testing.T) {
	ours := []string{"mx.example.test", "xn--bcher-kva.test"}
	for _, tt := range []struct {
		helo, ip string
		want     HeloProblem
	}{
		{"mail.other.test", "192.0.2.1", ""},
		{"Mail.Other.Test.", "192.0.2.1", ""},
		{"[192.0.2.1]", "192.0.2.1", ""},
		{"[192.0.2.1]", "::ffff:192.0.2.1", ""},
		{"[IPv6:2001:db8::1]", "2001:db8::1", ""},
		{"[ipv6:2001:DB8:0::1]", "2001:db8::1", ""},
		{"[192.0.2.2]", "192.0.2.1", HeloLiteral},
		{"[192.0.2.1", "192.0.2.1", HeloLiteral},
		{"[]", "192.0.2.1", HeloLiteral},
		{"[IPv6:]", "192.0.2.1", HeloLiteral},
		{"192.0.2.1", "192.0.2.1", HeloMalformed},
		{"2001:db8::1", "2001:db8::1", HeloMalformed},
		{"not a name", "192.0.2.1", HeloMalformed},
		{"a..b", "192.0.2.1", HeloMalformed},
		{"", "192.0.2.1", HeloMalformed},
		{"MX.example.TEST", "192.0.2.1", HeloForged},
		{"bücher.test", "192.0.2.1", HeloForged},
		{"localhost", "192.0.2.1", HeloShort},
		{"WIN-7F3K2", "192.0.2.1", HeloShort},
	} {
		if got := CheckHeloName(tt.helo, netip.MustParseAddr(tt.ip), ours); got != tt.want {
			t.Errorf("%q from %s: got %q, want %q", tt.helo, tt.ip, got, tt.want)
		}
	}
}
