package remote

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// maxKept is how many connections wait: as many as there are attempts at once.
	maxKept = 40
	// maxCarried is how many messages go over a connection: many servers hang up after as many.
	maxCarried = 100
)

// errStale is how a kept connection ends that turns out to be of no use: nothing is known of the
// message then but that it was not sent.
var errStale = errors.New("the connection was of no use any more")

// demand is what two messages have to have in common to go over the same connection.
type demand struct {
	host     string
	sni      string
	kind     string
	enforced bool
	required bool
	way      string // to a smarthost: route.Route.Key
}

func demandOf(host string, p policy) demand {
	return demand{host, cmp.Or(p.sni, host), p.kind, p.enforced, p.required, p.way}
}

// keeper has the connections that wait for another message.
type keeper struct {
	mu       sync.Mutex
	closed   bool
	waiting  []*session // the one that has waited longest first
	watching sync.WaitGroup
}

// keep takes over a session whose last transaction has ended well. It reports false if there
// is no room; the caller ends the session then.
func (k *keeper) keep(s *session) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || len(k.waiting) >= maxKept || s.carried >= maxCarried || s.closing != nil || s.r.Buffered() > 0 {
		return false
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(s.timeouts.Keep)); err != nil {
		return false
	}
	s.ready = make(chan struct{})
	k.waiting = append(k.waiting, s)
	k.watching.Go(func() { k.watch(s) })
	return true
}

// watch reads from a waiting connection, where nothing should come, until it is taken or its time is over.
func (k *keeper) watch(s *session) {
	_, err := s.r.Peek(1)
	s.silent = errors.Is(err, os.ErrDeadlineExceeded)
	left := k.drop(s)
	close(s.ready)
	switch {
	case !left: // somebody has taken it
	case s.silent:
		s.end()
	default:
		s.conn.Close()
	}
}

// drop takes a session out of those that wait. It reports whether it was one.
func (k *keeper) drop(s *session) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := len(k.waiting)
	k.waiting = slices.DeleteFunc(k.waiting, func(o *session) bool { return o == s })
	return len(k.waiting) < before
}

// take gives a session that came up to the same demand, with one of the addresses: the one that was
// used last. nil without.
func (k *keeper) take(d demand, addrs []netip.Addr) *session {
	for {
		s := k.find(d, addrs)
		if s == nil || !k.drop(s) {
			return nil
		}
		if err := s.conn.SetReadDeadline(time.Unix(1, 0)); err == nil { // wakes who watches
			<-s.ready
			if s.silent {
				return s
			}
		}
		s.conn.Close()
		<-s.ready
	}
}

func (k *keeper) find(d demand, addrs []netip.Addr) *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range slices.Backward(k.waiting) {
		if s.demand == d && slices.Contains(addrs, s.addr) {
			return s
		}
	}
	return nil
}

// compare puts hosts first for which a connection waits.
func (k *keeper) compare(x, y string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	waits := func(host string) int {
		if slices.ContainsFunc(k.waiting, func(s *session) bool { return s.demand.host == host }) {
			return 0
		}
		return 1
	}
	return waits(x) - waits(y)
}

// close ends what waits, and keeps nothing from now on.
func (k *keeper) close() {
	k.mu.Lock()
	k.closed = true
	for _, s := range k.waiting {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // its time is over
	}
	k.mu.Unlock()
	k.watching.Wait()
}

// end says goodbye and closes the connection.
func (s *session) end() {
	s.told = nil
	s.quit()
	s.conn.Close()
}

// fits tells whether a kept connection still comes up to what is demanded of it, and sets in t what is
// found: certificates expire, and policies are published anew.
func (s *session) fits(t *target) bool {
	t.tls = s.tls
	conn, encrypted := s.conn.(*tls.Conn)
	if encrypted && t.policy.noting != nil {
		t.noted = t.policy.noting(conn.ConnectionState())
	}
	switch {
	case !t.policy.says():
	case !encrypted:
		t.finding = &finding{resultNoTLS, "it does not offer encryption"}
	case t.policy.check != nil:
		t.finding = cmp.Or(t.policy.check(conn.ConnectionState()), t.finding)
	}
	return t.finding == nil || !t.policy.enforced
}
