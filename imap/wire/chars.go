package wire

// class is a set of the character classes of RFC 3501 section 9 that an octet
// belongs to.
type class uint8

const (
	atomChar    class = 1 << iota // ATOM-CHAR
	astringChar                   // ASTRING-CHAR: ATOM-CHAR or "]"
	listChar                      // list-char: ASTRING-CHAR or "%" or "*"
	tagChar                       // ASTRING-CHAR without "+"
	textChar                      // may stand in a quoted string, 7-bit
)

var classes = func() (t [256]class) {
	for c := byte(0x20); c < 0x7f; c++ {
		t[c] |= textChar
		switch c {
		case '(', ')', '{', ' ', '"', '\\':
			continue
		case '%', '*':
			t[c] |= listChar
		case ']':
			t[c] |= astringChar | listChar | tagChar
		case '+':
			t[c] |= atomChar | astringChar | listChar
		default:
			t[c] |= atomChar | astringChar | listChar | tagChar
		}
	}
	t['\t'] |= textChar // TEXT-CHAR is any CHAR but CR and LF; controls other than this are refused
	return t
}()

func isDigit(c byte) bool { return c-'0' <= 9 }

// upper returns the upper case of an ASCII letter, other octets as they are.
func upper(c byte) byte {
	if c-'a' < 26 {
		return c - ('a' - 'A')
	}
	return c
}

// EqualFold reports whether a and b are equal but for the case of ASCII letters,
// which is how IMAP compares keywords (RFC 3501 section 9, note 1).
func EqualFold[T, U ~string | ~[]byte](a T, b U) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if upper(a[i]) != upper(b[i]) {
			return false
		}
	}
	return true
}

// ToUpper returns s with its ASCII letters in upper case.
func ToUpper(s []byte) string {
	var small [64]byte
	out := append(small[:0], s...)
	for i, c := range out {
		out[i] = upper(c)
	}
	return string(out)
}
