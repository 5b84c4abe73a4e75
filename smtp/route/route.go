// Package route says where mail goes: straight to the servers of its recipients' domains, or to another server that
// takes it on from there, a smarthost.
//
// Which way a message goes is a function of values (Choose): of what it is, how often it was tried, and of the
// routes that there are. The routes are in a room of the store (Table).
package route

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
)

// Limits of a route. Routes are read for each message and kept in memory, so they are to stay small.
const (
	maxName     = 40       // octets of a name
	maxDomains  = 1000     // in each list: what somebody types or pastes
	maxAccounts = 1000     // the same
	maxLogin    = 255      // octets of a user name and of a password, as RFC 4616 section 2 has them
	maxCA       = 64 << 10 // octets of the certificates in PEM: a dozen
	maxAfter    = 100      // attempts; a message is given up after some forty
)

// DefaultAfter is how many attempts have to fail before mail takes a fall-back, where nobody says: half an hour.
const DefaultAfter = 3

// Errors that a caller decides on.
var (
	ErrInvalid  = errors.New("route: it cannot be used")
	ErrNoSuch   = errors.New("route: there is none of that name")
	ErrExists   = errors.New("route: there is one of that name")
	ErrConflict = errors.New("route: another one is for the same mail")
	ErrTooMany  = errors.New("route: there are too many")
)

// Route is a way for some mail. The zero value is the direct way for all of it. Values do not change: those
// that Table gives out are shared.
type Route struct {
	Name     string              // 1 to 40 letters, digits, hyphens, dots and underscores; "" is the way without a route
	To       []string            // domains of recipients, with all below them, in A-labels; none = any
	Accounts []mailbox.AccountID // that submitted it; none = any, also mail that nobody submitted
	From     []string            // domains of senders, as To
	After    int                 // 0: from the first attempt; n: after n failed ones, or when the way without this route reaches nobody
	Hop      Hop
	Login    Login
	Trust    Trust
}

// Login is who we are to a smarthost. The zero value is nobody.
type Login struct {
	User     string
	Password Secret
}

// Trust says which certificate a smarthost has to show. The zero value wants one for its name, from an authority
// of the system.
type Trust struct {
	CA  string // certificates in PEM: only what they vouch for counts, for the smarthost's name
	Pin string // SHA-256 of its certificate or of its public key (SubjectPublicKeyInfo), in hexadecimal; names and authorities do not count
}

// Secret is a password. It prints as a row of stars, however it is printed.
type Secret string

const stars = "******"

// String hides the secret, as do GoString, Format, LogValue and MarshalText.
func (Secret) String() string { return stars }

// GoString hides the secret.
func (Secret) GoString() string { return stars }

// Format hides the secret from all verbs.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, stars) }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(stars) }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(stars), nil }

// Reveal is the secret, for the conversation that needs it.
func (s Secret) Reveal() string { return string(s) }

// Direct tells whether mail goes to the servers of its recipients' domains.
func (r Route) Direct() bool { return r.Hop == Hop{} }

// Key names what mail on this way shares a connection with: the smarthost, who we are to it, and what it has to
// prove. It is "" for the direct way, and has a space in it otherwise, so that it is never a domain.
func (r Route) Key() string {
	if r.Direct() {
		return ""
	}
	key := "via " + r.Hop.String()
	if r.Login.User != "" {
		key += " as " + r.Login.User
	}
	if r.Trust != (Trust{}) {
		sum := sha256.Sum256([]byte(r.Trust.CA + "\x00" + r.Trust.Pin))
		key += " trusting " + hex.EncodeToString(sum[:4])
	}
	return key
}

// Check gives a route in the form that is kept. ErrInvalid.
func Check(r Route) (Route, error) { return r.normal() }

// normal gives a route in the form that is kept. ErrInvalid.
func (r Route) normal() (_ Route, err error) {
	if err := CheckName(r.Name); err != nil {
		return Route{}, err
	}
	if r.To, err = normalDomains(r.To); err != nil {
		return Route{}, err
	}
	if r.From, err = normalDomains(r.From); err != nil {
		return Route{}, err
	}
	r.Accounts = slices.Compact(slices.Sorted(slices.Values(r.Accounts)))
	if len(r.Accounts) > maxAccounts {
		return Route{}, invalid("it is for more than %d accounts", maxAccounts)
	}
	if r.After < 0 || r.After > maxAfter {
		return Route{}, invalid("the attempts before it are to be from 0 to %d", maxAfter)
	}
	if r.Direct() {
		if r.Login != (Login{}) || r.Trust != (Trust{}) {
			return Route{}, invalid("the direct way has no login and trusts nobody in particular")
		}
		return r, nil
	}
	if err := r.Hop.check(); err != nil {
		return Route{}, err
	}
	if err := r.Login.check(r.Hop.Security); err != nil {
		return Route{}, err
	}
	r.Trust, err = r.Trust.normal(r.Hop.Security)
	return r, err
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// CheckName fails with ErrInvalid where a route cannot have that name.
func CheckName(name string) error {
	if !isName(name) {
		return invalid("its name is to be up to %d letters, digits, hyphens, dots and underscores", maxName)
	}
	return nil
}

func isName(s string) bool {
	bad := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._", c))
	}
	return 1 <= len(s) && len(s) <= maxName && !strings.ContainsFunc(s, bad) && s[0] != '-'
}

func normalDomains(names []string) ([]string, error) {
	if len(names) > maxDomains {
		return nil, invalid("it is for more than %d domains", maxDomains)
	}
	var all []string
	for _, name := range names {
		ascii, err := dns.ASCII(name)
		if err != nil {
			return nil, invalid("%.80q is no domain", name)
		}
		all = append(all, ascii)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// check refuses what no mechanism can say, and a password that anybody on the way could read.
func (l Login) check(s Security) error {
	password := l.Password.Reveal()
	switch {
	case l == (Login{}):
		return nil
	case l.User == "" || password == "":
		return invalid("a login is a user and a password")
	case len(l.User) > maxLogin || len(password) > maxLogin:
		return invalid("user and password are to have %d octets at most", maxLogin)
	case strings.ContainsAny(l.User+password, "\x00\r\n"):
		return invalid("a user or a password has no NUL and no line end in it")
	case s == NoTLS:
		return invalid("a password does not go over a connection without TLS")
	}
	return nil
}

func (t Trust) normal(s Security) (Trust, error) {
	if t == (Trust{}) {
		return t, nil
	}
	if s == NoTLS {
		return Trust{}, invalid("without TLS there is no certificate")
	}
	if t.CA != "" && (len(t.CA) > maxCA || !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA))) {
		return Trust{}, invalid("the file of authorities is to have certificates in PEM, %d octets at most", maxCA)
	}
	if t.Pin != "" {
		pin := strings.ToLower(strings.ReplaceAll(t.Pin, ":", ""))
		if b, err := hex.DecodeString(pin); err != nil || len(b) != sha256.Size {
			return Trust{}, invalid("a fingerprint is a SHA-256 in hexadecimal")
		}
		t.Pin = pin
	}
	return t, nil
}

// Pinned tells whether a certificate is the one of the fingerprint.
func (t Trust) Pinned(c *x509.Certificate) bool {
	whole, key := sha256.Sum256(c.Raw), sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return t.Pin == hex.EncodeToString(whole[:]) || t.Pin == hex.EncodeToString(key[:])
}
