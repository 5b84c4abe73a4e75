package imap

import (
	"bytes"
	"strconv"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

const (
	// decodeChunk is how many octets of a part are decoded at a time.
	decodeChunk = 64 << 10
	// maxDecodedKept is up to how many octets a decoded part is kept from being measured
	// until it is sent; larger ones are decoded twice.
	maxDecodedKept = 256 << 10
)

// errUnknownCTE is RFC 3516 section 4.3.
var errUnknownCTE = no(codeUnknownCTE, "a part has an encoding that is not known")

// parseBinary reads the rest of BINARY[...] and of its like, of which spec was read
// already (RFC 3516 section 4.2, RFC 9051 section 6.4.5).
func (p *fetchPlan) parseBinary(d *wire.Decoder, name, spec string) {
	b := &bodySection{decode: true}
	if b.parsePath(d, spec) != "" {
		d.Fail("a part is decoded whole")
	}
	d.Expect(']')
	if name == "BINARY.SIZE" {
		p.add(d, fetchItem{kind: fetchBinarySize, label: []byte("BINARY.SIZE[" + spec + "] "), section: b})
		return
	}
	label := []byte("BINARY[" + spec + "]")
	if d.Accept('<') {
		b.parsePartial(d)
		label = append(strconv.AppendInt(append(label, '<'), b.offset, 10), '>')
	}
	p.seen = p.seen || name == "BINARY"
	p.add(d, fetchItem{kind: fetchSection, label: append(label, ' '), section: b})
}

// encoded is a part in its transfer encoding. A part that is a message or has parts is
// what it is, and so is the whole message.
type encoded struct {
	body      *mailbox.Body
	off, size int64
	encoding  []byte
}

// encodedPart finds the part that b names; ok is false if there is none.
func encodedPart(b *bodySection, v *message.View, body *mailbox.Body) (e encoded, ok bool) {
	e = encoded{body: body, size: body.Size(), encoding: []byte("binary")}
	if len(b.path) == 0 {
		return e, true
	}
	part, ok := v.Part(b.path)
	if !ok {
		return e, false
	}
	if e.off, e.size, ok = v.Section(b.path, message.SectionBody); ok && part.Kind == message.Leaf {
		e.encoding = part.Encoding
	}
	return e, ok
}

// binary appends a part without its transfer encoding, and a space: as a literal8 if
// there is a NUL in it, else as a literal, which says that there is none.
func (f *fetching) binary(it *fetchItem, v *message.View, body *mailbox.Body) error {
	e, ok := encodedPart(it.section, v, body)
	if !ok {
		f.out.b = append(append(f.out.b, it.label...), absent(it)...)
		return nil
	}
	size, nul := int64(0), false
	f.fields = f.fields[:0]
	err := f.decode(e, func(piece []byte) error {
		size += int64(len(piece))
		nul = nul || bytes.IndexByte(piece, 0) >= 0
		if size <= maxDecodedKept {
			f.fields = append(f.fields, piece...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.out.b = append(f.out.b, it.label...)
	if it.kind == fetchBinarySize {
		f.out.b = append(strconv.AppendInt(f.out.b, size, 10), ' ')
		return nil
	}
	from, n := it.section.clip(size)
	if nul {
		f.out.b = append(f.out.b, '~')
	}
	f.out.b = wire.AppendLiteralHeader(f.out.b, n)
	if size <= maxDecodedKept {
		f.out.b = append(f.out.b, f.fields[from:from+n]...)
	} else if err := f.sendDecoded(e, from, n); err != nil {
		return err
	}
	f.out.b = append(f.out.b, ' ')
	return nil
}

// absent is what is told of a part that is not there.
func absent(it *fetchItem) string {
	if it.kind == fetchBinarySize {
		return "0 "
	}
	return "NIL "
}

// sendDecoded appends n octets of a decoded part from from on, writing out what is full.
func (f *fetching) sendDecoded(e encoded, from, n int64) error {
	at := int64(0) // of the piece in the decoded part
	return f.decode(e, func(piece []byte) error {
		first, end := min(max(from-at, 0), int64(len(piece))), min(max(from+n-at, 0), int64(len(piece)))
		at += int64(len(piece))
		f.out.room(len(piece))
		f.out.b = append(f.out.b, piece[first:end]...)
		return nil
	})
}

// decode calls emit with the decoded octets of a part, a piece after the other.
func (f *fetching) decode(e encoded, emit func(piece []byte) error) error {
	transfer, ok := message.NewTransfer(e.encoding)
	if !ok {
		return errUnknownCTE
	}
	for off, end := e.off, e.off+e.size; off < end; {
		n := min(end-off, decodeChunk)
		if err := f.readHeader(e.body, off, n); err != nil {
			return err
		}
		f.decoded = transfer.Append(f.decoded[:0], f.header)
		if err := emit(f.decoded); err != nil {
			return err
		}
		off += n
	}
	return nil
}
