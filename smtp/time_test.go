package smtp

import (
	"net"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/mailbox/mailboxtest"
)

// piped is a listener whose connections are pipes, so that a server can be in a bubble of fake time: none on a
// socket can, since nobody knows there whether something is still on its way.
type piped struct {
	conns  chan net.Conn
	closed chan struct{}
	shut   func()
}

func newPiped() *piped {
	l := &piped{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.shut = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *piped) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *piped) Close() error {
	l.shut()
	return nil
}

func (l *piped) Addr() net.Addr { return pipedAddr }

var pipedAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25}

// fromLoopback is the server's end of a pipe, which has the addresses of a socket.
type fromLoopback struct{ net.Conn }

func (fromLoopback) LocalAddr() net.Addr  { return pipedAddr }
func (fromLoopback) RemoteAddr() net.Addr { return pipedAddr }

// dial is the client's end of a new connection.
func (l *piped) dial(int) (net.Conn, error) {
	client, server := net.Pipe()
	l.conns <- fromLoopback{server}
	return client, nil
}

// TestDialoguesOfTime plays what limits of time end, on a clock that goes on only while nobody has anything to do: what a busy
// machine is late with is not the client's silence.
func TestDialoguesOfTime(t *testing.T) {
	serverTLS() // of the time outside
	for folder, limits := range map[string]Limits{
		"receiver-idle":    {Idle: 5 * time.Minute, Session: time.Hour},
		"receiver-session": {Idle: time.Hour, Session: 30 * time.Minute},
	} {
		files, err := filepath.Glob("testdata/" + folder + "/*.dialog")
		if err != nil || len(files) == 0 {
			t.Fatalf("no dialogue in %s: %v", folder, err)
		}
		for _, file := range files {
			t.Run(folder+"/"+filepath.Base(file), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := newHouse(t).options(Receiver)
					o.Limits = limits
					l := newPiped()
					serveUntilTheEnd(t, o, l)
					mailboxtest.Player{Dial: l.dial, Timeout: 2 * time.Hour}.Play(t, file)
				})
			})
		}
	}
}
