package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

// What a server does in a test of policies.
const (
	hello      = "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
	takesMail  = "C: MAIL FROM:<sender@us.test>\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nS: 354 go\nbody\nS: 250 done\nC: QUIT\nS: 221 bye\neof"
	encrypted  = hello + "starttls\nC: EHLO us.test\nS: 250 x\n" + takesMail
	brokenOff  = hello + "badtls"
	noTLS      = "S: 220 x\nC: EHLO us.test\nS: 250 x\nC: QUIT\nS: 221 bye\neof"
	inClear    = "S: 220 x\nC: EHLO us.test\nS: 250 x\n" + takesMail
	tlsRefused = "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 not now\nC: QUIT\nS: 221 bye\neof"
)

// policyTest is one rule: what is published, what the server shows, what comes of it.
type policyTest struct {
	name    string
	zone    string
	fault   map[string]dnstest.Fault
	trusted bool // the resolver is believed
	mtasts  mtasts.Finding
	demand  queue.TLSDemand
	bounce  bool // the message has the null reverse-path
	roots   *x509.CertPool
	cert    tls.Certificate
	script  string
	again   string // of a second conversation
	want    string // of describe
	found   queue.Security
}

const (
	delivered  = `a@example.test delivered 250 2.0.0 tls mx.example.test [192.0.2.1] | done`
	plain      = `a@example.test delivered 250 2.0.0 mx.example.test [192.0.2.1] | done`
	daneFails  = `a@example.test temporary 0 4.7.5 | DANE demands a secure connection to mx.example.test [192.0.2.1]: `
	daneNoTLS  = `a@example.test temporary 0 4.7.10 | DANE demands a secure connection to mx.example.test [192.0.2.1]: it does not offer encryption`
	notTheOne  = "its certificate is not the one that its TLSA records name"
	otherNames = "its certificate is for other names"
	expired    = "its certificate is past its time, or before it"
)

func right() queue.Security {
	return queue.Security{Policy: "tlsa", Words: "DANE: the certificate is right"}
}

func wrong(result, words string) queue.Security {
	return queue.Security{Policy: "tlsa", Result: result, Words: "DANE: " + words}
}

