package main

import (
	"encoding/json"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/dns/dnstest"
)

// authZone is a world of two servers of ours on one address, whose domains ask
// to refuse what is not proven.
const authZone = `
1.0.0.127.in-addr.arpa. PTR mail.us.test.
mail.us.test. A 127.0.0.1
us.test. TXT "v=spf1 a:mail.us.test -all"
_dmarc.us.test. TXT "v=DMARC1; p=reject"
far.test. MX 10 mx.far.test.
mx.far.test. A 127.0.0.1
bank.test. TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.test. TXT "v=DMARC1; p=reject"
`

// TestTwoServersProveTheirMail: what one of our servers sends passes SPF, DKIM
// and DMARC at another; what somebody sends in a bank's name is refused with
// the reason.
func TestTwoServersProveTheirMail(t *testing.T) {
	resolver := dnstest.New(t, authZone)
	far := newInstance(t, filepath.Join(t.TempDir(), "far"), "far.test", "--resolver", resolver.Addr())
	us := newInstance(t, filepath.Join(t.TempDir(), "us"), "us.test", "--resolver", resolver.Addr(), "--mx-port", strconv.Itoa(far.offset+25))
	far.start()
	us.start()
	if err := resolver.SetZone(authZone + publishedKeys(t, us)); err != nil {
		t.Fatal(err)
	}
	o := &outside{us, far}
	o.submit(t, "proven", "a0@far.test")
	got := strings.Join(strings.Fields(far.arrives("a0@far.test", "DKIM-Signature: v=1; a=ed25519-sha256;", "DKIM-Signature: v=1; a=rsa-sha256;", "Subject: proven\n")), " ")
	for _, want := range []string{
		"Authentication-Results: mail.far.test; dkim=pass header.d=us.test ", "spf=pass smtp.mailfrom=a0@us.test", "dmarc=pass header.from=us.test", "iprev=pass policy.iprev=127.0.0.1",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "dkim=pass"); n != 2 {
		t.Errorf("%d signatures passed:\n%s", n, got)
	}
	c := dialTalk(t, far.address(25), "220 ")
	c.say("EHLO mail.us.test", "250 ")
	c.say("MAIL FROM:<security@bank.test>", "250 ")
	c.say("RCPT TO:<a0@far.test>", "250 ")
	c.say("DATA", "354 ")
	c.say("From: Your bank <security@bank.test>\r\nSubject: your password\r\n\r\nPlease tell us.\r\n.",
		"550 5.7.1 Refused by the DMARC policy of bank.test: neither SPF nor a DKIM signature shows that it is its own")
}

// publishedKeys are the records that `mailstead domain show` tells to publish.
func publishedKeys(t *testing.T, s *instance) string {
	t.Helper()
	got := command(t, "", "domain", "show", s.domain, "--dir", s.dir, "--json")
	var domains []domainDetails
	if err := json.Unmarshal([]byte(got.out), &domains); err != nil || len(domains) != 1 {
		t.Fatalf("domain show: exit %d, %v: %s %s", got.code, err, got.out, got.err)
	}
	text := command(t, "", "domain", "show", s.domain, "--dir", s.dir)
	zone, keys := "", 0
	for _, r := range domains[0].Records {
		if !strings.Contains(text.out, r.zoneLine()+"\n") {
			t.Errorf("domain show prints %q without %q", text.out, r.zoneLine())
		}
		if strings.Contains(r.Name, "._domainkey.") {
			zone += r.zoneLine() + "\n"
			keys++
		}
	}
	if keys != 2 {
		t.Fatalf("domain show has %d keys", keys)
	}
	return zone
}

// TestNoticesAreSigned with the keys of the host's domain, or of the nearest above it.
func TestNoticesAreSigned(t *testing.T) {
	s := &server{}
	if err := s.openKeys(mailboxtest.NewStore(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.keys.Ensure(t.Context(), "a.test"); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"a.test": 2, "mail.A.test": 2, "b.test": 0, "localhost": 0} {
		s.settings.Hostname = host
		fields, err := s.signNotice([]byte("From: x@"+host+"\r\n\r\nbegin"), func(w io.Writer) error {
			_, err := io.WriteString(w, "ning\r\n")
			return err
		})
		if n := strings.Count(string(fields), "d=a.test"); err != nil || n != want {
			t.Errorf("%s: %d signatures, %v, want %d:\n%s", host, n, err, want, fields)
		}
	}
}

func TestParseNetworks(t *testing.T) {
	got, err := parseNetworks([]string{"192.0.2.1", "::ffff:192.0.2.2", "2001:db8::/32", "10.1.2.3/8"})
	if err != nil || len(got) != 4 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, want := range []string{"192.0.2.1/32", "192.0.2.2/32", "2001:db8::/32", "10.0.0.0/8"} {
		if got[i].String() != want {
			t.Errorf("%v, want %s", got[i], want)
		}
	}
	for _, bad := range []string{"", "mail.example.org", "192.0.2.0/33", "192.0.2"} {
		if _, err := parseNetworks([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
