package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mailstead/cmd/internal/web"
	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/mtasts"
)

// testGuide is that of a server with the default settings.
func testGuide() guide {
	s := defaultSettings()
	s.Hostname = "mail.us.test"
	return s.guide()
}

// TestGuides: what is printed is there when it was published, and other ways to the same end match, too.
func TestGuides(t *testing.T) {
	const published = `_imaps._tcp.a.test. IN SRV 0 1 993 mail.us.test.
_imap._tcp.a.test. IN SRV 10 1 143 mail.us.test.
_pop3s._tcp.a.test. IN SRV 20 1 995 mail.us.test.
_pop3._tcp.a.test. IN SRV 30 1 110 mail.us.test.
_submissions._tcp.a.test. IN SRV 0 1 465 mail.us.test.
_submission._tcp.a.test. IN SRV 10 1 587 mail.us.test.
autoconfig.a.test. IN CNAME mail.us.test.
autodiscover.a.test. IN CNAME mail.us.test.
ua-auto-config.a.test. IN CNAME mail.us.test.
mta-sts.a.test. IN CNAME mail.us.test.
`
	document := web.PACC("a.test", testGuide().access, 443)
	pacc := "_ua-auto-config.a.test. IN TXT \"" + web.PACCRecord(document) + "\"\n"
	sts := pacc + "_mta-sts.a.test. IN TXT \"v=STSv1; id=" + policyID(testGuide().policy) + ";\"\n"
	const host = "mail.us.test. IN A 192.0.2.1\n"
	for _, c := range []struct {
		name, zone string
		differing  []string // by name; nil = all are missing
	}{
		{"nothing", host, nil},
		{"all of it", host + published + sts, []string{}},
		{"other ways", host + `_imaps._tcp.a.test. IN SRV 5 9 993 MAIL.us.test.
autoconfig.a.test. IN A 192.0.2.1
` + strings.Join(strings.SplitAfter(published, "\n")[1:6], "") + "autodiscover.a.test. IN CNAME mail.us.test.\nua-auto-config.a.test. IN CNAME mail.us.test.\n_ua-auto-config.a.test. IN TXT \"v=UAAC1; a=sha256; d=older\"\nmta-sts.a.test. IN A 192.0.2.1\n" + sts, []string{}},
		{"what is wrong", host + `_imaps._tcp.a.test. IN SRV 0 0 0 .
autoconfig.a.test. IN A 192.0.2.99
_mta-sts.a.test. IN TXT "v=STSv1; id=1"
_ua-auto-config.a.test. IN TXT "v=UAAC1; a=sha256; d=older"
` + strings.Join(strings.SplitAfter(published, "\n")[1:6], "") + strings.Join(strings.SplitAfter(published, "\n")[7:], ""),
			[]string{"_imaps._tcp.a.test", "autoconfig.a.test", "_ua-auto-config.a.test", "_mta-sts.a.test"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := dns.New(dns.Options{Servers: []string{dnstest.New(t, c.zone).Addr()}})
			if err != nil {
				t.Fatal(err)
			}
			records := guides("a.test", "mail.us.test", testGuide())
			var b bytes.Buffer
			if err := printRecords(&b, records); err != nil || !strings.HasSuffix(b.String(), published+sts) {
				t.Errorf("printed %s%v", b.String(), err)
			}
			lookUp(t.Context(), r, records)
			for _, r := range records {
				want := recordMatches
				for _, name := range c.differing {
					if name == r.Name {
						want = recordDiffers
					}
				}
				if c.differing == nil {
					want = recordMissing
				}
				if r.State != want {
					t.Errorf("%s %s: %s (%q), want %s", r.Name, r.Type, r.State, r.Found, want)
				}
			}
		})
	}
}

// TestGuidesOfAnotherServer: nothing is printed that is not served.
func TestGuidesOfAnotherServer(t *testing.T) {
	s := defaultSettings()
	s.Hostname, s.Listen.HTTPS, s.Listen.POP3, s.Listen.POP3S = "autoconfig.a.test", nil, nil, nil
	for _, r := range guides("a.test", s.Hostname, s.guide()) {
		if r.Type != "SRV" || strings.Contains(r.Name, "pop3") {
			t.Errorf("%+v", r)
		}
	}
	s.Listen.HTTPS = []string{":443"}
	for _, r := range guides("a.test", s.Hostname, s.guide()) {
		if r.Name == s.Hostname {
			t.Errorf("an alias of itself: %+v", r)
		}
	}
	if got := guides("a.test", "", s.guide()); got != nil {
		t.Errorf("without a name: %+v", got)
	}
}

// TestOwnPolicy reads our policy as other servers do.
func TestOwnPolicy(t *testing.T) {
	s := defaultSettings()
	s.Hostname = "Mail.Us.test"
	ids := map[string]bool{}
	for mode, age := range map[mtasts.Mode]time.Duration{mtasts.Testing: 24 * time.Hour, mtasts.None: 24 * time.Hour, mtasts.Enforce: 14 * 24 * time.Hour} {
		s.MTASTS = string(mode)
		p, err := mtasts.Parse(s.policy())
		if err != nil || p.Mode != mode || p.MaxAge != age || !p.Allows("mail.us.test") || p.Allows("us.test") {
			t.Errorf("%s: %+v, %v", mode, p, err)
		}
		id := policyID(s.policy())
		if ids[id] || len(id) > 32 || id != policyID(s.policy()) {
			t.Errorf("id %q", id)
		}
		ids[id] = true
	}
}
