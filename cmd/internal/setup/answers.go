package setup

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"mailstead/mailbox/directory"
)

// What callers decide by.
var (
	// ErrBusy says that another setup is at work.
	ErrBusy = errors.New("another `mailstead setup` is at work")
	// ErrAnswer says that an answer, or a flag that gives it, cannot be.
	ErrAnswer = errors.New("that cannot be")
)

// Answers are what only the owner of a server knows.
type Answers struct {
	Domain   string // as A-labels
	Hostname string // as A-labels
	Account  string // address of the first account
	Password string // of that
	Contact  string // address that the authority of the certificates is told; "" = none are fetched
}

// refuse is ErrAnswer with the reason.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrAnswer, fmt.Sprintf(format, args...))
}

// ParseDomain reads the domain that a server is for. ErrAnswer.
func ParseDomain(s string) (string, error) {
	return parseName(s, "a domain", "example.org")
}

// ParseHostname reads a server's name: fully qualified, as other servers look it up (RFC 5321 section 2.3.5). ErrAnswer.
func ParseHostname(s string) (string, error) {
	return parseName(s, "a host name with its domain", "mail.example.org")
}

func parseName(s, kind, example string) (string, error) {
	s = strings.TrimSpace(s)
	_, isAddress := netip.ParseAddr(s)
	switch {
	case s == "":
		return "", refuse("it is empty; it is to be %s, like %s", kind, example)
	case strings.Contains(s, "://"):
		return "", refuse("%.80q is an address of the web; %s is meant, like %s", s, kind, example)
	case strings.Contains(s, "@"):
		return "", refuse("%.80q is a mail address; %s is meant, like %s", s, kind, example)
	case isAddress == nil:
		return "", refuse("%s is an IP address; %s is meant, like %s", s, kind, example)
	}
	name, err := directory.CheckDomain(s)
	if err != nil || !strings.Contains(name, ".") || !utf8.ValidString(s) {
		return "", refuse("%.80q is not %s, like %s", s, kind, example)
	}
	return name, nil
}

// ParseAccount reads the first account: the part before the @, or the whole address. ErrAnswer.
func ParseAccount(s, domain string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", refuse("it is empty")
	}
	if !strings.Contains(s, "@") {
		s += "@" + domain
	}
	address, err := directory.CheckAddress(s)
	if err != nil {
		return "", refuse("%.80q is no address that can be typed into every mail program: letters, digits, dots, hyphens and underscores before the @ are fine", s)
	}
	if _, of, _ := strings.Cut(address, "@"); of != domain {
		return "", refuse("%s is not in %s", address, domain)
	}
	return address, nil
}

// ParseContact reads the address for the authority; "none" stands for no certificates. ErrAnswer.
func ParseContact(s string) (string, error) {
	s = strings.TrimSpace(s)
	if strings.EqualFold(s, "none") {
		return "", nil
	}
	address, err := directory.CheckAddress(s)
	if err != nil {
		return "", refuse("%.80q is no mail address; write one, or none", s)
	}
	return address, nil
}

// CheckPassword refuses what no account can have. ErrAnswer.
func CheckPassword(s string) error {
	if err := directory.CheckPassword(s); err != nil {
		return refuse("%s", strings.TrimPrefix(err.Error(), "directory: "))
	}
	return nil
}

// The form of a generated password: 100 bits, in groups that can be read out.
const (
	passwordGroups    = 4
	passwordGroupSize = 5
)

// GeneratePassword makes a password that nobody guesses and everybody can type.
func GeneratePassword() string {
	text := strings.ToLower(rand.Text())
	groups := make([]string, passwordGroups)
	for i := range groups {
		groups[i] = text[i*passwordGroupSize : (i+1)*passwordGroupSize]
	}
	return strings.Join(groups, "-")
}

// shown is a domain as people read it, with the form that the DNS has where that is another one.
func shown(domain string) string {
	if u, err := idna.Display.ToUnicode(domain); err == nil && u != domain {
		return u + " (" + domain + ")"
	}
	return domain
}
