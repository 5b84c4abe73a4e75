package mailauth

import (
	"bytes"
	"strings"

	"mailstead/mailbox/message"
	"mailstead/smtp/dns"
)

// maxAuthors is the number of addresses in From that are looked at. Mail of two
// authors is rare, of fifty nobody's.
const maxAuthors = 50

// AuthorProblem says why a message has no author that could be checked.
type AuthorProblem string

// The problems of From (RFC 5322 section 3.6.2, RFC 9989 section 11.5).
const (
	AuthorMissing    AuthorProblem = "there is no From field with an address"
	AuthorFields     AuthorProblem = "there are several From fields"
	AuthorGroup      AuthorProblem = "From holds a group"
	AuthorSeveral    AuthorProblem = "From holds addresses of several domains"
	AuthorUnreadable AuthorProblem = "From cannot be read"
)

// Author is who a message says it is from.
type Author struct {
	// Domain is the domain of all addresses in From, in A-labels. Empty if there
	// is a problem.
	Domain string
	// Address is the first address, its domain in A-labels, its local part as it
	// was written. Empty if there is a problem.
	Address string
	// Sloppy says that the field is not well formed, yet names no other domain
	// anywhere, as in "a@example.org <a@example.org>".
	Sloppy bool
	// Problem is why there is no domain.
	Problem AuthorProblem
}

// ReadAuthor reads From in a raw header. What mail programs may show
// differently from one another is a problem, never a guess: several fields,
// groups, several domains, and anything broken, unless every domain in it is
// the same.
func ReadAuthor(header []byte) Author {
	var from []byte
	fields := 0
	for f := range message.Fields(header) {
		if len(f.Name) == len("From") && bytes.EqualFold(f.Name, []byte("From")) {
			from = f.Value
			fields++
		}
	}
	switch fields {
	case 0:
		return Author{Problem: AuthorMissing}
	case 1:
		return readFrom(from)
	default:
		return Author{Problem: AuthorFields}
	}
}

// readFrom reads the value of the only From field.
func readFrom(value []byte) Author {
	list := message.ParseAddressList(value)
	if len(list) == 0 {
		return Author{Problem: AuthorMissing}
	}
	var a Author
	for i, entry := range list {
		if entry.Kind != message.Mailbox {
			return Author{Problem: AuthorGroup}
		}
		domain, err := dns.ASCII(entry.Domain)
		switch {
		case i == maxAuthors:
			return Author{Problem: AuthorSeveral}
		case err != nil || entry.Local == "":
			return Author{Problem: AuthorUnreadable}
		case a.Domain == "":
			a.Domain, a.Address = domain, entry.Local+"@"+domain
		case a.Domain != domain && (a.Sloppy || entry.Broken):
			return Author{Problem: AuthorUnreadable}
		case a.Domain != domain:
			return Author{Problem: AuthorSeveral}
		}
		a.Sloppy = a.Sloppy || entry.Broken
	}
	if a.Sloppy && !namesOnly(string(value), a.Domain) {
		return Author{Problem: AuthorUnreadable}
	}
	return a
}

// namesOnly tells whether domain stands behind every @ of a field, however that
// is read, and nothing in it is encoded.
func namesOnly(value, domain string) bool {
	if strings.Contains(value, "=?") {
		return false
	}
	_, rest, found := strings.Cut(value, "@")
	for ; found; _, rest, found = strings.Cut(rest, "@") {
		end := strings.IndexFunc(rest, func(r rune) bool {
			return r < 0x80 && !isAlpha(byte(r)) && !isDigit(byte(r)) && strings.IndexByte(".-_", byte(r)) < 0
		})
		if end < 0 {
			end = len(rest)
		}
		if named, err := dns.ASCII(rest[:end]); err != nil || named != domain {
			return false
		}
	}
	return true
}
