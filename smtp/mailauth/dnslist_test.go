package mailauth

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailstead/smtp/dns"
)

func TestParseDNSList(t *testing.T) {
	for _, tt := range []struct {
		text string
		want DNSList
		ok   bool
	}{
		{"zen.example.test", DNSList{Zone: "zen.example.test"}, true},
		{" Zen.Example.Test. = 127.0.0.2, 127.0.0.7/30 ", DNSList{Zone: "zen.example.test",
			Answers: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32"), netip.MustParsePrefix("127.0.0.4/30")}}, true},
		{"list.test=127.0.0.0/8", DNSList{Zone: "list.test", Answers: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, true},
		{"", DNSList{}, false},
		{"list", DNSList{}, false},
		{"a b.test", DNSList{}, false},
		{"list.test=", DNSList{}, false},
		{"list.test=2", DNSList{}, false},
		{"list.test=10.0.0.1", DNSList{}, false},
		{"list.test=0.0.0.0/0", DNSList{}, false},
		{"list.test=::1", DNSList{}, false},
		{"list.test=127.0.0.1/33", DNSList{}, false},
		{"list.test=" + strings.Repeat("127.0.0.2,", 40) + "127.0.0.2", DNSList{}, false},
	} {
		got, err := ParseDNSList(tt.text)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrBadList) {
			t.Errorf("%q: %v", tt.text, err)
		}
		if d := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			t.Errorf("%q: (-want +got)\n%s", tt.text, d)
		}
	}
}

func TestCheckLists(t *testing.T) {
	r := scenario{
		zone: `
1.2.0.192.block.test. A 127.0.0.2
1.2.0.192.block.test. A 127.0.0.10
1.2.0.192.block.test. TXT "see https://block.test/?ip=192.0.2.1" "\013\010250 \195\164"
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.block.test. A 127.0.0.3
1.2.0.192.parked.test. A 203.0.113.80
1.2.0.192.refusing.test. A 127.255.255.254
1.2.0.192.local.test. A 127.0.0.1
1.2.0.192.broken.test. A 127.0.0.2
`,
		faults: []string{"1.2.0.192.broken.test"},
	}.resolver(t)
	var lists []DNSList
	for _, text := range []string{"block.test", "block.test=127.0.0.8/29", "block.test=127.0.0.4", "parked.test", "refusing.test", "local.test", "broken.test", "empty.test"} {
		l, err := ParseDNSList(text)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, l)
	}
	reason := `see https://block.test/?ip=192.0.2.1\r\n250 \u00e4`
	addr := netip.MustParseAddr
	want := []ListHit{
		{Zone: "block.test", Listed: true, Answers: []netip.Addr{addr("127.0.0.2"), addr("127.0.0.10")}, Reason: reason},
		{Zone: "block.test", Listed: true, Answers: []netip.Addr{addr("127.0.0.10")}, Reason: reason},
		{Zone: "block.test"},
		{Zone: "parked.test"},
		{Zone: "refusing.test", Err: errRefused},
		{Zone: "local.test"},
		{Zone: "broken.test", Err: cmpopts.AnyError},
		{Zone: "empty.test"},
	}
	got := CheckLists(t.Context(), r, addr("::ffff:192.0.2.1"), lists)
	byValue := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	anyOrder := cmpopts.SortSlices(netip.Addr.Less)
	if d := cmp.Diff(want, got, byValue, anyOrder, cmpopts.EquateErrors()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	six := CheckLists(t.Context(), r, addr("2001:db8::1"), lists[:1])
	if !six[0].Listed {
		t.Errorf("IPv6: %+v", six[0])
	}
}

// answering gives the same answers to every question.
type answering struct {
	HostResolver
	addrs []netip.Addr
	text  string
}

func (a answering) LookupA(context.Context, string) (dns.Answer[netip.Addr], error) {
	return dns.Answer[netip.Addr]{Records: a.addrs}, nil
}

func (a answering) LookupTXT(context.Context, string) (dns.Answer[string], error) {
	return dns.Answer[string]{Records: []string{a.text}}, nil
}

// Whatever a list answers, only its own network counts, and its words are safe
// in a reply.
func FuzzListAnswer(f *testing.F) {
	f.Add(uint32(0x7f000002), "listed: \"x\"\r\n250 ok\x00\xff", "")
	f.Add(uint32(0x7f000001), "", "=127.0.0.0/8")
	f.Add(uint32(0x7ffffffe), strings.Repeat("\u00fc", 300), "")
	f.Add(uint32(0x08080808), "x", "=127.0.0.2")
	f.Fuzz(func(t *testing.T, answer uint32, text, networks string) {
		l, err := ParseDNSList("list.test" + networks)
		if err != nil {
			return
		}
		a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, answer)))
		hit := l.check(t.Context(), answering{addrs: []netip.Addr{a}, text: text}, netip.MustParseAddr("192.0.2.1"))
		if hit.Listed && (!loopback.Contains(a) || a == neverListed || networks == "" && listErrors.Contains(a)) {
			t.Errorf("%s is a listing", a)
		}
		if len(hit.Reason) > maxListReason || strings.ContainsFunc(hit.Reason, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("reason %q", hit.Reason)
		}
	})
}
