package mailauth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// scenario is a file of testdata: a zone and what comes of it. Lines of the
// zone that begin with "fault" name what the DNS server fails for; cases are
// words, quoted as in Go where they have to be.
type scenario struct {
	zone   string
	faults []string
	cases  []scenarioCase
}

type scenarioCase struct {
	line  int
	words []string
}

func readScenario(t testing.TB, file string) scenario {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s scenario
	part := ""
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "== "):
			part = line[3:]
		case line == "" || line[0] == '#':
		case part == "zone" && strings.HasPrefix(line, "fault "):
			s.faults = append(s.faults, strings.TrimPrefix(line, "fault "))
		case part == "zone":
			s.zone += line + "\n"
		case part == "cases":
			s.cases = append(s.cases, scenarioCase{i + 1, words(t, line)})
		}
	}
	if len(s.cases) == 0 {
		t.Fatalf("%s has no cases", file)
	}
	return s
}

func words(t testing.TB, line string) []string {
	t.Helper()
	var out []string
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			out, line = append(out, word), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		word, _ := strconv.Unquote(quoted)
		out, line = append(out, word), line[len(quoted):]
	}
	return out
}

// resolver starts a DNS server with the scenario's zone.
func (s scenario) resolver(t testing.TB) *dns.Resolver {
	t.Helper()
	server := dnstest.New(t, s.zone)
	for _, name := range s.faults {
		server.SetFault(name, dnstest.Fault{ServFail: true})
	}
	return resolverOf(t, server)
}

func resolverOf(t testing.TB, server *dnstest.Server) *dns.Resolver {
	t.Helper()
	r, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newSPF(r HostResolver) *SPF {
	return &SPF{Resolver: r, Receiver: "receiver.test", Now: func() time.Time { return time.Unix(1e9, 0) }}
}

// TestSPF plays testdata/spf: "IP HELO MAILFROM RESULT [MECHANISM
// [EXPLANATION]]", or "helo IP NAME RESULT [MECHANISM]".
func TestSPF(t *testing.T) {
	files, err := filepath.Glob("testdata/spf/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := readScenario(t, file)
			spf := newSPF(s.resolver(t))
			for _, c := range s.cases {
				t.Run(fmt.Sprintf("line %d", c.line), func(t *testing.T) { playSPF(t, spf, c.words) })
			}
		})
	}
}

// checkSPF is what comes of the words of a case.
func checkSPF(t *testing.T, spf *SPF, w []string) SPFResult {
	if w[0] == "helo" {
		return spf.CheckHelo(t.Context(), netip.MustParseAddr(w[1]), w[2])
	}
	return spf.CheckMailFrom(t.Context(), netip.MustParseAddr(w[0]), w[1], w[2])
}

func playSPF(t *testing.T, spf *SPF, w []string) {
	got := checkSPF(t, spf, w)
	if want := Result(w[3]); got.Result != want {
		t.Fatalf("%v: got %s by %q: %v", w, got.Result, got.Mechanism, got.Err)
	}
	mechanism := ""
	if len(w) > 4 {
		mechanism = w[4]
	}
	if got.Mechanism != mechanism {
		t.Errorf("%v: got mechanism %q", w, got.Mechanism)
	}
	if len(w) > 5 && got.Explanation != w[5] {
		t.Errorf("%v: got explanation %q", w, got.Explanation)
	}
	if decided := got.Mechanism != ""; decided != (got.Err == nil) {
		t.Errorf("%v: mechanism %q with error %v", w, got.Mechanism, got.Err)
	}
}

