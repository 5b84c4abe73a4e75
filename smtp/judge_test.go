package smtp

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/mailauth"
)

// judgedZone is the world of the dialogues about judgement: clients are at
// 127.0.0.1, which is mx.pass.example.
const judgedZone = `
1.0.0.127.in-addr.arpa. PTR mx.pass.example.
mx.pass.example. A 127.0.0.1
mx.pass.example. TXT "v=spf1 a -all"
pass.example. TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc.pass.example. TXT "v=DMARC1; p=reject"
strict.example. TXT "v=spf1 -all"
_dmarc.strict.example. TXT "v=DMARC1; p=reject"
careful.example. TXT "v=spf1 -all"
_dmarc.careful.example. TXT "v=DMARC1; p=quarantine"
trusted.example. TXT "v=spf1 -all"
_dmarc.trusted.example. TXT "v=DMARC1; p=reject"
nobody.example. TXT "v=spf1 -all"
far.example. TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.far.example. TXT "v=DMARC1; p=reject"
25.2.0.192.in-addr.arpa. PTR mx.far.example.
mx.far.example. A 192.0.2.25
_dmarc.football.example.com. TXT "v=DMARC1; p=reject"
_dmarc.open.example. TXT "v=DMARC1; p=reject"
asks.example. TXT "v=spf1 -all"
_dmarc.asks.example. TXT "v=DMARC1; p=reject; rua=mailto:reports@asks.example"
1.0.0.127.bad.example. A 127.0.0.2
1.0.0.127.good.example. A 127.0.0.2
1.0.0.127.bad.example. TXT "seen sending junk"
`

// newChecks are checks against that zone and the keys of the RFCs' examples.
func newChecks(t testing.TB) *Checks {
	t.Helper()
	c, _ := newChecksAndZone(t)
	return c
}

// newChecksAndZone is newChecks with the server that is asked.
func newChecksAndZone(t testing.TB) (*Checks, *dnstest.Server) {
	t.Helper()
	keys, err := os.ReadFile("mailauth/testdata/keys.txt")
	must(t, err)
	text := judgedZone
	for line := range strings.Lines(string(keys)) {
		if name, record, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			text += mailauth.ZoneRecord(name, record) + "\n"
		}
	}
	zone := dnstest.New(t, text)
	for _, name := range []string{"broken.example", "_dmarc.broken.example", "open.example"} {
		zone.SetFault(name, dnstest.Fault{ServFail: true})
	}
	r, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	must(t, err)
	return &Checks{
		Resolver: r,
		Names:    func() []string { return []string{"example.test", "catch.example"} },
		Overrides: map[string]mailauth.Override{
			"unwanted.example": mailauth.OverrideRefuse, "trusted.example": mailauth.OverrideAccept, "cheap.example": mailauth.OverrideJunk,
		},
	}, zone
}

// TestJudgedDialogues plays the outcomes of each policy.
func TestJudgedDialogues(t *testing.T) {
	h := newHouse(t)
	for folder, change := range map[string]func(*Checks){
		"receiver-judged":  func(*Checks) {},
		"receiver-blocked": func(c *Checks) { c.Blocked = []mailauth.DNSList{{Zone: "bad.example"}} },
		"receiver-relayed": func(c *Checks) { c.TrustedRelays = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} },
		"receiver-filtered": func(c *Checks) {
			c.Filter = &fakeFilter{opinions: map[mailbox.AccountID]Opinion{h.ann: {Score: 1}}}
		},
		"receiver-listed-known": func(c *Checks) {
			c.Blocked = []mailauth.DNSList{{Zone: "bad.example"}}
			c.Filter = &fakeFilter{opinions: map[mailbox.AccountID]Opinion{h.ann: {Known: true}}}
		},
		"receiver-allowed": func(c *Checks) {
			c.Blocked, c.Allowed = []mailauth.DNSList{{Zone: "bad.example"}}, []mailauth.DNSList{{Zone: "good.example"}}
		},
		"receiver-recorded": func(c *Checks) { c.RecordOnly = true; c.Resolver, _ = dns.New(dns.Options{}) },
	} {
		t.Run(folder, func(t *testing.T) {
			c := newChecks(t)
			change(c)
			mailboxtest.PlayDir(t, "testdata/"+folder+"/*.dialog", func(t *testing.T) mailboxtest.Player {
				o := h.options(Receiver)
				o.Checks, o.Limits.GreetDelay = c, time.Millisecond
				o.Journal = watchOutcome(t, folder)
				address, _ := listen(t, o, false)
				return mailboxtest.Player{TLS: clientTLS(), Dial: func(int) (net.Conn, error) { return net.Dial("tcp", address) }}
			})
		})
	}
}

