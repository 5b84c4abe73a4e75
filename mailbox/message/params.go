package message

import (
	"bytes"
	"slices"
)

// param is one parameter of a Content-Type or Content-Disposition as it was written (RFC 2045 section 5.1), or one piece
// of it (RFC 2231 section 3).
type param struct {
	name     []byte // lower case, without the marks of RFC 2231
	section  int    // the number after the asterisk; -1: the parameter is in one piece
	extended bool   // percent-encoded, the first piece with charset and language (RFC 2231 section 4)
	value    []byte // without quotes
}

// paramReader reads the structured fields of MIME. It reuses its buffers; what it returns is valid until the next read.
type paramReader struct {
	in     []byte
	params []param
	buf    []byte
}

// mediaType reads a Content-Type. ok is false if the type itself does not follow RFC 2045: then the defaults apply
// (section 5.2).
func (r *paramReader) mediaType(value []byte) (typ, sub []byte, ok bool) {
	r.start(value)
	typ = r.token()
	r.skipSpace()
	if len(typ) == 0 || len(r.in) == 0 || r.in[0] != '/' {
		return nil, nil, false
	}
	r.in = r.in[1:]
	sub = r.token()
	if len(sub) == 0 {
		return nil, nil, false
	}
	r.readParams()
	return typ, sub, true
}

// disposition reads a Content-Disposition (RFC 2183 section 2).
func (r *paramReader) disposition(value []byte) (kind []byte, ok bool) {
	r.start(value)
	kind = r.token()
	if len(kind) == 0 {
		return nil, false
	}
	r.readParams()
	return kind, true
}

func (r *paramReader) start(value []byte) {
	r.in, r.params, r.buf = value, r.params[:0], r.buf[:0]
}

// skipSpace passes over white space and comments.
func (r *paramReader) skipSpace() {
	depth, i := 0, 0
	for ; i < len(r.in); i++ {
		c := r.in[i]
		switch {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0 && c == '\\':
			i++
		case depth > 0 || isSpace(c):
		default:
			r.in = r.in[i:]
			return
		}
	}
	r.in = nil
}

// token reads a token of RFC 2045 section 5.1 after white space and comments.
func (r *paramReader) token() []byte {
	r.skipSpace()
	i := 0
	for i < len(r.in) && isTokenChar(r.in[i]) {
		i++
	}
	t := r.in[:i]
	r.in = r.in[i:]
	return t
}

func isTokenChar(c byte) bool {
	if c <= ' ' || c == 0x7f {
		return false
	}
	switch c {
	case '(', ')', '<', '>', '@', ',', ';', ':', '\\', '"', '/', '[', ']', '?', '=':
		return false
	}
	return c < 0x80
}

// readParams reads what follows the type. What is no parameter is passed over up to the next semicolon.
func (r *paramReader) readParams() {
	for len(r.params) < maxParams {
		r.skipSpace()
		if len(r.in) == 0 {
			return
		}
		if r.in[0] == ';' {
			r.in = r.in[1:]
			continue
		}
		name := r.token()
		r.skipSpace()
		if len(name) == 0 || len(r.in) == 0 || r.in[0] != '=' {
			r.skipToSemicolon(len(name) == 0)
			continue
		}
		r.in = r.in[1:]
		value := r.paramValue()
		if len(name) <= maxParamName {
			r.add(name, value)
		}
	}
}

// skipToSemicolon passes over junk: to the next semicolon, or over a single word if that was read already, because a
// missing semicolon is the commonest mistake.
func (r *paramReader) skipToSemicolon(junk bool) {
	if !junk {
		return
	}
	if i := bytes.IndexByte(r.in, ';'); i >= 0 {
		r.in = r.in[i:]
		return
	}
	r.in = nil
}

