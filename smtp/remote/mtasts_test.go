package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

const (
	theSTS    = "the MTA-STS policy of example.test"
	stsFails  = `a@example.test temporary 0 4.7.5 | ` + theSTS + ` demands a secure connection to mx.example.test [192.0.2.1]: `
	untrusted = "its certificate is not of an authority that counts"
	unnamed   = "mx.example.test is not one of the servers that it names"
	unoffered = "it does not offer encryption"
)

func sts(mode mtasts.Mode, hosts ...string) mtasts.Finding {
	return mtasts.Finding{Policy: &mtasts.Policy{Mode: mode, MX: hosts}}
}

func stsWrong(result, words string) queue.Security {
	return queue.Security{Policy: "sts", Result: result, Words: theSTS + ": " + words}
}

func stsNoted(result, words string) queue.Security {
	return queue.Security{Policy: "sts", Result: result, Words: theSTS + ", not enforced: " + words}
}

func TestMTASTS(t *testing.T) {
	ca, strangers := newAuthority(t), newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	good, old := ca.issue(false, "mx.example.test"), ca.issue(true, "mx.example.test")
	other, alien, wild := ca.issue(false, "other.test"), strangers.issue(false, "mx.example.test"), ca.issue(false, "*.example.test")
	enforce, testing := sts(mtasts.Enforce, "mx.example.test"), sts(mtasts.Testing, "mx.example.test")
	stsRight := queue.Security{Policy: "sts", Words: theSTS + ": the certificate is right"}
	tests := []policyTest{
		{name: "enforced and right", mtasts: enforce, cert: good, script: encrypted, want: delivered, found: stsRight},
		{name: "a wildcard in the policy", mtasts: sts(mtasts.Enforce, "*.example.test"), cert: good, script: encrypted, want: delivered, found: stsRight},
		{name: "a wildcard in the certificate", mtasts: enforce, cert: wild, script: encrypted, want: delivered, found: stsRight},
		{name: "enforced, another host", mtasts: sts(mtasts.Enforce, "other.test"), found: stsWrong(resultInvalid, unnamed),
			want: `a@example.test temporary 0 4.7.5 | ` + theSTS + ` does not name mx.example.test as a server for its mail`},
		{name: "enforced, a certificate for other names", mtasts: enforce, cert: other, script: brokenOff, want: stsFails + otherNames, found: stsWrong(resultMismatch, otherNames)},
		{name: "enforced, past its time", mtasts: enforce, cert: old, script: brokenOff, want: stsFails + expired, found: stsWrong(resultExpired, expired)},
		{name: "enforced, an unknown authority", mtasts: enforce, cert: alien, script: brokenOff, want: stsFails + untrusted, found: stsWrong(resultUntrusted, untrusted)},
		{name: "enforced, no STARTTLS", mtasts: enforce, script: noTLS, want: strings.Replace(stsFails, "4.7.5", "4.7.10", 1) + unoffered, found: stsWrong(resultNoTLS, unoffered)},
		{name: "enforced, STARTTLS refused", mtasts: enforce, script: tlsRefused, want: stsFails + "not now", found: stsWrong(resultInvalid, "not now")},
		{name: "testing and right", mtasts: testing, cert: good, script: encrypted, want: delivered, found: stsRight},
		{name: "testing, another host", mtasts: sts(mtasts.Testing, "other.test"), cert: good, script: encrypted, want: delivered, found: stsNoted(resultInvalid, unnamed)},
		{name: "testing, a certificate for other names", mtasts: testing, cert: other, script: encrypted, want: delivered, found: stsNoted(resultMismatch, otherNames)},
		{name: "testing, no STARTTLS", mtasts: testing, script: inClear, want: plain, found: stsNoted(resultNoTLS, unoffered)},
		{name: "testing, STARTTLS refused, then in the clear", mtasts: testing, script: tlsRefused, again: inClear, want: plain, found: stsNoted(resultInvalid, "not now")},
		{name: "no policy, an unknown authority", cert: alien, script: encrypted, want: delivered},
		{name: "no policy, STARTTLS refused, then in the clear", script: tlsRefused, again: inClear, want: plain},
		{
			name: "a policy that cannot be fetched", mtasts: mtasts.Finding{Err: errors.New("not there"), Result: "sts-policy-fetch-error"}, script: inClear, want: plain,
			found: stsNoted("sts-policy-fetch-error", "not there"),
		},
		{name: "DANE goes first, and is right", zone: tlsa(alien.Leaf, 3, 1, 1), trusted: true, mtasts: enforce, cert: alien, script: encrypted, want: delivered, found: right()},
		{name: "DANE goes first, and is wrong", zone: tlsa(alien.Leaf, 3, 1, 1), trusted: true, mtasts: enforce, cert: good, script: brokenOff, want: daneFails + notTheOne, found: wrong(resultInvalid, notTheOne)},
	}
	for _, tt := range tests {
		tt.zone, tt.roots = oneMX+tt.zone, roots
		if tt.cert.Certificate == nil {
			tt.cert = good
		}
		t.Run(tt.name, tt.run)
	}
}

// The next host may be one that the policy names; it is looked up once for all hosts.
func TestMTASTSGoesOnToTheNextHost(t *testing.T) {
	ca := newAuthority(t)
	w := newWorld(t, oneMX+"example.test. MX 20 next.example.test.\nnext.example.test. A 192.0.2.2\n")
	w.tls = &tls.Config{Certificates: []tls.Certificate{ca.issue(false, "next.example.test")}}
	w.scripts["192.0.2.2"] = []script{lines(encrypted)}
	asked := 0
	c := w.courier(func(o *Options) {
		o.TLSConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		o.TLSConfig.RootCAs.AddCert(ca.cert)
		o.MTASTS = func(_ context.Context, domain string) mtasts.Finding {
			if asked++; domain != "example.test" {
				t.Errorf("asked for %s", domain)
			}
			return sts(mtasts.Enforce, "next.example.test")
		}
	})
	o := c.Deliver(t.Context(), "Example.test", w.letter("a@example.test"))[0]
	if o.Status != queue.Delivered || o.Security.Result != "" || o.Security.Policy != "sts" || asked != 1 {
		t.Errorf("got %s, %+v, asked %d times", describe(o), o.Security, asked)
	}
}
