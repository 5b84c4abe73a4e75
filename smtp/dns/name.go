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
	if isAsked(name) {
		return name, nil
	}
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

// isAsked reports whether name is in the form that ASCII gives already, as most are: each
// message has a dozen, some of them several times.
func isAsked(name string) bool {
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
			label++
		case c == '.' && 0 < label && label <= maxLabel:
			label = 0
		default:
			return false
		}
	}
	return len(name) <= maxName && 0 < label && label <= maxLabel
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

// questionName gives the form of a name that is put into a question: that of
// ASCII, and beyond it labels of any printable characters. SPF macros make such
// names of local parts (RFC 7208 section 7.3), and the DNS has no rule against
// them (RFC 2181 section 11).
func questionName(name string) (string, error) {
	ascii, err := ASCII(name)
	if err == nil {
		return ascii, nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if !validLabels(name, func(c byte) bool { return ' ' <= c && c <= '~' }) {
		return "", err
	}
	return name, nil
}

// presentation writes a name as the DNS library reads it: with a final dot, and
// a backslash before what it would take for another one.
func presentation(name string) string {
	return strings.ReplaceAll(name, `\`, `\\`) + "."
}

// plain undoes the presentation form of a name, final dot included.
func plain(wire string) string { return unescape(strings.TrimSuffix(wire, ".")) }

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
	return validLabels(name, func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
	})
}

// validLabels tells whether name is made of labels that the DNS can have, of
// characters that are allowed here.
func validLabels(name string, allowed func(byte) bool) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return false
		}
		for i := range len(label) {
			if !allowed(label[i]) {
				return false
			}
		}
	}
	return true
}
