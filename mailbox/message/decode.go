package message

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// transferDecoder undoes a Content-Transfer-Encoding chunk by chunk (RFC 2045 section 6). Nothing is an error: what is no
// valid encoding is passed on (quoted-printable) or passed over (base64).
type transferDecoder struct {
	kind  transferKind
	state qpState
	high  byte   // the first hex digit
	quad  uint32 // base64 bits
	bits  uint   // how many
	held  []byte // white space at the end of the last chunk, which goes if its line ends there
}

type transferKind uint8

const (
	transferPlain transferKind = iota
	transferQP
	transferBase64
)

type qpState uint8

const (
	qpText  qpState = iota
	qpEqual         // after =
	qpHex           // after = and a hex digit
	qpCR            // after = and CR
	qpSpace         // after = and white space, which transports add
)

func (d *transferDecoder) reset(encoding []byte) {
	*d = transferDecoder{held: d.held[:0]}
	switch {
	case equalFoldASCII(encoding, "quoted-printable"):
		d.kind = transferQP
	case equalFoldASCII(encoding, "base64"):
		d.kind = transferBase64
	}
}

// append appends the decoded octets of src.
func (d *transferDecoder) append(dst, src []byte) []byte {
	switch d.kind {
	case transferQP:
		return d.appendQP(dst, src)
	case transferBase64:
		return d.appendBase64(dst, src)
	}
	return append(dst, src...)
}

func (d *transferDecoder) appendQP(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		if d.state == qpText {
			n := bytes.IndexByte(src[i:], '=')
			if n < 0 {
				return d.appendLiteral(dst, src[i:], false)
			}
			dst = d.appendLiteral(dst, src[i:i+n], true)
			d.state = qpEqual
			i += n + 1
			continue
		}
		var again bool
		dst, again = d.afterEqual(dst, src[i])
		if !again {
			i++
		}
	}
	return dst
}

// maxHeld is how much white space may wait for what follows: the longest line that a transport takes (RFC 5321 section
// 4.5.3.1.6). More is text.
const maxHeld = 1000

// appendLiteral appends text without escapes. White space at the end of a line goes: transports added it (RFC 2045 section
// 6.7, rule 3). escape says that an escape follows, so that the text does not end its line.
func (d *transferDecoder) appendLiteral(dst, text []byte, escape bool) []byte {
	if len(d.held) > 0 {
		d.held = append(d.held, text...)
		text = d.held
	}
	for {
		n := bytes.IndexByte(text, '\n') + 1
		if n == 0 {
			break
		}
		content, end := n-1, n-1
		if content > 0 && text[content-1] == '\r' {
			content, end = content-1, end-1
		}
		for content > 0 && isWSP(text[content-1]) {
			content--
		}
		dst = append(append(dst, text[:content]...), text[end:n]...)
		text = text[n:]
	}
	content := len(text)
	if !escape {
		content = trailingSpace(text)
	}
	dst = append(dst, text[:content]...)
	d.held = append(d.held[:0], text[content:]...)
	return dst
}

// trailingSpace is where the white space at the end of a piece of text begins, with a CR behind it that may belong to a
// line end.
func trailingSpace(text []byte) int {
	n := len(text)
	if n > 1 && text[n-1] == '\r' && isWSP(text[n-2]) {
		n--
	}
	for n > 0 && isWSP(text[n-1]) && len(text)-n < maxHeld {
		n--
	}
	if len(text)-n >= maxHeld {
		return len(text)
	}
	return n
}

// afterEqual takes the octets of an escape or soft line break; again is set when c belongs to the text after it.
func (d *transferDecoder) afterEqual(dst []byte, c byte) (out []byte, again bool) {
	state := d.state
	d.state = qpText
	switch state {
	case qpEqual:
		switch {
		case hexValue(c) >= 0:
			d.high, d.state = c, qpHex
		case c == '\r':
			d.state = qpCR
		case isWSP(c):
			d.state = qpSpace
		case c != '\n':
			return append(dst, '='), true
		}
		return dst, false
	case qpHex:
		if hexValue(c) < 0 {
			return append(dst, '=', d.high), true
		}
		return append(dst, byte(hexValue(d.high)<<4|hexValue(c))), false
	case qpCR:
		return dst, c != '\n'
	default: // qpSpace
		switch {
		case isWSP(c):
			d.state = qpSpace
		case c == '\r':
			d.state = qpCR
		case c != '\n':
			return append(dst, '=', ' '), true
		}
		return dst, false
	}
}

// base64Values gives the six bits of a character, 0xff for those outside the alphabet.
var base64Values = func() (t [256]byte) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = 0xff
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	return t
}()

func (d *transferDecoder) appendBase64(dst, src []byte) []byte {
	for _, c := range src {
		v := base64Values[c]
		if v == 0xff {
			if c == '=' {
				d.bits = 0
			}
			continue
		}
		d.quad = d.quad<<6 | uint32(v)
		if d.bits += 6; d.bits >= 8 {
			d.bits -= 8
			dst = append(dst, byte(d.quad>>d.bits))
		}
	}
	return dst
}

