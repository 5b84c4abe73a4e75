package remote

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

// The types of policies and of what is found wrong have their names from RFC 8460 sections 4.2 and 4.3.
const (
	policyDANE = "tlsa"
	policySTS  = "sts"

	resultNoTLS     = "starttls-not-supported"
	resultMismatch  = "certificate-host-mismatch"
	resultExpired   = "certificate-expired"
	resultUntrusted = "certificate-not-trusted"
	resultInvalid   = "validation-failure"
	resultTLSA      = "tlsa-invalid"
	resultDNSSEC    = "dnssec-invalid"
)

// policy is what a connection to a host must be like before a message goes over it. The zero value
// is that of most hosts: TLS where it works (RFC 7435).
type policy struct {
	kind     string // of RFC 8460; "" = none
	name     string // for people
	enforced bool   // what does not come up to it gets nothing
	required bool   // by the sender, for good: REQUIRETLS (RFC 8689)
	sni      string // name that is asked for a certificate; "" = the host's
	demands  bool   // by a route, of its smarthost
	way      string // over a smarthost (route.Route.Key); "" = to a server of the domain
	vouched  bool   // that the host is one of the domain's is known, and its certificate is checked
	// check tells what is wrong with a connection; nil: everything is right that is encrypted.
	check func(tls.ConnectionState) *finding
	// noting is what a smarthost's name has published of its certificate: it is told of, beside what check demands.
	noting func(tls.ConnectionState) *finding
	noted  *finding // the same, before anything was sent
	// before is what was wrong before anything was sent, and never the verdict if that is the end of it.
	before *finding
	never  *verdict
}

// finding is what was wrong with a host, by its name in RFC 8460 section 4.3 and in words.
type finding struct {
	result string
	words  string
}

// says tells whether there is a policy.
func (p policy) says() bool { return p.kind != "" || p.required || p.demands }

// policyOf finds what holds for a host: what it and its domain have published, unless the sender cares less
// or more (RFC 8689 section 4.2).
func (a *attempt) policyOf(ctx context.Context, h host) policy {
	if !a.m.Route.Direct() {
		return a.smarthostPolicy(ctx)
	}
	if a.m.TLS == queue.TLSOptional {
		return policy{}
	}
	p := a.published(ctx, h)
	if a.m.TLS == queue.TLSRequired && p.never == nil {
		return a.require(p, h)
	}
	return p
}

// require adds what REQUIRETLS demands (RFC 8689 section 4.2.1): somebody vouches for the host's being one of the
// domain's, by DNSSEC or MTA-STS, and its certificate is right. A bounce is not lost by it (section 5).
func (a *attempt) require(p policy, h host) policy {
	p.vouched = p.check != nil
	name := h.name
	if a.domainASCII == "" {
		name = h.addrs[0].String() // the sender named the host, and it is an address
	}
	if !p.vouched && (a.authentic || a.domainASCII == "") {
		p.vouched = true
		p.check = func(state tls.ConnectionState) *finding { return a.c.checkWeb(state, name) }
	}
	if a.m.From == "" {
		return p
	}
	p.name, p.enforced, p.required = "the sender (REQUIRETLS)", true, true
	if !p.vouched {
		v := permanent("5.7.30", "the sender demands secure connections all the way (REQUIRETLS), and nobody vouches for %s being a server of %s", h.name, a.domain)
		p.never, p.before = &v, &finding{resultInvalid, "nobody vouches for the server"}
	}
	return p
}

// published finds what a host and its domain have published. DANE goes first: what a host says of itself by validated
// records is not overridden by what its domain says (RFC 8461 section 2).
func (a *attempt) published(ctx context.Context, h host) policy {
	dane, err := a.findDANE(ctx, h)
	switch {
	case err != nil:
		v := temporary("4.4.3", "which certificate %s should have (DANE) could not be found out: %v", h.name, err)
		return policy{kind: policyDANE, name: "DANE", before: &finding{resultDNSSEC, v.text}, never: &v}
	case dane != nil:
		return a.danePolicy(dane)
	case a.domainASCII != "":
		return a.domainPolicy(ctx, h)
	}
	return policy{}
}

