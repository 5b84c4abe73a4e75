package smtp

import (
	"context"
	"net/netip"
	"sync"

	"mailstead/smtp/mailauth"
)

// inquiry is what is asked about one client.
type inquiry struct {
	client netip.Addr
	helo   mailauth.HeloProblem
	asked  sync.WaitGroup

	// The look-ups write these, each its own; asked.Wait comes before reading.
	spf              mailauth.SPFResult
	iprev            mailauth.IPRevResult
	blocked, allowed []mailauth.ListHit
}

// inquire starts all look-ups about a client beside each other. They end with ctx.
func (s *session) inquire(ctx context.Context, ip netip.Addr, helo, from string) *inquiry {
	c := s.server.o.Checks
	q := &inquiry{client: ip, helo: mailauth.CheckHeloName(helo, ip, s.server.names())}
	spf := mailauth.SPF{Resolver: c.Resolver, Receiver: s.server.o.Hostname, Now: s.server.o.Now}
	q.asked.Go(func() { q.spf = spf.CheckMailFrom(ctx, ip, helo, from) })
	q.asked.Go(func() { q.iprev = mailauth.CheckIPRev(ctx, c.Resolver, ip) })
	if len(c.Blocked) > 0 {
		q.asked.Go(func() { q.blocked = mailauth.CheckLists(ctx, c.Resolver, ip, c.Blocked) })
	}
	if len(c.Allowed) > 0 {
		q.asked.Go(func() { q.allowed = mailauth.CheckLists(ctx, c.Resolver, ip, c.Allowed) })
	}
	return q
}

// tell waits for the answers and puts them among the facts.
func (q *inquiry) tell(f *mailauth.Facts) {
	q.asked.Wait()
	f.Client, f.Helo = q.client, q.helo
	f.SPF, f.IPRev, f.Blocked, f.Allowed = q.spf, q.iprev.Result, q.blocked, q.allowed
}
