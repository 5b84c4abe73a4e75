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

// inquire starts all look-ups about a client beside each other. They end with the examination.
func (e *examination) inquire(ip netip.Addr, helo, from string) *inquiry {
	s := e.session
	c := s.server.o.Checks
	q := &inquiry{client: ip, helo: mailauth.CheckHeloName(helo, ip, e.ours)}
	spf := mailauth.SPF{Resolver: c.Resolver, Receiver: s.server.o.Hostname, Now: s.server.o.Now, Records: &s.server.records}
	e.ask(&q.asked, func(ctx context.Context) { q.spf = spf.CheckMailFrom(ctx, ip, helo, from) })
	e.ask(&q.asked, func(ctx context.Context) { q.iprev = mailauth.CheckIPRev(ctx, c.Resolver, ip) })
	if len(c.Blocked) > 0 {
		e.ask(&q.asked, func(ctx context.Context) { q.blocked = mailauth.CheckLists(ctx, c.Resolver, ip, c.Blocked) })
	}
	if len(c.Allowed) > 0 {
		e.ask(&q.asked, func(ctx context.Context) { q.allowed = mailauth.CheckLists(ctx, c.Resolver, ip, c.Allowed) })
	}
	return q
}

// ask runs a check at once if all that it asks for is in the cache, else beside the session:
// most mail comes from a few senders, and a goroutine costs more than their answers.
func (e *examination) ask(asked *sync.WaitGroup, check func(context.Context)) {
	if !mailauth.AtOnce(e.session.ctx(), e.checks.Resolver, check) {
		ctx := e.waiting()
		asked.Go(func() { check(ctx) })
	}
}

// tell waits for the answers and puts them among the facts.
func (q *inquiry) tell(f *mailauth.Facts) {
	q.asked.Wait()
	f.Client, f.Helo = q.client, q.helo
	f.SPF, f.IPRev, f.Blocked, f.Allowed = q.spf, q.iprev.Result, q.blocked, q.allowed
}
