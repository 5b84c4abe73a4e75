package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// stagger is the head start of each address of a host before the next is tried
// beside it (RFC 8305 section 5).
const stagger = 250 * time.Millisecond

type dialed struct {
	addr netip.Addr
	conn net.Conn
	err  error
}

// dialFirst connects to the addresses of a host, each a little after the one
// before or as soon as that has failed, and keeps the first connection. Rest
// are the addresses that have not failed, for when that one turns out to be of
// no use; tried is how many connections were begun.
func (c *Courier) dialFirst(ctx context.Context, addrs []netip.Addr, port int) (first dialed, rest []netip.Addr, tried int) {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan dialed, len(addrs))
	var dialing sync.WaitGroup
	defer func() {
		cancel()
		dialing.Wait()
		close(results)
		for late := range results {
			if late.conn != nil {
				late.conn.Close()
			}
		}
	}()
	rest = slices.Clone(addrs)
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	var failures []error
	for running := 0; ; {
		if tried < len(addrs) {
			addr := addrs[tried]
			dialing.Go(func() { results <- c.dial(ctx, addr, port) })
			tried++
			running++
			timer.Reset(stagger)
		}
		select {
		case <-timer.C:
			continue
		case d := <-results:
			running--
			rest = slices.DeleteFunc(rest, func(a netip.Addr) bool { return a == d.addr })
			if d.err == nil {
				return d, rest, tried
			}
			failures = append(failures, d.err)
		}
		if running == 0 && tried == len(addrs) {
			return dialed{err: errors.Join(failures...)}, nil, tried
		}
	}
}

// dial connects to a port of an address.
func (c *Courier) dial(ctx context.Context, addr netip.Addr, port int) dialed {
	ctx, cancel := context.WithTimeout(ctx, c.timeouts.Connect)
	defer cancel()
	to := net.JoinHostPort(addr.String(), strconv.Itoa(port))
	if addr.Is6() {
		if from, err := c.originOf(ctx, addr); err == nil && from.bound {
			conn, err := c.dialFrom(ctx, from.addr, "tcp", to)
			return dialed{addr, conn, err}
		}
	}
	conn, err := c.dialer(ctx, "tcp", to)
	return dialed{addr, conn, err}
}
