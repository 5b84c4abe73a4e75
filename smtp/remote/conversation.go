package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"mailstead/smtp/queue"
)

// manner is how a server is talked to.
type manner struct {
	startTLS bool // if it offers that
	chunking bool
}

// talk holds a conversation with a server, and another without TLS or BDAT if that is
// what went wrong, and nobody demands it: on a new connection, since after a
// failed handshake nobody knows what is on the old one.
func (a *attempt) talk(ctx context.Context, conn net.Conn, t target) {
	how := manner{startTLS: true, chunking: true}
	for {
		err := a.converse(ctx, conn, &t, how)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errTLS) && how.startTLS && !t.policy.enforced:
			how.startTLS = false
			a.told.note("once more, without TLS")
		case errors.Is(err, errChunking) && how.chunking:
			how.chunking = false
			a.told.note("once more, without BDAT")
		default:
			return
		}
		again := a.c.dial(ctx, t.addr, a.port())
		if again.err != nil {
			a.recordOpen(t, temporary("4.4.1", "connect to %s again: %v", t, again.err))
			return
		}
		conn = again.conn
	}
}

// converse speaks to a server from the greeting on and records what it comes
// to. Its error tells how the conversation ended before all was said.
func (a *attempt) converse(ctx context.Context, conn net.Conn, t *target, how manner) (err error) {
	s := newSession(conn, a.c.hostname, a.c.timeouts)
	leave := a.attend(ctx, s)
	kept := false
	defer func() { leave(*t, kept, err) }()
	a.told.note("connected to %s", t.at(a.port()))
	if err = a.introduce(ctx, s, t, how.startTLS); err != nil {
		if waitsForGoodbye(err) {
			s.quit() // a server that does not want us waits for this (RFC 5321 section 3.1)
		}
		err = a.recordIntroduction(ctx, *t, how.startTLS, err)
		return err
	}
	t.tls = s.tls
	s.demand, s.addr = demandOf(t.host, t.policy), t.addr
	s.once = !how.startTLS // the next message may have more luck with TLS
	s.ext.chunking = s.ext.chunking && how.chunking
	kept, err = a.exchange(ctx, s, *t, how.startTLS)
	return err
}

// attend has a session work for the attempt until leave, which closes the connection unless it is kept.
func (a *attempt) attend(ctx context.Context, s *session) (leave func(t target, kept bool, err error)) {
	conn, began := s.conn, time.Now()
	unwatch := context.AfterFunc(ctx, func() { conn.Close() })
	s.told = &a.told
	return func(t target, kept bool, err error) {
		unwatch()
		if !kept {
			conn.Close()
		}
		a.report(ctx, t, began, err)
	}
}

// exchange hands over the message and keeps the connection for another, if
// somebody got this one.
func (a *attempt) exchange(ctx context.Context, s *session, t target, triedTLS bool) (kept bool, err error) {
	before := s.carried
	err = a.handOver(ctx, s, t, triedTLS)
	if !errors.Is(err, errStale) {
		a.sessions++
	}
	if err != nil {
		return false, err
	}
	if s.carried > before && !s.unfinished && !s.once {
		s.told = nil
		if a.c.kept.keep(s) {
			a.told.note("the connection is kept for the next message")
			return true, nil
		}
		s.told = &a.told
	}
	s.quit()
	return false, nil
}

// tryKept uses the connections to a host that wait for another message, and
// gives the addresses of the host that are left.
func (a *attempt) tryKept(ctx context.Context, h host, p policy) []netip.Addr {
	for !a.done(ctx) {
		s := a.c.kept.take(demandOf(h.name, p), h.addrs)
		if s == nil {
			break
		}
		t := target{host: h.name, addr: s.addr, policy: p, finding: p.before}
		if !s.fits(&t) {
			s.end()
			continue
		}
		if err := a.goOn(ctx, s, t); !errors.Is(err, errStale) && !errors.Is(err, errChunking) {
			return slices.DeleteFunc(slices.Clone(h.addrs), func(addr netip.Addr) bool { return addr == t.addr })
		}
		a.told.note("%v", errStale)
	}
	return h.addrs
}

