package web

import (
	cryptotls "crypto/tls"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// testAccess is that of a usual server.
var testAccess = Access{Host: "mail.example.test", IMAPS: 993, IMAP: 143, POP3S: 995, POP3: 110, Submissions: 465, Submission: 587}

// testDomain knows one domain.
func testDomain(name string) (string, bool) {
	return "example.test", strings.EqualFold(strings.TrimSuffix(name, "."), "example.test")
}

func testOptions() Options {
	return Options{
		Ours:   func(host string) bool { return host == "example.test" || strings.HasSuffix(host, ".example.test") },
		Domain: testDomain, Access: testAccess, HTTPSPort: 443,
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (f *front) ask(method, url, body string) answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	return f.do(req)
}

func (f *front) do(req *http.Request) answer {
	f.t.Helper()
	got, err := f.client(false).Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(text)}
}

func TestAutoconfig(t *testing.T) {
	f := start(t, testOptions())
	const at, below = "/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"
	for _, c := range []struct {
		method, url string
		status      int
	}{
		{"GET", "http://autoconfig.example.test" + at, 200},
		{"GET", "https://autoconfig.example.test" + at, 200},
		{"GET", "http://example.test" + below, 200},
		{"GET", "https://example.test" + below, 200},
		{"GET", "https://EXAMPLE.test" + below + "?emailaddress=a%40EXAMPLE.TEST", 200},
		{"HEAD", "https://example.test" + below, 200},
		{"GET", "https://autoconfig.example.test" + at + "?emailaddress=a%40other.test", 404},
		{"GET", "https://autoconfig.example.test" + at + "?emailaddress=a%40b%40other.test", 404},
		{"GET", "https://autoconfig.example.test" + at + "?emailaddress=%3Cx%3E", 404},
		{"GET", "https://autoconfig.example.test" + at + "?emailaddress=" + strings.Repeat("a", 300) + "%40example.test", 404},
		{"GET", "https://www.example.test" + at, 404}, // ours, but for no domain
		{"GET", "http://autoconfig.other.test" + at, 404},
		{"GET", "https://autoconfig.other.test" + at, 421},
		{"GET", "https://autoconfig.example.test/mail/", 404},
		{"POST", "https://autoconfig.example.test" + at, 405},
		{"POST", "http://autoconfig.example.test" + at, 405},
	} {
		got := f.ask(c.method, c.url, "")
		if got.status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.url, got.status, c.status)
		}
		if c.status != 200 || c.method == "HEAD" {
			continue
		}
		if kind := got.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/xml") {
			t.Errorf("%s: type %s", c.url, kind)
		}
		checkConfig(t, got.body)
	}
	quoted := f.ask("GET", "https://autoconfig.example.test"+at+"?emailaddress=%3Cb%3E%22%26%40example.test", "")
	if quoted.status != 200 || strings.Contains(quoted.body, "<b>") || strings.Contains(quoted.body, "&#34;") {
		t.Errorf("what is in the address came back: %s", quoted.body)
	}
}

// checkConfig holds an answer of autoconfig against testAccess.
func checkConfig(t *testing.T, text string) {
	t.Helper()
	var c clientConfig
	if err := xml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	server := func(kind string, port int, socket string) configServer {
		return configServer{kind, "mail.example.test", port, socket, "password-cleartext", "%EMAILADDRESS%"}
	}
	in := []configServer{server("imap", 993, "SSL"), server("imap", 143, "STARTTLS"), server("pop3", 995, "SSL"), server("pop3", 110, "STARTTLS")}
	out := []configServer{server("smtp", 465, "SSL"), server("smtp", 587, "STARTTLS")}
	p := c.Provider
	if c.Version != "1.1" || p.ID != "example.test" || p.Domain != "example.test" || !slices.Equal(p.Incoming, in) || !slices.Equal(p.Outgoing, out) ||
		p.Documentation == nil || p.Documentation.URL != "https://example.test/" {
		t.Errorf("%+v", c)
	}
}

