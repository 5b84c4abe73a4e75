package dns

import (
	"context"
	"encoding/hex"

	miekg "github.com/miekg/dns"
)

// TLSA says which certificate a server has, or who issued it (RFC 6698 section 2.1).
type TLSA struct {
	Usage    uint8  // what the record is about: 2 an issuer, 3 the server's own certificate
	Selector uint8  // of what: 0 the whole certificate, 1 its public key
	Matching uint8  // as what: 0 itself, 1 its SHA-256, 2 its SHA-512
	Data     []byte // to be found
}

// LookupTLSA gives the TLSA records at name, which is that of RFC 6698 section 3:
// "_25._tcp." and a host. They mean nothing unless the answer is Authentic. Errors are of type *Error.
func (r *Resolver) LookupTLSA(ctx context.Context, name string) (Answer[TLSA], error) {
	a, err := r.lookup(ctx, name, miekg.TypeTLSA)
	if err != nil {
		return Answer[TLSA]{}, err
	}
	records := convert(a, func(rr *miekg.TLSA) (TLSA, bool) {
		data, err := hex.DecodeString(rr.Certificate)
		return TLSA{rr.Usage, rr.Selector, rr.MatchingType, data}, err == nil
	})
	return Answer[TLSA]{records, a.authentic, a.name}, nil
}

// IsAuthenticAlias tells whether host is an alias (CNAME) by a record that a trusted server has
// validated, wherever it leads. Errors are of type *Error; that there is no such record is none.
func (r *Resolver) IsAuthenticAlias(ctx context.Context, host string) (bool, error) {
	a, err := r.lookup(ctx, host, miekg.TypeCNAME)
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil && a.authentic, err
}
