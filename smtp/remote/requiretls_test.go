package remote

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

func TestREQUIRETLS(t *testing.T) {
	ca := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	good, other := ca.issue(false, "mx.example.test"), ca.issue(false, "other.test")
	insecure := map[string]dnstest.Fault{"example.test": {Insecure: true}}
	testing := sts(mtasts.Testing, "mx.example.test")
	const (
		sender    = "the sender (REQUIRETLS)"
		offered   = hello + "starttls\nC: EHLO us.test\nS: 250-x\nS: 250 REQUIRETLS\n"
		notToBe   = hello + "starttls\nC: EHLO us.test\nS: 250 x\nC: QUIT\nS: 221 bye\neof"
		fails     = `a@example.test permanent 0 5.7.10 | ` + sender + ` demands a secure connection to mx.example.test [192.0.2.1]: `
		noPromise = `a@example.test permanent 0 5.7.30 tls | the sender demands secure connections all the way (REQUIRETLS), which mx.example.test [192.0.2.1] does not offer`
		noVoucher = `a@example.test permanent 0 5.7.30 | the sender demands secure connections all the way (REQUIRETLS), and nobody vouches for mx.example.test being a server of example.test`
	)
	takes := strings.Replace(takesMail, "test>\n", "test> REQUIRETLS\n", 1)
	bounceTo := func(script string) string { return strings.Replace(script, "<sender@us.test>", "<>", 1) }
	ok := func(kind string) queue.Security {
		return queue.Security{Policy: kind, Words: sender + ": the certificate is right"}
	}
	not := func(kind, result, words string) queue.Security {
		return queue.Security{Policy: kind, Result: result, Words: sender + ": " + words}
	}
	tests := []policyTest{
		{name: "DANE vouches", zone: tlsa(good.Leaf, 3, 1, 1), trusted: true, script: offered + takes, want: delivered, found: ok("tlsa")},
		{name: "MTA-STS vouches, also when testing", mtasts: testing, script: offered + takes, want: delivered, found: ok("sts")},
		{name: "DNSSEC vouches", trusted: true, script: offered + takes, want: delivered, found: ok("")},
		{name: "nobody vouches", fault: insecure, trusted: true, want: noVoucher, found: not("", resultInvalid, "nobody vouches for the server")},
		{name: "MTA-STS does not name the host", mtasts: sts(mtasts.Testing, "other.test"), want: noVoucher, found: not("sts", resultInvalid, "nobody vouches for the server")},
		{name: "not offered", mtasts: testing, script: notToBe, want: noPromise, found: ok("sts")},
		{name: "offered in the clear only", mtasts: testing, script: strings.Replace(notToBe, "S: 250 STARTTLS", "S: 250-REQUIRETLS\nS: 250 STARTTLS", 1), want: noPromise, found: ok("sts")},
		{name: "a certificate for other names", mtasts: testing, cert: other, script: brokenOff, want: fails + otherNames, found: not("sts", resultMismatch, otherNames)},
		{name: "another certificate than DANE names", zone: tlsa(other.Leaf, 3, 1, 1), trusted: true, script: brokenOff, want: fails + notTheOne, found: not("tlsa", resultInvalid, notTheOne)},
		{name: "DNSSEC vouches, a certificate for other names", trusted: true, cert: other, script: brokenOff, want: fails + otherNames, found: not("", resultMismatch, otherNames)},
		{name: "no STARTTLS", mtasts: testing, script: noTLS, want: fails + unoffered, found: not("sts", resultNoTLS, unoffered)},
		{name: "STARTTLS put off", mtasts: testing, script: tlsRefused, found: not("sts", resultInvalid, "not now"),
			want: strings.NewReplacer("permanent", "temporary", "5.7.10", "4.7.5").Replace(fails) + "not now"},
		{name: "a bounce is not lost", bounce: true, script: bounceTo(inClear), want: plain},
		{name: "a bounce says it where it can", bounce: true, mtasts: testing, script: bounceTo(offered + takes), want: delivered,
			found: queue.Security{Policy: "sts", Words: theSTS + ": the certificate is right"}},
		{name: "a bounce says nothing where nobody vouches", bounce: true, script: bounceTo(offered + takesMail), want: delivered},
	}
	for _, tt := range tests {
		tt.zone, tt.roots, tt.demand = oneMX+tt.zone, roots, queue.TLSRequired
		if tt.cert.Certificate == nil {
			tt.cert = good
		}
		t.Run(tt.name, tt.run)
	}
}

// TLS-Required: No: what would keep others off does not keep this message off (RFC 8689 section 4.2.2).
func TestTLSNotRequired(t *testing.T) {
	ca := newAuthority(t)
	good, other := ca.issue(false, "mx.example.test"), ca.issue(false, "mx.example.test")
	for _, tt := range []policyTest{
		{name: "DANE names another certificate", zone: tlsa(other.Leaf, 3, 1, 1), trusted: true, script: encrypted, want: delivered},
		{name: "DANE, no STARTTLS", zone: tlsa(good.Leaf, 3, 1, 1), trusted: true, script: inClear, want: plain},
		{name: "DANE, STARTTLS refused", zone: tlsa(good.Leaf, 3, 1, 1), trusted: true, script: tlsRefused, again: inClear, want: plain},
		{name: "DANE cannot be looked up", fault: map[string]dnstest.Fault{"_25._tcp.mx.example.test": {ServFail: true}}, trusted: true, script: encrypted, want: delivered},
		{name: "MTA-STS, another host", mtasts: sts(mtasts.Enforce, "other.test"), script: inClear, want: plain},
		{name: "MTA-STS, no policy to be had", mtasts: mtasts.Finding{Err: errors.New("gone"), Result: "sts-policy-fetch-error"}, script: encrypted, want: delivered},
	} {
		tt.zone, tt.cert, tt.demand = oneMX+tt.zone, good, queue.TLSOptional
		t.Run(tt.name, tt.run)
	}
}

// Where one host does not offer REQUIRETLS, the next may.
func TestREQUIRETLSGoesOnToTheNextHost(t *testing.T) {
	ca := newAuthority(t)
	good := ca.issue(false, "mx.example.test")
	next := strings.ReplaceAll(tlsa(good.Leaf, 3, 1, 1), "mx.example", "next.example")
	w := newWorld(t, oneMX+tlsa(good.Leaf, 3, 1, 1)+"example.test. MX 20 next.example.test.\nnext.example.test. A 192.0.2.2\n"+next)
	w.zone.SetAuthentic(true)
	w.tls.Certificates[0] = good
	secure := hello + "starttls\nC: EHLO us.test\nS: 250-x\nS: 250 REQUIRETLS\n" + strings.Replace(takesMail, "test>\n", "test> REQUIRETLS\n", 1)
	w.scripts["192.0.2.1"] = []script{lines(hello + "starttls\nC: EHLO us.test\nS: 250 x\nC: QUIT\nS: 221 bye\neof")}
	w.scripts["192.0.2.2"] = []script{lines(secure)}
	m := w.letter("a@example.test")
	m.TLS = queue.TLSRequired
	if o := w.courier().Deliver(t.Context(), "example.test", m)[0]; o.Status != queue.Delivered || !strings.HasPrefix(o.Host, "next.") {
		t.Errorf("got %s", describe(o))
	}
}