// goOn uses a kept connection. errStale says that it was of no use.
func (a *attempt) goOn(ctx context.Context, s *session, t target) (err error) {
	leave := a.attend(ctx, s)
	kept := false
	defer func() { leave(t, kept, err) }()
	a.told.note("going on over the connection to %s, which has carried %d", t.at(a.port()), s.carried)
	s.stale = true
	kept, err = a.exchange(ctx, s, t, true)
	return err
}

// waitsForGoodbye tells whether a server that we cannot go on with still listens.
func waitsForGoodbye(err error) bool {
	return asVerdict(err).code != 0 || errors.Is(err, errNoTLS) || errors.Is(err, errUnwanted)
}

// recordIntroduction records why a server was not even told who writes to whom, and
// gives the error with what a policy makes of it.
func (a *attempt) recordIntroduction(ctx context.Context, t target, startTLS bool, err error) error {
	switch {
	case errors.Is(err, errTLS) && t.policy.enforced:
		v := t.policy.refuse(t, asVerdict(err))
		t.addr = netip.Addr{} // it is our verdict, not the server's
		a.recordOpen(t, v)
		return fmt.Errorf("%w: %w", errTLS, v)
	case !startTLS || !errors.Is(err, errTLS):
		v := asVerdict(err)
		a.recordOpen(t, v)
		if v.aboutReverse(t.addr) {
			a.shunIPv6(ctx, t)
		}
	}
	return err
}

func (a *attempt) introduce(ctx context.Context, s *session, t *target, startTLS bool) error {
	if !a.m.Route.Direct() {
		return a.introduceToSmarthost(ctx, s, t)
	}
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.hello(); err != nil {
		return err
	}
	if s.ext.startTLS && startTLS {
		return a.encrypt(ctx, s, t)
	}
	if s.ext.startTLS || !t.policy.says() {
		return nil
	}
	if t.finding == nil {
		t.finding = &finding{resultNoTLS, "it does not offer encryption"}
	}
	if t.policy.enforced {
		return errNoTLS
	}
	return nil
}

// encrypt turns to TLS and keeps in t what was wrong about it.
func (a *attempt) encrypt(ctx context.Context, s *session, t *target) error {
	return a.faulty(t, s.encrypt(ctx, a.c.config(t)))
}

// faulty keeps in t what an error of a handshake says of a server, unless more is known.
func (a *attempt) faulty(t *target, err error) error {
	if found := t.security(); found.Words != "" {
		a.told.note("%s", found.Words)
	}
	if errors.Is(err, errTLS) && t.policy.says() && t.finding == nil {
		t.finding = &finding{resultInvalid, asVerdict(err).text}
	}
	return err
}

// handOver runs as many transactions as the open recipients need.
func (a *attempt) handOver(ctx context.Context, s *session, t target, triedTLS bool) error {
	t.dsn = s.ext.dsn
	todo := a.sendable(s, t)
	m, fits := a.messageFor(s, t, todo)
	if !fits {
		return nil
	}
	for len(todo) > 0 {
		batch := todo[:min(len(todo), maxBatch)]
		rest := todo[len(batch):]
		utf8 := a.m.UTF8 || a.from.utf8 || slices.ContainsFunc(batch, func(r recipient) bool { return r.utf8 })
		require := a.m.TLS == queue.TLSRequired && s.ext.requireTLS && t.policy.vouched && t.finding == nil
		tx, err := s.transact(mailCommand(a.from, m, utf8, require, s.ext), batch, m)
		if s.stale && !tx.begun && !tx.unreadable {
			if err == nil {
				s.quit()
			}
			return errStale
		}
		if errors.Is(err, errChunking) {
			return err
		}
		s.stale = false
		later := a.take(ctx, tx, t, s.ext.startTLS && !triedTLS)
		if err != nil {
			for _, r := range rest {
				if v := asVerdict(err); outranks(v, a.outcomes[r.index]) {
					a.record(r.index, t, v)
				}
			}
			return err
		}
		todo = slices.Concat(later, rest)
	}
	return nil
}

