package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/xml"
	"math/big"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// plist reads a property list into maps, as devices do.
func plist(t *testing.T, text string) map[string]any {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	var value func(start xml.StartElement) any
	value = func(start xml.StartElement) any {
		text, entries, list := "", map[string]any{}, []any{}
		for key := ""; ; {
			token, err := d.Token()
			if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			switch v := token.(type) {
			case xml.CharData:
				text += string(v)
			case xml.StartElement:
				inner := value(v)
				switch {
				case start.Name.Local != "dict":
					list = append(list, inner)
				case v.Name.Local == "key":
					key = inner.(string)
				default:
					entries[key] = inner
				}
			case xml.EndElement:
				switch start.Name.Local {
				case "dict":
					return entries
				case "array", "plist":
					return list
				case "true", "false":
					return start.Name.Local == "true"
				}
				return text
			}
		}
	}
	for {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if start, ok := token.(xml.StartElement); ok {
			return value(start).([]any)[0].(map[string]any)
		}
	}
}

// TestProfile: an address of ours gets a profile with all that a device needs, and without a password.
func TestProfile(t *testing.T) {
	f := start(t, testOptions())
	const at = "https://mail.example.test/apple/"
	for path, status := range map[string]int{
		"a@example.test.mobileconfig": 200, "A%40Example.Test.mobileconfig": 200, "a%2Fb@example.test.mobileconfig": 200, "%C3%A4@example.test.mobileconfig": 200,
		"a@other.test.mobileconfig": 404, "example.test.mobileconfig": 404, "@example.test.mobileconfig": 404, "a@example.test": 404,
		"a@b@example.test.mobileconfig": 404, "%3Ca%3E@example.test.mobileconfig": 404, "a%00@example.test.mobileconfig": 404, "%FF@example.test.mobileconfig": 404,
		"a%0D%0Ab@example.test.mobileconfig": 404, "a%20b@example.test.mobileconfig": 404, strings.Repeat("a", 300) + "@example.test.mobileconfig": 404,
		"x/a@example.test.mobileconfig": 404, "": 404,
	} {
		if got := f.ask("GET", at+path, ""); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
	if got := f.ask("GET", "http://mail.example.test/apple/a@example.test.mobileconfig", ""); got.status != 308 {
		t.Errorf("without TLS: %d", got.status)
	}
	got := f.ask("GET", at+"a%26b@EXAMPLE.test.mobileconfig", "")
	all := plist(t, got.body)
	mail := all["PayloadContent"].([]any)[0].(map[string]any)
	const address = "a&b@example.test"
	for key, want := range map[string]any{
		"PayloadType": "com.apple.mail.managed", "EmailAddress": address, "EmailAccountType": "EmailTypeIMAP",
		"IncomingMailServerHostName": "mail.example.test", "IncomingMailServerPortNumber": "993", "IncomingMailServerUseSSL": true, "IncomingMailServerUsername": address,
		"OutgoingMailServerHostName": "mail.example.test", "OutgoingMailServerPortNumber": "465", "OutgoingMailServerUseSSL": true, "OutgoingMailServerUsername": address,
	} {
		if mail[key] != want {
			t.Errorf("%s is %v, want %v", key, mail[key], want)
		}
	}
	uuid := regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`)
	ids := map[any]bool{all["PayloadUUID"]: true, mail["PayloadUUID"]: true, plist(t, f.ask("GET", at+"b@example.test.mobileconfig", "").body)["PayloadUUID"]: true}
	if len(ids) != 3 || !uuid.MatchString(all["PayloadUUID"].(string)) || !uuid.MatchString(mail["PayloadUUID"].(string)) {
		t.Errorf("UUIDs %v", ids)
	}
	if again := f.ask("GET", at+"a&b@example.test.mobileconfig", ""); again.body != got.body {
		t.Error("it is another one the next time")
	}
	if strings.Contains(got.body, "Password</key>\n\t\t\t\t<string>") || got.header.Get("Content-Type") != profileType ||
		got.header.Get("Content-Disposition") != `attachment; filename="a&b@example.test.mobileconfig"` {
		t.Errorf("%v %s", got.header, got.body)
	}
}

// TestProfileOffersWhatListens: POP3 where there is no IMAP, STARTTLS where there is no other port, nothing where mail cannot be sent.
func TestProfileOffersWhatListens(t *testing.T) {
	o := testOptions()
	o.Access = Access{Host: "mail.example.test", POP3: 110, Submission: 587}
	got := string(New(o).profile("a@example.test", "example.test", &words[0]))
	mail := plist(t, got)["PayloadContent"].([]any)[0].(map[string]any)
	if mail["EmailAccountType"] != "EmailTypePOP" || mail["IncomingMailServerPortNumber"] != "110" || mail["OutgoingMailServerPortNumber"] != "587" {
		t.Errorf("%v", mail)
	}
	o.Access.Submission = 0
	f := start(t, o)
	for _, path := range []string{"/apple/a@example.test.mobileconfig", "/apple?address=a@example.test"} {
		if got := f.ask("GET", "https://example.test"+path, ""); got.status != 404 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if got := f.ask("GET", "https://example.test/", ""); got.status != 200 || strings.Contains(got.body, "<form") {
		t.Errorf("the page offers it: %d, %s", got.status, got.body)
	}
}

// TestSignedProfile: with a certificate that devices trust the profile comes signed, and the page says so. The signature is
// looked at by cms.TestSign.
func TestSignedProfile(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.Certificate = func(string) *cryptotls.Certificate {
		return &cryptotls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	s := New(o)
	f := start(t, o)
	got := f.ask("GET", "https://example.test/apple/a@example.test.mobileconfig", "")
	var message struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	if rest, err := asn1.Unmarshal([]byte(got.body), &message); err != nil || len(rest) > 0 || message.Type.String() != "1.2.840.113549.1.7.2" {
		t.Errorf("%v, %v", message.Type, err)
	}
	if !strings.Contains(got.body, string(s.profile("a@example.test", "example.test", &words[0]))) {
		t.Error("it is not the profile that is signed")
	}
	if page := f.ask("GET", "https://example.test/apple?address=a%40example.test", ""); !strings.Contains(page.body, words[0].Signed) {
		t.Errorf("the page does not say so: %s", page.body)
	}
}

// TestApplePage: the owner of an address gets the way to its profile, others hear that it is not one of ours, and nothing that was asked for
// comes back as anything but text.
func TestApplePage(t *testing.T) {
	f := start(t, testOptions())
	page := f.ask("GET", "https://mail.example.test/apple?address="+url.QueryEscape(" a&b@Example.test "), "")
	for _, part := range []string{`href="/apple/a&amp;b@example.test.mobileconfig"`, "a&amp;b@example.test</p>", `viewBox="-4 -4 41 41"`, words[0].Unsigned, `d="M0 0h7v1H0z`} {
		if page.status != 200 || !strings.Contains(page.body, part) {
			t.Errorf("%d, %q is missing in %s", page.status, part, page.body)
		}
	}
	checkStyle(t, page)
	for _, address := range []string{"", "nobody", "a@other.test", `"><script>@example.test`, "a\r\nb@example.test"} {
		page := f.ask("GET", "https://mail.example.test/apple?address="+url.QueryEscape(address), "")
		if page.status != 404 || !strings.Contains(page.body, words[0].Unknown) || strings.Contains(page.body, "<script") || strings.Contains(page.body, "other.test") {
			t.Errorf("%q: %d, %s", address, page.status, page.body)
		}
	}
	long := f.ask("GET", "https://mail.example.test/apple?address="+strings.Repeat("a", 200)+"@example.test", "")
	if long.status != 200 || strings.Contains(long.body, "<svg") || strings.Contains(long.body, words[0].ByCamera) {
		t.Errorf("a long address: %d, %s", long.status, long.body)
	}
}
