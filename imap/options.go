package imap

import (
	"crypto/tls"
	"log/slog"
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
	// TLSConfig is used by STARTTLS. nil = STARTTLS is not offered. Listeners with
	// implicit TLS bring their own.
	TLSConfig *tls.Config
	// AllowInsecureAuth accepts passwords without TLS and announces it: for a server
	// on loopback. Default: LOGINDISABLED until TLS is there.
	AllowInsecureAuth bool
	// MaxMessageSize is the largest message APPEND takes, in octets: the store's own
	// limit, so that it is known before the message is on its way. 0 = 50 MiB.
	MaxMessageSize int64
	// MaxPerAddress is how many connections of one address to one listener may be
	// without login at a time; an IPv6 address counts by its /64. 0 = 80.
	MaxPerAddress int
	// MaxPerAccount is how many logged-in sessions an account may have. 0 = any number.
	MaxPerAccount int
	// Known are addresses of users, who get a connection when strangers have all. nil = of those who have logged in here.
	Known *serve.Known
	// LoginTimeout is the time from connecting to being logged in. 0 = 60 s.
	LoginTimeout time.Duration
	// IdleTimeout is how long a logged-in client may be silent, in IDLE too. Clients
	// renew IDLE every 29 minutes (RFC 2177), so less than 30 minutes is raised to 30.
	// 0 = 35 minutes.
	IdleTimeout time.Duration
	// CommandTimeout is how long the rest of a command may keep the server waiting at
	// a time: the literals and the lines behind them. 0 = 5 minutes.
	CommandTimeout time.Duration
	// WriteTimeout is how long the client may not take what is sent. 0 = 5 minutes.
	WriteTimeout time.Duration
	// Admin is a URI by which clients can reach the administrator, say
	// mailto:postmaster@example.org; they are told it by GETMETADATA. "" = none.
	Admin string
	// Logger gets one line a session and what went wrong inside; never a password or a
	// line of mail. nil = nothing is logged.
	Logger *slog.Logger
}

const (
	// minIdleTimeout is RFC 3501 section 5.4: at least 30 minutes.
	minIdleTimeout = 30 * time.Minute
	// maxBadBeforeLogin and maxBad are how many bad commands end a session, after login
	// in a row: who does not speak IMAP does not learn it here.
	maxBadBeforeLogin = 3
	maxBad            = 20
)

func (o Options) orDefault() Options {
	setDefault(&o.MaxMessageSize, 50<<20)
	setDefault(&o.LoginTimeout, time.Minute)
	setDefault(&o.IdleTimeout, 35*time.Minute)
	setDefault(&o.CommandTimeout, 5*time.Minute)
	o.IdleTimeout = max(o.IdleTimeout, minIdleTimeout)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
