package message

import "bytes"

// Index is what one pass over a message found. It is read through the [View] of the value that [Index.AppendTo] writes.
type Index struct {
	size, lines int64
	parts       []part
	arena       []byte // what the spans of parts point into
	header      []byte // the root's header, at most MaxHeader octets
	needUTF8    bool   // some header has 8-bit octets
	preview     []byte

	structure, structureUTF8 []byte
	cuts, cutsUTF8           []cut
	subject                  []byte
	cache                    fieldCache
}

// cut is extension data within BODYSTRUCTURE; what remains without all cuts is BODY.
type cut struct{ start, end int }

func (ix *Index) reset() {
	*ix = Index{
		parts: ix.parts[:0], arena: kept(ix.arena), header: kept(ix.header), preview: ix.preview[:0],
		structure: kept(ix.structure), structureUTF8: kept(ix.structureUTF8), cuts: ix.cuts[:0], cutsUTF8: ix.cutsUTF8[:0],
		subject: ix.subject[:0], cache: ix.cache,
	}
}

// Size is the size of the message in octets.
func (ix *Index) Size() int64 { return ix.size }

// HeaderSize is the size of the message's header in octets, with the blank line.
func (ix *Index) HeaderSize() int64 { return ix.parts[0].headerSize }

// Header is the message's header as it stands, with the blank line; of a header above [MaxHeader] octets its beginning.
func (ix *Index) Header() []byte { return ix.header }

// Preview is the preview text of RFC 8970.
func (ix *Index) Preview() string { return string(ix.preview) }

// add appends to the arena what write appends.
func (ix *Index) add(write func(dst []byte) []byte) span {
	start := len(ix.arena)
	ix.arena = write(ix.arena)
	return span{uint32(start), uint32(len(ix.arena))}
}

func (ix *Index) addLower(s []byte) span {
	start := len(ix.arena)
	for _, c := range s {
		ix.arena = append(ix.arena, lowerASCII(c))
	}
	return span{uint32(start), uint32(len(ix.arena))}
}

// keep copies s into the arena; nil stays nil.
func (ix *Index) keep(s []byte) []byte {
	start := len(ix.arena)
	ix.arena = append(ix.arena, s...)
	if len(s) == 0 {
		return nil
	}
	return ix.arena[start:len(ix.arena):len(ix.arena)]
}

func (ix *Index) get(s span) []byte { return ix.arena[s.start:s.end:s.end] }

// either returns the UTF-8 piece if it is wanted and differs from the 7-bit one.
func (ix *Index) either(f form, s, utf8 span) []byte {
	if f == formUTF8 && utf8.end > utf8.start {
		return ix.get(utf8)
	}
	return ix.get(s)
}

// closePart sets the end of a part's body.
func (ix *Index) closePart(i int, end, lines int64) {
	p := &ix.parts[i]
	if p.bodySize = end - p.bodyStart(); p.bodySize < 0 {
		p.bodySize, lines = 0, 0
	}
	p.lines = max(0, lines)
	if p.kind == multipartPart && i == len(ix.parts)-1 {
		ix.addOnlyPart(i)
	}
}

// addOnlyPart gives a multipart in which no delimiter was found its whole body as one text part: BODYSTRUCTURE needs at
// least one part, and nothing that the sender wrote is hidden.
func (ix *Index) addOnlyPart(i int) {
	up := &ix.parts[i]
	p := part{
		parent: i, kind: leafPart, headerStart: up.bodyStart(), bodySize: up.bodySize, lines: up.lines,
		typ: ix.addLower(typeText), sub: ix.addLower(typePlain), encoding: ix.addLower(encoding7bit),
		charset: ix.addLower(charsetASCII),
	}
	p.basic = ix.add(func(dst []byte) []byte {
		return append(dst, `"TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT"`...)
	})
	p.tail = ix.add(func(dst []byte) []byte { return append(dst, " NIL NIL NIL NIL"...) })
	ix.parts = append(ix.parts, p)
}

// finish makes what depends on the whole message.
func (ix *Index) finish(x *Indexer) {
	ix.size, ix.lines = x.pos, x.lines
	ix.preview = append(ix.preview[:0], x.preview.text...)
	for i := range ix.parts {
		ix.parts[i].next = i + 1
	}
	for i := len(ix.parts) - 1; i > 0; i-- {
		up := &ix.parts[ix.parts[i].parent]
		up.next = max(up.next, ix.parts[i].next)
		up.children++
	}
	ix.structure = ix.appendStructure(ix.structure[:0], 0, form7bit, &ix.cuts)
	if ix.needUTF8 {
		ix.structureUTF8 = ix.appendStructure(ix.structureUTF8[:0], 0, formUTF8, &ix.cutsUTF8)
		if bytes.Equal(ix.structure, ix.structureUTF8) {
			ix.structureUTF8, ix.cutsUTF8 = ix.structureUTF8[:0], ix.cutsUTF8[:0]
		}
	}
}

// appendStructure appends BODYSTRUCTURE of part i and all inside it. That of message/global has the fields of a message for
// clients of RFC 9051 only: those of RFC 3501 (section 9, media-message) expect them of message/rfc822 alone. The recursion is as deep as parts are nested, at most
// MaxNesting and one.
func (ix *Index) appendStructure(dst []byte, i int, f form, cuts *[]cut) []byte {
	p := &ix.parts[i]
	dst = append(dst, '(')
	if p.kind == multipartPart {
		for c := i + 1; c < p.next; c = ix.parts[c].next {
			dst = ix.appendStructure(dst, c, f, cuts)
		}
		dst = append(dst, ' ')
	}
	dst = append(dst, ix.either(f, p.basic, p.basicUTF8)...)
	if p.kind != multipartPart {
		dst = appendNumber(append(dst, ' '), p.bodySize)
	}
	asMessage := p.kind == messagePart && (f == formUTF8 || string(ix.get(p.sub)) != "global")
	if asMessage {
		inner := &ix.parts[i+1]
		dst = append(append(dst, ' '), ix.either(f, inner.envelope, inner.envelopeUTF8)...)
		dst = ix.appendStructure(append(dst, ' '), i+1, f, cuts)
	}
	if asMessage || string(ix.get(p.typ)) == "text" {
		dst = appendNumber(append(dst, ' '), p.lines)
	}
	start := len(dst)
	dst = append(dst, ix.either(f, p.tail, p.tailUTF8)...)
	*cuts = append(*cuts, cut{start, len(dst)})
	return append(dst, ')')
}
