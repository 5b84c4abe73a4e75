package message

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// maxCharsetName bounds the names looked up; the longest registered ones have 45 characters.
const maxCharsetName = 64

// charsetOf returns the charset of a name, and nil for UTF-8, US-ASCII and what is not known. known is false only for
// the last.
func charsetOf(name string) (enc encoding.Encoding, known bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968", "646":
		return nil, true
	}
	if len(name) > maxCharsetName {
		return nil, false
	}
	if e, err := htmlindex.Get(name); err == nil {
		// htmlindex calls dangerous charsets "replacement": their decoder gives one U+FFFD for everything.
		if canonical, err := htmlindex.Name(e); err == nil && canonical != "replacement" {
			return e, true
		}
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return e, true
	}
	return nil, false
}

// toUTF8 returns s as valid UTF-8: as it stands if it is, else read in the charset called legacy, else as
// Windows-1252, in which every octet sequence means something.
func toUTF8(s []byte, legacy string) []byte {
	if utf8.Valid(s) {
		return s
	}
	if enc, known := charsetOf(legacy); known && enc != nil {
		if out, err := enc.NewDecoder().Bytes(s); err == nil && !strings.ContainsRune(string(out), utf8.RuneError) {
			return cleanText(out)
		}
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(s)
	if err != nil {
		return []byte(strings.ToValidUTF8(string(s), "\uFFFD"))
	}
	return out
}

// cleanText makes line ends and NUL that a charset decoder produced harmless.
func cleanText(s []byte) []byte {
	for i, c := range s {
		if c == 0 || c == '\r' || c == '\n' {
			s[i] = ' '
		}
	}
	return s
}