func TestSPFResultSaysWhatWasChecked(t *testing.T) {
	spf := newSPF(scenario{zone: `
bücher.test.        TXT "unused"
xn--bcher-kva.test. TXT "v=spf1 redirect=_spf.test"
_spf.test.          TXT "v=spf1 include:pass.test -all"
pass.test.          TXT "v=spf1 ip4:192.0.2.1"
`}.resolver(t))
	ip := netip.MustParseAddr("192.0.2.1")
	got := spf.CheckMailFrom(t.Context(), ip, "h.test", "x@Bücher.test")
	want := SPFResult{
		Result: Pass, Identity: SPFMailFrom, Domain: "xn--bcher-kva.test", Sender: "x@xn--bcher-kva.test",
		Mechanism: "include:pass.test", MechanismDomain: "_spf.test",
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	got = spf.CheckHelo(t.Context(), ip, "pass.test")
	want = SPFResult{
		Result: Pass, Identity: SPFHelo, Domain: "pass.test", Sender: "postmaster@pass.test",
		Mechanism: "ip4:192.0.2.1", MechanismDomain: "pass.test",
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// Without a DNS server nothing is checked, and nothing waits.
func TestSPFWithoutDNS(t *testing.T) {
	r, err := dns.New(dns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := newSPF(r).CheckMailFrom(t.Context(), netip.MustParseAddr("192.0.2.1"), "h.test", "x@example.test")
	if got.Result != None || !errors.Is(got.Err, dns.ErrDisabled) {
		t.Errorf("got %s, %v", got.Result, got.Err)
	}
}

// hanging answers TXT and nothing else, until the caller leaves.
type hanging struct{ HostResolver }

func (h hanging) LookupA(ctx context.Context, host string) (dns.Answer[netip.Addr], error) {
	<-ctx.Done()
	return dns.Answer[netip.Addr]{}, &dns.Error{Name: host, Type: "A", Temporary: true, Err: context.Cause(ctx)}
}

func TestSPFTakesItsTime(t *testing.T) {
	spf := newSPF(hanging{scenario{zone: `slow.test. TXT "v=spf1 a -all"`}.resolver(t)})
	spf.Timeout = time.Millisecond
	got := spf.CheckMailFrom(t.Context(), netip.MustParseAddr("192.0.2.1"), "h.test", "x@slow.test")
	if got.Result != TempError || !errors.Is(got.Err, context.DeadlineExceeded) {
		t.Errorf("got %s, %v", got.Result, got.Err)
	}
}

// The record that asks for most: ten terms of ten exchangers, with names and an
// explanation. It costs no more than the limits allow.
func TestSPFAsksNoMoreThanItMay(t *testing.T) {
	var zone strings.Builder
	fmt.Fprint(&zone, `greedy.test. TXT "v=spf1`)
	for i := range 10 {
		fmt.Fprintf(&zone, " mx:m%d.test", i)
	}
	fmt.Fprintln(&zone, ` -all exp=%{p}.exp.test"`)
	for i := range 10 {
		for j := range 10 {
			fmt.Fprintf(&zone, "m%d.test. MX 1 h%d%d.test.\nh%d%d.test. A 192.0.2.2\n", i, i, j, i, j)
		}
	}
	for i := range 20 {
		fmt.Fprintf(&zone, "1.2.0.192.in-addr.arpa. PTR n%d.test.\n", i)
	}
	server := dnstest.New(t, zone.String())
	got := newSPF(resolverOf(t, server)).CheckMailFrom(t.Context(), netip.MustParseAddr("192.0.2.1"), "h.test", "x@greedy.test")
	if got.Result != Fail {
		t.Errorf("got %s, %v", got.Result, got.Err)
	}
	// The record, ten times MX and their hosts, the names and their addresses,
	// the explanation; truncated answers come a second time.
	if n, most := len(server.Queries()), 1+10+100+1+10+1+2; n > most {
		t.Errorf("%d questions, want %d at most", n, most)
	}
}

func TestSPFRecordTooLong(t *testing.T) {
	text := "v=spf1 -all" + strings.Repeat(" ", maxSPFRecord)
	if _, err := parseSPFRecord(text); !errors.Is(err, errSPFLong) {
		t.Errorf("%d bytes: %v", len(text), err)
	}
	if _, err := parseSPFRecord(text[:maxSPFRecord]); err != nil {
		t.Errorf("%d bytes: %v", maxSPFRecord, err)
	}
}

// Empty parts count (RFC 7208 section 7.3), which no DNS name can show.
func TestSPFMacroParts(t *testing.T) {
	for _, tt := range []struct{ macro, value, want string }{
		{"%{l}", ".a..b", ".a..b"},
		{"%{lr}", ".a..b", "b..a."},
		{"%{l2}", ".a..b", ".b"},
		{"%{l3r}", ".a..b", ".a."},
		{"%{l127}", "a.b", "a.b"},
		{"%{l-}", "", ""},
		{"%{l1}", "", ""},
		{"%{Lr}", "a/b.c d", "c%20d.a%2Fb"},
	} {
		m, err := parseMacro(tt.macro, macroInTerm)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.expand(func(byte) string { return tt.value }); got != tt.want {
			t.Errorf("%s of %q: got %q, want %q", tt.macro, tt.value, got, tt.want)
		}
	}
}

// Whatever a record holds, reading it ends, and a record that was read expands
// to names without surprises.
func FuzzSPFRecord(f *testing.F) {
	for _, text := range []string{
		"v=spf1", "v=spf1 -all", "v=spf1 a:%{ir}.%{v}.%{d2}/24//64 mx ptr:x.test ?all exp=%{l1r-}.x.test",
		"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 include:%%%_%-.test redirect=%{S}", "v=spf1 x=%{d", "v=spf1 a:%{d999r.-+,/_=}",
	} {
		f.Add(text, "a.b-c", "mail.example.test")
	}
	f.Fuzz(func(t *testing.T, text, local, helo string) {
		if !isSPFRecord(text) {
			return
		}
		record, err := parseSPFRecord(text)
		if err != nil {
			return
		}
		c := spfCheck{ip: netip.MustParseAddr("2001:db8::1"), helo: helo, local: local, senderDomain: "example.test", named: true}
		macros := []spfMacro{record.redirect, record.exp}
		for _, d := range record.directives {
			macros = append(macros, d.target)
		}
		for _, m := range macros {
			name := c.target(t.Context(), m, "example.test")
			if len(name) > maxDomainLength && strings.Contains(name, ".") {
				t.Errorf("%q expands to %d bytes", text, len(name))
			}
		}
	})
}

func BenchmarkSPF(b *testing.B) {
	spf := newSPF(scenario{zone: `
example.test.      TXT "v=spf1 mx include:_spf.example.test -all"
example.test.      MX 10 mail.example.test.
mail.example.test. A 192.0.2.1
_spf.example.test. TXT "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip6:2001:db8::/32 -all"
`}.resolver(b))
	ip := netip.MustParseAddr("203.0.113.9")
	b.ReportAllocs()
	for b.Loop() {
		if r := spf.CheckMailFrom(b.Context(), ip, "mail.example.test", "x@example.test"); r.Result != Pass {
			b.Fatal(r)
		}
	}
}