// charsetDecoder makes text UTF-8, chunk by chunk.
type charsetDecoder struct {
	transformer transform.Transformer // nil for UTF-8, US-ASCII and what is unknown
	rest        []byte                // octets of a character whose end is in the next chunk
	buf         []byte
}

func (d *charsetDecoder) reset(charset []byte) {
	d.transformer, d.rest = nil, d.rest[:0]
	if string(charset) == "us-ascii" || string(charset) == "utf-8" {
		return
	}
	if enc, known := charsetOf(string(charset)); known && enc != nil {
		d.transformer = enc.NewDecoder()
	}
}

// append appends src as valid UTF-8; last says that nothing follows.
func (d *charsetDecoder) append(dst, src []byte, last bool) []byte {
	if len(d.rest) > 0 {
		d.rest = append(d.rest, src...)
		src = d.rest
	}
	var done int
	if d.transformer == nil {
		dst, done = appendValidUTF8(dst, src, last)
	} else {
		dst, done = d.transform(dst, src, last)
	}
	d.rest = append(d.rest[:0], src[done:]...)
	return dst
}

// appendValidUTF8 appends UTF-8 text; octets that are no UTF-8 are read as Windows-1252.
func appendValidUTF8(dst, src []byte, last bool) (out []byte, done int) {
	for done < len(src) {
		n := asciiPrefix(src[done:])
		dst = append(dst, src[done:done+n]...)
		if done += n; done == len(src) {
			break
		}
		if !last && !utf8.FullRune(src[done:]) {
			break
		}
		r, size := utf8.DecodeRune(src[done:])
		if r == utf8.RuneError && size == 1 {
			r = charmap.Windows1252.DecodeByte(src[done])
		}
		dst = utf8.AppendRune(dst, r)
		done += size
	}
	return dst, done
}

// eachOctet times an octet has it in all eight of a word.
const eachOctet = 0x0101010101010101

func asciiPrefix(b []byte) int {
	i := 0
	for i+8 <= len(b) && binary.LittleEndian.Uint64(b[i:])&(0x80*eachOctet) == 0 {
		i += 8
	}
	for i < len(b) && b[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// transform runs the charset's decoder over src.
func (d *charsetDecoder) transform(dst, src []byte, last bool) (out []byte, done int) {
	if d.buf == nil {
		d.buf = make([]byte, 4<<10)
	}
	for {
		nDst, nSrc, err := d.transformer.Transform(d.buf, src[done:], last)
		dst = append(dst, d.buf[:nDst]...)
		done += nSrc
		switch {
		case err == transform.ErrShortDst && nDst+nSrc > 0:
		case err == nil || err == transform.ErrShortSrc && !last:
			return dst, done
		default:
			// The decoder gives up: the octet is shown as unknown.
			dst = utf8.AppendRune(dst, utf8.RuneError)
			if done++; done >= len(src) {
				return dst, len(src)
			}
		}
	}
}

// textDecoder makes searchable text of a part's body: transfer encoding, charset and HTML undone, chunk by chunk.
type textDecoder struct {
	transfer transferDecoder
	charset  charsetDecoder
	html     htmlText
	isHTML   bool
	octets   []byte
	chars    []byte
}

func (d *textDecoder) reset(encoding, charset []byte, isHTML bool) {
	d.transfer.reset(encoding)
	d.charset.reset(charset)
	d.html.reset()
	d.isHTML = isHTML
}

// append appends the text of src; last says that nothing follows.
func (d *textDecoder) append(dst, src []byte, last bool) []byte {
	if d.transfer.kind != transferPlain {
		d.octets = d.transfer.append(d.octets[:0], src)
		src = d.octets
	}
	if !d.isHTML {
		return d.charset.append(dst, src, last)
	}
	d.chars = d.charset.append(d.chars[:0], src, last)
	return d.html.append(dst, d.chars, last)
}

// Transfer undoes the Content-Transfer-Encoding of one part, piece by piece (RFC 2045 section 6, RFC 3516). What is no
// valid encoding is passed on (quoted-printable) or passed over (base64).
type Transfer struct {
	decoder transferDecoder
}

// NewTransfer returns a Transfer for the encoding that a part names, in any case; ok is false for one that RFC 2045 does
// not know.
func NewTransfer(encoding []byte) (t Transfer, ok bool) {
	t.decoder.reset(encoding)
	if t.decoder.kind != transferPlain {
		return t, true
	}
	for _, plain := range []string{"7bit", "8bit", "binary"} {
		if equalFoldASCII(encoding, plain) {
			return t, true
		}
	}
	return t, false
}

// Append appends the decoded octets of the next piece to dst.
func (t *Transfer) Append(dst, src []byte) []byte { return t.decoder.append(dst, src) }
