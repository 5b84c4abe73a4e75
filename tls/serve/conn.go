package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// ErrInterrupted is what Read returns when Interrupt has been called: something
// wants the attention of a session that waits for its client.
var ErrInterrupted = errors.New("serve: interrupted")

// keepAlive has the first probe after 5 minutes, not after Go's 15 seconds, which
// keep a phone's radio awake, and finds a dead peer within 10 minutes.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Minute, Interval: time.Minute, Count: 5}

// Conn is a connection with its time limits. Its reads and writes belong to the
// session's goroutine; Interrupt may be called from any.
//
// One goroutine serves a connection also while it idles: to wake it, Interrupt
// lets the read's deadline pass. (A TLS connection survives that on the reading
// side: crypto/tls keeps time-outs of Read as temporary.)
type Conn struct {
	server   *Server
	socket   net.Conn // as accepted
	net.Conn          // the socket, or TLS over it
	ctx      context.Context
	cancel   context.CancelFunc
	uncount  func() // takes the connection out of what it is counted under

	strangers *counter // of the listener's connections without login

	mu          sync.Mutex
	readTimeout time.Duration // of each read
	deadline    time.Time     // of all reads, unless zero
	waiting     bool          // the session waits for a command or in IDLE
	interrupted bool
	aheadEnds   bool // ReadAhead is to end

	forget func() bool // ends what EndWith has begun; nil = nothing
}

// newConn makes the Conn of a connection that is counted among the strangers.
func newConn(s *Server, nc net.Conn, strangers *counter) *Conn {
	c := &Conn{server: s, socket: nc, Conn: nc, strangers: strangers}
	c.uncount = func() { strangers.remove(addressKey(nc.RemoteAddr())) }
	c.ctx, c.cancel = context.WithCancel(context.Background())
	under := nc
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		under = t.NetConn()
	}
	if s, ok := under.(*socket); ok {
		under = s.Conn
	}
	if p, ok := under.(*proxied); ok {
		under = p.Conn
	}
	if tcp, ok := under.(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(keepAlive)
	}
	return c
}

// Context is of the work done for the connection; it ends when the connection
// is cut off.
func (c *Conn) Context() context.Context { return c.ctx }

// Remote is the peer's address; the zero one where it has none.
func (c *Conn) Remote() netip.Addr { return remoteAddress(c.socket.RemoteAddr()) }

// LoggedIn counts the connection under account from now on, if that has not
// too many.
func (c *Conn) LoggedIn(account any) bool {
	accounts := c.server.accounts
	if accounts.add(account) != noLimit {
		c.server.tally.account.Add(1)
		return false
	}
	c.uncount()
	c.uncount = func() { accounts.remove(account) }
	c.server.options.Known.remember(addressKey(c.socket.RemoteAddr()), time.Now())
	return true
}

// EndWith has the connection cut off when ctx is done; nil never is. What was said of another one before does not
// count any more.
func (c *Conn) EndWith(ctx context.Context) {
	if c.forget != nil {
		c.forget()
		c.forget = nil
	}
	if ctx != nil {
		c.forget = context.AfterFunc(ctx, c.cut)
	}
}

// LoggedOut counts the connection as one without login again, if there are not too many.
func (c *Conn) LoggedOut() bool {
	key := addressKey(c.socket.RemoteAddr())
	if c.server.admit(key, c.strangers) != noLimit {
		return false
	}
	c.EndWith(context.Background()) // with nothing
	c.uncount()
	c.uncount = func() { c.strangers.remove(key) }
	return true
}

// Read reads within the time limits. While the session waits, it returns
// ErrInterrupted as soon as Interrupt has been called.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.beginRead(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.wasInterrupted() {
		err = ErrInterrupted
	}
	return n, err
}

func (c *Conn) beginRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting && c.interrupted {
		return ErrInterrupted
	}
	deadline := time.Now().Add(c.readTimeout)
	if !c.deadline.IsZero() && c.deadline.Before(deadline) {
		deadline = c.deadline
	}
	return c.Conn.SetReadDeadline(deadline)
}

// ReadAhead reads as Read does, without a time limit, for a goroutine that looks after
// the connection while the session's is busy: it may be used between LetReadAhead and
// StopReadingAhead, while nobody else reads. ErrInterrupted is the end of it.
func (c *Conn) ReadAhead(p []byte) (int, error) {
	if err := c.beginReadAhead(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.beginReadAhead() != nil {
		err = ErrInterrupted
	}
	return n, err
}

func (c *Conn) beginReadAhead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aheadEnds {
		return ErrInterrupted
	}
	return c.Conn.SetReadDeadline(time.Time{})
}

// LetReadAhead allows ReadAhead to read.
func (c *Conn) LetReadAhead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aheadEnds = false
}

// StopReadingAhead ends ReadAhead, the present call and all that follow.
func (c *Conn) StopReadingAhead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aheadEnds = true
	c.socket.SetReadDeadline(time.Unix(1, 0))
}

func (c *Conn) wasInterrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting && c.interrupted
}

// Write writes all of p; the client has the write time-out to take it.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.server.options.WriteTimeout)); err != nil {
		return 0, err
	}
	if t, ok := c.Conn.(*tls.Conn); ok && len(p) >= leastGathered {
		if s, ok := t.NetConn().(*socket); ok {
			return writeTLS(t, s, p)
		}
	}
	return c.Conn.Write(p)
}

// SetWaiting says how long each read may take from now on, and whether
// Interrupt ends it.
func (c *Conn) SetWaiting(waiting bool, timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.readTimeout = waiting, timeout
}

// SetDeadline bounds all reads together, and a handshake; the zero time takes
// that back. It hides the standard method, whose work Read and Write do.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

// Interrupt ends a read of a waiting session; the next one, if it does not wait now.
func (c *Conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted {
		return // the read has ended, or the next one will at once
	}
	c.interrupted = true
	if c.waiting {
		c.socket.SetReadDeadline(time.Unix(1, 0))
	}
}

// ClearInterrupt is called before looking for what the interruption was about.
func (c *Conn) ClearInterrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = false
}

// cut ends the connection at once, whatever it is doing.
func (c *Conn) cut() {
	c.cancel()
	c.socket.Close()
}

// end is the end of the session.
func (c *Conn) end() {
	c.EndWith(context.Background()) // with nothing
	c.cancel()
	c.uncount()
	c.Conn.Close()
}

// TLS returns the state of TLS, nil without.
func (c *Conn) TLS() *tls.ConnectionState {
	t, ok := c.Conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// Handshake performs that of implicit TLS, within the deadline; without TLS it
// does nothing.
func (c *Conn) Handshake() error {
	t, ok := c.Conn.(interface{ Handshake() error })
	if !ok {
		return nil
	}
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	if deadline.IsZero() {
		deadline = time.Now().Add(handshakeTimeout)
	}
	if err := c.Conn.SetDeadline(deadline); err != nil {
		return err
	}
	return t.Handshake()
}

// handshakeTimeout is for a peer over a slow line; a handshake is two round trips.
const handshakeTimeout = time.Minute

// StartTLS takes TLS over the connection, with a configuration of Remember. What was read before, and not yet
// used, must not be used any more (RFC 3207 section 6).
func (c *Conn) StartTLS(config *tls.Config) error {
	c.Conn = tls.Server(&socket{Conn: c.socket}, config)
	return c.Handshake()
}
