package mailbox

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of names. They keep a LIST answer, a record and a database key small,
// and the recursion of clients that draw trees shallow.
const (
	maxNameBytes = 1 << 10
	maxNameDepth = 30
	maxMailboxes = 5000 // in one account
)

const inbox = "INBOX"

// canonicalName is the spelling under which a name is kept and found: NFC, so
// that the same letters are the same name from every client, and INBOX in
// capitals wherever it is the first level (RFC 3501 section 5.1).
func canonicalName(name string) string {
	name = norm.NFC.String(name)
	first, rest, below := strings.Cut(name, "/")
	if !strings.EqualFold(first, inbox) || first == inbox {
		return name
	}
	if !below {
		return inbox
	}
	return inbox + "/" + rest
}

// CanonicalName is the spelling of a name that the store gives back: NFC, and INBOX in
// capitals wherever it is the first level.
func CanonicalName(name string) string { return canonicalName(name) }

// The name that others see a shared mailbox by has so much more in front: the first
// level, and the owner's address, in which the domain may stand behind a slash or two.
const (
	othersBytes = len(OtherUsers) + 2 + 512
	othersDepth = 4
)

// checkOwnName says whether a canonical name may be given to a mailbox. ErrName, ErrLimit.
func checkOwnName(name string) error {
	if isOthersName(name) {
		return fmt.Errorf("%w: %q is where others' mailboxes are", ErrName, OtherUsers)
	}
	return checkName(name, maxNameBytes, maxNameDepth)
}

// checkSubscription is checkOwnName for a name that may be one of others' mailboxes.
func checkSubscription(name string) error {
	if isOthersName(name) {
		return checkName(name, maxNameBytes+othersBytes, maxNameDepth+othersDepth)
	}
	return checkName(name, maxNameBytes, maxNameDepth)
}

// checkName checks what all names have in common. ErrName, ErrLimit.
func checkName(name string, most, levels int) error {
	switch {
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: not UTF-8", ErrName)
	case len(name) > most:
		return fmt.Errorf("%w: a name has more than %d bytes", ErrLimit, most)
	case strings.HasPrefix(name, "#"):
		// RFC 3501 section 5.1.2: "#" begins the name of a namespace.
		return fmt.Errorf("%w: begins with #", ErrName)
	case strings.ContainsFunc(name, forbiddenInName):
		return fmt.Errorf("%w: control character", ErrName)
	}
	depth := 0
	for level := range strings.SplitSeq(name, "/") {
		if level == "" {
			return fmt.Errorf("%w: empty level", ErrName)
		}
		depth++
	}
	if depth > levels {
		return fmt.Errorf("%w: a name has more than %d levels", ErrLimit, levels)
	}
	return nil
}

// forbiddenInName finds what RFC 5198 section 2 keeps out of names: the
// controls of C0 and C1, and the two separators that break lines.
func forbiddenInName(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// parents yields the levels above name, the highest first: "a", "a/b" of "a/b/c".
func parents(name string) []string {
	var list []string
	for i := range len(name) {
		if name[i] == '/' {
			list = append(list, name[:i])
		}
	}
	return list
}
