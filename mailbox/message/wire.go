package message

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// form says in which of two ways a string that is not ASCII goes on the wire.
type form uint8

const (
	form7bit form = iota // RFC 2047 words or RFC 2231 values: for every session
	formUTF8             // UTF-8 as it stands: for sessions that enabled UTF8=ACCEPT (RFC 6855)
)

// appendUnfolded appends a field's value in one line. The line ends of folding go (RFC 5322 section 2.2.3), and the white
// space around one becomes one space: it was one before programs that fold with a tab or an indent came along, and a
// phrase is to be found across it. A bare CR becomes a space, NUL goes (RFC 3501 has no way to say it), white space
// around the value goes.
func appendUnfolded(dst, value []byte) []byte {
	value = trimSpace(value)
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case 0:
		case '\n':
			indent := i + 1
			for indent < len(value) && isWSP(value[indent]) {
				indent++
			}
			if indent > i+1 && !bytes.HasSuffix(dst, []byte{' '}) {
				dst = append(dst, ' ')
			}
			i = indent - 1
		case '\r':
			if i+1 == len(value) || value[i+1] != '\n' {
				dst = append(dst, ' ')
			}
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendQuoted appends s as a quoted string of RFC 3501. Every string of this package fits in one: line ends and NUL have
// been taken out before, and what remains of them here becomes a space, so literals are never needed.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case 0, '\r', '\n':
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// appendUpperQuoted appends an ASCII token in upper case.
func appendUpperQuoted(dst, s []byte) []byte {
	start := len(dst)
	dst = appendQuoted(dst, s)
	for i := start; i < len(dst); i++ {
		dst[i] = upperASCII(dst[i])
	}
	return dst
}

func appendNumber(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// isASCII reports whether b has no octet above 127.
func isASCII(b []byte) bool {
	for len(b) >= 8 {
		if (b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7])&0x80 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// cutString shortens s to at most limit octets without cutting a UTF-8 character.
func cutString(s []byte, limit int) []byte {
	if len(s) <= limit {
		return s
	}
	for i := limit; i > limit-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:limit]
}

// appendText appends an unfolded header text in one of the forms. legacy names the charset that octets which are not
// UTF-8 are taken for.
func appendText(dst, s []byte, f form, legacy string) []byte {
	if s == nil {
		return append(dst, "NIL"...)
	}
	if isASCII(s) {
		return appendQuoted(dst, s)
	}
	s = toUTF8(s, legacy)
	if f == form7bit {
		s = appendEncoded(nil, s)
	}
	return appendQuoted(dst, s)
}

// appendEncoded appends UTF-8 text with every run of words that are not ASCII as RFC 2047 words. ASCII words stay as
// they are, words that were encoded before among them.
func appendEncoded(dst, s []byte) []byte {
	for len(s) > 0 {
		start, end := encodedRun(s)
		dst = append(dst, s[:start]...)
		if start == end {
			return dst
		}
		// Between two encoded words white space is not displayed (RFC 2047 section 6.2); an ASCII word in front keeps its own.
		dst = appendWords(dst, s[start:end])
		s = s[end:]
	}
	return dst
}

// encodedRun finds the first run of words that hold octets above 127: start and end offsets.
func encodedRun(s []byte) (start, end int) {
	i := bytes.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
	if i < 0 {
		return len(s), len(s)
	}
	start = i
	for start > 0 && !isWSP(s[start-1]) {
		start--
	}
	end = wordEnd(s, i)
	for {
		next := end
		for next < len(s) && isWSP(s[next]) {
			next++
		}
		stop := wordEnd(s, next)
		if next == stop || isASCII(s[next:stop]) {
			return start, end
		}
		end = stop
	}
}

func wordEnd(s []byte, i int) int {
	for i < len(s) && !isWSP(s[i]) {
		i++
	}
	return i
}

// maxWord is the length of an encoded word (RFC 2047 section 2).
const maxWord = 75

const (
	wordStart = "=?utf-8?q?"
	wordStop  = "?="
)

// appendWords appends UTF-8 text as Q-encoded words of at most 75 characters with a space between them; no character
// is cut in two.
func appendWords(dst, s []byte) []byte {
	const upperHex = "0123456789ABCDEF"
	room := 0
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRune(s[i:])
		cost := n
		if n > 1 || !plainInWord(s[i]) {
			cost = 3 * n
		}
		if room < cost {
			if i > 0 {
				dst = append(dst, wordStop+" "...)
			}
			dst = append(dst, wordStart...)
			room = maxWord - len(wordStart) - len(wordStop)
		}
		room -= cost
		for _, c := range s[i : i+n] {
			switch {
			case c == ' ':
				dst = append(dst, '_')
			case plainInWord(c):
				dst = append(dst, c)
			default:
				dst = append(dst, '=', upperHex[c>>4], upperHex[c&15])
			}
		}
		i += n
	}
	return append(dst, wordStop...)
}

// plainInWord reports the characters that a Q-encoded word of a phrase may hold as they are (RFC 2047 section 5 (3)),
// and space, which becomes an underscore.
func plainInWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '!' || c == '*' || c == '+' || c == '-' || c == '/' || c == ' '
}
