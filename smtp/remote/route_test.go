package remote

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mailstead/smtp/dns"
)

// mx reads "10 a, 20 b".
func mx(s string) []dns.MX {
	var out []dns.MX
	for part := range strings.SplitSeq(s, ", ") {
		var m dns.MX
		fmt.Sscanf(part, "%d %s", &m.Preference, &m.Host)
		out = append(out, m)
	}
	return out
}

func TestPlanRoute(t *testing.T) {
	many := make([]dns.MX, 30)
	for i := range many {
		many[i] = dns.MX{Preference: uint16(i), Host: fmt.Sprintf("h%d", i)}
	}
	for _, tt := range []struct {
		name string
		mxs  []dns.MX
		err  error
		want string // groups, or status and code
	}{
		{"by preference", mx("20 b, 10 a, 65535 c"), nil, "[[a] [b] [c]]"},
		{"equal ones are shuffled", mx("10 a, 10 b, 10 c, 20 d"), nil, "[[c b a] [d]]"},
		{"a host counts once", mx("10 a, 20 b, 20 a"), nil, "[[a] [b]]"},
		{"ten at most", many, nil, "[[h0] [h1] [h2] [h3] [h4] [h5] [h6] [h7] [h8] [h9]]"},
		{"null MX", mx("0 "), nil, "permanent 5.1.10"},
		{"null MX among others does not count", append(mx("10 a"), dns.MX{}), nil, "[[a]]"},
		{"two null MX", []dns.MX{{}, {Preference: 1}}, nil, "permanent 5.4.4"},
		{"no host name", []dns.MX{{Host: `a\032b`}, {Host: "a..b"}}, nil, "permanent 5.4.4"},
		{"no host name among others", append(mx("10 a"), dns.MX{Host: `a\032b`}), nil, "[[a]]"},
		{"we are best", mx("10 us, 20 a"), nil, "permanent 5.4.6"},
		{"we are best among equals", mx("10 a, 10 us, 20 b"), nil, "permanent 5.4.6"},
		{"we are the backup", mx("10 a, 20 us, 20 b, 30 c"), nil, "[[a]]"},
		{"twice, the better counts", mx("10 a, 30 us, 20 us, 20 b"), nil, "[[a]]"},
		{"last of all", mx("10 a, 65535 us"), nil, "[[a]]"},
		{"no MX", nil, &dns.Error{NotFound: true}, "[[domain]]"},
		{"no such name", nil, &dns.Error{NotFound: true, NoName: true}, "permanent 5.1.2"},
		{"nobody could say", nil, &dns.Error{Temporary: true}, "temporary 4.4.3"},
		{"some other error", nil, errors.New("x"), "temporary 4.4.3"},
	} {
		own := func(host string) bool { return host == "us" }
		r := planRoute("domain", tt.mxs, tt.err, own, func(n int, swap func(i, j int)) {
			for i := range n / 2 {
				swap(i, n-1-i)
			}
		})
		got := fmt.Sprint(r.groups)
		if r.nowhere != nil {
			got = statuses[r.nowhere.status] + " " + r.nowhere.enhanced
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if r := planRoute("us", nil, &dns.Error{NotFound: true}, func(h string) bool { return h == "us" }, nil); r.nowhere == nil || r.nowhere.enhanced != "5.4.6" {
		t.Error("a domain without MX that is this host itself should be a loop")
	}
}

func TestInterleave(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"::1 ::2 ::3 192.0.2.1", "::1 192.0.2.1 ::2 ::3"},
		{"192.0.2.1 ::1 ::2", "192.0.2.1 ::1 ::2"},
		{"::ffff:192.0.2.1 ::1", "192.0.2.1 ::1"},
		{"0.0.0.0 :: ff02::1 224.0.0.1 255.255.255.255 ::ffff:0.0.0.0", ""},
	} {
		var in, want []netip.Addr
		for _, s := range strings.Fields(tt.in) {
			in = append(in, netip.MustParseAddr(s))
		}
		for _, s := range strings.Fields(tt.want) {
			want = append(want, netip.MustParseAddr(s))
		}
		if got := interleave(in); !slices.Equal(got, want) {
			t.Errorf("%s: got %v", tt.in, got)
		}
	}
}
