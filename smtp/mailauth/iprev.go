package mailauth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"mailstead/smtp/dns"
)

const (
	// maxReverseNames is the number of names of a client that are looked up
	// (RFC 8601 section 3, RFC 7208 section 4.6.4).
	maxReverseNames = 10
	// iprevTimeout is for one whole check.
	iprevTimeout = 10 * time.Second
)

var errNoneLeadsBack = errors.New("none of the names leads back to the address")

// IPRevResult is what the names of a client's address came to (RFC 8601 section
// 2.7.3).
type IPRevResult struct {
	// Result is Pass if a name leads back to the address, Fail if none does,
	// PermError if it has no name, TempError if that could not be found out,
	// and None if there was no DNS server to ask.
	Result Result
	// Names are those that lead back, in lower case; ten at most.
	Names []string
	// Err is the reason of any result but Pass.
	Err error
}

// CheckIPRev looks up the names of an address, and their addresses (RFC 8601
// section 3). It takes 10 s at most.
func CheckIPRev(ctx context.Context, r HostResolver, ip netip.Addr) IPRevResult {
	if Offline(r) {
		return IPRevResult{Result: None, Err: dns.ErrDisabled}
	}
	ctx, cancel := bounded(ctx, iprevTimeout)
	defer cancel()
	names, err := validatedNames(ctx, r, ip.Unmap().WithZone(""))
	switch {
	case len(names) > 0:
		return IPRevResult{Result: Pass, Names: names}
	case dns.IsNotFound(err):
		return IPRevResult{Result: PermError, Err: err}
	case err != nil:
		return IPRevResult{Result: lookupFailed(err), Err: err}
	}
	return IPRevResult{Result: Fail, Err: fmt.Errorf("%s: %w", ip, errNoneLeadsBack)}
}

// validatedNames gives the names of ip that lead back to it (RFC 7208 section
// 5.5). The error is that of the names' look-up, which can be "not found", else
// that of an address look-up that failed.
func validatedNames(ctx context.Context, r HostResolver, ip netip.Addr) ([]string, error) {
	answer, err := r.LookupPTR(ctx, ip)
	if err != nil {
		return nil, err
	}
	var names []string
	var failed error
	for _, name := range answer.Records[:min(len(answer.Records), maxReverseNames)] {
		addrs, err := hostAddresses(ctx, r, name, ip)
		switch {
		case err != nil && !dns.IsNotFound(err):
			failed = err
		case slices.Contains(addrs, ip):
			names = append(names, name)
		}
	}
	return names, failed
}

// hostAddresses gives the addresses of host that are of ip's family.
func hostAddresses(ctx context.Context, r HostResolver, host string, ip netip.Addr) ([]netip.Addr, error) {
	if ip.Is4() {
		answer, err := r.LookupA(ctx, host)
		return answer.Records, err
	}
	answer, err := r.LookupAAAA(ctx, host)
	return answer.Records, err
}