// domainPolicy is what MTA-STS says of a host (RFC 8461 section 5).
func (a *attempt) domainPolicy(ctx context.Context, h host) policy {
	if a.mtasts == nil {
		found := a.c.mtasts(ctx, a.domainASCII)
		a.mtasts = &found
	}
	p := policy{kind: policySTS, name: "the MTA-STS policy of " + a.domainASCII}
	switch sts := a.mtasts.Policy; {
	case sts == nil && a.mtasts.Err == nil:
		return policy{}
	case sts == nil:
		// It is as if there were none (section 3.3).
		p.before = &finding{a.mtasts.Result, sanitise(a.mtasts.Err.Error())}
	case !sts.Allows(h.name):
		p.enforced = sts.Mode == mtasts.Enforce
		p.before = &finding{resultInvalid, h.name + " is not one of the servers that it names"}
		if p.enforced {
			v := temporary("4.7.5", "%s does not name %s as a server for its mail", p.name, h.name)
			p.never = &v
		}
	default:
		p.enforced = sts.Mode == mtasts.Enforce
		p.check = func(state tls.ConnectionState) *finding { return a.c.checkWeb(state, h.name) }
	}
	return p
}

// checkWeb tells what is wrong with a certificate by the rules of the web: the system's authorities, and a
// subject alternative name for the host (RFC 8461 section 4.2).
func (c *Courier) checkWeb(state tls.ConnectionState, host string) *finding {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return &finding{resultInvalid, "it shows no certificate"}
	}
	return c.checkChain(chain, c.tls.RootCAs, host)
}

// checkChain is checkWeb with authorities of one's choice.
func (c *Courier) checkChain(chain []*x509.Certificate, roots *x509.CertPool, host string) *finding {
	if f := verify(chain, roots, c.now()); f != nil {
		return f
	}
	if chain[0].VerifyHostname(host) != nil {
		return &finding{resultMismatch, "its certificate is for other names"}
	}
	return nil
}

// danePolicy is that of a host with TLSA records. If none of them can be used, the connection must still
// be encrypted (RFC 7672 section 2.2).
func (a *attempt) danePolicy(dane *daneSet) policy {
	p := policy{kind: policyDANE, name: "DANE", enforced: true, sni: dane.names[0]} // RFC 7672 section 8.1
	if len(dane.records) > 0 {
		p.check = func(state tls.ConnectionState) *finding { return dane.check(state, a.c.now()) }
	}
	return p
}

// refuse is the verdict where a host does not come up to a policy: temporary, as hosts get mended and the next
// one may be better; for good where the sender wants it so, unless the server has said "later".
func (p policy) refuse(t target, cause verdict) verdict {
	enhanced, words := "4.7.5", cause.text // RFC 3463 section 3.8
	if t.finding != nil {
		words = t.finding.words
		if t.finding.result == resultNoTLS {
			enhanced = "4.7.10" // "encryption needed"
		}
	}
	if p.required && (cause.code == 0 || cause.status == queue.Permanent) {
		return permanent("5.7.10", "%s demands a secure connection to %s: %s", p.name, t, words) // RFC 8689 section 4.2.1
	}
	return temporary(enhanced, "%s demands a secure connection to %s: %s", p.name, t, words)
}

// security is what a policy demanded of a connection, and what was found.
func (t target) security() queue.Security {
	p := t.policy
	if !p.says() {
		return queue.Security{}
	}
	if p.way != "" {
		return t.smarthostSecurity()
	}
	s := queue.Security{Policy: p.kind}
	switch {
	case t.finding != nil && p.enforced:
		s.Result, s.Words = t.finding.result, fmt.Sprintf("%s: %s", p.name, t.finding.words)
	case t.finding != nil:
		s.Result, s.Words = t.finding.result, fmt.Sprintf("%s, not enforced: %s", p.name, t.finding.words)
	case p.kind == policyDANE && p.check == nil && t.tls:
		// Nothing can be compared; what there is, is not for us or malformed.
		s.Result, s.Words = resultTLSA, fmt.Sprintf("%s: no record can be used, so any certificate is taken", p.name)
	case t.tls:
		s.Words = fmt.Sprintf("%s: the certificate is right", p.name)
	}
	return s
}

// config is that of a handshake: what is found is kept in t, and ends the handshake if it must.
func (c *Courier) config(t *target) *tls.Config {
	config := c.tls.Clone()
	config.ServerName = cmp.Or(t.policy.sni, t.host)
	if _, literal := parseLiteral(t.host); literal {
		config.ServerName = t.addr.String()
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if t.policy.noting != nil {
			t.noted = t.policy.noting(state)
		}
		if t.policy.check == nil {
			return nil
		}
		t.finding = t.policy.check(state)
		if t.finding != nil && t.policy.enforced {
			return errors.New(t.finding.words)
		}
		return nil
	}
	return config
}

// verify checks the chain that a server has shown, up to one of the roots, but not its names.
func verify(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) *finding {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	if err == nil {
		return nil
	}
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &finding{resultExpired, "its certificate is past its time, or before it"}
	case errors.As(err, &unknown):
		return &finding{resultUntrusted, "its certificate is not of an authority that counts"}
	}
	return &finding{resultInvalid, fmt.Sprintf("its certificate is not valid: %v", err)}
}
