package message

import "iter"

// PartKind says what is inside a part.
type PartKind uint8

// The kinds of parts.
const (
	// Leaf is a part with content of its own.
	Leaf PartKind = iota
	// Multipart has parts inside.
	Multipart
	// Message is message/rfc822 or message/global with one message inside.
	Message
)

// PartInfo says what a part is and where it stands in the message. The byte slices are in lower case and must not be
// changed.
type PartInfo struct {
	Kind PartKind
	// Depth is 0 for the message itself, 1 for what is directly inside.
	Depth int
	// HeaderStart and HeaderSize place the part's MIME header with its blank line; of the message itself, and of the
	// message inside a Message part, its header.
	HeaderStart, HeaderSize int64
	// BodyStart and BodySize place the content in its transfer encoding, without the line end before the delimiter.
	BodyStart, BodySize int64
	// Lines is the number of line feeds in the body.
	Lines int64
	// InnerHeaderSize is the size of the header of the message inside a Message part; it begins at BodyStart.
	InnerHeaderSize int64
	// Type and Subtype are the media type, Encoding the Content-Transfer-Encoding, with their defaults filled in.
	Type, Subtype, Encoding []byte
	// Charset is the charset of a text part; "us-ascii" where it says none.
	Charset []byte

	index, next int
}

// Section is the part of a part that a section of RFC 3501 section 6.4.5 asks for.
type Section uint8

// The sections.
const (
	// SectionBody is BODY[1.2]: the content; of no part number, BODY[], the whole message.
	SectionBody Section = iota
	// SectionHeader is BODY[HEADER] and BODY[1.HEADER]: the header of the message or of an attached message.
	SectionHeader
	// SectionText is BODY[TEXT] and BODY[1.TEXT]: what follows that header.
	SectionText
	// SectionMIME is BODY[1.MIME]: the header of a part.
	SectionMIME
)

// Section returns where a section stands in the message: its offset and size. ok is false if the message has no such
// section; then FETCH answers NIL.
func (v *View) Section(path []int, what Section) (offset, size int64, ok bool) {
	if len(path) == 0 {
		switch what {
		case SectionBody:
			return 0, v.size, true
		case SectionHeader:
			return 0, v.headerSize, true
		case SectionText:
			return v.headerSize, v.size - v.headerSize, true
		}
		return 0, 0, false
	}
	p, ok := v.Part(path)
	if !ok {
		return 0, 0, false
	}
	switch {
	case what == SectionBody:
		return p.BodyStart, p.BodySize, true
	case what == SectionMIME:
		return p.HeaderStart, p.HeaderSize, true
	case p.Kind != Message:
		return 0, 0, false
	case what == SectionHeader:
		return p.BodyStart, p.InnerHeaderSize, true
	}
	return p.BodyStart + p.InnerHeaderSize, p.BodySize - p.InnerHeaderSize, true
}

// Part returns the part with the number path, [1 2] for "1.2" (RFC 3501 section 6.4.5); an empty path is the message
// itself. Of a message that is no multipart, and of such a message attached, part 1 is its body.
func (v *View) Part(path []int) (PartInfo, bool) {
	c := partCursor{numberReader: numberReader{b: v.section(sectionParts)}}
	p, ok := c.nextPart()
	root := true // p is a message, not a part of one
	for _, n := range path {
		if !ok || n < 1 {
			return PartInfo{}, false
		}
		if !root && p.Kind == Message {
			p, ok = c.nextPart()
			root = true
		}
		switch {
		case p.Kind == Multipart:
			p, ok = c.child(&p, n)
			root = false
		case root && n == 1:
			root = false
		default:
			return PartInfo{}, false
		}
	}
	if ok && p.Kind == Message {
		inner, whole := c.nextPart()
		if !whole {
			return PartInfo{}, false
		}
		p.InnerHeaderSize = inner.HeaderSize
	}
	return p, ok
}

// Parts iterates over all parts in the order of the message, a part before what is inside it. The first is the message
// itself; of a Message part the next one is the message inside.
func (v *View) Parts() iter.Seq[PartInfo] {
	return func(yield func(PartInfo) bool) {
		c := partCursor{numberReader: numberReader{b: v.section(sectionParts)}}
		var ends [MaxNesting + 2]int
		depth := 0
		for len(c.b) > 0 {
			p, ok := c.nextPart()
			if !ok {
				return
			}
			for depth > 0 && ends[depth-1] <= p.index {
				depth--
			}
			p.Depth = depth
			if depth < len(ends) {
				ends[depth] = p.next
				depth++
			}
			if p.Kind == Message {
				peek := c
				if inner, ok := peek.nextPart(); ok {
					p.InnerHeaderSize = inner.HeaderSize
				}
			}
			if !yield(p) {
				return
			}
		}
	}
}

// partCursor reads the table of parts from front to back.
type partCursor struct {
	numberReader
	index int
	at    int64
}

// nextPart reads the next entry.
func (c *partCursor) nextPart() (p PartInfo, ok bool) {
	kind := c.octet()
	if kind > byte(Message) {
		c.bad = true
	}
	p.Kind, p.index = PartKind(kind), c.index
	if code := c.octet(); code == 0 {
		p.Type, p.Subtype = c.take(c.number()), c.take(c.number())
	} else if int(code) < len(commonTypes) {
		p.Type, p.Subtype = typeNames[code][0], typeNames[code][1]
	} else {
		c.bad = true
	}
	p.Encoding, p.Charset = c.common(encodingNames), c.common(charsetNames)
	p.next = c.index + int(min(c.number(), MaxParts))
	c.at += c.number()
	p.HeaderStart, p.HeaderSize = c.at, c.number()
	p.BodyStart, p.BodySize, p.Lines = c.at+p.HeaderSize, c.number(), c.number()
	c.index++
	return p, !c.bad
}

// common reads a word that is in a list or spelled out.
func (c *partCursor) common(list [][]byte) []byte {
	code := c.octet()
	switch {
	case code == spelled:
		return c.take(c.number())
	case int(code) < len(list):
		return list[code]
	}
	c.bad = true
	return nil
}

// child reads on to the nth part directly inside p.
func (c *partCursor) child(p *PartInfo, n int) (PartInfo, bool) {
	for c.index < p.next {
		q, ok := c.nextPart()
		if !ok {
			return PartInfo{}, false
		}
		if n--; n == 0 {
			return q, true
		}
		for c.index < q.next && !c.bad {
			c.nextPart()
		}
	}
	return PartInfo{}, false
}
