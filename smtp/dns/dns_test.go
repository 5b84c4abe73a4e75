package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
_imaps._tcp.example.test. SRV 0 1 993 Mail.example.test.
example.test.           SOA   ns. root. 1 3600 600 86400 60
example.test.           MX    20 backup.example.test.
example.test.           MX    10 Mail.Example.TEST.
mail.example.test.      A     192.0.2.1
mail.example.test.      AAAA  2001:db8::1
v4.example.test.        A     192.0.2.4
v6.example.test.        AAAA  2001:db8::6
long.example.test.      5 CNAME middle.example.test.
middle.example.test.    CNAME mail.example.test.
dangling.example.test.  CNAME nothing.example.test.
circle.example.test.    CNAME round.example.test.
round.example.test.     CNAME circle.example.test.
_dmarc.example.test.    TXT   "v=DMARC1; " "p=none"
_dmarc.example.test.    TXT   "quote \" backslash \\ byte \200"
null.example.test.      MX    0 .
_25._tcp.example.test.  TLSA  3 1 1 ABCD
xn--bcher-kva.example.test. A 192.0.2.9
r3---sn.example.test.   A     192.0.2.10
bob+x=\@y.example.test. A 192.0.2.11
back\\slash.example.test. A    192.0.2.12
1.2.0.192.in-addr.arpa. PTR   Mail.Example.test.
1.2.0.192.in-addr.arpa. PTR   bad\032name.example.test.
2.2.0.192.in-addr.arpa. PTR   bad\032name.example.test.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR six.example.test.
`

// clock is a time that moves by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// silence is how long a test waits for a server that never answers. One that does is never that late.
const silence = time.Second

// newResolver waits for its servers however late they are, where the test names no time.
func newResolver(t testing.TB, o dns.Options) *dns.Resolver {
	t.Helper()
	if o.QueryTimeout == 0 {
		o.QueryTimeout = time.Hour
	}
	if o.LookupTimeout == 0 {
		o.LookupTimeout = time.Hour
	}
	r, err := dns.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func start(t testing.TB) (*dnstest.Server, *dns.Resolver) {
	t.Helper()
	s := dnstest.New(t, zone)
	return s, newResolver(t, dns.Options{Servers: []string{s.Addr()}})
}

func TestRecords(t *testing.T) {
	_, r := start(t)
	ctx := t.Context()
	addrs := func(host string) func() (any, error) {
		return func() (any, error) { a, err := r.LookupAddrs(ctx, host); return fmt.Sprint(a.Records), err }
	}
	tests := []struct {
		name string
		look func() (any, error)
		want any
	}{
		{"MX by preference, lower case", func() (any, error) { a, err := r.LookupMX(ctx, "Example.test."); return a.Records, err },
			[]dns.MX{{Preference: 10, Host: "mail.example.test"}, {Preference: 20, Host: "backup.example.test"}}},
		{"null MX", func() (any, error) { a, err := r.LookupMX(ctx, "null.example.test"); return a.Records, err },
			[]dns.MX{{Preference: 0, Host: ""}}},
		{"both kinds, IPv6 first", addrs("mail.example.test"), "[2001:db8::1 192.0.2.1]"},
		{"IPv4 only", addrs("v4.example.test"), "[192.0.2.4]"},
		{"IPv6 only", addrs("v6.example.test"), "[2001:db8::6]"},
		{"CNAME chain", addrs("long.example.test"), "[2001:db8::1 192.0.2.1]"},
		{"Unicode", addrs("Bücher.example.test"), "[192.0.2.9]"},
		{"hyphens IDNA would refuse", addrs("r3---sn.example.test"), "[192.0.2.10]"},
		{"characters no host name has", addrs("Bob+x=@y.example.test"), "[192.0.2.11]"},
		{"a backslash", addrs(`back\slash.example.test`), "[192.0.2.12]"},
		{"TXT joined and unescaped", func() (any, error) { a, err := r.LookupTXT(ctx, "_dmarc.example.test"); return a.Records, err },
			[]string{"v=DMARC1; p=none", "quote \" backslash \\ byte \xc8"}},
		{"TLSA", func() (any, error) {
			a, err := r.LookupTLSA(ctx, "_25._tcp.Example.test")
			return a.Records, err
		}, []dns.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: []byte{0xab, 0xcd}}}},
		{"SRV", func() (any, error) { a, err := r.LookupSRV(ctx, "_imaps._tcp.Example.test"); return a.Records, err },
			[]dns.SRV{{Priority: 0, Weight: 1, Port: 993, Host: "mail.example.test"}}},
		{"the name behind aliases", func() (any, error) { a, err := r.LookupAddrs(ctx, "Long.example.test"); return a.Name, err }, "mail.example.test"},
		{"an alias that is not validated", func() (any, error) { return r.IsAuthenticAlias(ctx, "long.example.test") }, false},
		{"no alias", func() (any, error) { return r.IsAuthenticAlias(ctx, "mail.example.test") }, false},
		{"PTR of IPv4, malformed names left out", func() (any, error) {
			a, err := r.LookupPTR(ctx, netip.MustParseAddr("::ffff:192.0.2.1"))
			return a.Records, err
		}, []string{"mail.example.test"}},
		{"PTR of IPv6", func() (any, error) {
			a, err := r.LookupPTR(ctx, netip.MustParseAddr("2001:db8::1"))
			return a.Records, err
		}, []string{"six.example.test"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.look()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	s, r := start(t)
	s.SetFault("broken.example.test", dnstest.Fault{ServFail: true})
	disabled := newResolver(t, dns.Options{})
	tests := []struct {
		name  string
		r     *dns.Resolver
		look  string
		want  dns.Error
		cause error
	}{
		{"no such name", r, "nobody.example.test", dns.Error{Type: "MX", NotFound: true, NoName: true}, nil},
		{"no such record", r, "mail.example.test", dns.Error{Type: "MX", NotFound: true}, nil},
		{"empty non-terminal", r, "2.0.192.in-addr.arpa", dns.Error{Type: "MX", NotFound: true}, nil},
		{"dangling CNAME", r, "dangling.example.test", dns.Error{Type: "MX", NotFound: true, NoName: true}, nil},
		{"circular CNAME", r, "circle.example.test", dns.Error{Type: "MX", Temporary: true}, nil},
		{"SERVFAIL", r, "broken.example.test", dns.Error{Type: "MX", Temporary: true}, nil},
		{"empty name", r, "", dns.Error{Type: "MX", NotFound: true, NoName: true}, dns.ErrBadName},
		{"control character", r, "a\tb.test", dns.Error{Type: "MX", NotFound: true, NoName: true}, dns.ErrBadName},
		{"overlong label", r, strings.Repeat("a", 64) + ".test", dns.Error{Type: "MX", NotFound: true, NoName: true}, dns.ErrBadName},
		{"disabled", disabled, "example.test", dns.Error{Type: "MX", Temporary: true}, dns.ErrDisabled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.r.LookupMX(t.Context(), tt.look)
			var got *dns.Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a *dns.Error", err)
			}
			if tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("cause is %v, want %v", got.Err, tt.cause)
			}
			if dns.IsNotFound(err) != tt.want.NotFound {
				t.Errorf("IsNotFound is %v", dns.IsNotFound(err))
			}
			flat := *got
			flat.Err, tt.want.Name = nil, tt.look
			if d := cmp.Diff(tt.want, flat); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestAddrsErrors(t *testing.T) {
	s, r := start(t)
	s.SetFault("half.example.test", dnstest.Fault{ServFail: true, Times: 1})
	s.SetFault("bad.example.test", dnstest.Fault{ServFail: true})
	for _, tt := range []struct {
		host      string
		temporary bool
	}{
		{"nobody.example.test", false},
		{"example.test", false},
		{"half.example.test", true},
		{"bad.example.test", true},
	} {
		var got *dns.Error
		_, err := r.LookupAddrs(t.Context(), tt.host)
		if !errors.As(err, &got) || got.Temporary != tt.temporary || got.NotFound == tt.temporary || got.Type != "A/AAAA" {
			t.Errorf("%s: got %#v, temporary should be %v", tt.host, got, tt.temporary)
		}
	}
	if _, err := r.LookupPTR(t.Context(), netip.MustParseAddr("192.0.2.2")); !dns.IsNotFound(err) {
		t.Errorf("PTR with a malformed name only: %v", err)
	}
	if _, err := r.LookupPTR(t.Context(), netip.Addr{}); !dns.IsNotFound(err) {
		t.Errorf("PTR of no address: %v", err)
	}
}

// What goes wrong on the way to a server is made good where it can be.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   dnstest.Fault
		queries []string // that reached the first server
		second  bool     // the second server was asked
	}{
		{"truncated comes by TCP", dnstest.Fault{Truncate: true}, []string{"udp", "tcp"}, false},
		{"no EDNS0", dnstest.Fault{NoEDNS: true}, []string{"udp", "udp"}, false},
		{"SERVFAIL goes to the next server", dnstest.Fault{ServFail: true}, []string{"udp"}, true},
		{"silence goes to the next server", dnstest.Fault{Drop: true}, []string{"udp"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first, second := dnstest.New(t, zone), dnstest.New(t, zone)
			first.SetFault("v4.example.test", tt.fault)
			o := dns.Options{Servers: []string{first.Addr(), second.Addr()}}
			if tt.fault.Drop {
				o.QueryTimeout = silence
			}
			r := newResolver(t, o)
			if _, err := r.LookupA(t.Context(), "v4.example.test"); err != nil {
				t.Fatal(err)
			}
			var nets []string
			for _, q := range first.Queries() {
				nets = append(nets, q.Net)
			}
			if !slices.Equal(nets, tt.queries) {
				t.Errorf("first server was asked by %v, want %v", nets, tt.queries)
			}
			if asked := len(second.Queries()) > 0; asked != tt.second {
				t.Errorf("second server asked: %v", asked)
			}
		})
	}
}

func TestSilentServerIsAskedAgain(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, zone)
	r := newResolver(t, dns.Options{Servers: []string{s.Addr()}, QueryTimeout: silence})
	s.SetFault("v4.example.test", dnstest.Fault{Drop: true, Times: 2})
	if _, err := r.LookupA(t.Context(), "v4.example.test"); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Queries()); n != 3 {
		t.Errorf("%d questions, want 3", n)
	}
}

// A dead server costs its time limit once, not with every look-up, and is
// tried again when a minute has passed.
func TestDeadServerIsAskedLast(t *testing.T) {
	t.Parallel()
	dead, alive := dnstest.New(t, zone), dnstest.New(t, zone)
	hosts := []string{"v4.example.test", "mail.example.test", "r3---sn.example.test"}
	for _, host := range hosts {
		dead.SetFault(host, dnstest.Fault{Drop: true})
	}
	c := &clock{now: time.Unix(1e9, 0)}
	r := newResolver(t, dns.Options{Servers: []string{dead.Addr(), alive.Addr()}, Now: c.Now, QueryTimeout: silence})
	for i, want := range []int{1, 1, 2} { // questions that the dead one has got
		if i == 2 {
			c.advance(time.Minute)
		}
		if _, err := r.LookupA(t.Context(), hosts[i]); err != nil {
			t.Fatal(err)
		}
		if n := len(dead.Queries()); n != want {
			t.Errorf("after %d look-ups the dead server was asked %d times, want %d", i+1, n, want)
		}
	}
	// Where the other one is dead, too, it is asked all the same.
	alive.SetFault("long.example.test", dnstest.Fault{Drop: true})
	if _, err := r.LookupA(t.Context(), "long.example.test"); err != nil {
		t.Error(err)
	}
}

func TestLookupTimeout(t *testing.T) {
	s := dnstest.New(t, zone)
	s.SetFault("v4.example.test", dnstest.Fault{Drop: true})
	r := newResolver(t, dns.Options{
		Servers: []string{s.Addr()}, LookupTimeout: 50 * time.Millisecond,
	})
	_, err := r.LookupA(t.Context(), "v4.example.test")
	var got *dns.Error
	if !errors.As(err, &got) || !got.Temporary {
		t.Errorf("got %v", err)
	}
}

func TestChaseBareCNAME(t *testing.T) {
	s, r := start(t)
	for _, name := range []string{"long.example.test", "middle.example.test", "circle.example.test", "round.example.test"} {
		s.SetFault(name, dnstest.Fault{Bare: true})
	}
	a, err := r.LookupA(t.Context(), "long.example.test")
	if err != nil || fmt.Sprint(a.Records) != "[192.0.2.1]" {
		t.Errorf("got %v, %v", a.Records, err)
	}
	if _, err := r.LookupA(t.Context(), "circle.example.test"); err == nil || dns.IsNotFound(err) {
		t.Errorf("circle: got %v, want a temporary error", err)
	}
	if n := len(s.Queries()); n > 20 {
		t.Errorf("%d questions for two chains", n)
	}
}

func TestLargeAnswer(t *testing.T) {
	var zone strings.Builder
	for i := range 250 {
		fmt.Fprintf(&zone, "many.test. A 192.0.2.%d\n", i)
	}
	s := dnstest.New(t, zone.String())
	a, err := newResolver(t, dns.Options{Servers: []string{s.Addr()}}).LookupA(t.Context(), "many.test")
	if err != nil || len(a.Records) != 100 {
		t.Errorf("got %d records, %v; want 100", len(a.Records), err)
	}
	if q := s.Queries(); len(q) != 2 || q[1].Net != "tcp" {
		t.Errorf("questions %v, want UDP then TCP", q)
	}
}

func TestCache(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		name string
		ttl  time.Duration
		look func(*dns.Resolver) error
	}{
		{"answer", 300 * time.Second, func(r *dns.Resolver) error { _, err := r.LookupA(ctx, "v4.example.test"); return err }},
		{"lowest TTL of a chain", 5 * time.Second, func(r *dns.Resolver) error { _, err := r.LookupA(ctx, "long.example.test"); return err }},
		{"no such name, SOA minimum", 60 * time.Second, func(r *dns.Resolver) error { _, err := r.LookupA(ctx, "nobody.example.test"); return err }},
		{"no such record, SOA minimum", 60 * time.Second, func(r *dns.Resolver) error { _, err := r.LookupMX(ctx, "v4.example.test"); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := dnstest.New(t, zone)
			c := &clock{now: time.Unix(1e9, 0)}
			r := newResolver(t, dns.Options{Servers: []string{s.Addr()}, Now: c.Now})
			first := fmt.Sprint(tt.look(r))
			c.advance(tt.ttl - time.Second)
			if again := fmt.Sprint(tt.look(r)); again != first {
				t.Errorf("first %q, then %q", first, again)
			}
			if n := len(s.Queries()); n != 1 {
				t.Errorf("%d questions within the TTL, want 1", n)
			}
			c.advance(time.Second)
			tt.look(r)
			if n := len(s.Queries()); n != 2 {
				t.Errorf("%d questions after the TTL, want 2", n)
			}
		})
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := dnstest.New(t, zone)
	r := newResolver(t, dns.Options{Servers: []string{s.Addr()}, MaxEntries: 2})
	for _, host := range []string{"v4", "mail", "v4", "long", "v4", "mail"} { // "long" drives "mail" out
		if _, err := r.LookupA(t.Context(), host+".example.test"); err != nil {
			t.Fatal(err)
		}
	}
	var asked []string
	for _, q := range s.Queries() {
		asked = append(asked, strings.TrimSuffix(q.Name, ".example.test"))
	}
	if d := cmp.Diff([]string{"v4", "mail", "long", "mail"}, asked); d != "" {
		t.Errorf("questions (-want +got)\n%s", d)
	}
}

func TestNothingTemporaryIsKept(t *testing.T) {
	s, r := start(t)
	s.SetFault("v4.example.test", dnstest.Fault{ServFail: true, Times: 1})
	if _, err := r.LookupA(t.Context(), "v4.example.test"); err == nil {
		t.Fatal("no error")
	}
	if _, err := r.LookupA(t.Context(), "v4.example.test"); err != nil {
		t.Errorf("after recovery: %v", err)
	}
}

func TestSameQuestionIsAskedOnce(t *testing.T) {
	s := dnstest.New(t, zone)
	s.SetFault("v4.example.test", dnstest.Fault{Delay: 50 * time.Millisecond})
	r := newResolver(t, dns.Options{Servers: []string{s.Addr()}})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := r.LookupA(t.Context(), "V4.example.test"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(s.Queries()); n != 1 {
		t.Errorf("%d questions, want 1", n)
	}
}

// A caller who leaves does not take the answer from the others, and the last
// one ends the look-up (goleak would see it).
func TestLeaving(t *testing.T) {
	s := dnstest.New(t, zone)
	s.SetFault("v4.example.test", dnstest.Fault{Drop: true})
	s.SetFault("v6.example.test", dnstest.Fault{Drop: true})
	r := newResolver(t, dns.Options{Servers: []string{s.Addr()}, QueryTimeout: silence})
	impatient, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := r.LookupA(impatient, "v4.example.test"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient: %v", err)
		}
		s.SetFault("v4.example.test", dnstest.Fault{}) // the other one is answered when it asks again
	})
	both.Go(func() {
		if _, err := r.LookupA(t.Context(), "v4.example.test"); err != nil {
			t.Errorf("patient: %v", err)
		}
	})
	both.Wait()
	if _, err := r.LookupAAAA(impatient, "v6.example.test"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("last: %v", err)
	}
}

func TestAuthentic(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		s := dnstest.New(t, zone)
		s.SetAuthentic(true)
		r := newResolver(t, dns.Options{Servers: []string{s.Addr()}, Trusted: func(netip.Addr) bool { return trusted }})
		for range 2 { // from the server, then from the cache
			if a, err := r.LookupMX(t.Context(), "example.test"); err != nil || a.Authentic != trusted {
				t.Errorf("trusted %v: authentic %v, %v", trusted, a.Authentic, err)
			}
		}
	}
	_, r := start(t)
	if a, err := r.LookupAddrs(t.Context(), "mail.example.test"); err != nil || a.Authentic {
		t.Errorf("without AD bit: authentic %v, %v", a.Authentic, err)
	}
}

func TestNewRefusesNames(t *testing.T) {
	for _, server := range []string{"localhost:53", "127.0.0.1", ""} {
		if _, err := dns.New(dns.Options{Servers: []string{server}}); err == nil {
			t.Errorf("%q accepted", server)
		}
	}
}

var names = []struct{ in, want string }{
	{"Example.COM.", "example.com"},
	{"bücher.example", "xn--bcher-kva.example"},
	{"BÜCHER.example", "xn--bcher-kva.example"},
	{"_dmarc.bücher.example", "_dmarc.xn--bcher-kva.example"},
	{"_25._TCP.bücher.example", "_25._tcp.xn--bcher-kva.example"},
	{"例え。テスト", "xn--r8jz45g.xn--zckzah"},
	{"a_b.example", "a_b.example"},
	{strings.Repeat("a", 63) + ".x", strings.Repeat("a", 63) + ".x"},
	{strings.Repeat("a", 64) + ".x", ""},
	{"x." + strings.Repeat("a", 64), ""},
	{strings.Repeat("a.", 126) + "a", strings.Repeat("a.", 126) + "a"},
	{"a.b.", "a.b"},
	{"a..", ""},
	{"", ""},
	{".", ""},
	{"a..b", ""},
	{".a", ""},
	{"a b.example", ""},
	{"a\r\nb.example", ""},
	{"a\x00.example", ""},
	{"_ü", ""},
	{"\xff.example", ""},
	{"a\u00a0b.example", ""},
	{strings.Repeat("a.", 127) + "a", ""},
	{"[192.0.2.1]", ""},
}

func TestASCII(t *testing.T) {
	for _, tt := range names {
		got, err := dns.ASCII(tt.in)
		if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, dns.ErrBadName) {
			t.Errorf("ASCII(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// Whatever comes in, what goes out is safe in a command and stays as it is.
func FuzzASCII(f *testing.F) {
	for _, tt := range names {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := dns.ASCII(in)
		if err != nil {
			return
		}
		if len(got) > 253 || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("ASCII(%q) = %q", in, got)
		}
		if again, err := dns.ASCII(got); err != nil || again != got {
			t.Errorf("ASCII(%q) = %q, %v", got, again, err)
		}
	})
}

func BenchmarkCachedMX(b *testing.B) {
	s := dnstest.New(b, zone)
	r := newResolver(b, dns.Options{Servers: []string{s.Addr()}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.LookupMX(b.Context(), "example.test"); err != nil {
			b.Fatal(err)
		}
	}
}
