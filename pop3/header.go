package pop3

import (
	"bytes"
	"slices"
	"unicode/utf8"

	index "mailstead/mailbox/message"
)

// headerOf is the header block of a message, as far as it is in its first
// chunk, which is as much as anybody's header.
func headerOf(chunk []byte) []byte {
	if i := bytes.Index(chunk, []byte("\r\n\r\n")); i >= 0 {
		return chunk[:i+2]
	}
	return nil
}

func isASCII(p []byte) bool {
	return !slices.ContainsFunc(p, func(b byte) bool { return b >= utf8.RuneSelf })
}

// asciiHeader is the header of a message with UTF-8 in it for a client that did
// not say UTF8: the text of its fields as encoded-words, a surrogate as
// RFC 6856 section 2.1 allows. What is neither ASCII nor UTF-8 is taken for
// ISO 8859-1, as old mail programs meant it.
func asciiHeader(header []byte) []byte {
	out := make([]byte, 0, len(header)*2)
	for f := range index.Fields(header) {
		switch {
		case isASCII(f.Raw):
			out = append(out, f.Raw...)
		case len(f.Name) == 0: // no header field at all
		default:
			out = index.AppendField(out, string(f.Name), text(f.Value))
		}
	}
	return out
}

// text is a field's value in one line of UTF-8.
func text(value []byte) string {
	value = bytes.ReplaceAll(bytes.TrimSpace(value), []byte("\r\n"), nil)
	if utf8.Valid(value) {
		return string(value)
	}
	runes := make([]rune, len(value))
	for i, b := range value {
		runes[i] = rune(b)
	}
	return string(runes)
}
