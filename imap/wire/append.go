package wire

import (
	"strconv"
	"time"
	"unicode/utf8"

	goimap "github.com/emersion/go-imap/v2"
)

// maxQuoted is the longest text sent as a quoted string; some clients read those
// into small fixed buffers, while literals announce their length.
const maxQuoted = 4096

// AppendQuoted appends s as a quoted string. It has to be quotable (see
// AppendString), names of ours for example.
func AppendQuoted[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// AppendString appends s as a quoted string if RFC 3501 lets it be one, else as a
// literal. NUL, which neither may hold, becomes a space.
func AppendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	if quotable(s) {
		return AppendQuoted(dst, s)
	}
	dst = AppendLiteralHeader(dst, int64(len(s)))
	for i := range len(s) {
		c := s[i]
		if c == 0 {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

// AppendStringUTF8 is AppendString for clients that take UTF-8 in quoted strings (RFC
// 6855 section 3). What is not UTF-8 is sent as a literal.
func AppendStringUTF8[S ~string | ~[]byte](dst []byte, s S) []byte {
	if quotableUTF8(s) {
		return AppendQuoted(dst, s)
	}
	return AppendString(dst, s)
}

func quotableUTF8[S ~string | ~[]byte](s S) bool {
	if len(s) > maxQuoted {
		return false
	}
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			if classes[s[i]]&textChar == 0 {
				return false
			}
			i++
			continue
		}
		var char [utf8.UTFMax]byte
		r, size := utf8.DecodeRune(char[:copy(char[:], s[i:])])
		if r == utf8.RuneError && size == 1 {
			return false
		}
		i += size
	}
	return true
}

func quotable[S ~string | ~[]byte](s S) bool {
	if len(s) > maxQuoted {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || classes[c]&textChar == 0 {
			return false
		}
	}
	return true
}

// AppendAString appends s as an atom if it can be one, else as AppendString does.
func AppendAString(dst []byte, s string) []byte {
	if s == "" || EqualFold(s, "NIL") {
		return AppendQuoted(dst, s)
	}
	for i := range len(s) {
		if classes[s[i]]&astringChar == 0 {
			return AppendString(dst, s)
		}
	}
	return append(dst, s...)
}

// AppendMailbox appends a mailbox name, given in UTF-8, in modified UTF-7 (RFC 3501
// section 5.1.3), quoted where it must be.
func AppendMailbox(dst []byte, name string) []byte {
	var small [256]byte
	return AppendAString(dst, string(AppendUTF7(small[:0], name)))
}

// AppendMailboxUTF8 appends a mailbox name, given in UTF-8, as it is, quoted where it
// must be (RFC 6855 section 3).
func AppendMailboxUTF8(dst []byte, name string) []byte {
	for i := range len(name) {
		if name[i] >= 0x80 {
			return AppendStringUTF8(dst, name)
		}
	}
	return AppendAString(dst, name)
}

// AppendLiteralHeader appends the announcement of a literal of n octets, which
// follow it.
func AppendLiteralHeader(dst []byte, n int64) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "}\r\n"...)
}

// AppendFlags appends a parenthesised list of flags.
func AppendFlags(dst []byte, flags []goimap.Flag) []byte {
	dst = append(dst, '(')
	for i, f := range flags {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, f...)
	}
	return append(dst, ')')
}

// AppendDateTime appends t, in its own zone, as a quoted date-time.
func AppendDateTime(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, DateTimeLayout)
}
