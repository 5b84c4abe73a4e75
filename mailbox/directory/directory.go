// Package directory knows who is here: domains, accounts with their
// addresses, aliases, passwords, and the one way to log in for all protocols.
package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"mailstead/mailbox"
)

// Errors that callers decide on.
var (
	ErrNotLocal    = errors.New("directory: not a domain of this server") // RCPT: relaying, 550 5.7.1 unless logged in
	ErrNoSuch      = errors.New("directory: no such address")             // RCPT: 550 5.1.1
	ErrExists      = errors.New("directory: exists already")
	ErrAddress     = errors.New("directory: malformed address") // 501 5.1.3
	ErrInUse       = errors.New("directory: still in use")
	ErrPassword    = errors.New("directory: password not allowed") // not UTF-8, NUL, empty, SASLprep refuses
	ErrCredentials = errors.New("directory: wrong user name or password")
	ErrMechanism   = errors.New("directory: mechanism not offered here")
	ErrMalformed   = errors.New("directory: malformed authentication exchange")
	ErrBinding     = errors.New("directory: channel binding does not match")
)

// Options of a directory; zero values are good.
type Options struct {
	Now    func() time.Time
	Logger *slog.Logger
}

// Directory is safe for concurrent use. Its state lives in a room of the store.
type Directory struct{}

// Open loads the directory from the store.
func Open(s *mailbox.Store, o Options) (*Directory, error) { panic("being built") }

// --- routing ---

// Delivery is one account an address leads to.
type Delivery struct {
	Account mailbox.AccountID
	Name    string // the account's name
	Detail  string // what stood behind "+", "" for none
}

// Route is where mail for an address goes: local accounts and, by aliases,
// addresses elsewhere, each once.
type Route struct {
	Local  []Delivery
	Remote []string
}

// Resolve follows aliases, plus-details, catch-all and the postmaster and
// abuse rules. Loops end silently. "postmaster" without a domain is the
// server's (RFC 5321 section 4.5.1). ErrAddress, ErrNotLocal, ErrNoSuch.
func (d *Directory) Resolve(address string) (Route, error) { panic("being built") }

// IsLocal reports whether domain (any case, U-label or A-label) is of this server.
func (d *Directory) IsLocal(domain string) bool { panic("being built") }

// MaySend reports whether the account may use address as MAIL FROM or From:
// its addresses with any plus-detail, the aliases that lead to it, and for a
// domain's catch-all account any local part there.
func (d *Directory) MaySend(a mailbox.AccountID, address string) bool { panic("being built") }

// --- logging in ---

// Account is who logged in.
type Account struct {
	ID   mailbox.AccountID
	Name string // the address it was made with
}

// Attempt says where and how somebody tries to log in.
type Attempt struct {
	Protocol string // "imap", "pop3", "submission"
	Remote   netip.Addr
	TLS      *tls.ConnectionState // nil without; channel bindings come from it
}

// Login checks user name (any address of the account) and password. A wrong
// one is answered after the throttle's delay; the reply and its time are the
// same for an unknown user. ErrCredentials, or a temporary error.
func (d *Directory) Login(ctx context.Context, at Attempt, user, password string) (Account, error) {
	panic("being built")
}

// Mechanisms are the SASL mechanisms offered on the connection, best first:
// SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-1, PLAIN,
// LOGIN; the -PLUS forms only with TLS. Without TLS and cleartext set the
// same but -PLUS; without both none.
func (d *Directory) Mechanisms(at Attempt, cleartext bool) []string { panic("being built") }

// Exchange is one SASL authentication. Next takes the client's response (nil
// for an absent initial response, empty for an empty one) and returns the next
// challenge, or done. A successful SCRAM ends with a challenge that the client
// answers with an empty response. After done, Account says who it is.
type Exchange interface {
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
	Account() Account
}

// Exchange begins an authentication with one of Mechanisms. ErrMechanism.
func (d *Directory) Exchange(at Attempt, mechanism string) (Exchange, error) { panic("being built") }

// --- administration ---

// Domain is a domain of this server.
type Domain struct {
	Name     string `json:"name"`
	CatchAll string `json:"catch_all,omitempty"` // account's name
}

// Entry is an account as administrators see it.
type Entry struct {
	ID        mailbox.AccountID `json:"id"`
	Name      string            `json:"name"`
	Addresses []string          `json:"addresses"` // further ones
	Created   time.Time         `json:"created"`
}

// Alias is an address that leads to others, here or elsewhere.
type Alias struct {
	Address string   `json:"address"`
	Members []string `json:"members"`
}

// AddDomain adds a domain. ErrExists, ErrAddress.
func (d *Directory) AddDomain(ctx context.Context, name string) error { panic("being built") }

// RemoveDomain removes a domain without accounts and aliases. ErrNoSuch, ErrInUse.
func (d *Directory) RemoveDomain(ctx context.Context, name string) error { panic("being built") }

// SetCatchAll leads unknown addresses of domain to account; "" ends that.
func (d *Directory) SetCatchAll(ctx context.Context, domain, account string) error {
	panic("being built")
}

// Domains lists the domains by name.
func (d *Directory) Domains() []Domain { panic("being built") }

// AddAccount makes an account with its mailboxes. The domain must exist.
func (d *Directory) AddAccount(ctx context.Context, address, password string) (Account, error) {
	panic("being built")
}

// RemoveAccount removes an account with all its mail, its addresses and its
// place in aliases and catch-alls.
func (d *Directory) RemoveAccount(ctx context.Context, address string) error { panic("being built") }

// SetPassword replaces the password.
func (d *Directory) SetPassword(ctx context.Context, address, password string) error {
	panic("being built")
}

// AddAddress gives an account a further address.
func (d *Directory) AddAddress(ctx context.Context, account, address string) error {
	panic("being built")
}

// RemoveAddress takes a further address back.
func (d *Directory) RemoveAddress(ctx context.Context, account, address string) error {
	panic("being built")
}

// Accounts lists the accounts by name.
func (d *Directory) Accounts() []Entry { panic("being built") }

// Account finds an account by any of its addresses. ErrNoSuch.
func (d *Directory) Account(address string) (Entry, error) { panic("being built") }

// AddAlias makes or extends an alias.
func (d *Directory) AddAlias(ctx context.Context, address string, members ...string) error {
	panic("being built")
}

// RemoveAlias removes members, or the whole alias when none is named.
func (d *Directory) RemoveAlias(ctx context.Context, address string, members ...string) error {
	panic("being built")
}

// Aliases lists the aliases by address.
func (d *Directory) Aliases() []Alias { panic("being built") }
