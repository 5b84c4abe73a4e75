package message

import (
	"bytes"
	"html"
)

// htmlText takes the text out of HTML, chunk by chunk: tags, comments, script and style go, character references are
// resolved, white space is collapsed, blocks begin on a new line. It is no HTML parser: it never builds a tree, so its
// memory is constant and broken HTML costs nothing.
type htmlText struct {
	state   htmlState
	name    []byte // of the tag, lower case
	ref     []byte // the character reference after &
	skip    []byte // the element whose content is passed over, nil for none
	matched int    // how much of "</" and skip, or of "-->", was seen
	quote   byte
	space   bool // the last character out was white space
}

type htmlState uint8

const (
	htmlContent htmlState = iota
	htmlOpen              // after <
	htmlName              // in the name of a tag
	htmlTag               // in the rest of a tag
	htmlValue             // after = in a tag
	htmlQuoted            // in a quoted attribute
	htmlBang              // after <!
	htmlDash              // after <!-
	htmlComment
	htmlRef  // in a character reference
	htmlSkip // in script or style
)

const (
	maxTagName = 10 // "blockquote"
	maxRef     = 32 // "CounterClockwiseContourIntegral" is the longest name
)

func (h *htmlText) reset() {
	*h = htmlText{name: h.name[:0], ref: h.ref[:0], space: true}
}

func (h *htmlText) append(dst, src []byte, last bool) []byte {
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch h.state {
		case htmlContent:
			dst = h.content(dst, c)
		case htmlOpen:
			dst = h.open(dst, c)
		case htmlName:
			dst = h.tagName(dst, c)
		case htmlTag, htmlValue:
			dst = h.tag(dst, c)
		case htmlQuoted:
			if c == h.quote {
				h.state = htmlTag
			}
		case htmlBang, htmlDash:
			dst = h.bang(dst, c)
		case htmlComment:
			h.comment(c)
		case htmlRef:
			var again bool
			if dst, again = h.reference(dst, c); again {
				i--
			}
		case htmlSkip:
			h.skipped(c)
		}
	}
	if last && h.state == htmlRef {
		dst = h.endReference(dst, false)
	}
	return dst
}

func (h *htmlText) content(dst []byte, c byte) []byte {
	switch {
	case c == '<':
		h.state = htmlOpen
		return dst
	case c == '&':
		h.state, h.ref = htmlRef, h.ref[:0]
		return dst
	case isSpace(c) || c == '\f':
		return h.white(dst, ' ')
	}
	h.space = false
	return append(dst, c)
}

func (h *htmlText) white(dst []byte, c byte) []byte {
	if h.space {
		return dst
	}
	h.space = true
	return append(dst, c)
}

func (h *htmlText) open(dst []byte, c byte) []byte {
	switch lower := lowerASCII(c); {
	case c == '!' || c == '?':
		h.state = htmlBang
	case c == '/' || 'a' <= lower && lower <= 'z':
		h.state, h.name = htmlName, append(h.name[:0], lower)
	default:
		h.state = htmlContent
		h.space = false
		return h.content(append(dst, '<'), c)
	}
	return dst
}

func (h *htmlText) tagName(dst []byte, c byte) []byte {
	if c == '>' || c == '/' || isSpace(c) {
		h.state = htmlTag
		return h.tag(dst, c)
	}
	if len(h.name) <= maxTagName+1 {
		h.name = append(h.name, lowerASCII(c))
	}
	return dst
}

func (h *htmlText) tag(dst []byte, c byte) []byte {
	switch {
	case c == '>':
		return h.endTag(dst)
	case c == '=':
		h.state = htmlValue
	case h.state == htmlValue && (c == '"' || c == '\''):
		h.state, h.quote = htmlQuoted, c
	case !isSpace(c):
		h.state = htmlTag
	}
	return dst
}

func (h *htmlText) endTag(dst []byte) []byte {
	h.state = htmlContent
	name := h.name
	closing := len(name) > 0 && name[0] == '/'
	if closing {
		name = name[1:]
	}
	switch string(name) {
	case "script", "style", "title":
		if !closing {
			h.state, h.matched = htmlSkip, 0
			h.skip = skippedElements[string(name)]
		}
	case "td", "th":
		return h.white(dst, ' ')
	case "br", "p", "div", "tr", "li", "ul", "ol", "dl", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "table",
		"blockquote", "pre", "section", "article", "header", "footer", "form", "option", "body", "center", "address":
		return h.white(dst, '\n')
	}
	return dst
}

// skippedElements are the end tags of the elements whose content is no text of the message.
var skippedElements = map[string][]byte{
	"script": []byte("</script"), "style": []byte("</style"), "title": []byte("</title"),
}

// bang tells a comment from a declaration.
func (h *htmlText) bang(dst []byte, c byte) []byte {
	switch {
	case c == '-' && h.state == htmlBang:
		h.state = htmlDash
	case c == '-':
		h.state, h.matched = htmlComment, 0
	default:
		h.state, h.name = htmlTag, h.name[:0]
		return h.tag(dst, c)
	}
	return dst
}

func (h *htmlText) comment(c byte) {
	switch {
	case c == '-':
		h.matched = min(h.matched+1, 2)
	case c == '>' && h.matched == 2:
		h.state = htmlContent
	default:
		h.matched = 0
	}
}

// skipped looks for the end tag of a skipped element.
func (h *htmlText) skipped(c byte) {
	if h.matched == len(h.skip) {
		if c == '>' {
			h.state = htmlContent
		}
		return
	}
	switch {
	case lowerASCII(c) == h.skip[h.matched]:
		h.matched++
	case c == '<':
		h.matched = 1
	default:
		h.matched = 0
	}
}

func (h *htmlText) reference(dst []byte, c byte) (out []byte, again bool) {
	isName := c == '#' || isDigit(c) || 'a' <= lowerASCII(c) && lowerASCII(c) <= 'z'
	if c == ';' {
		return h.endReference(dst, true), false
	}
	if isName && len(h.ref) < maxRef {
		h.ref = append(h.ref, c)
		return dst, false
	}
	return h.endReference(dst, false), true
}

func (h *htmlText) endReference(dst []byte, closed bool) []byte {
	h.state = htmlContent
	name := "&" + string(h.ref)
	if closed {
		name += ";"
	}
	text := []byte(html.UnescapeString(name))
	if bytes.Equal(text, []byte("\u00a0")) {
		return h.white(dst, ' ')
	}
	h.space = false
	return append(dst, text...)
}
