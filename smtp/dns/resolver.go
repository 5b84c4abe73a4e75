// Package dns asks DNS servers what a mail server needs to know: MX, A, AAAA,
// TXT, PTR and TLSA records, with a bounded cache, time limits on everything, and
// errors that tell "there is none" from "nobody could say".
//
// It is a stub resolver (RFC 1034 section 5.3.1): it puts its questions to the
// recursive resolvers it is given, and to nobody else.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	miekg "github.com/miekg/dns"
)

const (
	queryTimeout  = 3 * time.Second  // for one question to one server
	lookupTimeout = 10 * time.Second // for a look-up, all servers and repetitions together
	maxRounds     = 3                // times a server that does not answer is asked
	maxHops       = 10               // CNAME records followed in a look-up; sane chains have one or two
	maxRecords    = 100              // records taken of one answer; SPF and MX sets of real domains stay below 30
	maxAsking     = 64               // look-ups on the wire at the same time; more wait their turn
	silentTime    = time.Minute      // for which a server that did not answer is asked last
)

// Options are what a Resolver is made of.
type Options struct {
	// Servers are the recursive resolvers, IP:PORT each, asked in this order.
	// None: every look-up fails with ErrDisabled.
	Servers []string
	// Trusted tells whether a server's word on DNSSEC (the AD bit, RFC 6840
	// section 5.8) can be believed, because nobody can change what it sends on
	// the way here. Default: loopback addresses only.
	Trusted func(netip.Addr) bool
	// MaxEntries bounds the answers kept in memory. Default 4096.
	MaxEntries int
	// QueryTimeout bounds one question to one server. Default 3 s.
	QueryTimeout time.Duration
	// LookupTimeout bounds a whole look-up. Default 10 s.
	LookupTimeout time.Duration
	// Now is the clock of the cache. Default time.Now.
	Now func() time.Time
}

// Resolver looks up records. All its methods may be called at the same time.
type Resolver struct {
	servers       []*server
	queryTimeout  time.Duration
	lookupTimeout time.Duration
	now           func() time.Time
	cache         *cache
	flights       flights
	asking        chan struct{} // holds a token for each look-up on the wire
}

type server struct {
	addr    string       // IP:PORT
	trusted bool         // its AD bit counts
	silent  atomic.Int64 // until when it is asked last, in Unix nanoseconds
}

// New makes a Resolver. It fails when a server is not an IP:PORT.
func New(o Options) (*Resolver, error) {
	trusted := o.Trusted
	if trusted == nil {
		trusted = netip.Addr.IsLoopback
	}
	r := &Resolver{
		queryTimeout:  orDefault(o.QueryTimeout, queryTimeout),
		lookupTimeout: orDefault(o.LookupTimeout, lookupTimeout),
		now:           o.Now,
		cache:         newCache(orDefault(o.MaxEntries, defaultEntries)),
		asking:        make(chan struct{}, maxAsking),
	}
	if r.now == nil {
		r.now = time.Now
	}
	for _, s := range o.Servers {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, fmt.Errorf("DNS server %q: want IP:PORT: %w", s, err)
		}
		r.servers = append(r.servers, &server{addr: ap.String(), trusted: trusted(ap.Addr().Unmap())})
	}
	return r, nil
}

// Disabled reports whether there is no server to ask, so that each look-up fails with
// ErrDisabled.
func (r *Resolver) Disabled() bool { return len(r.servers) == 0 }

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// answer is what one question came to: the records of the type asked for, or
// that there are none.
type answer struct {
	records   []miekg.RR // none: not found; shared by all who ask, never changed
	name      string     // behind aliases
	noName    bool       // NXDOMAIN
	authentic bool
	ttl       time.Duration
	wireSize  int // bytes of the messages it came in
}

// lookup finds the records of a type at name. Every error is an *Error.
func (r *Resolver) lookup(ctx context.Context, name string, qtype uint16) (answer, error) {
	if r.Disabled() {
		return answer{}, &Error{Name: name, Type: miekg.TypeToString[qtype], Temporary: true, Err: ErrDisabled}
	}
	asked, err := questionName(name)
	if err != nil {
		return answer{}, &Error{Name: name, Type: miekg.TypeToString[qtype], NotFound: true, NoName: true, Err: ErrBadName}
	}
	a, err := r.find(ctx, question{asked, qtype})
	switch {
	case err != nil:
		return answer{}, &Error{Name: name, Type: miekg.TypeToString[qtype], Temporary: true, Err: err}
	case len(a.records) == 0:
		return answer{}, &Error{Name: name, Type: miekg.TypeToString[qtype], NotFound: true, NoName: a.noName}
	}
	return a, nil
}

// find answers from the cache, else from the servers.
func (r *Resolver) find(ctx context.Context, q question) (answer, error) {
	if a, ok := r.cache.get(q, r.now()); ok {
		return a, nil
	}
	if mustNotAsk(ctx) {
		return answer{}, errNotCached
	}
	return r.flights.do(ctx, q, func(ctx context.Context) (answer, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, r.lookupTimeout, errTimeout)
		defer cancel()
		a, err := r.resolve(ctx, q)
		if err == nil {
			r.cache.put(q, a, r.now())
		}
		return a, err
	})
}

var (
	errTimeout  = errors.New("no answer in time")
	errTooLong  = errors.New("CNAME chain too long or circular")
	errMismatch = errors.New("answer to another question")
)

// resolve asks the servers, and asks again where an answer ends in a CNAME
// whose target the server left out.
func (r *Resolver) resolve(ctx context.Context, q question) (answer, error) {
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	}
	total := answer{authentic: true, ttl: maxTTL}
	hops := 0
	for {
		m, s, err := r.ask(ctx, q)
		if err != nil {
			return answer{}, err
		}
		step := follow(m, q, maxHops-hops)
		hops += step.hops
		if hops > maxHops {
			return answer{}, errTooLong
		}
		total.authentic = total.authentic && s.trusted && m.AuthenticatedData
		total.ttl = min(total.ttl, step.ttl)
		total.wireSize += m.Len()
		if step.unanswered {
			q.name = step.name
			continue
		}
		total.records, total.name, total.noName = step.records, step.name, m.Rcode == miekg.RcodeNameError
		return total, nil
	}
}