// TestOnwardDialogues plays what becomes of mail that aliases and accounts hand on: ann keeps copies of hers, carl none, both
// have a filter that takes all for junk; away leads elsewhere, and club is for its members.
func TestOnwardDialogues(t *testing.T) {
	h := newHouse(t)
	ctx, none := t.Context(), false
	carl := addAccount(t, h.directory, "carl@example.test")
	must(t, h.directory.AddForward(ctx, "carl@example.test", &none, "far@elsewhere.example"))
	must(t, h.directory.AddForward(ctx, "ann@example.test", nil, "far@elsewhere.example"))
	must(t, h.directory.AddAlias(ctx, "away@example.test", "far@elsewhere.example"))
	must(t, h.directory.AddAlias(ctx, "club@example.test", "a@pass.example", "m@strict.example", "bob@example.test"))
	must(t, h.directory.SetMembersOnly(ctx, "club@example.test", true))
	c := newChecks(t)
	c.Filter = &fakeFilter{opinions: map[mailbox.AccountID]Opinion{h.ann: {Score: 1}, carl: {Score: 1}}}
	handedOn := map[string]int{"our-name-without-proof-goes-nowhere": 1, "a-member-writes-to-all": 1} // all others: nothing
	mailboxtest.PlayDir(t, "testdata/receiver-onward/*.dialog", func(t *testing.T) mailboxtest.Player {
		before := len(h.queue.all())
		t.Cleanup(func() {
			if n, want := len(h.queue.all())-before, handedOn[filepath.Base(t.Name())]; n != want {
				t.Errorf("%d went on, want %d", n, want)
			}
		})
		o := h.options(Receiver)
		o.Checks, o.Limits.GreetDelay = c, time.Millisecond
		o.Journal = watchOutcome(t, "receiver-onward")
		address, _ := listen(t, o, false)
		return mailboxtest.Player{TLS: clientTLS(), Dial: func(int) (net.Conn, error) { return net.Dial("tcp", address) }}
	})
}

// judged is a receiver with checks at noon.
func judged(t *testing.T, h *house, change func(*Checks)) (*client, *Server) {
	t.Helper()
	o := h.options(Receiver)
	o.Now, o.Checks, o.Limits.GreetDelay = atNoon, newChecks(t), time.Millisecond
	if change != nil {
		change(o.Checks)
	}
	address, s := listen(t, o, false)
	c := dial(t, address)
	c.reply("220")
	c.say("EHLO mx.pass.example", "250")
	return c, s
}