func TestDANE(t *testing.T) {
	ca, strangers := newAuthority(t), newAuthority(t)
	good, old := ca.issue(false, "mx.example.test"), ca.issue(true, "mx.example.test")
	other, alien, domains := ca.issue(false, "other.test"), strangers.issue(false, "mx.example.test"), ca.issue(false, "example.test")
	leaf := good.Leaf
	aliased := "example.test. MX 10 mx.example.test.\nmx.example.test. CNAME real.example.test.\nreal.example.test. A 192.0.2.1\n"
	behind := strings.ReplaceAll(tlsa(leaf, 3, 1, 1), "mx.example", "real.example")
	unusable := wrong(resultTLSA, "no record can be used, so any certificate is taken")
	insecure := dnstest.Fault{Insecure: true}
	tests := []policyTest{
		{name: "DANE-EE whole certificate", zone: oneMX + tlsa(leaf, 3, 0, 0), trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{name: "DANE-EE whole key", zone: oneMX + tlsa(leaf, 3, 1, 0), trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{name: "DANE-EE SHA-256 of the key", zone: oneMX + tlsa(leaf, 3, 1, 1), trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{name: "DANE-EE SHA-512 of the certificate", zone: oneMX + tlsa(leaf, 3, 0, 2), trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{name: "DANE-EE of a certificate past its time", zone: oneMX + tlsa(old.Leaf, 3, 1, 1), trusted: true, cert: old, script: encrypted, want: delivered, found: right()},
		{name: "DANE-EE of a certificate for other names", zone: oneMX + tlsa(other.Leaf, 3, 1, 1), trusted: true, cert: other, script: encrypted, want: delivered, found: right()},
		{name: "DANE-EE of another certificate", zone: oneMX + tlsa(other.Leaf, 3, 1, 1), trusted: true, cert: good, script: brokenOff, want: daneFails + notTheOne, found: wrong(resultInvalid, notTheOne)},
		{name: "one record of several is enough", zone: oneMX + tlsa(other.Leaf, 3, 1, 1) + tlsa(leaf, 3, 1, 1), trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{name: "the better digest counts alone", zone: oneMX + tlsa(other.Leaf, 3, 1, 2) + tlsa(leaf, 3, 1, 1), trusted: true, cert: good, script: brokenOff, want: daneFails + notTheOne, found: wrong(resultInvalid, notTheOne)},
		{name: "DANE-TA of the issuer", zone: oneMX + tlsa(ca.cert, 2, 0, 1), trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{name: "DANE-TA whole certificate", zone: oneMX + tlsa(ca.cert, 2, 0, 0), trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{name: "DANE-TA may be for the domain", zone: oneMX + tlsa(ca.cert, 2, 1, 1), trusted: true, cert: domains, script: encrypted, want: delivered, found: right()},
		{name: "DANE-TA for other names", zone: oneMX + tlsa(ca.cert, 2, 1, 1), trusted: true, cert: other, script: brokenOff, want: daneFails + otherNames, found: wrong(resultMismatch, otherNames)},
		{name: "DANE-TA past its time", zone: oneMX + tlsa(ca.cert, 2, 1, 1), trusted: true, cert: old, script: brokenOff, want: daneFails + expired, found: wrong(resultExpired, expired)},
		{name: "DANE-TA of another issuer", zone: oneMX + tlsa(ca.cert, 2, 1, 1), trusted: true, cert: alien, script: brokenOff, want: daneFails + notTheOne, found: wrong(resultInvalid, notTheOne)},
		{name: "usages 0 and 1 are not for SMTP", zone: oneMX + tlsa(other.Leaf, 1, 1, 1) + tlsa(strangers.cert, 0, 1, 1), trusted: true, cert: good, script: encrypted, want: delivered, found: unusable},
		{name: "a digest cut short is not usable", zone: oneMX + "_25._tcp.mx.example.test. TLSA 3 1 1 abcd\n", trusted: true, cert: good, script: encrypted, want: delivered, found: unusable},
		{name: "an unusable record beside a usable one", zone: oneMX + tlsa(leaf, 1, 1, 1) + tlsa(other.Leaf, 3, 1, 1), trusted: true, cert: good, script: brokenOff, want: daneFails + notTheOne, found: wrong(resultInvalid, notTheOne)},
		{name: "nothing in the clear where there are records", zone: oneMX + tlsa(leaf, 3, 1, 1), trusted: true, cert: good, script: noTLS, want: daneNoTLS, found: wrong(resultNoTLS, "it does not offer encryption")},
		{name: "nothing in the clear where records are unusable", zone: oneMX + tlsa(leaf, 1, 1, 1), trusted: true, cert: good, script: noTLS, want: daneNoTLS, found: wrong(resultNoTLS, "it does not offer encryption")},
		{name: "nothing in the clear after STARTTLS is refused", zone: oneMX + tlsa(leaf, 3, 1, 1), trusted: true, cert: good, script: tlsRefused, want: daneFails + "not now", found: wrong(resultInvalid, "not now")},
		{name: "no records", zone: oneMX, trusted: true, cert: alien, script: encrypted, want: delivered},
		{name: "a resolver that is not trusted", zone: oneMX + tlsa(other.Leaf, 3, 1, 1), cert: good, script: encrypted, want: delivered},
		{name: "records that are not validated", zone: oneMX + tlsa(other.Leaf, 3, 1, 1), fault: map[string]dnstest.Fault{"_25._tcp.mx.example.test": insecure}, trusted: true, cert: good, script: inClear, want: plain},
		{name: "an MX that is not validated", zone: oneMX + tlsa(other.Leaf, 3, 1, 1), fault: map[string]dnstest.Fault{"example.test": insecure}, trusted: true, cert: good, script: inClear, want: plain},
		{name: "addresses that are not validated", zone: oneMX + tlsa(other.Leaf, 3, 1, 1), fault: map[string]dnstest.Fault{"mx.example.test": insecure}, trusted: true, cert: good, script: inClear, want: plain},
		{name: "a domain without MX is its own host", zone: strings.ReplaceAll("mx.example.test. A 192.0.2.1\n"+tlsa(leaf, 3, 1, 1), "mx.example", "example"), trusted: true, cert: good, script: encrypted,
			want: strings.ReplaceAll(delivered, "mx.example", "example"), found: right()},
		{name: "an alias: the name behind it", zone: aliased + behind, trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{name: "an alias: its own name", zone: aliased + tlsa(leaf, 3, 1, 1), trusted: true, cert: good, script: encrypted, want: delivered, found: right()},
		{
			name: "records that cannot be looked up", zone: oneMX + tlsa(leaf, 3, 1, 1), fault: map[string]dnstest.Fault{"_25._tcp.mx.example.test": {ServFail: true}}, trusted: true,
			want:  `a@example.test temporary 0 4.4.3 | which certificate mx.example.test should have (DANE) could not be found out: look up TLSA of "_25._tcp.mx.example.test": temporary failure*`,
			found: queue.Security{Policy: "tlsa", Result: resultDNSSEC},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, tt.run)
	}
}

func (tt policyTest) run(t *testing.T) {
	w := newWorld(t, tt.zone)
	w.zone.SetAuthentic(true)
	for name, fault := range tt.fault {
		w.zone.SetFault(name, fault)
	}
	w.tls = &tls.Config{Certificates: []tls.Certificate{tt.cert}}
	if tt.script != "" {
		w.scripts["192.0.2.1"] = []script{lines(tt.script)}
	}
	if tt.again != "" {
		w.scripts["192.0.2.1"] = append(w.scripts["192.0.2.1"], lines(tt.again))
	}
	c := w.courier(func(o *Options) {
		o.TLSConfig = &tls.Config{RootCAs: tt.roots}
		o.MTASTS = func(context.Context, string) mtasts.Finding { return tt.mtasts }
		if !tt.trusted {
			o.Resolver = w.distrusted()
		}
	})
	m := w.letter("a@example.test")
	if m.TLS = tt.demand; tt.bounce {
		m.From = ""
	}
	o := c.Deliver(t.Context(), "example.test", m)[0]
	if got := describe(o); !matches(got, tt.want) {
		t.Errorf("got  %s\nwant %s", got, tt.want)
	}
	if strings.HasSuffix(tt.want, "*") {
		o.Security.Words = "" // as the text, which depends on ports
	}
	if o.Security != tt.found {
		t.Errorf("found %+v, want %+v", o.Security, tt.found)
	}
}

// The name that is asked for a certificate is the one that the records are of (RFC 7672 section 8.1).
func TestDANEAsksByTheNameOfItsRecords(t *testing.T) {
	ca := newAuthority(t)
	good := ca.issue(false, "real.example.test")
	w := newWorld(t, "example.test. MX 10 mx.example.test.\nmx.example.test. CNAME real.example.test.\nreal.example.test. A 192.0.2.1\n"+
		strings.ReplaceAll(tlsa(ca.cert, 2, 1, 1), "mx.example", "real.example"))
	w.zone.SetAuthentic(true)
	var asked string
	w.tls = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked = hello.ServerName
		return &good, nil
	}}
	w.scripts["192.0.2.1"] = []script{lines(encrypted)}
	if o := w.courier().Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]; o.Status != queue.Delivered || asked != "real.example.test" {
		t.Errorf("got %s, asked for %q", describe(o), asked)
	}
}

// An alias that is validated, to an address that is not, has the records of its own name.
func TestDANEOfAnAliasIntoAnotherZone(t *testing.T) {
	ca := newAuthority(t)
	good, other := ca.issue(false, "mx.example.test"), ca.issue(false, "mx.example.test")
	for name, tt := range map[string]struct {
		published tls.Certificate
		script    string
		status    queue.Status
	}{"right": {good, encrypted, queue.Delivered}, "wrong": {other, brokenOff, queue.Temporary}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "example.test. MX 10 mx.example.test.\nmx.example.test. CNAME host.far.test.\nhost.far.test. A 192.0.2.1\n"+tlsa(tt.published.Leaf, 3, 1, 1))
			w.zone.SetAuthentic(true)
			w.zone.SetFault("mx.example.test", dnstest.Fault{Bare: true})
			w.zone.SetFault("host.far.test", dnstest.Fault{Insecure: true})
			w.tls = &tls.Config{Certificates: []tls.Certificate{good}}
			w.scripts["192.0.2.1"] = []script{lines(tt.script)}
			o := w.courier().Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
			if o.Status != tt.status || o.Security.Policy != "tlsa" {
				t.Errorf("got %s, %+v", describe(o), o.Security)
			}
		})
	}
}

// Where one host does not come up to its records, the next gets its chance.
func TestDANEGoesOnToTheNextHost(t *testing.T) {
	ca := newAuthority(t)
	good, other := ca.issue(false, "mx.example.test"), ca.issue(false, "mx.example.test")
	w := newWorld(t, oneMX+tlsa(other.Leaf, 3, 1, 1)+"example.test. MX 20 next.example.test.\nnext.example.test. A 192.0.2.2\n")
	w.zone.SetAuthentic(true)
	w.tls = &tls.Config{Certificates: []tls.Certificate{good}}
	w.scripts["192.0.2.1"], w.scripts["192.0.2.2"] = []script{lines(brokenOff)}, []script{lines(inClear)}
	o := w.courier().Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
	if o.Status != queue.Delivered || !strings.HasPrefix(o.Host, "next.example.test") || o.Security != (queue.Security{}) {
		t.Errorf("got %s, %+v", describe(o), o.Security)
	}
}

// distrusted is a resolver whose server's word on DNSSEC does not count.
func (w *world) distrusted() *dns.Resolver {
	r, err := dns.New(dns.Options{Servers: []string{w.zone.Addr()}, Trusted: func(netip.Addr) bool { return false }})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// A host that was not asked, since its records could not be looked up, is not forgotten over another that did
// not answer: nobody can say that the whole domain was out of reach (queue.unreachable).
func TestDANENotFoundOutIsNoOutage(t *testing.T) {
	w := newWorld(t, oneMX+"example.test. MX 20 two.example.test.\ntwo.example.test. A 192.0.2.2")
	w.zone.SetAuthentic(true)
	w.zone.SetFault("_25._tcp.mx.example.test", dnstest.Fault{ServFail: true})
	o := w.courier().Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
	if o.Status != queue.Temporary || o.Enhanced != "4.4.3" || o.Security.Policy != policyDANE {
		t.Errorf("got %s, %+v", describe(o), o.Security)
	}
	if len(w.dialed) != 1 || w.dialed[0] != "192.0.2.2" {
		t.Errorf("dialed %v", w.dialed)
	}
}
