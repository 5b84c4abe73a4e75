package wire

import (
	"strconv"
	"time"

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
