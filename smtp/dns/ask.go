package dns

import (
	"context"
	"errors"
	"fmt"

	miekg "github.com/miekg/dns"
)

// udpSize is the largest answer we take over UDP: what passes the common
// networks without being fragmented (RFC 9715 section 3.2).
const udpSize = 1232

// ask puts q to the servers until one gives an answer that settles something:
// records, none, or no such name. Who is silent is asked again in the next
// round, who refuses or fails is not.
func (r *Resolver) ask(ctx context.Context, q question) (*miekg.Msg, *server, error) {
	servers := r.inOrder()
	var last error
	for range maxRounds {
		var silent []*server
		for _, s := range servers {
			m, err := r.askServer(ctx, s, q)
			if err == nil {
				s.silent.Store(0)
				return m, s, nil
			}
			if ctx.Err() != nil {
				return nil, s, context.Cause(ctx)
			}
			last = err
			var refused *rcodeError
			if !errors.As(err, &refused) {
				s.silent.Store(r.now().Add(silentTime).UnixNano())
				silent = append(silent, s)
			}
		}
		if servers = silent; len(servers) == 0 {
			break
		}
	}
	return nil, nil, last
}

// inOrder gives the servers in the order in which they are asked: those that
// did not answer lately come last, so that a dead one costs its time limit once
// a minute and not with every look-up.
func (r *Resolver) inOrder() []*server {
	now := r.now().UnixNano()
	order := make([]*server, 0, len(r.servers))
	var silent []*server
	for _, s := range r.servers {
		if s.silent.Load() > now {
			silent = append(silent, s)
		} else {
			order = append(order, s)
		}
	}
	return append(order, silent...)
}

// rcodeError is an answer that says nothing about the name.
type rcodeError struct {
	server string
	rcode  int
}

func (e *rcodeError) Error() string {
	return fmt.Sprintf("%s answered %s", e.server, miekg.RcodeToString[e.rcode])
}

// askServer puts q to one server: by UDP, then by TCP when the answer was cut
// (RFC 7766 section 5), and without EDNS0 for servers that choke on it
// (RFC 6891 section 6.2.2).
func (r *Resolver) askServer(ctx context.Context, s *server, q question) (*miekg.Msg, error) {
	m, err := r.exchange(ctx, "udp", s.addr, q, true)
	if err == nil && m.Truncated {
		m, err = r.exchange(ctx, "tcp", s.addr, q, true)
	}
	if err == nil && (m.Rcode == miekg.RcodeFormatError || m.Rcode == miekg.RcodeNotImplemented) {
		m, err = r.exchange(ctx, "udp", s.addr, q, false)
		if err == nil && m.Truncated {
			m, err = r.exchange(ctx, "tcp", s.addr, q, false)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.addr, err)
	}
	if m.Rcode != miekg.RcodeSuccess && m.Rcode != miekg.RcodeNameError {
		return nil, &rcodeError{s.addr, m.Rcode}
	}
	return m, nil
}

// exchange sends one question and takes one answer. Each question has its own
// socket, so its own random port, and a random ID (RFC 5452 section 9).
func (r *Resolver) exchange(ctx context.Context, network, addr string, q question, edns bool) (*miekg.Msg, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.queryTimeout, errTimeout)
	defer cancel()
	client := miekg.Client{Net: network, Timeout: r.queryTimeout}
	conn, err := client.DialContext(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The client obeys the deadline of a context, not its cancelling.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	m, _, err := client.ExchangeWithConnContext(ctx, query(q, edns), conn)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case m != nil && m.Truncated && answers(m, q):
		// Cut in the middle of a record, it does not parse: ask by TCP anyway.
		return m, nil
	case err != nil:
		return nil, err
	case !answers(m, q):
		return nil, errMismatch
	}
	return m, nil
}

// query makes the message for q. The AD bit asks to be told about DNSSEC
// without being sent the signatures (RFC 6840 section 5.7).
func query(q question, edns bool) *miekg.Msg {
	m := new(miekg.Msg)
	m.SetQuestion(presentation(q.name), q.qtype)
	m.AuthenticatedData = true
	if edns {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// answers tells whether m is a response to q.
func answers(m *miekg.Msg, q question) bool {
	return m.Response && len(m.Question) == 1 &&
		m.Question[0].Qtype == q.qtype && m.Question[0].Qclass == miekg.ClassINET &&
		sameName(m.Question[0].Name, q.name)
}
