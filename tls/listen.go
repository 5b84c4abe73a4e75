package tls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// A phone that idles in IMAP pays with its battery for each packet that wakes its
// radio, so the first probe comes late; Go's own default is 15 seconds. The two
// hours of RFC 9293 section 3.8.4 are too long for the tables of home routers and
// mobile networks, which forget a silent connection.
const (
	keepAliveIdle     = 5 * time.Minute
	keepAliveInterval = time.Minute
	keepAliveCount    = 4
	// deadAfter is when a peer that acknowledges nothing is given up.
	deadAfter = keepAliveIdle + keepAliveCount*keepAliveInterval
)

// Listen opens a listener for a mail protocol, with or without TLS: network and
// address as in net.Listen. Its connections get their first keepalive probe after
// five idle minutes and end nine minutes after the peer was last heard of; on
// Linux also while written data waits for its acknowledgement, where TCP alone
// would try for a quarter of an hour.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: limitUnacknowledged}
	return lc.Listen(ctx, network, address)
}

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount}

// ErrNoListener says that what was inherited is no socket of TCP that listens.
var ErrNoListener = errors.New("tls: no listening TCP socket")

// Inherit is Listen for a socket that listens already: of a service manager, or of this
// process before it executed itself anew. It closes f in any case. ErrNoListener.
func Inherit(f *os.File) (net.Listener, error) {
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoListener, err)
	}
	t, ok := l.(*net.TCPListener)
	if !ok {
		// Closing it must not remove the name of a socket that is somebody else's.
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		return nil, errors.Join(ErrNoListener, l.Close())
	}
	raw, err := t.SyscallConn()
	if err == nil {
		// A socket of Multipath TCP, as Go's own listeners are, has no such option.
		if err = limitUnacknowledged("", "", raw); errors.Is(err, syscall.ENOPROTOOPT) {
			err = nil
		}
	}
	if err == nil {
		err = mustListen(raw)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return inherited{t}, nil
}

// inherited sets what package net sets on connections of listeners that it has opened itself.
type inherited struct{ *net.TCPListener }

// Accept waits for a connection. One that has ended by then is not our concern: its first read says so.
func (l inherited) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c.SetKeepAliveConfig(keepAlive)
	return c, nil
}
