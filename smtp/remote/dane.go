package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/dns"
)

// The numbers in TLSA records that mean something to SMTP (RFC 7671 section 2).
const (
	usageAnchor = 2 // DANE-TA: who issued the server's certificate
	usageServer = 3 // DANE-EE: the server's certificate

	selectCertificate = 0
	selectKey         = 1

	matchWhole  = 0
	matchSHA256 = 1
	matchSHA512 = 2
)

// daneSet is what a host publishes of its certificates.
type daneSet struct {
	records []dns.TLSA // those that can be used
	names   []string   // that a certificate may be for, if an anchor vouches for it
}

// findDANE looks up the TLSA records of a host (RFC 7672 section 2.2). nil means that there are none that
// count: without a validated MX and validated addresses none is asked for (sections 2.2.1 and
// 2.2.3), and what is not validated itself is nobody's word. An error is temporary, and
// nothing may be sent to the host then (section 2.1.2): it may be an attacker's.
func (a *attempt) findDANE(ctx context.Context, h host) (*daneSet, error) {
	if !a.authentic || !h.authentic && h.alias == h.name {
		return nil, nil
	}
	bases := []string{h.alias, h.name} // section 2.2.2: the name at the end of the aliases goes first
	if !h.authentic {
		if secure, err := a.c.resolver.IsAuthenticAlias(ctx, h.name); !secure || err != nil {
			return nil, err
		}
		bases = bases[1:]
	}
	for _, base := range slices.Compact(bases) {
		answer, err := a.c.resolver.LookupTLSA(ctx, fmt.Sprintf("_%d._tcp.%s", a.c.port, base))
		switch {
		case dns.IsNotFound(err) || err == nil && !answer.Authentic:
			continue
		case err != nil:
			return nil, err
		}
		return &daneSet{usable(answer.Records), []string{base, h.name, a.domainASCII, a.domainAlias}}, nil
	}
	return nil, nil
}

// usable leaves the records that SMTP can use (RFC 7672 section 3.1.3): those of usages 0 and 1 lean on authorities that
// mail servers do not agree on. Where a record has a better digest than another of the
// same kind, the other does not count (RFC 7671 section 9).
func usable(records []dns.TLSA) []dns.TLSA {
	good := slices.DeleteFunc(slices.Clone(records), func(r dns.TLSA) bool { return !isUsable(r) })
	return slices.DeleteFunc(slices.Clone(good), func(r dns.TLSA) bool {
		return r.Matching == matchSHA256 && slices.ContainsFunc(good, func(o dns.TLSA) bool {
			return o.Matching == matchSHA512 && o.Usage == r.Usage && o.Selector == r.Selector
		})
	})
}

func isUsable(r dns.TLSA) bool {
	if r.Usage != usageAnchor && r.Usage != usageServer || r.Selector > selectKey {
		return false
	}
	var err error
	switch r.Matching {
	case matchSHA256:
		return len(r.Data) == sha256.Size
	case matchSHA512:
		return len(r.Data) == sha512.Size
	case matchWhole:
		if r.Selector == selectCertificate {
			_, err = x509.ParseCertificate(r.Data)
		} else {
			_, err = x509.ParsePKIXPublicKey(r.Data)
		}
		return err == nil
	}
	return false
}

// matchesRecord tells whether a record is about a certificate (RFC 6698 section 2.1).
func matchesRecord(r dns.TLSA, c *x509.Certificate) bool {
	data := c.Raw
	if r.Selector == selectKey {
		data = c.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case matchSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case matchSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return bytes.Equal(data, r.Data)
}

// check tells what is wrong with the certificates that a server has shown, nil if they are those of the records. Where
// the record is about the server's own certificate, names and dates in it do not matter: the record
// says both (RFC 7672 section 3.1.1).
func (d *daneSet) check(state tls.ConnectionState, now time.Time) *finding {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return &finding{resultInvalid, "it shows no certificate"}
	}
	for _, r := range d.records {
		if r.Usage == usageServer && matchesRecord(r, chain[0]) {
			return nil
		}
	}
	anchors := d.anchors(chain)
	if len(anchors) == 0 {
		return &finding{resultInvalid, "its certificate is not the one that its TLSA records name"}
	}
	return checkChain(chain, anchors, d.names, now)
}

// anchors are the certificates that records of usage 2 are about: of those that the server has
// shown, and those that stand in a record as a whole (RFC 7671 section 5.2).
func (d *daneSet) anchors(chain []*x509.Certificate) []*x509.Certificate {
	var found []*x509.Certificate
	for _, r := range d.records {
		if r.Usage != usageAnchor {
			continue
		}
		if r.Selector == selectCertificate && r.Matching == matchWhole {
			if c, err := x509.ParseCertificate(r.Data); err == nil {
				found = append(found, c)
			}
		}
		for _, c := range chain {
			if matchesRecord(r, c) {
				found = append(found, c)
			}
		}
	}
	return found
}

// checkChain verifies a chain up to one of the anchors, and that it is for one of the names
// (RFC 7672 sections 3.1.2 and 3.2).
func checkChain(chain, anchors []*x509.Certificate, names []string, now time.Time) *finding {
	roots := x509.NewCertPool()
	for _, c := range anchors {
		roots.AddCert(c)
	}
	if f := verify(chain, roots, now); f != nil {
		return f
	}
	if !slices.ContainsFunc(names, func(name string) bool { return isFor(chain[0], name) }) {
		return &finding{resultMismatch, "its certificate is for other names"}
	}
	return nil
}

// isFor tells whether a certificate is for a host. The subject's common name counts where the
// certificate names no other host (RFC 7672 section 3.2.3).
func isFor(c *x509.Certificate, name string) bool {
	if name == "" {
		return false
	}
	return c.VerifyHostname(name) == nil || len(c.DNSNames) == 0 && strings.EqualFold(c.Subject.CommonName, name)
}
