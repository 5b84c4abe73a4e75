package imap

import (
	"context"
	"net"

	"mailstead/tls/serve"
)

// ErrServerClosed is returned by Serve after Shutdown.
var ErrServerClosed = serve.ErrClosed

// Server serves IMAP on any number of listeners.
type Server struct {
	options Options
	front   *serve.Server
}

// New returns a server; Serve starts it.
func New(o Options) *Server {
	s := &Server{options: o.orDefault()}
	s.options.TLSConfig = serve.Remember(o.TLSConfig)
	s.front = serve.New(serve.Options{
		Name:          "imap",
		MaxPerAddress: s.options.MaxPerAddress,
		MaxPerAccount: s.options.MaxPerAccount,
		Known:         s.options.Known,
		Busy:          "* BYE [UNAVAILABLE] too many connections from your address\r\n",
		WriteTimeout:  s.options.WriteTimeout,
		Logger:        s.options.Logger,
	}, func(c *serve.Conn) { newSession(s, c).serve() })
	return s
}

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
