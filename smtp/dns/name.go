package dns

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	maxName  = 253 // bytes of a name without its final dot (RFC 1035 section 2.3.4)
	maxLabel = 63  // bytes of a label (RFC 1035 section 2.3.4)
)

// ASCII gives the form of a domain name that the DNS is asked for: lower case,
// A-labels for Unicode (IDNA 2008, RFC 5891 section 5, the look-up profile), no
// final dot. Labels are letters, digits, hyphens and underscores. It fails with
// an error that wraps ErrBadName.
//
// ASCII labels are not held to IDNA's rules: hosts named like
// "r3---sn.example.net" exist and receive mail.
func ASCII(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	// Unicode names may be longer than their ASCII form, but never by more
	// than four bytes for each of its own.
	if name == "" || len(name) > 4*maxName || !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: %.80q", ErrBadName, name)
	}
	ascii := strings.ToLower(name)
	if !isASCII(name) {
		var err error
		if ascii, err = toASCII(name); err != nil {
			return "", fmt.Errorf("%w: %.80q: %v", ErrBadName, name, err)
		}
	}
	if !validName(ascii) {
		return "", fmt.Errorf("%w: %.80q", ErrBadName, name)
	}
	return ascii, nil
}

// toASCII converts a Unicode name. Leading labels of the kind "_dmarc" are kept
// aside: the look-up profile refuses underscores.
func toASCII(name string) (string, error) {
	var service string
	for strings.HasPrefix(name, "_") {
		label, rest, found := strings.Cut(name, ".")
		if !found || !isASCII(label) {
			break
		}
		service, name = service+strings.ToLower(label)+".", rest
	}
	ascii, err := idna.Lookup.ToASCII(name)
	return service + ascii, err
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// validName tells whether name is made of well-formed labels of plain
// characters, so that it needs no escaping in a zone, a log or a command.
func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
