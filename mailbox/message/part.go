package message

import "bytes"

// partKind says what is inside a part.
type partKind uint8

const (
	leafPart      partKind = iota
	multipartPart          // parts
	messagePart            // one message, whose root is the only child
)

// span is a place in the arena of an index. Arenas are bounded by the header limits, far below 4 GiB.
type span struct{ start, end uint32 }

// part is one entity of a message. Parts stand in the order of the message, a part before those inside it.
type part struct {
	parent   int // -1 for the root
	next     int // the first part that is not inside this one
	children int
	kind     partKind

	headerStart, headerSize int64
	bodySize                int64
	lines                   int64

	typ, sub, encoding, charset span // lower case

	// Ready pieces of BODYSTRUCTURE; the UTF-8 ones are empty where they would be the same.
	basic, basicUTF8       span // type, parameters, id, description, encoding; of a multipart only its subtype
	tail, tailUTF8         span // the extension data, with the space in front
	envelope, envelopeUTF8 span // of the root and of every attached message's root
}

func (p *part) bodyStart() int64 { return p.headerStart + p.headerSize }

// fieldTable holds the first value of every known field of one header; of To, Cc and Bcc all.
type fieldTable struct {
	value  [64][]byte
	set    uint64
	joined [3][]byte // To, Cc and Bcc where they stand several times
}

// read notes the fields of a header. Where a field stands several times the first counts, but several address lists of
// recipients are one (RFC 5322 section 4.5.3).
func (t *fieldTable) read(header []byte) {
	t.set = 0
	for i := range t.joined {
		t.joined[i] = kept(t.joined[i])
	}
	n := 0
	for len(header) > 0 && n < MaxHeaderFields {
		f, rest := nextField(header)
		if f.Raw == nil {
			return
		}
		header = rest
		n++
		switch id := fieldIDOf(f.Name); {
		case id == fieldOther:
		case t.set>>id&1 == 0:
			t.set |= 1 << id
			t.value[id] = f.Value
		case id == fieldTo:
			t.join(id, &t.joined[0], f.Value)
		case id == fieldCc:
			t.join(id, &t.joined[1], f.Value)
		case id == fieldBcc:
			t.join(id, &t.joined[2], f.Value)
		}
	}
}

// join appends another list to the value of a field, in buf.
func (t *fieldTable) join(id uint8, buf *[]byte, list []byte) {
	if len(*buf) == 0 {
		*buf = append(*buf, t.value[id]...)
	}
	*buf = append(append(*buf, ','), list...)
	t.value[id] = *buf
}

// get returns a field's raw value, nil if the header has no such field.
func (t *fieldTable) get(id uint8) []byte {
	if t.set>>id&1 == 0 {
		return nil
	}
	if t.value[id] == nil {
		return []byte{}
	}
	return t.value[id]
}

// readPart reads the header of a part and writes the pieces of its description. It returns the boundary of a
// multipart. An opaque part is not looked into, whatever it says that it is.
func (x *Indexer) readPart(p *part, opaque bool) (boundary []byte) {
	x.fields.read(x.header)
	typ, sub, ok := x.params.mediaType(x.fields.get(fieldContentType))
	if !ok {
		x.params.start(nil)
		typ, sub = x.defaultType(p)
	}
	p.kind = kindOf(typ, sub)
	if opaque && p.kind != leafPart {
		p.kind, typ, sub = leafPart, typeApplication, typeOctetStream
		x.params.start(nil)
	}
	ix := &x.index
	p.typ, p.sub = ix.addLower(typ), ix.addLower(sub)
	p.encoding = ix.addLower(transferEncoding(x.fields.get(fieldContentTransferEncoding)))
	legacy := x.params.value("charset")
	if equalFoldASCII(typ, "text") {
		p.charset = ix.addLower(cutString(legacy, maxCharsetName))
		if legacy == nil {
			p.charset = ix.addLower(charsetASCII)
		}
	}
	if p.kind == multipartPart {
		boundary = bytes.TrimRight(x.params.value("boundary"), " \t")
		if len(boundary) > maxBoundary {
			boundary = nil
		}
		boundary = ix.keep(boundary)
	}
	x.describe(p, legacy)
	if p.kind == leafPart && !x.writer.isAttachment {
		x.preview.begin(x.open[len(x.open)-1].part, ix.get(p.typ), ix.get(p.sub), ix.get(p.encoding), ix.get(p.charset))
	}
	return boundary
}

var (
	typeApplication = []byte("application")
	typeOctetStream = []byte("octet-stream")
	typeText        = []byte("text")
	typePlain       = []byte("plain")
	typeMessage     = []byte("message")
	typeRFC822      = []byte("rfc822")
	charsetASCII    = []byte("us-ascii")
	encoding7bit    = []byte("7bit")
)

// defaultType is what a part without a valid Content-Type is (RFC 2045 section 5.2, RFC 2046 section 5.1.5).
func (x *Indexer) defaultType(p *part) (typ, sub []byte) {
	if p.parent >= 0 && x.fields.get(fieldContentType) == nil {
		up := &x.index.parts[p.parent]
		if up.kind == multipartPart && string(x.index.get(up.sub)) == "digest" {
			return typeMessage, typeRFC822
		}
	}
	return typeText, typePlain
}

func kindOf(typ, sub []byte) partKind {
	switch {
	case equalFoldASCII(typ, "multipart"):
		return multipartPart
	case equalFoldASCII(typ, "message") && (equalFoldASCII(sub, "rfc822") || equalFoldASCII(sub, "global")):
		return messagePart
	}
	return leafPart
}

// transferEncoding reads a Content-Transfer-Encoding; "7bit" if there is none that could be one (RFC 2045 section 6.1).
func transferEncoding(value []byte) []byte {
	var r paramReader
	r.start(value)
	if t := r.token(); len(t) > 0 {
		return t
	}
	return encoding7bit
}

// describe writes the pieces of BODYSTRUCTURE and ENVELOPE that the part's header decides, in the 7-bit form and, if
// the header has 8-bit octets, in the UTF-8 form.
func (x *Indexer) describe(p *part, legacy []byte) {
	ix, w := &x.index, &x.writer
	isMessage := p.parent < 0 || ix.parts[p.parent].kind == messagePart
	w.begin(x, p, legacy)
	ix.needUTF8 = ix.needUTF8 || p.kind == messagePart && equalFoldASCII(ix.get(p.sub), "global")
	p.basic, p.tail = ix.add(w.appendBasic), ix.add(w.appendTail)
	if isMessage {
		p.envelope = ix.add(w.appendEnvelope)
	}
	if isASCII(x.header) {
		return
	}
	ix.needUTF8 = true
	w.form = formUTF8
	p.basicUTF8, p.tailUTF8 = ix.add(w.appendBasic), ix.add(w.appendTail)
	if isMessage {
		p.envelopeUTF8 = ix.add(w.appendEnvelope)
	}
}
