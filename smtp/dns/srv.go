package dns

import (
	"context"

	miekg "github.com/miekg/dns"
)

// SRV says where a service of a domain is (RFC 2782).
type SRV struct {
	Priority, Weight uint16
	Port             uint16
	Host             string // as MX.Host; "" = the service is not there
}

// LookupSRV gives the SRV records at name, which is a service, a protocol and a domain, like
// "_imaps._tcp.example.org", as they come. Errors are of type *Error.
func (r *Resolver) LookupSRV(ctx context.Context, name string) (Answer[SRV], error) {
	a, err := r.lookup(ctx, name, miekg.TypeSRV)
	if err != nil {
		return Answer[SRV]{}, err
	}
	records := convert(a, func(rr *miekg.SRV) (SRV, bool) {
		return SRV{rr.Priority, rr.Weight, rr.Port, hostName(rr.Target)}, true
	})
	return Answer[SRV]{records, a.authentic, a.name}, nil
}
