// Package remote takes mail to the world: one attempt to deliver one message to
// the recipients of one domain, by SMTP to the domain's mail exchangers. When to
// try again, and what to tell the sender, is for the queue.
package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

// Timeouts bound the steps of a conversation. A zero field takes the value of
// RFC 5321 section 4.5.3.2, or ours where that has none.
type Timeouts struct {
	Connect   time.Duration // until a connection stands; 30 s
	Greeting  time.Duration // 5 min
	Hello     time.Duration // EHLO, HELO and STARTTLS; 5 min
	TLS       time.Duration // the handshake; 2 min
	Mail      time.Duration // MAIL and RSET; 5 min
	Recipient time.Duration // 5 min
	DataInit  time.Duration // the reply to DATA; 2 min
	DataBlock time.Duration // each block of the message; 3 min
	DataEnd   time.Duration // the reply to the final dot; 10 min
	Quit      time.Duration // what nothing depends on: the reply to QUIT, the reason of a server that hung up; 5 s
	// Keep is how long a connection waits for another message: as long as the next one takes that is in line
	// for the same server, and short enough that nobody minds; 4 s.
	Keep time.Duration
}

var defaultTimeouts = Timeouts{
	Connect:   30 * time.Second,
	Greeting:  5 * time.Minute,
	Hello:     5 * time.Minute,
	TLS:       2 * time.Minute,
	Mail:      5 * time.Minute,
	Recipient: 5 * time.Minute,
	DataInit:  2 * time.Minute,
	DataBlock: 3 * time.Minute,
	DataEnd:   10 * time.Minute,
	Quit:      5 * time.Second,
	Keep:      4 * time.Second,
}

// or fills the zero fields of t from def.
func (t Timeouts) or(def Timeouts) Timeouts {
	fill := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	fill(&t.Connect, def.Connect)
	fill(&t.Greeting, def.Greeting)
	fill(&t.Hello, def.Hello)
	fill(&t.TLS, def.TLS)
	fill(&t.Mail, def.Mail)
	fill(&t.Recipient, def.Recipient)
	fill(&t.DataInit, def.DataInit)
	fill(&t.DataBlock, def.DataBlock)
	fill(&t.DataEnd, def.DataEnd)
	fill(&t.Quit, def.Quit)
	fill(&t.Keep, def.Keep)
	return t
}

// Options are what a Courier is made of.
type Options struct {
	// Resolver finds the mail exchangers. Required; one without servers makes
	// every delivery a temporary failure, except to address literals.
	Resolver *dns.Resolver
	// Hostname is our name in EHLO, a domain name or an address literal.
	Hostname string
	// Names are further names by which this server is a mail exchanger;
	// Hostname is always one.
	Names []string
	// Own tells whether an address is this server's, which a mail loop would
	// come back through. A server for the public should include loopback
	// addresses: anybody may publish an MX that points there. Default: none.
	Own func(netip.Addr) bool
	// MXPort is the port of all mail exchangers. Default 25.
	MXPort int
	// Dial opens TCP connections and returns soon once its context ends.
	// Default: that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLSConfig is the base for STARTTLS. Without a policy of the recipient's domain TLS is
	// opportunistic: the server's name is filled in, no certificate is demanded (RFC 7435), and versions
	// before 1.2 are not spoken. Its Time is the clock for certificates. Default: an empty one.
	TLSConfig *tls.Config
	// MTASTS finds the policy that holds for mail to a domain, or over a smarthost of that name (RFC 8461), as mtasts.Cache.For does. The
	// certificates that policies want are checked against the RootCAs of TLSConfig. Default: there are none.
	MTASTS func(ctx context.Context, domain string) mtasts.Finding
	// Private allows domains whose servers are at addresses that the Internet does not lead to (dns.IsPublic).
	Private bool
	// Source finds the address that this machine sends from to another, or looks whether it could be a certain one, if
	// from is valid; an error says that there is no way. Default: the system's choice.
	Source func(ctx context.Context, from, to netip.Addr) (netip.Addr, error)
	// Addresses are this machine's own, in a slice that is the caller's: where the system would send from an IPv6 address without
	// a name that leads back to it, another one is taken that has such a name. Default: those of the interfaces.
	Addresses func() []netip.Addr
	// DialFrom is Dial from one of Addresses. Default: that of a net.Dialer.
	DialFrom func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error)
	// Timeouts bound the steps of a conversation.
	Timeouts Timeouts
	// Logger hears of each conversation. Default: none.
	Logger *slog.Logger
	// Shuffle orders exchangers of equal preference. Default: that of math/rand.
	Shuffle func(n int, swap func(i, j int))
}

var _ queue.Courier = (*Courier)(nil)

