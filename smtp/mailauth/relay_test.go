package mailauth

import (
	"net/netip"
	"strings"
	"testing"
)

func TestClientBehind(t *testing.T) {
	relay := netip.MustParsePrefix("203.0.113.0/24")
	trusted := func(ip netip.Addr) bool { return relay.Contains(ip) }
	for _, tt := range []struct {
		name, header string
		ip, helo     string // "" where there is none
	}{
		{"Postfix", "Received: from helo.test (mail.test [192.0.2.1])\r\n\tby relay.test (Postfix) with ESMTPS id X\r\n\tfor <a@b.test>; Sun, 22 Nov 2026\r\n", "192.0.2.1", "helo.test"},
		{"Postfix, IPv6", "Received: from helo.test (unknown [IPv6:2001:db8::1]) by relay.test\r\n", "2001:db8::1", "helo.test"},
		{"Sendmail", "Received: from helo.test (mail.test [192.0.2.1] (may be forged)) by relay.test\r\n", "192.0.2.1", "helo.test"},
		{"Exim", "Received: from [192.0.2.1] (helo=helo.test)\r\n\tby relay.test with esmtp\r\n", "192.0.2.1", "[192.0.2.1]"},
		{"Exim with a name", "Received: from mail.test ([192.0.2.1] helo=[127.0.0.1]) by relay.test\r\n", "192.0.2.1", "mail.test"},
		{"qmail", "Received: from unknown (HELO [127.0.0.1]) (192.0.2.1)\r\n  by relay.test with SMTP\r\n", "192.0.2.1", "unknown"},
		{"no brackets", "Received: from mail.test (2001:db8::1) by relay.test\r\n", "2001:db8::1", "mail.test"},
		{"ours", "Received: from helo.test (mail.test. [192.0.2.1]) by relay.test with ESMTP\r\n", "192.0.2.1", "helo.test"},
		{"HELO lies", "Received: from [198.51.100.9] (mail.test [192.0.2.1]) by relay.test\r\n", "192.0.2.1", "[198.51.100.9]"},
		{"HELO by", "Received: from by (by [192.0.2.1]) by relay.test\r\n", "192.0.2.1", "by"},
		{"HELO with a parenthesis", "Received: from (x (m [192.0.2.1]) by relay.test\r\n", "192.0.2.1", "(x"},
		{"within the relay", "Received: from localhost (localhost [127.0.0.1]) by relay.test\r\nReceived: from a.relay.test (a [10.1.2.3]) by b\r\n" +
			"Received: from c (c [203.0.113.7]) by a\r\nReceived: from mail.test (m [192.0.2.1]) by c\r\nReceived: from forged (f [198.51.100.1]) by mail.test\r\n", "192.0.2.1", "mail.test"},
		{"other fields between", "X: y\r\nreceived: from mail.test (m [192.0.2.1]) by relay.test\r\n", "192.0.2.1", "mail.test"},
		{"mapped", "Received: from mail.test (m [::ffff:192.0.2.1]) by relay.test\r\n", "192.0.2.1", "mail.test"},

		{"began at the relay", "Received: by relay.test (Postfix, from userid 0) id X; Sun\r\n", "", ""},
		{"all trusted", "Received: from c (c [203.0.113.7]) by a\r\n", "", ""},
		{"no address", "Received: from mail.test by relay.test\r\nReceived: from forged (f [198.51.100.1]) by mail.test\r\n", "", ""},
		{"no by", "Received: from mail.test (m [192.0.2.1])\r\n", "", ""},
		{"empty", "Received:\r\n", "", ""},
		{"no header", "", "", ""},
		{"endless", strings.Repeat("Received: from c (c [203.0.113.7]) by a\r\n", maxReceived) + "Received: from mail.test (m [192.0.2.1]) by c\r\n", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ip, helo, ok := ClientBehind([]byte(tt.header), trusted)
			if ok != (tt.ip != "") || ok && (ip.String() != tt.ip || helo != tt.helo) {
				t.Errorf("got %s %q %v, want %s %q", ip, helo, ok, tt.ip, tt.helo)
			}
		})
	}
}

// Whatever a header holds, what comes out is an address of a stranger.
func FuzzClientBehind(f *testing.F) {
	for _, value := range []string{"from a (b [192.0.2.1]) by c", "from [1.2.3.4] (helo=[127.0.0.1]) by c", "from ((( by", "from a (HELO b) (::1) by c; x", "from [ by b"} {
		f.Add("Received: " + value + "\r\n")
	}
	f.Fuzz(func(t *testing.T, header string) {
		ip, _, ok := ClientBehind([]byte(header), netip.Addr.IsMulticast)
		if ok != ip.IsValid() || ok && (ip.IsLoopback() || ip.IsPrivate() || ip.Is4In6()) {
			t.Errorf("%q: %s", header, ip)
		}
	})
}
