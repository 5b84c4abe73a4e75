package imap

import (
	"context"
	"net"
	"sync/atomic"

	"mailstead/tls/serve"
)

// ErrServerClosed is returned by Serve after Shutdown.
var ErrServerClosed = serve.ErrClosed

// Server serves IMAP on any number of listeners.
type Server struct {
	options atomic.Pointer[Options] // of sessions that begin now
	front   *serve.Server
}

// New returns a server; Serve starts it.
func New(o Options) *Server {
	s := &Server{}
	o = s.use(o)
	s.front = serve.New(serve.Options{
		Name:          "imap",
		MaxPerAddress: o.MaxPerAddress,
		MaxPerAccount: o.MaxPerAccount,
		Known:         o.Known,
		Busy:          "* BYE [UNAVAILABLE] too many connections from your address\r\n",
		WriteTimeout:  o.WriteTimeout,
		Logger:        o.Logger,
	}, func(c *serve.Conn) { newSession(s, c).serve() })
	return s
}

// use makes o the options of sessions to come, with the defaults that it returns.
func (s *Server) use(o Options) Options {
	o = o.orDefault()
	o.TLSConfig = serve.Remember(o.TLSConfig)
	s.options.Store(&o)
	return o
}

// Reconfigure gives o to sessions that begin from now on; those that are under way keep what they began with, but logins count
// against the new MaxPerAccount. MaxPerAddress, WriteTimeout and Logger of connections stay.
func (s *Server) Reconfigure(o Options) { s.front.SetMaxPerAccount(s.use(o).MaxPerAccount) }

// Serve accepts connections until Shutdown, then returns ErrServerClosed; any other
// error is one of the listener. Connections of a TLS listener have implicit TLS
// (RFC 8314). Serve closes the listener.
func (s *Server) Serve(l net.Listener) error { return s.front.Serve(l) }

// Shutdown ends all sessions with BYE: at once where the client is silent or idling,
// after the present command elsewhere, which is cut short if it only reads. When ctx
// ends the rest is cut off; Shutdown then returns its error, but not before every
// session has ended.
func (s *Server) Shutdown(ctx context.Context) error { return s.front.Shutdown(ctx) }

// Figures counts the connections.
func (s *Server) Figures() serve.Figures { return s.front.Figures() }