func (r *paramReader) paramValue() []byte {
	r.skipSpace()
	if len(r.in) > 0 && r.in[0] == '"' {
		return r.quotedValue()
	}
	// Unquoted values may hold any character up to the semicolon: names with spaces or slashes are common.
	end := bytes.IndexByte(r.in, ';')
	if end < 0 {
		end = len(r.in)
	}
	value := r.in[:end]
	if i := bytes.IndexByte(value, '('); i > 0 && isSpace(value[i-1]) {
		value, end = value[:i], i
	}
	if i := bytes.IndexAny(value, " \t\r\n"); i >= 0 && bytes.IndexByte(value[i:], '=') >= 0 {
		value, end = value[:i], i // "charset=utf-8 format=flowed": a semicolon is missing
	}
	r.in = r.in[end:]
	return r.keep(trimSpace(value))
}

func (r *paramReader) quotedValue() []byte {
	start, i := len(r.buf), 1
	for ; i < len(r.in) && r.in[i] != '"'; i++ {
		c := r.in[i]
		if c == '\\' && i+1 < len(r.in) {
			i++
			c = r.in[i]
		}
		if len(r.buf)-start < maxParamValue && c != '\r' && c != '\n' && c != 0 {
			r.buf = append(r.buf, c)
		}
	}
	r.in = r.in[min(i+1, len(r.in)):]
	return r.buf[start:len(r.buf):len(r.buf)]
}

// keep copies a value without line ends and NUL, cut at the limit.
func (r *paramReader) keep(value []byte) []byte {
	start := len(r.buf)
	for _, c := range value[:min(len(value), maxParamValue)] {
		if c != '\r' && c != '\n' && c != 0 {
			r.buf = append(r.buf, c)
		}
	}
	return r.buf[start:len(r.buf):len(r.buf)]
}

// add takes the marks of RFC 2231 off the name: name*, name*0, name*0*. The first of equal parameters counts.
func (r *paramReader) add(name, value []byte) {
	p := param{section: -1, value: value}
	if n := len(name); n > 1 && name[n-1] == '*' {
		p.extended, name = true, name[:n-1]
	}
	if i := bytes.LastIndexByte(name, '*'); i > 0 {
		if n, rest, ok := leadingNumber(name[i+1:]); ok && len(rest) == 0 {
			p.section, name = n, name[:i]
		}
	}
	start := len(r.buf)
	for _, c := range name {
		r.buf = append(r.buf, lowerASCII(c))
	}
	p.name = r.buf[start:len(r.buf):len(r.buf)]
	if r.find(p.name, p.section, p.extended) == nil {
		r.params = append(r.params, p)
	}
}

func (r *paramReader) find(name []byte, section int, extended bool) *param {
	i := slices.IndexFunc(r.params, func(p param) bool {
		return p.section == section && p.extended == extended && bytes.Equal(p.name, name)
	})
	if i < 0 {
		return nil
	}
	return &r.params[i]
}

// piece returns a numbered piece of a parameter, encoded or not.
func (r *paramReader) piece(name []byte, section int) *param {
	if p := r.find(name, section, true); p != nil {
		return p
	}
	return r.find(name, section, false)
}

// value returns a parameter's value joined and decoded to UTF-8 (RFC 2231), with the encoded form preferred as its
// section 4 implies; nil if there is none.
func (r *paramReader) value(name string) []byte {
	var plain []byte
	for i := range r.params {
		p := &r.params[i]
		if string(p.name) != name {
			continue
		}
		switch {
		case p.section == 0, p.section < 0 && p.extended:
			if text, ok := decodeExtended(r.joined(p)); ok {
				return text
			}
		case p.section < 0 && plain == nil:
			plain = p.value
		}
	}
	return plain
}

// joined returns a parameter that is extended or comes in pieces in the extended form of RFC 2231 section 4,
// charset'language'text, all of it percent-encoded where needed.
func (r *paramReader) joined(p *param) []byte {
	if p.section < 0 {
		return p.value
	}
	var out []byte
	for n := 0; ; n++ {
		piece := p
		if n > 0 {
			if piece = r.piece(p.name, n); piece == nil {
				return out
			}
		} else if !p.extended {
			out = append(out, "utf-8''"...)
		}
		if piece.extended {
			out = append(out, piece.value...)
			continue
		}
		out = appendPercent(out, piece.value)
	}
}

