package smtp

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/mailauth"
)

// troubledZone has one domain for each thing that SPF looks up, all of which ask
// to refuse what is not proven to be their own.
const troubledZone = judgedZone + `
include.example. TXT "v=spf1 include:spf.include.example -all"
spf.include.example. TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc.include.example. TXT "v=DMARC1; p=reject"
redirect.example. TXT "v=spf1 redirect=spf.include.example"
_dmarc.redirect.example. TXT "v=DMARC1; p=reject"
a.example. TXT "v=spf1 a:host.a.example -all"
host.a.example. A 127.0.0.1
_dmarc.a.example. TXT "v=DMARC1; p=reject"
mx.example. TXT "v=spf1 mx -all"
mx.example. MX 10 host.a.example.
_dmarc.mx.example. TXT "v=DMARC1; p=reject"
exists.example. TXT "v=spf1 exists:yes.exists.example -all"
yes.exists.example. A 127.0.0.2
_dmarc.exists.example. TXT "v=DMARC1; p=reject"
ptr.example. TXT "v=spf1 ptr:pass.example -all"
_dmarc.ptr.example. TXT "v=DMARC1; p=reject"
_dmarc.d1.example. TXT "v=DMARC1; p=reject"
1.0.0.127.good.example. A 127.0.0.2
`

// TestTemporaryTrouble breaks each look-up that a decision can rest on, by an
// answer of failure and by silence, and no sender is refused for good that is
// not refused when all is well.
func TestTemporaryTrouble(t *testing.T) {
	keys, err := os.ReadFile("mailauth/testdata/keys.txt")
	must(t, err)
	zone := troubledZone
	for line := range strings.Lines(string(keys)) {
		if name, record, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			zone += mailauth.ZoneRecord(name, record) + "\n"
		}
	}
	from := func(domain string) string { return "From: a@" + domain + "\r\n\r\nHello.\r\n" }
	h := newHouse(t)
	signed, forwarded := wireMessage(t, "rfc8463"), wireMessage(t, "rfc8617")
	lists := func(c *Checks) {
		c.Blocked, c.Allowed = []mailauth.DNSList{{Zone: "bad.example"}}, []mailauth.DNSList{{Zone: "good.example"}}
	}
	for _, tc := range []struct {
		name    string
		broken  []string // these names
		from    string   // reverse-path
		message string
		change  func(*Checks)
		well    string // the reply when all is well
		sick    string // and with trouble
	}{
		{"SPF record", []string{"pass.example"}, "a@pass.example", from("pass.example"), nil, "250", "451"},
		{"SPF include", []string{"spf.include.example"}, "a@include.example", from("include.example"), nil, "250", "451"},
		{"SPF redirect", []string{"spf.include.example"}, "a@redirect.example", from("redirect.example"), nil, "250", "451"},
		{"SPF a", []string{"host.a.example"}, "a@a.example", from("a.example"), nil, "250", "451"},
		{"SPF mx", []string{"mx.example"}, "a@mx.example", from("mx.example"), nil, "250", "451"},
		{"SPF mx, address", []string{"host.a.example"}, "a@mx.example", from("mx.example"), nil, "250", "451"},
		{"SPF exists", []string{"yes.exists.example"}, "a@exists.example", from("exists.example"), nil, "250", "451"},
		{"SPF ptr", []string{"1.0.0.127.in-addr.arpa"}, "a@ptr.example", from("ptr.example"), nil, "250", "451"},
		{"SPF ptr, address", []string{"mx.pass.example"}, "a@ptr.example", from("ptr.example"), nil, "250", "451"},
		{"SPF of HELO", []string{"mx.pass.example"}, "", from("mx.pass.example"), nil, "250", "451"},
		{"SPF record of a stranger", []string{"strict.example"}, "a@strict.example", from("strict.example"), nil, "550", "451"},
		{"DMARC record", []string{"_dmarc.strict.example"}, "a@strict.example", from("strict.example"), nil, "550", "250"},
		{"DMARC record above", []string{"_dmarc.strict.example"}, "a@strict.example", from("sub.strict.example"), nil, "550", "250"},
		{"DMARC record below", []string{"_dmarc.sub.strict.example"}, "a@strict.example", from("sub.strict.example"), nil, "550", "250"},
		{"both keys", []string{"brisbane._domainkey.football.example.com", "test._domainkey.football.example.com"}, "a@strict.example", signed, nil, "250", "451"},
		{"one key", []string{"brisbane._domainkey.football.example.com"}, "a@strict.example", signed, nil, "250", "250"},
		{"key of an ARC chain", []string{"clochette._domainkey.clochette.example.org"}, "a@strict.example", forwarded, nil, "550", "250"},
		{"reverse name", []string{"1.0.0.127.in-addr.arpa"}, "a@pass.example", from("pass.example"), nil, "250", "250"},
		{"address of the reverse name", []string{"mx.pass.example"}, "a@pass.example", from("pass.example"), nil, "250", "250"},
		{"list of bad clients", []string{"1.0.0.127.bad.example"}, "a@pass.example", from("pass.example"),
			func(c *Checks) { lists(c); c.Allowed = nil }, "554", "250"},
		{"list of good clients", []string{"1.0.0.127.good.example"}, "a@pass.example", from("pass.example"), lists, "250", "250"},
		{"both lists", []string{"1.0.0.127.good.example", "1.0.0.127.bad.example"}, "a@pass.example", from("pass.example"), lists, "250", "250"},
		{"everything about junk", []string{"nobody.example"}, "a@nobody.example", from("nobody.example"),
			func(c *Checks) { c.Filter = certain{} }, "550", "250"},
		{"greylisting", []string{"nobody.example"}, "a@nobody.example", from("nobody.example"),
			func(c *Checks) { c.Greylist = &Greylist{waiting: greyTimes{}, passed: greyTimes{}} }, "451", "250"},
	} {
		for kind, fault := range map[string]dnstest.Fault{"": {}, "failure": {ServFail: true}, "silence": {Drop: true}} {
			t.Run(strings.TrimSuffix(tc.name+", "+kind, ", "), func(t *testing.T) {
				t.Parallel()
				server := dnstest.New(t, zone)
				want := tc.well
				if kind != "" {
					want = tc.sick
					for _, name := range tc.broken {
						server.SetFault(name, fault)
					}
				}
				r, err := dns.New(dns.Options{Servers: []string{server.Addr()}, QueryTimeout: time.Hour, LookupTimeout: time.Hour})
				must(t, err)
				c, _ := judged(t, h, func(c *Checks) {
					c.Resolver = r
					if fault.Drop {
						c.Resolver = silentAbout{r, tc.broken}
					}
					if tc.change != nil {
						tc.change(c)
					}
				})
				c.send(tc.from, []string{"ann@example.test"}, tc.message, want)
			})
		}
	}
}