// TestAutoconfigOffersWhatListens: a port that is switched off is in no answer.
func TestAutoconfigOffersWhatListens(t *testing.T) {
	s := New(Options{Access: Access{Host: "h.test", IMAPS: 10993, Submission: 10587}})
	c := s.clientConfig("example.test")
	if p := c.Provider; len(p.Incoming) != 1 || p.Incoming[0].Port != 10993 || len(p.Outgoing) != 1 || p.Outgoing[0].SocketType != "STARTTLS" || p.Documentation != nil {
		t.Errorf("%+v", p)
	}
	d := s.discovered("a@example.test").Response.Account.Protocol
	if len(d) != 2 || d[0].Type != "IMAP" || d[1].Type != "SMTP" || d[1].Encryption != "TLS" || d[1].Port != 10587 {
		t.Errorf("%+v", d)
	}
}

// pox is a request as Outlook and Thunderbird make it.
func pox(address, schema string) string {
	return `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>` + address + `</EMailAddress>
    <AcceptableResponseSchema>` + schema + `</AcceptableResponseSchema>
  </Request>
</Autodiscover>`
}

// mobileSync is a request for ActiveSync.
const mobileSync = `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/mobilesync/requestschema/2006"><Request>
<EMailAddress>a@example.test</EMailAddress>
<AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006</AcceptableResponseSchema>
</Request></Autodiscover>`

// billionLaughs grows to gigabytes where entities are put in.
const billionLaughs = `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>&b;@example.test</EMailAddress></Request></Autodiscover>`

// TestAutodiscover: an address of ours gets IMAP, POP3 and SMTP by a POST of POX, and nothing else gets anything: a program
// that hears of an Exchange protocol takes it before IMAP, and fails.
func TestAutodiscover(t *testing.T) {
	f := start(t, testOptions())
	const host = "https://autodiscover.example.test"
	for _, c := range []struct {
		name, method, url, body string
		status                  int
	}{
		{"Outlook", "POST", host + "/autodiscover/autodiscover.xml", pox("a@example.test", outlookAnswer), 200},
		{"in capitals", "POST", host + "/Autodiscover/Autodiscover.XML", pox("A@Example.Test", outlookAnswer), 200},
		{"at the domain", "POST", "https://example.test/AutoDiscover/AutoDiscover.xml", pox("a@example.test", ""), 200},
		{"nobody's address here", "POST", host + "/autodiscover/autodiscover.xml", pox("a@other.test", outlookAnswer), 404},
		{"no address", "POST", host + "/autodiscover/autodiscover.xml", pox("", outlookAnswer), 404},
		{"two addresses", "POST", host + "/autodiscover/autodiscover.xml", pox("a@example.test</EMailAddress><EMailAddress>b@example.test", ""), 404},
		{"ActiveSync", "POST", host + "/autodiscover/autodiscover.xml", mobileSync, 404},
		{"ActiveSync as answer", "POST", host + "/autodiscover/autodiscover.xml", pox("a@example.test", "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"), 404},
		{"SOAP", "POST", host + "/autodiscover/autodiscover.svc", "<x/>", 404},
		{"EWS", "POST", host + "/EWS/Exchange.asmx", "<x/>", 404},
		{"MAPI", "POST", host + "/mapi/emsmdb", "", 404},
		{"ActiveSync itself", "OPTIONS", host + "/Microsoft-Server-ActiveSync", "", 404},
		{"GET", "GET", host + "/autodiscover/autodiscover.xml", "", 405},
		{"without TLS", "POST", "http://autodiscover.example.test/autodiscover/autodiscover.xml", pox("a@example.test", outlookAnswer), 404},
		{"the redirect that is looked for", "GET", "http://autodiscover.example.test/autodiscover/autodiscover.xml", "", 404},
		{"the folder", "GET", host + "/autodiscover/", "", 404},
		{"a way out", "POST", host + "/autodiscover/%2e%2e/autodiscover.xml", pox("a@example.test", ""), 307},
		{"entities", "POST", host + "/autodiscover/autodiscover.xml", billionLaughs, 404},
		{"deep", "POST", host + "/autodiscover/autodiscover.xml", strings.Repeat("<a>", 2000), 404},
		{"not XML", "POST", host + "/autodiscover/autodiscover.xml", "EHLO there", 404},
		{"in UTF-16", "POST", host + "/autodiscover/autodiscover.xml", `<?xml version="1.0" encoding="utf-16"?><Autodiscover/>`, 404},
		{"too long", "POST", host + "/autodiscover/autodiscover.xml", pox(strings.Repeat("a", 2*maxPOX)+"@example.test", ""), 413},
		{"a foreign host", "POST", "https://autodiscover.other.test/autodiscover/autodiscover.xml", pox("a@example.test", outlookAnswer), 421},
		{"JSON", "GET", host + "/autodiscover/autodiscover.json?Email=a%40example.test&Protocol=AutodiscoverV1", "", 200},
		{"JSON by path", "GET", host + "/Autodiscover/autodiscover.json/v1.0/a%40example.test?protocol=autodiscoverv1", "", 200},
		{"JSON for Exchange", "GET", host + "/autodiscover/autodiscover.json?Email=a%40example.test&Protocol=ActiveSync", "", 404},
		{"JSON for REST", "GET", host + "/autodiscover/autodiscover.json?Email=a%40example.test&Protocol=REST", "", 404},
		{"JSON for others", "GET", host + "/autodiscover/autodiscover.json?Email=a%40other.test&Protocol=AutodiscoverV1", "", 404},
		{"JSON for nobody", "GET", host + "/autodiscover/autodiscover.json", "", 404},
		{"JSON posted", "POST", host + "/autodiscover/autodiscover.json", "{}", 405},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := f.ask(c.method, c.url, c.body)
			if got.status != c.status {
				t.Fatalf("%d, want %d: %s", got.status, c.status, got.body)
			}
			if strings.Contains(got.body, "mobilesync") || strings.Contains(got.body, "EXCH") || strings.Contains(got.body, "EXPR") || strings.Contains(got.body, "WEB") {
				t.Errorf("an Exchange protocol is told of: %s", got.body)
			}
			switch {
			case c.status != 200:
			case c.method == "POST":
				checkDiscovery(t, got.body)
			case !strings.Contains(got.body, `"Url": "https://autodiscover.example.test/autodiscover/autodiscover.xml"`):
				t.Errorf("body %s", got.body)
			}
		})
	}
}

