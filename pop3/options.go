// Package pop3 serves an account's INBOX by POP3 (RFC 1939).
//
// A session sees INBOX as it was at login, and what it deletes goes at QUIT.
// Sessions of IMAP, and others of POP3, work on the same mailbox meanwhile.
package pop3

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/tls/serve"
)

// Options are the settings of a server. Store and Directory must be set, the zero
// value of each other field is good.
type Options struct {
	// Store holds the mailboxes.
	Store *mailbox.Store
	// Directory checks who logs in.
	Directory *directory.Directory
	// TLSConfig is used by STLS. nil = STLS is not offered. Listeners with implicit
	// TLS bring their own.
	TLSConfig *tls.Config
	// AllowInsecureAuth accepts passwords without TLS and announces it: for a server
	// on loopback.
	AllowInsecureAuth bool
	// MaxPerAddress is how many connections of one address to one listener may be
	// without login at a time. 0 = 80.
	MaxPerAddress int
	// MaxPerAccount is how many logged-in sessions an account may have. 0 = any number.
	MaxPerAccount int
	// Known are addresses of users, who get a connection when strangers have all. nil = of those who have logged in here.
	Known *serve.Known
	// LoginTimeout is the time from connecting to being logged in. 0 = 60 s.
	LoginTimeout time.Duration
	// IdleTimeout is how long a logged-in client may be silent: RFC 1939 section 3
	// demands at least 10 minutes, which is the default and the least.
	IdleTimeout time.Duration
	// WriteTimeout is how long the client may not take what is sent. 0 = 5 minutes.
	WriteTimeout time.Duration
	// Logger gets one line a session and what went wrong inside; never a password or
	// a line of mail. nil = nothing is logged.
	Logger *slog.Logger
}

const (
	// minIdleTimeout is RFC 1939 section 3.
	minIdleTimeout = 10 * time.Minute
	// maxLine is RFC 2449 section 4: 255 octets with CRLF; real clients stay below,
	// long user names and passwords in UTF-8 need some room.
	maxLine = 1024
	// maxResponse is for lines of an AUTH exchange: RFC 4954's bound for SMTP.
	maxResponse = 12288
	// maxErrors ends a session that does not speak POP3.
	maxErrors = 10
	// maxUnknown is how many unknown commands before login do: a browser that was led here
	// says as much in the header of its request, before what it was to say comes in the body.
	maxUnknown = 3
)

// Server serves POP3 on any number of listeners.
type Server struct {
	options atomic.Pointer[Options] // of sessions that begin now
	serve   *serve.Server
}

// New returns a server; Serve starts it.
func New(o Options) *Server {
	s := &Server{}
	o = s.use(o)
	s.serve = serve.New(serve.Options{
		Name:          "pop3",
		MaxPerAddress: o.MaxPerAddress,
		MaxPerAccount: o.MaxPerAccount,
		Known:         o.Known,
		Busy:          "-ERR [SYS/TEMP] too many connections from your address\r\n",
		WriteTimeout:  o.WriteTimeout,
		Logger:        o.Logger,
	}, s.session)
	return s
}

// use makes o the options of sessions to come, with the defaults that it returns.
func (s *Server) use(o Options) Options {
	if o.LoginTimeout <= 0 {
		o.LoginTimeout = time.Minute
	}
	o.IdleTimeout = max(o.IdleTimeout, minIdleTimeout)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.TLSConfig = serve.Remember(o.TLSConfig)
	s.options.Store(&o)
	return o
}

// Reconfigure gives o to sessions that begin from now on; those that are under way keep what they began with, but logins count
// against the new MaxPerAccount. MaxPerAddress, WriteTimeout and Logger of connections stay.
func (s *Server) Reconfigure(o Options) { s.serve.SetMaxPerAccount(s.use(o).MaxPerAccount) }

// Serve accepts connections until Shutdown (then serve.ErrClosed) or a fault of
// the listener, which it closes.
func (s *Server) Serve(l net.Listener) error { return s.serve.Serve(l) }

// Shutdown tells every client goodbye; when ctx ends the rest is cut off. What
// a session has marked as deleted and not confirmed by QUIT stays.
func (s *Server) Shutdown(ctx context.Context) error { return s.serve.Shutdown(ctx) }

// Figures counts the connections.
func (s *Server) Figures() serve.Figures { return s.serve.Figures() }