// silentAbout gives names up soon that nobody answers for, and waits for all others however late they are, so that
// a busy machine brings no trouble of its own.
type silentAbout struct {
	*dns.Resolver
	names []string
}

// patience is ctx with the time that is left for a name.
func (s silentAbout) patience(ctx context.Context, name string) (context.Context, context.CancelFunc) {
	if slices.Contains(s.names, strings.ToLower(strings.TrimSuffix(name, "."))) {
		return context.WithTimeout(ctx, 50*time.Millisecond)
	}
	return context.WithCancel(ctx)
}

func (s silentAbout) LookupTXT(ctx context.Context, name string) (dns.Answer[string], error) {
	ctx, cancel := s.patience(ctx, name)
	defer cancel()
	return s.Resolver.LookupTXT(ctx, name)
}

func (s silentAbout) LookupMX(ctx context.Context, domain string) (dns.Answer[dns.MX], error) {
	ctx, cancel := s.patience(ctx, domain)
	defer cancel()
	return s.Resolver.LookupMX(ctx, domain)
}

func (s silentAbout) LookupA(ctx context.Context, host string) (dns.Answer[netip.Addr], error) {
	ctx, cancel := s.patience(ctx, host)
	defer cancel()
	return s.Resolver.LookupA(ctx, host)
}

func (s silentAbout) LookupAAAA(ctx context.Context, host string) (dns.Answer[netip.Addr], error) {
	ctx, cancel := s.patience(ctx, host)
	defer cancel()
	return s.Resolver.LookupAAAA(ctx, host)
}

func (s silentAbout) LookupPTR(ctx context.Context, addr netip.Addr) (dns.Answer[string], error) {
	name := "" // no test's
	if addr == netip.MustParseAddr("127.0.0.1") {
		name = "1.0.0.127.in-addr.arpa"
	}
	ctx, cancel := s.patience(ctx, name)
	defer cancel()
	return s.Resolver.LookupPTR(ctx, addr)
}

// certain thinks that everything is junk.
type certain struct{}

func (certain) Reads([]mailbox.AccountID) bool { return true }

func (certain) Assess(_ context.Context, _ Letter, accounts []mailbox.AccountID) []Opinion {
	all := make([]Opinion, len(accounts))
	for i := range all {
		all[i].Score = 1
	}
	return all
}

// wireMessage reads a message of mailauth's golden ones, as it is sent.
func wireMessage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("mailauth/testdata/signed/" + name + ".eml")
	must(t, err)
	return strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n", "\r\n")
}
