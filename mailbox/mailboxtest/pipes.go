package mailboxtest

import (
	"context"
	"net"
)

// Pipes is a listener whose connections are pipes within the process. They have no buffers: what one side writes waits
// until the other side reads it. And they can be in a bubble of fake time (testing/synctest), which sockets cannot: of
// those nobody knows whether something is still on its way.
type Pipes struct {
	conns chan net.Conn
	done  context.Context
	close context.CancelFunc
}

// NewPipes returns a listener; who serves it closes it.
func NewPipes() *Pipes {
	p := &Pipes{conns: make(chan net.Conn)}
	p.done, p.close = context.WithCancel(context.Background())
	return p
}

// Accept waits for the next connection. After Close its error is net.ErrClosed.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the listener, not its connections.
func (p *Pipes) Close() error {
	p.close()
	return nil
}

// Addr is an address of loopback.
func (p *Pipes) Addr() net.Addr { return loopback() }

// Dial waits until a new connection from loopback is accepted, and returns the client's side of it. After Close its error is net.ErrClosed.
func (p *Pipes) Dial() (net.Conn, error) { return p.DialFrom(loopback()) }

// DialFrom is Dial from another address.
func (p *Pipes) DialFrom(from net.Addr) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- piped{server, from}:
		return client, nil
	case <-p.done.Done():
		return nil, net.ErrClosed
	}
}

// piped is the server's side of a pipe, which has addresses.
type piped struct {
	net.Conn
	from net.Addr
}

func (piped) LocalAddr() net.Addr    { return loopback() }
func (c piped) RemoteAddr() net.Addr { return c.from }

func loopback() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
