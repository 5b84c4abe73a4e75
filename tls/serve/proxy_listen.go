package serve

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// proxyTime is how long a proxy has for its header, which it sends at once: one lost packet is sent again within it.
	proxyTime = 10 * time.Second
	// maxHeaders bounds how many connections of a listener may wait for their headers at a time. A connection above that is closed.
	maxHeaders = 256
	// complaints is how often a proxy is told of at most that does not send what it has to.
	complaints = time.Minute
)

// ListenProxied is a listener over l whose connections from proxies, which isProxy tells by their address, begin with a
// header of the PROXY protocol, version 1 or 2: without one they are closed. Such a connection has the address of its client from then on, for
// whoever accepts it; what others send is not looked at. Headers are waited for aside, so that a slow one holds nobody up. TLS, if
// any, goes over it (ListenTLS).
func ListenProxied(l net.Listener, isProxy func(netip.Addr) bool, logger *slog.Logger) net.Listener {
	return &proxyListener{
		Listener: l, isProxy: isProxy, logger: logger,
		ready: make(chan accepted), waiting: make(chan struct{}, maxHeaders), closed: make(chan struct{}),
	}
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

type proxyListener struct {
	net.Listener
	isProxy func(netip.Addr) bool
	logger  *slog.Logger
	ready   chan accepted
	waiting chan struct{} // one for each connection whose header is waited for
	closed  chan struct{}

	start, end sync.Once
	running    sync.WaitGroup

	mu         sync.Mutex
	complained time.Time
	unread     map[net.Conn]struct{} // whose headers are waited for; nil when closed
}

// Accept gives the next connection whose other end is known.
func (l *proxyListener) Accept() (net.Conn, error) {
	l.start.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		select {
		case <-l.closed:
		default:
			l.unread = map[net.Conn]struct{}{}
			l.running.Go(l.accept)
		}
	})
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener, with the connections that were not accepted yet.
func (l *proxyListener) Close() (err error) {
	l.end.Do(func() {
		err = l.Listener.Close()
		l.mu.Lock()
		close(l.closed)
		for c := range l.unread {
			c.Close()
		}
		l.unread = nil
		l.mu.Unlock()
		l.running.Wait()
	})
	return err
}

// accept takes connections until the listener fails for good, or is closed. An error is given to who accepts, who pauses
// where it passes, so the next one is not asked for before.
func (l *proxyListener) accept() {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err != nil:
			if !l.give(accepted{err: err}) || !isTemporary(err) {
				return
			}
		case !l.isProxy(remoteAddress(c.RemoteAddr())):
			l.give(accepted{conn: c})
		default:
			l.await(c)
		}
	}
}

// give hands over to Accept; false when the listener is closed.
func (l *proxyListener) give(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.closed:
		if a.conn != nil {
			a.conn.Close()
		}
		return false
	}
}

// await has the header of a connection read aside.
func (l *proxyListener) await(c net.Conn) {
	select {
	case l.waiting <- struct{}{}:
	default:
		l.complain(c, "too many connections of proxies wait for their PROXY header")
		c.Close()
		return
	}
	if !l.enter(c) {
		c.Close()
		return
	}
	l.running.Go(func() {
		known := l.read(c)
		l.leave(c)
		<-l.waiting
		if known != nil {
			l.give(accepted{conn: known})
		}
	})
}

func (l *proxyListener) enter(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unread == nil {
		return false
	}
	l.unread[c] = struct{}{}
	return true
}

func (l *proxyListener) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.unread, c)
}

// read gives the connection with the address of its client; nil when it had no header, and is closed.
func (l *proxyListener) read(c net.Conn) net.Conn {
	err := c.SetReadDeadline(time.Now().Add(proxyTime))
	if err == nil {
		var client netip.AddrPort
		var own bool
		if client, own, err = readProxyHeader(c); err == nil {
			err = c.SetReadDeadline(time.Time{})
		}
		switch {
		case err != nil:
		case own:
			return c
		default:
			return &proxied{Conn: c, client: net.TCPAddrFromAddrPort(client)}
		}
	}
	if !errors.Is(err, io.EOF) { // a proxy that only looks whether somebody listens
		l.complain(c, err.Error())
	}
	c.Close()
	return nil
}

// complain tells of a proxy that is not set up as it has to be, or of a program beside it.
func (l *proxyListener) complain(c net.Conn, why string) {
	l.mu.Lock()
	now := time.Now()
	tell := l.unread != nil && now.Sub(l.complained) >= complaints
	if tell {
		l.complained = now
	}
	l.mu.Unlock()
	if tell {
		l.logger.Warn("a connection from proxy_from was closed", "remote", c.RemoteAddr().String(), "listener", l.Addr().String(), "error", why)
	}
}