// TestJudgedOctets: one field with what was found stands above the trace,
// forged ones are gone, the rest is as it came; all recipients have the same.
func TestJudgedOctets(t *testing.T) {
	const message = "From: a@pass.example\r\nAuthentication-Results: Other.example; spf=pass\r\nSubject: x\r\n\r\n.dot\r\ntext\r\n"
	const forged = "Authentication-Results: mx.example.test; dkim=pass\r\nAuthentication-Results: sub.example.test (x);\r\n dkim=pass\r\n"
	h := newHouse(t)
	c, s := judged(t, h, nil)
	first := s.counter.Load()
	c.send("a@pass.example", []string{"ann@example.test", "bob@example.test"}, strings.Replace(forged+message, ".dot", "..dot", 1), "250")
	want := "Return-Path: <a@pass.example>\r\n" +
		"Authentication-Results: mx.example.test;\r\n\tdkim=none;\r\n\tspf=pass smtp.mailfrom=a@pass.example;\r\n" +
		"\tdmarc=pass header.from=pass.example;\r\n\tiprev=pass policy.iprev=127.0.0.1\r\n" +
		"Received: from mx.pass.example ([127.0.0.1])\r\n\tby mx.example.test with ESMTP id " + nameAt(atNoon(), first+1) +
		";\r\n\tSun, 22 Nov 2026 12:00:00 +0000\r\n" + message
	for name, got := range map[string][]string{"ann": h.inbox(t, h.ann), "bob": h.inbox(t, h.bob)} {
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
}

// TestRecordedOnly: without a DNS server each check says none.
func TestRecordedOnly(t *testing.T) {
	h := newHouse(t)
	c, _ := judged(t, h, func(c *Checks) {
		r, err := dns.New(dns.Options{})
		must(t, err)
		c.RecordOnly, c.Resolver, c.Blocked = true, r, []mailauth.DNSList{{Zone: "bad.example"}}
	})
	c.send("a@strict.example", []string{"ann@example.test"}, wireMessage(t, "rfc8463"), "250")
	got := h.inbox(t, h.ann)
	if len(got) != 1 {
		t.Fatalf("ann has %q", got)
	}
	head, _, _ := strings.Cut(got[0], "Received: from mx.pass.example")
	for _, want := range []string{"dkim=none ", "spf=none ", "dmarc=none ", "iprev=none "} {
		if !strings.Contains(head, want) {
			t.Errorf("%q is not in %q", want, head)
		}
	}
	for _, result := range []string{"=pass", "=fail", "=temperror", "=permerror", "=neutral"} {
		if strings.Contains(head, result) {
			t.Errorf("%q is in %q", result, head)
		}
	}
}

// TestFiledIntoJunk: what is quarantined is in Junk of each account, and only there.
func TestFiledIntoJunk(t *testing.T) {
	for _, tc := range []struct{ name, message string }{
		{"DMARC asks to quarantine", "From: a@careful.example\r\n\r\n"},
		{"DMARC asks to refuse, but a list may have broken it", "From: a@strict.example\r\nList-Id: <l.pass.example>\r\n\r\n"},
		{"an override", "From: a@cheap.example\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			c, _ := judged(t, h, nil)
			c.send("a@pass.example", []string{"ann@example.test", "team@example.test"}, tc.message, "250")
			for _, account := range []struct {
				name string
				in   []string
				junk []string
			}{
				{"ann", h.inbox(t, h.ann), h.messages(t, h.ann, "Junk")},
				{"bob", h.inbox(t, h.bob), h.messages(t, h.bob, "Junk")},
			} {
				if len(account.in) != 0 || len(account.junk) != 1 {
					t.Errorf("%s has %q in INBOX and %q in Junk", account.name, account.in, account.junk)
				}
			}
		})
	}
}

