package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWellKnown(t *testing.T) {
	o := testOptions()
	o.Policy, o.Contact = "version: STSv1\r\n", "mailto:admin@example.test"
	f := start(t, o)
	for _, c := range []struct {
		method, url string
		status      int
		body        string
	}{
		{"GET", "https://mta-sts.example.test/.well-known/mta-sts.txt", 200, "version: STSv1\r\n"},
		{"GET", "https://example.test/.well-known/mta-sts.txt", 404, ""},
		{"GET", "https://mta-sts.mail.example.test/.well-known/mta-sts.txt", 404, ""},
		{"GET", "http://mta-sts.example.test/.well-known/mta-sts.txt", 308, ""},
		{"GET", "https://mta-sts.other.test/.well-known/mta-sts.txt", 421, ""},
		{"POST", "https://mta-sts.example.test/.well-known/mta-sts.txt", 405, ""},
		{"GET", "https://mail.example.test/.well-known/security.txt", 200, ""},
		{"GET", "https://mail.example.test/healthz", 200, "ok\n"},
		{"GET", "http://mail.example.test/healthz", 200, "ok\n"},
		{"GET", "http://other.test/healthz", 404, ""},
		{"PROPFIND", "https://example.test/.well-known/carddav", 404, ""},
		{"PROPFIND", "https://example.test/.well-known/caldav", 404, ""},
		{"PROPFIND", "http://example.test/.well-known/caldav", 404, ""},
		{"GET", "http://example.test/.well-known/carddav", 404, ""},
		{"GET", "https://example.test/.well-known/user-agent-configuration.json", 200, ""},
		{"GET", "https://ua-auto-config.example.test/.well-known/user-agent-configuration.json", 200, string(PACC("example.test", testAccess, 443))},
		{"GET", "http://ua-auto-config.example.test/.well-known/user-agent-configuration.json", 308, ""},
		{"GET", "https://www.example.test/.well-known/user-agent-configuration.json", 404, ""},
		{"GET", "https://example.test/.well-known/", 404, ""},
		{"GET", "https://example.test/.well-known/..%2f..%2fetc/passwd", 404, ""},
		{"GET", "https://example.test/.well-known/%00", 404, ""},
	} {
		got := f.ask(c.method, c.url, "")
		if got.status != c.status || c.body != "" && got.body != c.body {
			t.Errorf("%s %s: %d, %q; want %d, %q", c.method, c.url, got.status, got.body, c.status, c.body)
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Server") != "" {
			t.Errorf("%s: header %v", c.url, got.header)
		}
	}
}

func TestSecurityContact(t *testing.T) {
	o := testOptions()
	o.Contact = "mailto:admin@example.test"
	f := start(t, o)
	got := f.ask("GET", "https://example.test/.well-known/security.txt", "")
	fields := map[string]string{}
	for line := range strings.Lines(got.body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		fields[name] = value
	}
	until, err := time.Parse(time.RFC3339, fields["Expires"])
	if fields["Contact"] != o.Contact || err != nil || time.Until(until) < 28*24*time.Hour || time.Until(until) > securityAge {
		t.Errorf("%q, %v", got.body, err)
	}
	f = start(t, testOptions())
	if got := f.ask("GET", "https://example.test/.well-known/security.txt", ""); got.status != 404 {
		t.Errorf("without a contact: %d", got.status)
	}
}

// TestUserAgentConfiguration: PACC has no ports, so only standard ones are told of.
func TestUserAgentConfiguration(t *testing.T) {
	o := testOptions()
	o.Access.POP3S = 10995
	f := start(t, o)
	var got, want any
	text := f.ask("GET", "https://example.test/.well-known/user-agent-configuration.json", "").body
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	json.Unmarshal([]byte(`{"protocols":{"imap":{"host":"mail.example.test"},"smtp":{"host":"mail.example.test"},
		"submit":{"host":"mail.example.test"}},"authentication":{"password":true},
		"info":{"provider":{"name":"example.test"},"help":{"documentation":"https://example.test/"}}}`), &want)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s", text)
	}
	// Programs that verify the hash take no other octets.
	sum := sha256.Sum256([]byte(text))
	if got := PACCRecord(PACC("example.test", o.Access, 443)); got != "v=UAAC1; a=sha256; d="+base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("record %q of %q", got, text)
	}
	if got := PACC("example.test", Access{Host: "mail.example.test", IMAPS: 10993, IMAP: 143}, 443); got != nil {
		t.Errorf("without standard ports: %s", got)
	}
	long := strings.Repeat("a", 63) + "." + strings.Repeat("b", 47) + ".example.test"
	if got := string(PACC(long, testAccess, 443)); !strings.Contains(got, `"name": "`+strings.Repeat("b", 47)+`.example.test"`) {
		t.Errorf("of a long domain: %s", got)
	}
}