// Courier delivers to mail exchangers. Its methods may be called at the same
// time.
type Courier struct {
	resolver *dns.Resolver
	hostname string
	names    []string // lower case
	ownAddr  func(netip.Addr) bool
	port     int
	dialer   func(ctx context.Context, network, address string) (net.Conn, error)
	tls      *tls.Config
	mtasts   func(ctx context.Context, domain string) mtasts.Finding
	timeouts Timeouts
	log      *slog.Logger
	shuffle  func(n int, swap func(i, j int))
	kept     keeper
	private  bool
	source   func(ctx context.Context, from, to netip.Addr) (netip.Addr, error)
	sources  sources

	addresses func() []netip.Addr
	dialFrom  func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error)
}

// Close ends the connections that wait for another message. Attempts that are under way go on;
// none of theirs is kept.
func (c *Courier) Close() { c.kept.close() }

// New makes a Courier, to be closed when no attempts are made any more. It fails without a resolver, for a Hostname that cannot
// stand in EHLO and for a port that is none.
func New(o Options) (*Courier, error) {
	if o.Resolver == nil {
		return nil, errors.New("remote: no resolver")
	}
	hostname, err := ehloName(o.Hostname)
	if err != nil {
		return nil, fmt.Errorf("remote: host name: %w", err)
	}
	if o.MXPort < 0 || o.MXPort > 65535 {
		return nil, fmt.Errorf("remote: port %d", o.MXPort)
	}
	c := &Courier{
		resolver: o.Resolver, hostname: hostname, names: []string{hostname},
		ownAddr: o.Own, port: o.MXPort, dialer: o.Dial, mtasts: o.MTASTS, timeouts: o.Timeouts.or(defaultTimeouts),
		log: o.Logger, shuffle: o.Shuffle,
		private: o.Private, source: o.Source, addresses: o.Addresses, dialFrom: o.DialFrom,
	}
	for _, name := range o.Names {
		if ascii, err := dns.ASCII(name); err == nil {
			c.names = append(c.names, ascii)
		}
	}
	c.tls = opportunistic(o.TLSConfig)
	c.fillDefaults()
	return c, nil
}

func (c *Courier) fillDefaults() {
	if c.ownAddr == nil {
		c.ownAddr = func(netip.Addr) bool { return false }
	}
	if c.port == 0 {
		c.port = 25
	}
	if c.dialer == nil {
		c.dialer = new(net.Dialer).DialContext
	}
	if c.mtasts == nil {
		c.mtasts = func(context.Context, string) mtasts.Finding { return mtasts.Finding{} }
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.source == nil {
		c.source = sourceFor
	}
	if c.addresses == nil {
		c.addresses = ownAddresses
	}
	if c.dialFrom == nil {
		c.dialFrom = dialFrom
	}
	if c.shuffle == nil {
		c.shuffle = rand.Shuffle
	}
}

func ehloName(name string) (string, error) {
	if _, ok := parseLiteral(name); ok {
		return name, nil
	}
	return dns.ASCII(name)
}

// opportunistic makes the configuration for servers whose certificates prove
// nothing: without a policy an attacker could as well have removed STARTTLS, and
// most self-hosted exchangers would fail a check. Where there is one, it checks itself (Courier.config).
func opportunistic(base *tls.Config) *tls.Config {
	config := base.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	config.InsecureSkipVerify = true
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	// A resumed session has the certificate of the one before it: what the server shows now would never be seen.
	config.ClientSessionCache = nil
	return config
}

// now is the time by which certificates are judged.
func (c *Courier) now() time.Time {
	if c.tls.Time != nil {
		return c.tls.Time()
	}
	return time.Now()
}

// isOwn tells whether a host name is this server's.
func (c *Courier) isOwn(host string) bool {
	return slices.Contains(c.names, strings.ToLower(host))
}

// Limits of an attempt as a whole. RFC 5321 section 4.5.3.2 wants limits for
// each command; this one is for servers that use up every one of them.
const (
	attemptTime = 30 * time.Minute
	slowest     = 8 << 10 // bytes a second that a message has to make
)

// Deliver makes one attempt to take m to the recipients of a destination, which
// is a domain or an address literal in brackets. It gives one outcome for each
// recipient, in their order, always. Ending ctx ends the attempt: what is then
// not decided is a temporary failure.
//
// m.Open may be called several times. A message that turns out shorter than
// m.Size is not delivered; with a Size of 0 that is not checked.
func (c *Courier) Deliver(ctx context.Context, destination string, m queue.Message) []queue.Outcome {
	transactions := 1 + len(m.Recipients)/maxBatch
	limit := attemptTime + time.Duration(transactions)*time.Duration(m.Size/slowest)*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errAttemptTime)
	defer cancel()
	a := newAttempt(c, destination, m)
	a.run(ctx)
	return a.outcomes
}
