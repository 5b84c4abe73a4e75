package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	dialTime  = 15 * time.Second // for one address
	dialAddrs = 4                // of a host that are tried
)

// ErrNoPlace says that a host has no address that a Dialer may connect to.
var ErrNoPlace = errors.New("dns: no address that may be connected to")

// Dialer connects to hosts whose names others have published: by the addresses that the Resolver knows, and not to this
// server nor into private networks, where anybody could send us by such a name. Resolver is needed.
type Dialer struct {
	Resolver *Resolver
	// Own tells whether an address is this server's. nil: none is.
	Own func(netip.Addr) bool
	// Private allows addresses that are not public.
	Private bool
	// Dial opens TCP connections. nil: that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DialContext connects to HOST:PORT, for an http.Transport. ErrNoPlace, or the error of the last address.
func (d Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	answer, err := d.Resolver.LookupAddrs(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs := slices.DeleteFunc(answer.Records, func(a netip.Addr) bool {
		return !d.Private && !IsPublic(a) || d.Own != nil && d.Own(a)
	})
	last := fmt.Errorf("%w: %s", ErrNoPlace, host)
	for _, addr := range addrs[:min(len(addrs), dialAddrs)] {
		conn, err := d.dial(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

func (d Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if d.Dial != nil {
		return d.Dial(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}