// appendPercent percent-encodes what RFC 2231 section 7 does not allow as an attribute-char.
func appendPercent(dst, s []byte) []byte {
	const upperHex = "0123456789ABCDEF"
	for _, c := range s {
		if isTokenChar(c) && c != '*' && c != '\'' && c != '%' {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

// decodeExtended decodes charset'language'text to UTF-8. ok is false if the charset is not known or the form is broken.
func decodeExtended(ext []byte) (text []byte, ok bool) {
	charset, rest, found := bytes.Cut(ext, []byte{'\''})
	if !found {
		return nil, false
	}
	_, encoded, found := bytes.Cut(rest, []byte{'\''})
	if !found {
		return nil, false
	}
	text = make([]byte, 0, len(encoded))
	for i := 0; i < len(encoded); i++ {
		c := encoded[i]
		if c == '%' && i+2 < len(encoded) && hexValue(encoded[i+1]) >= 0 && hexValue(encoded[i+2]) >= 0 {
			c = byte(hexValue(encoded[i+1])<<4 | hexValue(encoded[i+2]))
			i += 2
		}
		text = append(text, c)
	}
	enc, known := charsetOf(string(charset))
	if !known {
		return nil, false
	}
	if enc == nil {
		return cleanText(bytes.Clone(toUTF8(text, ""))), true
	}
	decoded, err := enc.NewDecoder().Bytes(text)
	return cleanText(decoded), err == nil
}

// appendParams appends the parameters as the parenthesised list of RFC 3501, or NIL. Pieces are joined (RFC 2231
// section 6). Values that are ASCII after decoding are told plainly; others in the extended form to sessions that
// take 7 bits only, as UTF-8 to the others.
func (r *paramReader) appendParams(dst []byte, f form, legacy string) []byte {
	start := len(dst)
	for i := range r.params {
		p := &r.params[i]
		if p.section > 0 && r.piece(p.name, 0) != nil {
			continue // joined with its first piece
		}
		if p.section == 0 && !p.extended && r.find(p.name, 0, true) != nil {
			continue
		}
		if len(dst) == start {
			dst = append(dst, '(')
		} else {
			dst = append(dst, ' ')
		}
		dst = r.appendParam(dst, p, f, legacy)
	}
	if len(dst) == start {
		return append(dst, "NIL"...)
	}
	return append(dst, ')')
}

func (r *paramReader) appendParam(dst []byte, p *param, f form, legacy string) []byte {
	switch {
	case p.section > 0: // a piece without a first one
		dst = appendParamName(dst, p.name, "*"+string(appendNumber(nil, int64(p.section))))
		return appendText(append(dst, ' '), p.value, f, legacy)
	case p.section < 0 && !p.extended:
		return appendPlainParam(dst, p.name, p.value, f, legacy)
	}
	ext := r.joined(p)
	text, ok := decodeExtended(ext)
	switch {
	case ok && (f == formUTF8 || isASCII(text)):
		return appendQuoted(append(appendParamName(dst, p.name, ""), ' '), text)
	case ok && !isASCII(ext):
		return appendPlainParam(dst, p.name, text, f, legacy)
	}
	return appendText(append(appendParamName(dst, p.name, "*"), ' '), ext, f, legacy)
}

// appendPlainParam appends a parameter whose value is told as it is, or in the extended form if it has 8-bit octets.
func appendPlainParam(dst, name, value []byte, f form, legacy string) []byte {
	if f == formUTF8 || isASCII(value) {
		return appendText(append(appendParamName(dst, name, ""), ' '), value, f, legacy)
	}
	ext := appendPercent([]byte("utf-8''"), toUTF8(value, legacy))
	return appendQuoted(append(appendParamName(dst, name, "*"), ' '), ext)
}

func appendParamName(dst, name []byte, mark string) []byte {
	dst = appendUpperQuoted(dst, name)
	return append(append(dst[:len(dst)-1], mark...), '"')
}