// TestAutodiscoverOfAMegabyte: it is refused, or the connection ends while it is still being sent; the next one is answered.
func TestAutodiscoverOfAMegabyte(t *testing.T) {
	f := start(t, testOptions())
	const url = "https://example.test/autodiscover/autodiscover.xml"
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(pox(strings.Repeat("a", 1<<20)+"@example.test", "")))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.client(false).Do(req); err == nil {
		got.Body.Close()
		if got.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s", got.Status)
		}
	}
	if got := f.ask("POST", url, pox("a@example.test", "")); got.status != 200 {
		t.Errorf("the next one: %d", got.status)
	}
}

func checkDiscovery(t *testing.T, text string) {
	t.Helper()
	var d struct {
		XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
		Response struct {
			XMLName xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
			Account struct {
				AccountType, Action string
				Protocol            []discoveredProtocol
			}
		}
	}
	if err := xml.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	a := d.Response.Account
	var got []string
	for _, p := range a.Protocol {
		got = append(got, p.Type)
		if p.Server != "mail.example.test" || !strings.EqualFold(p.LoginName, "a@example.test") || p.SSL != "on" || p.Encryption != "SSL" {
			t.Errorf("%+v", p)
		}
	}
	if a.AccountType != "email" || a.Action != "settings" || !slices.Equal(got, []string{"IMAP", "POP3", "SMTP"}) {
		t.Errorf("%+v", a)
	}
}

// FuzzPOX: what is taken is one address, and nothing that would end a line or an element.
func FuzzPOX(f *testing.F) {
	f.Add([]byte(pox("a@example.test", outlookAnswer)))
	f.Add([]byte(pox("&lt;b&gt;@example.test", "")))
	f.Add([]byte(mobileSync))
	f.Add([]byte(billionLaughs))
	f.Add([]byte(strings.Repeat("<a>", 100)))
	f.Fuzz(func(t *testing.T, text []byte) {
		address, err := parsePOX(text)
		if err == nil && (strings.Count(address, "@") != 1 || strings.ContainsAny(address, " \r\n\x00") || len(address) > len(text)) {
			t.Errorf("%q", address)
		}
	})
}

// TestStaysEncrypted: browsers are held to HTTPS only where they trust the certificate.
func TestStaysEncrypted(t *testing.T) {
	o := testOptions()
	o.Certificate = func(host string) *cryptotls.Certificate {
		return map[string]*cryptotls.Certificate{"mail.example.test": {}}[host]
	}
	f := start(t, o)
	for host, want := range map[string]string{"mail.example.test": "max-age=31536000", "example.test": ""} {
		if got := f.ask("GET", "https://"+host+"/none", "").header.Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q", host, got)
		}
	}
}