// TestRelaySeenThrough: SPF is asked for the host before the relay.
func TestRelaySeenThrough(t *testing.T) {
	h := newHouse(t)
	c, _ := judged(t, h, func(c *Checks) { c.TrustedRelays = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	received := "Received: from mx.far.example (mx.far.example [192.0.2.25]) by backup.example.test with ESMTP id 1; Sun, 22 Nov 2026 12:00:00 +0000\r\n"
	c.send("a@far.example", []string{"ann@example.test"}, received+"From: a@far.example\r\n\r\n", "250")
	c.send("a@far.example", []string{"bob@example.test"}, "From: a@far.example\r\n\r\n", "250") // it began at the relay
	if got := h.inbox(t, h.ann); len(got) != 1 || !strings.Contains(got[0], "spf=pass smtp.mailfrom=a@far.example") || !strings.Contains(got[0], "iprev=pass policy.iprev=192.0.2.25") {
		t.Errorf("ann has %q", got)
	}
	if got := h.messages(t, h.bob, "Junk"); len(got) != 1 || !strings.Contains(got[0], "spf=none") {
		t.Errorf("bob has %q in Junk", got)
	}
}

// TestJudgedLargeMessage is held in a file until its end, by DATA and by BDAT,
// and nothing of the file stays.
func TestJudgedLargeMessage(t *testing.T) {
	h := newHouse(t)
	c, _ := judged(t, h, nil)
	var b bytes.Buffer
	for i := 0; b.Len() < 3<<20; i++ {
		fmt.Fprintf(&b, "line %d of a long letter\r\n", i)
	}
	text := b.String()
	c.send("a@pass.example", []string{"ann@example.test"}, "From: a@pass.example\r\n\r\n"+text, "250")
	c.say("MAIL FROM:<a@pass.example>", "250")
	c.say("RCPT TO:<ann@example.test>", "250")
	head := "From: a@pass.example\r\n\r\n"
	for _, chunk := range []string{head + text[:2<<20], text[2<<20:]} {
		_, err := fmt.Fprintf(c.conn, "BDAT %d\r\n", len(chunk))
		must(t, err)
		_, err = io.WriteString(c.conn, chunk)
		must(t, err)
		c.reply("250")
	}
	c.say("BDAT 0 LAST", "250")
	c.send("a@pass.example", []string{"ann@example.test"}, "From: a@strict.example\r\n\r\n"+text, "550")
	got := h.inbox(t, h.ann)
	if len(got) != 2 {
		t.Fatalf("%d messages", len(got))
	}
	for _, g := range got {
		if _, after, _ := strings.Cut(g, "\r\n\r\n"); after != text || !strings.Contains(g[:1000], "dmarc=pass") {
			t.Errorf("the message came out with %d octets behind %q", len(after), g[:min(len(g), 500)])
		}
	}
}

// TestDNSWithoutAnswers holds a message up for so long and no longer, and
// refuses nobody.
func TestDNSWithoutAnswers(t *testing.T) {
	h := newHouse(t)
	o := h.options(Receiver)
	o.Checks, o.Limits = newChecks(t), Limits{CheckWait: 20 * time.Millisecond, GreetDelay: time.Millisecond}
	silent := dnstest.New(t, judgedZone)
	for _, name := range []string{"strict.example", "_dmarc.strict.example", "1.0.0.127.in-addr.arpa", "1.0.0.127.bad.example"} {
		silent.SetFault(name, dnstest.Fault{Drop: true})
	}
	r, err := dns.New(dns.Options{Servers: []string{silent.Addr()}, LookupTimeout: time.Hour, QueryTimeout: time.Hour})
	must(t, err)
	o.Checks.Resolver, o.Checks.Blocked = r, []mailauth.DNSList{{Zone: "bad.example"}}
	address, _ := listen(t, o, false)
	c := dial(t, address)
	c.reply("220")
	c.say("EHLO mx.pass.example", "250")
	c.send("a@strict.example", []string{"ann@example.test"}, "From: a@strict.example\r\n\r\n", "250")
	got := h.inbox(t, h.ann)
	if len(got) != 1 {
		t.Fatalf("ann has %q", got)
	}
	for _, want := range []string{"spf=temperror", "dmarc=temperror", "iprev=temperror"} {
		if !strings.Contains(got[0], want) {
			t.Errorf("%q is not in %q", want, got[0])
		}
	}
}

// TestTransactionsGivenUp: RSET, a new EHLO and a lost connection end what was
// asked for; the next message is judged on its own.
func TestTransactionsGivenUp(t *testing.T) {
	h := newHouse(t)
	c, _ := judged(t, h, nil)
	for _, end := range []string{"RSET", "EHLO mx.pass.example"} {
		c.say("MAIL FROM:<a@strict.example>", "250")
		c.say("RCPT TO:<ann@example.test>", "250")
		c.say(end, "250")
	}
	c.say("MAIL FROM:<a@strict.example>", "250")
	c.say("RCPT TO:<ann@example.test>", "250")
	_, err := io.WriteString(c.conn, "BDAT 30\r\nFrom: a@strict.example\r\n\r\nbody")
	must(t, err)
	c.reply("250")
	c.say("RSET", "250")
	c.send("a@pass.example", []string{"ann@example.test"}, "From: a@pass.example\r\n\r\n", "250")
	c.say("MAIL FROM:<a@strict.example>", "250")
	must(t, c.conn.Close())
	if got := h.inbox(t, h.ann); len(got) != 1 || !strings.Contains(got[0], "spf=pass") {
		t.Errorf("ann has %q", got)
	}
}

// TestHandedOnIsSigned for the alias's domain, if it is mail that we would like ourselves; what stays is not.
func TestHandedOnIsSigned(t *testing.T) {
	h := newHouse(t)
	private, err := mailauth.NewEd25519Key()
	must(t, err)
	key := mailauth.SigningKey{Domain: "example.test", Selector: "s", Private: private}
	record, err := mailauth.KeyRecord(private.Public())
	must(t, err)
	zone := dnstest.New(t, mailauth.ZoneRecord(key.RecordName(), record)+"\n")
	r, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	must(t, err)
	o := h.options(Receiver)
	o.Checks, o.Limits.GreetDelay = newChecks(t), time.Millisecond
	o.SigningKeys = func(domain string) []mailauth.SigningKey {
		if domain == key.Domain {
			return []mailauth.SigningKey{key}
		}
		return nil
	}
	address, _ := listen(t, o, false)
	c := dial(t, address)
	c.reply("220")
	c.say("EHLO mx.pass.example", "250")
	must(t, h.directory.AddAlias(t.Context(), "away@catch.example", "far@elsewhere.example")) // a domain without key
	const message = "From: a@pass.example\r\nSubject: on its way\r\n\r\nHello.\r\n"
	for i, tc := range []struct {
		to, message string
		signed      bool
		onward      bool
	}{
		{"bob@example.test", message, false, false},
		{"team@example.test", message, true, true},
		{"away@catch.example", message, false, true},
		{"team@example.test", "From: a@careful.example\r\n\r\n", false, false},
	} {
		queued := len(h.queue.all())
		c.send("a@pass.example", []string{tc.to, "bob@example.test"}, tc.message, "250")
		all := append(h.inbox(t, h.bob), h.messages(t, h.bob, "Junk")...)
		if len(all) != i+1 {
			t.Fatalf("bob has %d messages", len(all))
		}
		got := all[i]
		if signed := strings.HasPrefix(got, "DKIM-Signature: "); signed != tc.signed || (len(h.queue.all()) > queued) != tc.onward {
			t.Errorf("to %s: %q", tc.to, got)
		}
		if !tc.signed {
			continue
		}
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		v := mailauth.NewVerifier(t.Context(), mailauth.Options{Resolver: r}, []byte(head+"\r\n\r\n"))
		io.WriteString(v, body)
		if found := v.Finish(); found.DKIMFact() != mailauth.Pass {
			t.Errorf("the signature came to %+v", found.DKIM)
		}
	}
}

// TestSubmittedMailIsSigned for its author's domain where it leaves the server,
// and the signatures match what the queue has.
func TestSubmittedMailIsSigned(t *testing.T) {
	h := newHouse(t)
	private, err := mailauth.NewEd25519Key()
	must(t, err)
	key := mailauth.SigningKey{Domain: "example.test", Selector: "s", Private: private}
	record, err := mailauth.KeyRecord(private.Public())
	must(t, err)
	zone := dnstest.New(t, mailauth.ZoneRecord(key.RecordName(), record)+"\n")
	r, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	must(t, err)
	o := h.options(Submission)
	o.CleartextAuth, o.Now = true, time.Now
	o.SigningKeys = func(domain string) []mailauth.SigningKey {
		if domain == key.Domain {
			return []mailauth.SigningKey{key}
		}
		return nil
	}
	address, _ := listen(t, o, false)
	c := dial(t, address).login()
	const message = "From: ann@example.test\r\nBcc: hidden@elsewhere.example\r\nSubject: hello\r\n\r\nline\nbare\r\n"
	c.send("ann@example.test", []string{"bob@example.test"}, message, "250")
	c.send("ann@example.test", []string{"bob@example.test", "x@elsewhere.example"}, message, "250")
	got := h.inbox(t, h.bob)
	if len(got) != 2 || strings.Contains(got[0], "DKIM-Signature") {
		t.Fatalf("bob has %q", got)
	}
	sent := got[1]
	if !strings.HasPrefix(sent, "DKIM-Signature: ") || strings.Contains(sent, "Bcc") {
		t.Errorf("sent %q", sent)
	}
	head, body, _ := strings.Cut(sent, "\r\n\r\n")
	v := mailauth.NewVerifier(t.Context(), mailauth.Options{Resolver: r}, []byte(head+"\r\n\r\n"))
	io.WriteString(v, body)
	if found := v.Finish(); found.DKIMFact() != mailauth.Pass {
		t.Errorf("the signature came to %+v", found.DKIM)
	}
}
