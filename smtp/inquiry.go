package smtp

import (
	"context"
	"net/netip"
	"sync"

	"mailstead/smtp/mailauth"
)

// inquiry is what is asked about one client.
type inquiry struct {
	of         *examination
	client     netip.Addr
	name, from string // what the client calls itself, and the reverse-path
	helo       mailauth.HeloProblem
	asked      sync.WaitGroup

	// The look-ups write these, each its own; asked.Wait comes before reading.
	spf              mailauth.SPFResult
	iprev            mailauth.IPRevResult
	blocked, allowed []mailauth.ListHit
}

// inquire starts all look-ups about a client beside each other. They end with the examination. Room is
// for what is found out.
func (e *examination) inquire(room *inquiry, ip netip.Addr, helo, from string) *inquiry {
	q, c := room, e.checks
	q.of, q.client, q.name, q.from = e, ip, helo, from
	q.helo = mailauth.CheckHeloName(helo, ip, e.ours)
	e.ask(q, (*inquiry).askSPF)
	e.ask(q, (*inquiry).askNames)
	if len(c.Blocked) > 0 {
		e.ask(q, (*inquiry).askBlocked)
	}
	if len(c.Allowed) > 0 {
		e.ask(q, (*inquiry).askAllowed)
	}
	return q
}

// ask runs a check at once if all that it asks for is in the cache, else beside the session:
// most mail comes from a few senders, and a goroutine costs more than their answers.
func (e *examination) ask(q *inquiry, check func(*inquiry, context.Context)) {
	if !mailauth.AtOnce(e.session.ctx(), e.checks.Resolver, func(ctx context.Context) { check(q, ctx) }) {
		ctx := e.waiting()
		q.asked.Go(func() { check(q, ctx) })
	}
}

func (q *inquiry) askSPF(ctx context.Context) {
	s := q.of.session.server
	spf := mailauth.SPF{Resolver: q.of.checks.Resolver, Receiver: s.o.Hostname, Now: s.o.Now, Records: &s.records}
	q.spf = spf.CheckMailFrom(ctx, q.client, q.name, q.from)
}

func (q *inquiry) askNames(ctx context.Context) {
	q.iprev = mailauth.CheckIPRev(ctx, q.of.checks.Resolver, q.client)
}

func (q *inquiry) askBlocked(ctx context.Context) {
	q.blocked = mailauth.CheckLists(ctx, q.of.checks.Resolver, q.client, q.of.checks.Blocked)
}

func (q *inquiry) askAllowed(ctx context.Context) {
	q.allowed = mailauth.CheckLists(ctx, q.of.checks.Resolver, q.client, q.of.checks.Allowed)
}

// tell waits for the answers and puts them among the facts.
func (q *inquiry) tell(f *mailauth.Facts) {
	q.asked.Wait()
	f.Client, f.Helo = q.client, q.helo
	f.SPF, f.IPRev, f.Blocked, f.Allowed = q.spf, q.iprev.Result, q.blocked, q.allowed
}
