package transfer

import (
	"strings"
	"unicode"

	goimap "github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"
)

const inbox = "INBOX"

// roleOf is the use that a folder's name tells, "" for none. Below INBOX, where some
// servers put all folders, and below [Gmail] the names mean the same.
func roleOf(name string) goimap.MailboxAttr {
	lower := strings.ToLower(norm.NFC.String(name))
	for _, above := range []string{"inbox/", "[gmail]/", "[google mail]/", "[googlemail]/"} {
		lower = strings.TrimPrefix(lower, above)
	}
	return roles[lower]
}

// The bounds that the store sets to names, see mailbox.ErrName and mailbox.ErrLimit.
const (
	maxName   = 1 << 10
	maxLevels = 30
)

// folderName makes of what another program calls a folder a name that the store
// takes: UTF-8 in NFC without control characters, no empty level, "#" not in front,
// and cut where it is too long. INBOX is INBOX in any case.
func folderName(name string) string {
	name = norm.NFC.String(strings.ToValidUTF8(name, "\ufffd"))
	var levels []string
	size := 0
	for level := range strings.SplitSeq(name, "/") {
		level = strings.Map(allowedInName, level)
		if len(levels) == 0 {
			level = strings.TrimLeft(level, "#")
		}
		if level == "" {
			continue
		}
		if len(levels) == maxLevels || size+len(level)+1 > maxName {
			break
		}
		if len(levels) == 0 && strings.EqualFold(level, inbox) {
			level = inbox
		}
		levels = append(levels, level)
		size += len(level) + 1
	}
	if len(levels) == 0 {
		return "unnamed"
	}
	return strings.Join(levels, "/")
}

func allowedInName(r rune) rune {
	if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
		return '_'
	}
	return r
}

// maxKeyword bounds a keyword, as the store does.
const maxKeyword = 128

// isKeyword says whether a word can be a keyword: an atom of RFC 3501 section 9.
func isKeyword(word string) bool {
	if word == "" || len(word) > maxKeyword {
		return false
	}
	for i := range len(word) {
		if c := word[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}
