package message

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// maxEncodedWord is the longest RFC 2047 word that is decoded. The RFC allows 75 characters; some programs write a
// whole subject as one word.
const maxEncodedWord = 8 << 10

// DecodeHeader returns the value of a header field as UTF-8 text: unfolded, RFC 2047 words decoded, white space between
// adjacent words gone. Words that are broken or in an unknown charset stay as they stand; octets that are neither ASCII
// nor UTF-8 are taken as Windows-1252.
func DecodeHeader(raw []byte) string { return string(decodeHeader(raw, "")) }

// decodeHeader takes octets that are neither ASCII nor UTF-8 for the legacy charset, if it is known.
func decodeHeader(raw []byte, legacy string) []byte {
	value := appendUnfolded(nil, raw)
	if !bytes.Contains(value, []byte("=?")) {
		return toUTF8(value, legacy)
	}
	var out []byte
	var run wordRun
	for len(value) > 0 {
		start := bytes.Index(value, []byte("=?"))
		if start < 0 {
			break
		}
		w, n := cutWord(value[start:])
		if n == 0 {
			out = run.flush(out)
			out = append(out, toUTF8(value[:start+2], legacy)...)
			value = value[start+2:]
			continue
		}
		between := value[:start]
		if !run.open || len(trimWSP(between)) > 0 {
			out = run.flush(out)
			out = append(out, toUTF8(between, legacy)...)
		}
		out = run.add(out, w)
		value = value[start+n:]
	}
	out = run.flush(out)
	return append(out, toUTF8(value, legacy)...)
}

// encodedWord is a syntactically whole RFC 2047 word with its text decoded from Q or B.
type encodedWord struct {
	charset string
	text    []byte
	raw     []byte
}

// cutWord reads the encoded word that b begins with; n is its length, 0 if there is none.
func cutWord(b []byte) (w encodedWord, n int) {
	b = b[:min(len(b), maxEncodedWord)]
	charsetEnd := bytes.IndexByte(b[2:min(len(b), 2+2*maxCharsetName)], '?')
	if charsetEnd <= 0 {
		return w, 0
	}
	charsetEnd += 2
	if len(b) < charsetEnd+3 || b[charsetEnd+2] != '?' {
		return w, 0
	}
	encoding, text := b[charsetEnd+1], b[charsetEnd+3:]
	end := wordTextEnd(text)
	if end < 0 {
		return w, 0
	}
	// RFC 2231 section 5: the charset may carry a language after an asterisk.
	charset, _, _ := strings.Cut(string(b[2:charsetEnd]), "*")
	w.charset = strings.ToLower(charset)
	switch text = text[:end]; encoding {
	case 'q', 'Q':
		w.text = decodeQ(text)
	case 'b', 'B':
		w.text = decodeB(text)
	default:
		return w, 0
	}
	if w.text == nil {
		return w, 0
	}
	n = charsetEnd + 3 + end + 2
	w.raw = b[:n]
	return w, n
}

// wordTextEnd returns where the text of a word ends. A question mark within it is an error (RFC 2047 section 4.2) except
// that several at the end, "=?utf-8?q?Really??=", are common; stopping at any other keeps the search linear.
func wordTextEnd(text []byte) int {
	i := bytes.IndexByte(text, '?')
	for i >= 0 && i+1 < len(text) && text[i+1] == '?' {
		i++
	}
	if i < 0 || i+1 >= len(text) || text[i+1] != '=' {
		return -1
	}
	return i
}

// decodeQ decodes the Q encoding (RFC 2047 section 4.2). Spaces are not allowed in it but common.
func decodeQ(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(text) && hexValue(text[i+1]) >= 0 && hexValue(text[i+2]) >= 0:
			out = append(out, byte(hexValue(text[i+1])<<4|hexValue(text[i+2])))
			i += 2
		case c == '=':
			return nil
		default:
			out = append(out, c)
		}
	}
	return out
}

// decodeB decodes base64 with or without its padding.
func decodeB(text []byte) []byte {
	text = bytes.TrimRight(text, "= ")
	out, err := base64.RawStdEncoding.AppendDecode(make([]byte, 0, len(text)), text)
	if err != nil {
		return nil
	}
	return out
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// wordRun joins adjacent words of one charset before it is decoded: many programs cut characters in two.
type wordRun struct {
	open    bool
	charset string
	text    []byte
	raw     []byte
}

func (r *wordRun) add(out []byte, w encodedWord) []byte {
	if r.open && r.charset != w.charset {
		out = r.flush(out)
	}
	if r.open {
		r.raw = append(r.raw, ' ')
	}
	r.open, r.charset = true, w.charset
	r.text, r.raw = append(r.text, w.text...), append(r.raw, w.raw...)
	return out
}

func (r *wordRun) flush(out []byte) []byte {
	if !r.open {
		return out
	}
	enc, known := charsetOf(r.charset)
	switch {
	case !known:
		out = append(out, toUTF8(r.raw, "")...)
	case enc == nil:
		out = append(out, cleanText(bytes.Clone(toUTF8(r.text, "")))...)
	default:
		decoded, err := enc.NewDecoder().Bytes(r.text)
		if err != nil {
			decoded = toUTF8(bytes.Clone(r.raw), "")
		}
		out = append(out, cleanText(decoded)...)
	}
	r.open, r.text, r.raw = false, r.text[:0], r.raw[:0]
	return out
}
