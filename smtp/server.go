// Package smtp receives mail: from other servers on port 25 and from the users'
// programs by submission. A 250 after the message means that it is on disk.
package smtp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/journal"
	"mailstead/smtp/local"
	"mailstead/smtp/mailauth"
	"mailstead/tls/serve"
)

// Role is what a listener is for.
type Role uint8

const (
	Receiver   Role = iota // port 25: mail for our addresses from anybody
	Submission             // ports 587 and 465: mail to anybody from our users (RFC 6409, RFC 8314)
)

// Directory is what the server asks about addresses and people; see
// mailbox/directory for what each method promises.
type Directory interface {
	Resolve(address string) (directory.Route, error)
	MaySend(a mailbox.AccountID, address string) bool
	Arrived(masked []string)
	CheckSending(ctx context.Context, a mailbox.AccountID, n directory.Sending) error
	CountSending(a mailbox.AccountID, n directory.Sending) (mailbox.RoomChange, error)
	Unsend(a mailbox.AccountID, n directory.Sending)
	IsMember(list string, writers ...string) bool
	HasMember(list string, a mailbox.AccountID) bool
	Mechanisms(at directory.Attempt, cleartext bool) []string
	Exchange(at directory.Attempt, mechanism string) (directory.Exchange, error)
}

// Acceptor takes messages in.
type Acceptor interface {
	// HasSpace says whether a message of n octets would find space now, 0 when its
	// size is not known. mailbox.ErrNoSpace.
	HasSpace(n int64) error
	// HasQuota says whether a message of n octets, 0 when its size is not known, may
	// go where a recipient leads. mailbox.ErrOverQuota when nobody there has room.
	HasQuota(to directory.Route, n int64) error
	// NewBody begins a message.
	NewBody() *mailbox.NewBody
	// NewSpool begins to hold a message that cannot be stored before its end.
	NewSpool() *mailbox.Spool
	// Accept takes responsibility for a message: nil means that for every
	// recipient it is on disk, in a mailbox or in the queue. *local.Refusal, or
	// an error of the store: then nothing was taken.
	Accept(ctx context.Context, t local.Transaction, b *mailbox.NewBody) error
}

// Options are the settings of a server. Hostname, Directory and Deliver are
// needed, the zero value of each other field is good.
type Options struct {
	Role          Role
	Hostname      string      // in the greeting and in trace headers
	Directory     Directory   // who is here
	Deliver       Acceptor    // where messages go
	TLSConfig     *tls.Config // for STARTTLS; nil = not offered. Implicit TLS is the listener's matter
	CleartextAuth bool        // submission accepts AUTH without TLS; it is never announced
	Limits        Limits
	Known         *serve.Known     // addresses of users, who get a connection when strangers have all; nil = of those who have logged in here
	Journal       *journal.Journal // is told what becomes of each message; nil = nobody is
	Checks        *Checks          // of mail from outside, for the receiver; nil = nothing is checked
	// SigningKeys gives the keys that sign for a domain, in A-labels: for submission that of
	// the author, for the receiver that of an address from which mail is handed on elsewhere. None, or nil: mail
	// leaves without a signature.
	SigningKeys func(domain string) []mailauth.SigningKey
	// Wrote is told to whom an account has sent a message, after submission took it. nil = nobody is.
	Wrote func(a mailbox.AccountID, recipients []string)
	// HasWritten reports whether an account has written to an address before. nil = it never has.
	HasWritten func(a mailbox.AccountID, address string) bool
	// OverSending is told that an account has reached a limit of what it may send, once a day. nil = nobody is.
	OverSending func(a mailbox.AccountID, o *directory.OverSending)

	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger     // nil = none
}

// Server serves one role on any number of listeners.
type Server struct {
	manner  atomic.Pointer[manner] // of sessions that begin now
	conns   *serve.Server
	records mailauth.Records
	ledger  *ledger       // nil where nobody's conduct is watched
	taken   atomic.Uint64 // messages
	counter atomic.Uint64 // makes transaction names unique; begins anywhere, so that servers side by side differ
}

// manner is how sessions are conducted: a session keeps the one that it began with.
type manner struct {
	*Server
	o      Options
	limits Limits
}

// ErrClosed is what Serve returns after Shutdown.
var ErrClosed = serve.ErrClosed

// New returns a server that is not yet listening.
func New(o Options) *Server {
	s := &Server{}
	m := s.newManner(o)
	s.manner.Store(m)
	if o.Role == Receiver && o.Checks != nil && !o.Checks.RecordOnly {
		s.ledger = newLedger(m.limits)
	}
	s.counter.Store(minFirstName + rand.Uint64N(maxFirstName-minFirstName))
	s.conns = serve.New(serve.Options{
		Name: "smtp", Logger: m.o.Logger, WriteTimeout: writeTimeout,
		MaxPerAddress: m.limits.ConnectionsPerAddress, MaxPerAccount: m.limits.ConnectionsPerAccount, Known: m.o.Known,
		Busy: bye(421, "4.7.0", "Too many connections from your address").Error(),
	}, func(c *serve.Conn) { newSession(s.manner.Load(), c).serve() })
	return s
}

func (s *Server) newManner(o Options) *manner {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.TLSConfig = serve.Remember(o.TLSConfig)
	return &manner{Server: s, o: o, limits: o.Limits.WithDefaults()}
}

// Reconfigure has sessions that begin from now on conducted by o; those that are under way end as they began. What is counted
// of strangers and of accounts goes on, up to the new limits. The role, Checks.RecordOnly and the limit of connections of one
// address stay what they were.
func (s *Server) Reconfigure(o Options) {
	m := s.newManner(o)
	if s.ledger != nil {
		s.ledger.setLimits(m.limits)
	}
	s.conns.SetMaxPerAccount(m.limits.ConnectionsPerAccount)
	s.manner.Store(m)
}

// The first names of transactions have four digits of base 36: short, and all
// Received fields of a server are of one length.
const (
	minFirstName = 36 * 36 * 36
	maxFirstName = 36 * minFirstName
)

// writeTimeout is for a peer that does not take a few lines of reply.
const writeTimeout = time.Minute

// Serve accepts connections until the listener fails or Shutdown is called
// (ErrClosed). It closes the listener. Connections of a TLS listener have
// implicit TLS (RFC 8314 section 3.3).
func (s *Server) Serve(l net.Listener) error { return s.conns.Serve(l) }

// Shutdown stops listening, tells idle clients 421 and lets commands and
// messages that are under way finish until ctx ends; then connections are cut.
// It returns when no session is left: ctx.Err() when some were cut.
func (s *Server) Shutdown(ctx context.Context) error { return s.conns.Shutdown(ctx) }

// Messages is how many messages were accepted since the start.
func (s *Server) Messages() uint64 { return s.taken.Load() }

// Figures counts the connections.
func (s *Server) Figures() serve.Figures { return s.conns.Figures() }
