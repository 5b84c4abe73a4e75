package dns

import (
	"context"
	"strings"

	miekg "github.com/miekg/dns"
)

// CAA says which authorities may give certificates for a name (RFC 8659 section 4.1).
type CAA struct {
	Critical bool   // an authority that does not know the tag must give none
	Tag      string // issue, issuewild or iodef; lower case
	Value    string
}

// Issuer is the domain of the authority that a record with the tag issue names, in lower case; "" = none may
// (RFC 8659 section 4.2).
func (c CAA) Issuer() string {
	domain, _, _ := strings.Cut(c.Value, ";")
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(domain), "."))
}

// criticalCAA is the bit of a record's flags that marks it as critical (RFC 8659 section 4.1).
const criticalCAA = 128

// LookupCAA gives the CAA records at the very name; those that count for it may be at a name above (RFC 8659 section 3).
// Errors are of type *Error.
func (r *Resolver) LookupCAA(ctx context.Context, name string) (Answer[CAA], error) {
	a, err := r.lookup(ctx, name, miekg.TypeCAA)
	if err != nil {
		return Answer[CAA]{}, err
	}
	records := convert(a, func(rr *miekg.CAA) (CAA, bool) {
		return CAA{rr.Flag&criticalCAA != 0, strings.ToLower(rr.Tag), unescape(rr.Value)}, true
	})
	return Answer[CAA]{records, a.authentic, a.name}, nil
}
