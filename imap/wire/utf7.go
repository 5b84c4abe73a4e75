package wire

import (
	"encoding/base64"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrUTF7 is reported for a mailbox name that is not modified UTF-7 in its one
// correct form, or, where names are sent in UTF-8, not that.
var ErrUTF7 = errors.New("neither modified UTF-7 nor UTF-8")

// utf7 is the alphabet of RFC 3501 section 5.1.3: "," in place of "/", no padding.
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// direct reports whether a character stands for itself in modified UTF-7.
func direct(r rune) bool { return r >= 0x20 && r < 0x7f }

// AppendUTF7 appends a mailbox name, given in UTF-8, in modified UTF-7. Invalid UTF-8
// becomes U+FFFD.
func AppendUTF7(dst []byte, name string) []byte {
	var shifted []byte // UTF-16, big endian
	for _, r := range name {
		if !direct(r) {
			shifted = appendUTF16(shifted, r)
			continue
		}
		dst = appendShifted(dst, shifted)
		shifted = shifted[:0]
		dst = append(dst, byte(r))
		if r == '&' {
			dst = append(dst, '-')
		}
	}
	return appendShifted(dst, shifted)
}

func appendUTF16(dst []byte, r rune) []byte {
	if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
		return append(dst, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
	}
	return append(dst, byte(r>>8), byte(r))
}

func appendShifted(dst, units []byte) []byte {
	if len(units) == 0 {
		return dst
	}
	dst = append(dst, '&')
	dst = utf7.AppendEncode(dst, units)
	return append(dst, '-')
}

// DecodeUTF7 returns a mailbox name in UTF-8. Names have one correct form, and any
// other is ErrUTF7: two spellings of one name would be two mailboxes to one client
// and one to another. Control characters are refused with it.
func DecodeUTF7(s string) (string, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		c := s[i]
		i++
		if !direct(rune(c)) {
			return "", ErrUTF7
		}
		if c != '&' {
			out = append(out, c)
			continue
		}
		end := i
		for end < len(s) && s[end] != '-' {
			end++
		}
		if end == len(s) {
			return "", ErrUTF7
		}
		if end == i {
			out = append(out, '&')
		}
		var err error
		if out, err = decodeShifted(out, s[i:end]); err != nil {
			return "", err
		}
		i = end + 1
	}
	// What decodes to the same name in another way encodes to something else.
	if name := string(out); string(AppendUTF7(nil, name)) == s {
		return name, nil
	}
	return "", ErrUTF7
}

// decodeShifted appends the characters of one base64 sequence.
func decodeShifted(dst []byte, s string) ([]byte, error) {
	units, err := utf7.DecodeString(s)
	if err != nil || len(units)%2 != 0 {
		return nil, ErrUTF7
	}
	for i := 0; i < len(units); i += 2 {
		r := rune(units[i])<<8 | rune(units[i+1])
		if utf16.IsSurrogate(r) {
			if i += 2; i >= len(units) {
				return nil, ErrUTF7
			}
			r = utf16.DecodeRune(r, rune(units[i])<<8|rune(units[i+1]))
			if r == utf8.RuneError {
				return nil, ErrUTF7
			}
		}
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return nil, ErrUTF7
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, nil
}
