package dns

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	miekg "github.com/miekg/dns"
)

// Answer is the outcome of a look-up that found something.
type Answer[T any] struct {
	// Records holds at least one and at most 100 records; LookupAddrs gives up
	// to 100 of each kind. The slice is the caller's.
	Records []T
	// Authentic says that a trusted server has validated all of it by DNSSEC.
	Authentic bool
	// Name is where the records are: the name that was asked for, or the one that it is an alias
	// of (CNAME); lower case, without final dot.
	Name string
}

// MX is a mail exchanger (RFC 5321 section 5.1).
type MX struct {
	// Preference orders the exchangers: the lowest number comes first.
	Preference uint16
	// Host is the exchanger's name in lower case, without final dot; empty for
	// the null MX (RFC 7505). It is what the domain's owner wrote, so not
	// always a name that can exist.
	Host string
}

// LookupMX gives the mail exchangers of domain, the most preferred first.
// Domain may be Unicode. Errors are of type *Error.
func (r *Resolver) LookupMX(ctx context.Context, domain string) (Answer[MX], error) {
	a, err := r.lookup(ctx, domain, miekg.TypeMX)
	if err != nil {
		return Answer[MX]{}, err
	}
	mxs := convert(a, func(rr *miekg.MX) (MX, bool) {
		return MX{rr.Preference, hostName(rr.Mx)}, true
	})
	slices.SortStableFunc(mxs, func(a, b MX) int { return cmp.Compare(a.Preference, b.Preference) })
	return Answer[MX]{mxs, a.authentic, a.name}, nil
}

// LookupA gives the IPv4 addresses of host. Errors are of type *Error.
func (r *Resolver) LookupA(ctx context.Context, host string) (Answer[netip.Addr], error) {
	a, err := r.lookup(ctx, host, miekg.TypeA)
	if err != nil {
		return Answer[netip.Addr]{}, err
	}
	addrs := convert(a, func(rr *miekg.A) (netip.Addr, bool) {
		addr, ok := netip.AddrFromSlice(rr.A)
		return addr.Unmap(), ok
	})
	return Answer[netip.Addr]{addrs, a.authentic, a.name}, nil
}

// LookupAAAA gives the IPv6 addresses of host. Errors are of type *Error.
func (r *Resolver) LookupAAAA(ctx context.Context, host string) (Answer[netip.Addr], error) {
	a, err := r.lookup(ctx, host, miekg.TypeAAAA)
	if err != nil {
		return Answer[netip.Addr]{}, err
	}
	addrs := convert(a, func(rr *miekg.AAAA) (netip.Addr, bool) {
		return netip.AddrFromSlice(rr.AAAA)
	})
	return Answer[netip.Addr]{addrs, a.authentic, a.name}, nil
}

// LookupAddrs gives the addresses of host of both kinds, IPv6 first. One kind
// is enough: it fails only when neither is found, temporarily if either look-up
// did so. Errors are of type *Error.
func (r *Resolver) LookupAddrs(ctx context.Context, host string) (Answer[netip.Addr], error) {
	var v4, v6 Answer[netip.Addr]
	var err4, err6 error
	var both sync.WaitGroup
	both.Go(func() { v6, err6 = r.LookupAAAA(ctx, host) })
	v4, err4 = r.LookupA(ctx, host)
	both.Wait()
	switch {
	case err4 == nil && err6 == nil:
		return Answer[netip.Addr]{slices.Concat(v6.Records, v4.Records), v4.Authentic && v6.Authentic, v6.Name}, nil
	case err4 == nil:
		return v4, nil
	case err6 == nil:
		return v6, nil
	}
	return Answer[netip.Addr]{}, neither(err4, err6)
}

// neither joins what two failed look-ups of one host have taught.
func neither(err4, err6 error) error {
	var e4, e6 *Error
	if !errors.As(err4, &e4) || !errors.As(err6, &e6) {
		return errors.Join(err4, err6)
	}
	worse := *e4
	if !e4.Temporary && e6.Temporary {
		worse = *e6
	}
	worse.Type = "A/AAAA"
	// A name server that answers NXDOMAIN for the type it does not know is
	// wrong about the name.
	worse.NoName = e4.NoName && e6.NoName
	return &worse
}

// LookupTXT gives the texts at name, the strings of a record joined without
// space (RFC 7208 section 3.3). Bytes are as received. Errors are of type
// *Error.
func (r *Resolver) LookupTXT(ctx context.Context, name string) (Answer[string], error) {
	a, err := r.lookup(ctx, name, miekg.TypeTXT)
	if err != nil {
		return Answer[string]{}, err
	}
	texts := convert(a, func(rr *miekg.TXT) (string, bool) {
		return unescape(strings.Join(rr.Txt, "")), true
	})
	return Answer[string]{texts, a.authentic, a.name}, nil
}

// LookupPTR gives the names of an address (RFC 1035 section 3.5, RFC 3596
// section 2.5) that are well formed: lower case, no final dot. What they say is
// the claim of the address's owner. Errors are of type *Error.
func (r *Resolver) LookupPTR(ctx context.Context, addr netip.Addr) (Answer[string], error) {
	reverse, err := miekg.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return Answer[string]{}, &Error{Name: addr.String(), Type: "PTR", NotFound: true, NoName: true, Err: ErrBadName}
	}
	a, err := r.lookup(ctx, reverse, miekg.TypePTR)
	if err != nil {
		return Answer[string]{}, err
	}
	names := convert(a, func(rr *miekg.PTR) (string, bool) {
		name := hostName(rr.Ptr)
		return name, validName(name)
	})
	if len(names) == 0 {
		return Answer[string]{}, &Error{Name: reverse, Type: "PTR", NotFound: true, Err: ErrBadName}
	}
	return Answer[string]{names, a.authentic, a.name}, nil
}

// convert takes what it needs from the records of one type.
func convert[RR miekg.RR, T any](a answer, take func(RR) (T, bool)) []T {
	out := make([]T, 0, len(a.records))
	for _, rr := range a.records {
		if record, ok := rr.(RR); ok {
			if t, ok := take(record); ok {
				out = append(out, t)
			}
		}
	}
	return out
}

func hostName(wire string) string {
	return strings.ToLower(strings.TrimSuffix(wire, "."))
}

// unescape undoes the presentation form (RFC 1035 section 5.1) in which the DNS
// library gives texts: \" and \\ and \DDD for bytes that are not printable.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		if b, ok := decimalByte(s[i+1:]); ok {
			out = append(out, b)
			i += 3
			continue
		}
		i++
		out = append(out, s[i])
	}
	return string(out)
}

// decimalByte reads the three digits of a \DDD escape.
func decimalByte(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[:3]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return byte(n), n <= 255
}
