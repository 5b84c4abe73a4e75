// Package serve is what the servers of all line protocols have in common: they
// accept connections, count them, put time limits on them, survive a panic in
// one of them, and end them all in an orderly way.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned by Serve after Shutdown.
var ErrClosed = errors.New("serve: server closed")

// Options are the settings of a server.
type Options struct {
	// Name stands in front of what is logged.
	Name string
	// MaxPerAddress is how many connections of one address to one listener may be
	// without login at a time; an IPv6 address counts by its /64. 0 = 80.
	MaxPerAddress int
	// MaxStrangers is how many connections to one listener may be without login at
	// a time, from all addresses together. 0 = 1000.
	MaxStrangers int
	// Known are addresses of users, for which a quarter of MaxStrangers is kept beside it; logins here add to them. nil = those of this
	// server's own logins.
	Known *Known
	// MaxPerAccount is how many logged-in connections an account may have. 0 = any number.
	MaxPerAccount int
	// Busy is sent to a connection that is one too many, before it is closed.
	Busy string
	// WriteTimeout is how long a client may not take what is sent. 0 = 5 minutes.
	WriteTimeout time.Duration
	// Logger hears of faults. nil = nothing is logged.
	Logger *slog.Logger
}

// defaultMaxPerAddress lets a household behind one address open all its mail
// programs at once and still bounds what one address can tie up.
const defaultMaxPerAddress = 80

// defaultMaxStrangers bounds what connections that nobody has logged in on can
// cost, from however many addresses they come: on a machine with 512 MB a
// thousand of them, with TLS some 30 KB each, leave the rest to mail.
const defaultMaxStrangers = 1000

// Server serves one protocol on any number of listeners.
type Server struct {
	options  Options
	session  func(*Conn)
	accounts *counter // logged-in connections of each account
	tally    tally

	closing atomic.Bool // set under mu

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	running   sync.WaitGroup // accept loops and sessions
}

// New returns a server that runs session for every connection, each in its own
// goroutine. The connection is closed when session returns.
func New(o Options, session func(*Conn)) *Server {
	if o.MaxPerAddress <= 0 {
		o.MaxPerAddress = defaultMaxPerAddress
	}
	if o.MaxStrangers <= 0 {
		o.MaxStrangers = defaultMaxStrangers
	}
	if o.Known == nil {
		o.Known = NewKnown()
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		options:   o,
		session:   session,
		accounts:  newCounter(o.MaxPerAccount),
		listeners: map[net.Listener]struct{}{},
		conns:     map[*Conn]struct{}{},
	}
}

// Serve accepts connections until Shutdown, then returns ErrClosed; any other
// error is one of the listener. Connections of a TLS listener have implicit
// TLS (RFC 8314). Serve closes the listener.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.addListener(l) {
		return ErrClosed
	}
	defer s.removeListener(l)
	strangers := newCounter(s.options.MaxPerAddress)
	strangers.most, strangers.reserve = s.options.MaxStrangers, s.options.MaxStrangers/reservePart
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.accept(nc, strangers)
		case s.closing.Load():
			return ErrClosed
		case !isTemporary(err):
			return fmt.Errorf("%s: accept: %w", s.options.Name, err)
		default: // out of file descriptors, most often: they come back
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.options.Logger.Warn(s.options.Name+": accept failed", "error", err)
			time.Sleep(pause)
		}
	}
}

func isTemporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

// accept starts a session, unless its address, or all together, have too many without login.
func (s *Server) accept(nc net.Conn, strangers *counter) {
	key := addressKey(nc.RemoteAddr())
	if by := s.admit(key, strangers); by != noLimit {
		s.tally.refused(by)
		go refuse(nc, s.options.Busy)
		return
	}
	c := newConn(s, nc, strangers)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() { // taken from the kernel at the last moment: it is told goodbye, too
		c.Interrupt()
	}
	s.conns[c] = struct{}{}
	s.tally.accepted.Add(1)
	s.running.Go(func() {
		s.run(c)
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

// admit counts a connection among the strangers; where there are too many of all together only from an address of users.
func (s *Server) admit(key netip.Prefix, strangers *counter) limit {
	by := strangers.add(key)
	if by == ofAll && s.options.Known.has(key, time.Now()) {
		by = strangers.addKnown(key)
	}
	return by
}

// refuse says busy and closes. The few octets fit the socket's buffer; with
// implicit TLS nothing is said, since that would cost a handshake.
func refuse(nc net.Conn, busy string) {
	defer nc.Close()
	if _, secure := nc.(*tls.Conn); secure || busy == "" {
		return
	}
	if nc.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		nc.Write([]byte(busy))
	}
}

// run runs a session. A panic in it must not end the others.
func (s *Server) run(c *Conn) {
	defer c.end()
	defer func() {
		if p := recover(); p != nil {
			s.options.Logger.Error(s.options.Name+": panic in a session",
				"remote", c.socket.RemoteAddr().String(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	s.session(c)
}

// SetMaxPerAccount changes Options.MaxPerAccount for logins to come; sessions that are there stay.
func (s *Server) SetMaxPerAccount(n int) { s.accounts.setLimit(n) }

// Closing reports whether Shutdown was called: a session then says goodbye
// instead of waiting for its client.
func (s *Server) Closing() bool { return s.closing.Load() }

// Shutdown ends all sessions: Read returns ErrInterrupted where they wait for
// their client, and they see Closing when they are done elsewhere. When ctx
// ends the rest is cut off; Shutdown then returns its error, but not before
// every session has ended.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing.Store(true)
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.Interrupt()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.cut()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	s.running.Add(1)
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.running.Done()
}
