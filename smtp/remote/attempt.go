package remote

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"mailstead/smtp/dns"
	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

const (
	// maxAddresses is how many addresses are tried in an attempt; RFC 5321
	// section 5.1 wants two at least.
	maxAddresses = 8
	// maxSessions is how many servers are talked to in an attempt: where the
	// first two say "later" (greylisting), the others will too.
	maxSessions = 3
)

var errAttemptTime = errors.New("the attempt took too long")

// attempt is one delivery of a message to one domain.
type attempt struct {
	c         *Courier
	domain    string
	m         queue.Message
	from      path
	rcpts     []recipient     // the well-formed ones
	open      []recipient     // those that another host may still take
	outcomes  []queue.Outcome // one for each of m.Recipients, without Enhanced until something is known
	addresses int             // tried
	sessions  int             // held
	stop      bool            // no other host would make a difference
	fourOnly  bool            // a server does not like our IPv6 address
	boundTo   netip.Addr      // the address of ours that was last told of; invalid = none
	told      transcript

	domainASCII string          // the domain; "" for an address literal
	domainAlias string          // where its MX records are
	authentic   bool            // they are validated by DNSSEC, or there are none and the domain is the host
	mtasts      *mtasts.Finding // nil: not asked for yet
}

// recipient is an address of the message that can be put in a command.
type recipient struct {
	path
	index int // in queue.Message.Recipients
}

// target is a server that is talked to.
type target struct {
	host string // its name, or the address literal
	addr netip.Addr
	tls  bool
	dsn  bool // it knows the DSN extension

	policy  policy
	finding *finding // nil: nothing is wrong, or nothing was looked at
	noted   *finding // of policy.noting, likewise
}

func (t target) String() string {
	if !t.addr.IsValid() {
		return t.host
	}
	return fmt.Sprintf("%s [%s]", t.host, t.addr)
}

// at is the target with the port, for people.
func (t target) at(port int) string { return fmt.Sprintf("%s:%d", t, port) }

// newAttempt checks the addresses: the malformed are decided at once.
func newAttempt(c *Courier, domain string, m queue.Message) *attempt {
	a := &attempt{c: c, domain: domain, m: m, outcomes: make([]queue.Outcome, len(m.Recipients)), told: transcript{tell: m.Tell}}
	for i, address := range m.Recipients {
		a.outcomes[i] = queue.Outcome{Recipient: address, Status: queue.Temporary}
	}
	if m.From != "" {
		var err error
		if a.from, err = parsePath(m.From); err != nil {
			a.recordAll(target{}, permanent("5.1.7", "sender: %v", err))
			return a
		}
	}
	for i, address := range m.Recipients {
		p, err := parsePath(address)
		if err != nil {
			v := permanent("5.1.3", "recipient: %v", err)
			a.told.outcome(target{}, v)
			a.record(i, target{}, v)
			continue
		}
		a.rcpts = append(a.rcpts, recipient{p, i})
	}
	a.open = slices.Clone(a.rcpts)
	return a
}

// record sets the outcome of one recipient.
func (a *attempt) record(index int, t target, v verdict) {
	host := ""
	if t.addr.IsValid() {
		host = t.String()
	}
	a.outcomes[index] = queue.Outcome{
		Recipient: a.m.Recipients[index], Status: v.status, Code: v.code,
		Enhanced: v.enhanced, Text: v.text, Host: host, TLS: t.tls, Security: t.security(), Told: t.told(v),
	}
}

func (a *attempt) recordAll(t target, v verdict) {
	a.told.outcome(t, v)
	for i := range a.outcomes {
		a.record(i, t, v)
	}
}

// recordOpen sets what a whole host came to, for those not decided, unless they
// know better.
func (a *attempt) recordOpen(t target, v verdict) {
	a.told.outcome(t, v)
	for _, r := range a.open {
		if old := a.outcomes[r.index]; old.Security.Policy != "" && v.enhanced == "4.4.1" {
			continue // a server that was not asked may well have been there
		} else if outranks(v, old) {
			a.record(r.index, t, v)
		}
	}
}

// settle sets a verdict about one recipient. A temporary one leaves it open to
// the next host.
func (a *attempt) settle(r recipient, t target, v verdict) {
	a.record(r.index, t, v)
	if v.status != queue.Temporary {
		a.close(r)
	}
}

// close takes a recipient out of those that other hosts are asked for.
func (a *attempt) close(r recipient) {
	a.open = slices.DeleteFunc(a.open, func(o recipient) bool { return o.index == r.index })
}

func (a *attempt) done(ctx context.Context) bool {
	return len(a.open) == 0 || a.stop || ctx.Err() != nil ||
		a.addresses >= maxAddresses || a.sessions >= maxSessions
}