// messageFor gives the message as a server can take it. False says that nothing can be sent to it, for
// a reason that is recorded.
func (a *attempt) messageFor(s *session, t target, todo []recipient) (m queue.Message, fits bool) {
	if !a.m.EightBit || s.ext.eightBit || len(todo) == 0 {
		return a.m, true
	}
	m, err := sevenBit(a.m)
	switch {
	case err == nil:
		a.told.note("the message is converted to 7 bits")
		return m, true
	case errors.Is(err, errNotConvertible):
		for _, r := range todo {
			a.settle(r, t, permanent("5.6.3", "%s does not offer 8BITMIME, which this message needs: %v", t, err)) // RFC 6152 section 3
		}
	default:
		a.stop = true
		a.recordOpen(t, temporary("4.3.0", "read the message: %v", err))
	}
	return m, false
}

// take records a transaction and gives the recipients it left for the next.
// WithoutTLS says that the server offers TLS and it did not work.
func (a *attempt) take(ctx context.Context, tx *transaction, t target, withoutTLS bool) (later []recipient) {
	for i, r := range tx.rcpts {
		if tx.states[i] == deferred {
			later = append(later, r)
			continue
		}
		v := tx.verdicts[i]
		if !a.m.Route.Direct() && aboutLogin(v.code) {
			v = temporary("4.7.8", "the smarthost wants another login: %v", v)
		}
		if withoutTLS && v.code == 530 {
			// It insists on TLS (RFC 3207 section 4), which may work next time.
			v.status, v.enhanced = queue.Temporary, "4.7.5"
		}
		if v.aboutReverse(t.addr) {
			a.record(r.index, t, v) // another way may be open
			if !a.fourOnly {
				a.shunIPv6(ctx, t)
			}
			continue
		}
		a.settle(r, t, v)
		if tx.states[i] == unsure {
			a.close(r) // to hand it to another host would likely deliver it twice
		}
	}
	a.stop = a.stop || tx.unreadable
	return later
}

// sendable decides for the open recipients what the server's extensions rule
// out, and gives the others.
func (a *attempt) sendable(s *session, t target) []recipient {
	if t.policy.required && !s.ext.requireTLS {
		// RFC 8689 section 4.2.1; the next host may.
		v := permanent("5.7.30", "the sender demands secure connections all the way (REQUIRETLS), which %s does not offer", t)
		t.addr = netip.Addr{}
		a.recordOpen(t, v)
		return nil
	}
	var todo []recipient
	for _, r := range slices.Clone(a.open) {
		switch {
		case s.ext.size > 0 && a.m.Size > s.ext.size:
			// RFC 1870 section 6.1: no need to try.
			a.settle(r, t, permanent("5.3.4", "message of %d bytes exceeds the limit of %s, %d", a.m.Size, t, s.ext.size))
		case !s.ext.utf8 && (a.m.UTF8 || a.from.utf8 || r.utf8):
			// RFC 6531 section 3.2.
			a.settle(r, t, permanent("5.6.7", "%s does not offer SMTPUTF8, which this message needs", t))
		default:
			todo = append(todo, r)
		}
	}
	return todo
}

// asVerdict gives the verdict within an error; whatever has none is temporary.
func asVerdict(err error) verdict {
	var v verdict
	if errors.As(err, &v) {
		return v
	}
	return temporary("4.3.0", "%v", err)
}

// report logs one conversation.
func (a *attempt) report(ctx context.Context, t target, began time.Time, err error) {
	level, count := slog.LevelInfo, make(map[queue.Status]int)
	for _, o := range a.outcomes {
		if o.Host == t.String() {
			count[o.Status]++
		}
	}
	attrs := []slog.Attr{
		slog.String("domain", a.domain),
		slog.String("host", t.String()),
		slog.Bool("tls", t.tls),
		slog.Int64("size", a.m.Size),
		slog.Int("delivered", count[queue.Delivered]),
		slog.Int("temporary", count[queue.Temporary]),
		slog.Int("permanent", count[queue.Permanent]),
		slog.Duration("took", time.Since(began)),
	}
	if found := t.security(); found != (queue.Security{}) {
		attrs = append(attrs, slog.String("policy", found.Policy), slog.String("result", found.Result), slog.String("found", found.Words))
	}
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", asVerdict(err).Error()))
	}
	a.c.log.LogAttrs(ctx, level, "talked to a mail exchanger", attrs...)
}