func (a *attempt) run(ctx context.Context) {
	if len(a.open) == 0 {
		return
	}
	addr, literal := parseLiteral(a.domain)
	switch {
	case !a.m.Route.Direct():
		a.toSmarthost(ctx)
	case literal:
		a.toLiteral(ctx, addr)
	default:
		a.toExchangers(ctx)
	}
	if ctx.Err() != nil {
		a.recordOpen(target{}, temporary("4.4.7", "attempt ended: %v", context.Cause(ctx)))
	}
}

// toLiteral delivers to an address literal, which has no MX.
func (a *attempt) toLiteral(ctx context.Context, addr netip.Addr) {
	addrs := interleave([]netip.Addr{addr})
	switch {
	case a.c.ownAddr(addr):
		a.recordOpen(target{}, loop(a.domain))
	case len(addrs) == 0:
		a.recordOpen(target{}, permanent("5.1.2", "%s is not the address of a server", a.domain))
	default:
		for _, h := range a.publicHosts([]host{{name: a.domain, alias: a.domain, addrs: addrs}}) {
			a.tryHost(ctx, h)
		}
	}
}

// toExchangers goes through the mail exchangers of the domain.
func (a *attempt) toExchangers(ctx context.Context) {
	domain, err := dns.ASCII(a.domain)
	if err != nil {
		a.recordOpen(target{}, permanent("5.1.2", "%v", err))
		return
	}
	mx, err := a.c.resolver.LookupMX(ctx, domain)
	a.domainASCII, a.domainAlias = domain, mx.Name
	// Where there is no MX, the name of the host is beyond doubt (RFC 7672 section 2.2.2).
	a.authentic = mx.Authentic || dns.IsNotFound(err)
	route := planRoute(domain, mx.Records, err, a.c.isOwn, a.c.shuffle)
	if route.nowhere != nil {
		a.recordOpen(target{}, *route.nowhere)
		return
	}
	a.told.note("servers of %s: %s", domain, route)
	for _, group := range route.groups {
		hosts, own := a.findHosts(ctx, group)
		if own {
			// An address of ours is as good as our name: what is no better
			// than this server brings the mail back.
			a.recordOpen(target{}, loop(domain))
			return
		}
		hosts = a.publicHosts(hosts)
		// One that is connected to is as good as its equals, and quicker.
		slices.SortStableFunc(hosts, func(x, y host) int { return a.c.kept.compare(x.name, y.name) })
		for _, h := range hosts {
			if a.done(ctx) {
				return
			}
			a.tryHost(ctx, h)
		}
	}
}

// host is a mail exchanger whose addresses are known.
type host struct {
	name      string
	alias     string // where its addresses are; its name, if it is no alias
	addrs     []netip.Addr
	authentic bool // the addresses are validated by DNSSEC
}

// findHosts looks up the addresses of a group of exchangers, all at once, and
// records why some have none. Own says that one of them is this server.
func (a *attempt) findHosts(ctx context.Context, names []string) (hosts []host, own bool) {
	answers := make([]dns.Answer[netip.Addr], len(names))
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { answers[i], errs[i] = a.c.resolver.LookupAddrs(ctx, name) })
	}
	all.Wait()
	for i, name := range names {
		addrs := interleave(answers[i].Records)
		own = own || slices.ContainsFunc(addrs, a.c.ownAddr)
		switch {
		case errs[i] != nil && !dns.IsNotFound(errs[i]):
			a.recordOpen(target{}, temporary("4.4.3", "%v", errs[i]))
		case len(addrs) == 0:
			a.recordOpen(target{}, permanent("5.4.4", "host %s has no address", name))
		default:
			hosts = append(hosts, host{name, answers[i].Name, addrs, answers[i].Authentic})
		}
	}
	return hosts, own
}

// tryHost talks to the addresses of a host until nothing is left to be done.
func (a *attempt) tryHost(ctx context.Context, h host) {
	policy := a.policyOf(ctx, h)
	if policy.never != nil {
		a.recordOpen(target{host: h.name, policy: policy, finding: policy.before}, *policy.never)
		return
	}
	h.addrs = a.left(a.reachable(ctx, h.addrs))
	addrs := a.left(a.tryKept(ctx, h, policy))
	for len(addrs) > 0 && !a.done(ctx) {
		first, rest, tried := a.c.dialFirst(ctx, addrs[:min(len(addrs), maxAddresses-a.addresses)], a.port())
		a.addresses += tried
		if first.err != nil {
			a.recordOpen(target{host: h.name}, temporary("4.4.1", "connect to %s: %v", h.name, first.err))
			return
		}
		a.talk(ctx, first.conn, target{host: h.name, addr: first.addr, policy: policy, finding: policy.before})
		addrs = a.left(rest)
	}
}
