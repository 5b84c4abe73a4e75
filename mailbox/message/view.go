package message

import (
	"bytes"
	"encoding/binary"
	"time"
)

// View reads a stored index without copying: everything it returns points into the stored value and must be neither
// changed nor kept longer than it. Its methods allocate nothing.
type View struct {
	flags                   byte
	size, headerSize, lines int64
	date                    date
	covered                 uint64
	data                    []byte               // the sections, one after the other
	ends                    [sectionCount]uint32 // where each of them ends
}

// section returns one of the parts of the stored value.
func (v *View) section(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.data[start:v.ends[i]:v.ends[i]]
}

// Open returns a view of a value that [Index.AppendTo] made, or ErrCorrupt.
func Open(stored []byte) (View, error) {
	var v View
	r := numberReader{b: stored}
	if r.octet() != storedVersion {
		return View{}, ErrCorrupt
	}
	v.flags = r.octet()
	v.size, v.headerSize, v.lines = r.number(), r.number(), r.number()
	v.date.unix, v.date.offset = r.signed(), int(r.signed())
	v.covered = knownFields &^ r.unsigned()
	if r.bad || !v.readEnds(r.b) || len(v.section(sectionEnvelope)) == 0 || len(v.section(sectionStructure)) == 0 {
		return View{}, ErrCorrupt
	}
	return v, nil
}

// readEnds reads where the sections end, which are all that stands behind that. It reports
// whether this is so.
func (v *View) readEnds(b []byte) bool {
	end := int64(0)
	for i := range v.ends {
		if len(b) == 0 {
			return false
		}
		n, rest := int64(b[0]), b[1:]
		if n >= 0x80 {
			n, rest = cutNumber(b)
		}
		if end += n; n < 0 || end > int64(len(rest)) {
			return false
		}
		v.ends[i], b = uint32(end), rest
	}
	v.data = b
	return end == int64(len(b))
}

// Check reports whether all tables within the value are whole: nil or ErrCorrupt. The accessors need no check before
// them: of a damaged table they tell less.
func (v *View) Check() error {
	c := partCursor{numberReader: numberReader{b: v.section(sectionParts)}}
	n := 0
	for len(c.b) > 0 {
		p, ok := c.nextPart()
		if !ok || p.next <= p.index || p.BodyStart+p.BodySize > v.size {
			return ErrCorrupt
		}
		n++
	}
	if n == 0 || n > MaxParts {
		return ErrCorrupt
	}
	table, total := numberReader{b: v.section(sectionTable)}, int64(0)
	for len(table.b) > 0 {
		if table.octet() >= 64 {
			return ErrCorrupt
		}
		total += table.number()
	}
	if table.bad || total != int64(len(v.section(sectionFields))) {
		return ErrCorrupt
	}
	if !wholeCuts(v.section(sectionCuts), v.section(sectionStructure)) ||
		!wholeCuts(v.section(sectionCutsUTF8), v.section(sectionStructureUTF8)) {
		return ErrCorrupt
	}
	return nil
}

func wholeCuts(cuts, structure []byte) bool {
	r, at := numberReader{b: cuts}, int64(0)
	for len(r.b) > 0 && !r.bad {
		at += r.number() + r.number()
		if at > int64(len(structure)) {
			return false
		}
	}
	return !r.bad
}

// Size is the size of the message in octets (RFC822.SIZE).
func (v *View) Size() int64 { return v.size }

// HeaderSize is the size of the header in octets with the blank line: BODY[HEADER] is [0, HeaderSize), BODY[TEXT] the rest.
func (v *View) HeaderSize() int64 { return v.headerSize }

// Lines is the number of line feeds in the message.
func (v *View) Lines() int64 { return v.lines }

// Envelope is the ENVELOPE as it goes on the wire, in parentheses, 7-bit (RFC 3501 section 7.4.2, RFC 9051 section 7.5.2).
func (v *View) Envelope() []byte { return v.section(sectionEnvelope) }

// BodyStructure is the BODYSTRUCTURE with extension data as it goes on the wire, 7-bit.
func (v *View) BodyStructure() []byte { return v.section(sectionStructure) }

// EnvelopeUTF8 is the ENVELOPE for sessions that enabled UTF8=ACCEPT (RFC 6855), nil if it is the same as Envelope.
func (v *View) EnvelopeUTF8() []byte { return nilIfEmpty(v.section(sectionEnvelopeUTF8)) }

// BodyStructureUTF8 is BodyStructure for sessions that enabled UTF8=ACCEPT, nil if it is the same.
func (v *View) BodyStructureUTF8() []byte { return nilIfEmpty(v.section(sectionStructureUTF8)) }

// AppendBody appends the BODY data item, BODYSTRUCTURE without extension data, 7-bit.
func (v *View) AppendBody(dst []byte) []byte {
	return appendWithout(dst, v.section(sectionStructure), v.section(sectionCuts))
}

// AppendBodyUTF8 appends BODY for sessions that enabled UTF8=ACCEPT.
func (v *View) AppendBodyUTF8(dst []byte) []byte {
	if len(v.section(sectionStructureUTF8)) == 0 {
		return v.AppendBody(dst)
	}
	return appendWithout(dst, v.section(sectionStructureUTF8), v.section(sectionCutsUTF8))
}

// appendWithout appends structure without the cuts.
func appendWithout(dst, structure, cuts []byte) []byte {
	r := numberReader{b: cuts}
	for len(r.b) > 0 {
		keep, skip := r.number(), r.number()
		if r.bad || keep+skip > int64(len(structure)) {
			break
		}
		dst = append(dst, structure[:keep]...)
		structure = structure[keep+skip:]
	}
	return append(dst, structure...)
}

func nilIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// Covers reports whether the stored fields answer m; if not, the header must be read from the message and
// [AppendHeaderFields] used.
func (v *View) Covers(m *FieldMatcher) bool {
	return v.flags&flagWhole != 0 || m.covers(v.covered)
}

// HasHeader reports whether the whole header is stored, so that AppendHeader can append it.
func (v *View) HasHeader() bool { return v.flags&flagWhole != 0 }

// AppendHeader appends the header as it stands in the message, with the blank line.
func (v *View) AppendHeader(dst []byte) []byte {
	return v.appendBlank(append(dst, v.section(sectionFields)...))
}

// StoredHeader is the stored header fields as they stand, in the order of the message, for [Fields], [FieldValue] and
// [HeaderContains]. Of names that v does not cover, see Covers, it may lack fields.
func (v *View) StoredHeader() []byte { return v.section(sectionFields) }

// AppendHeaderFields appends the wanted header fields exactly as they stand in the message, in its order, and the blank
// line (RFC 3501 section 6.4.5: without one only if the message has none). It is right only if v covers m.
func (v *View) AppendHeaderFields(dst []byte, m *FieldMatcher) []byte {
	table, fields := v.section(sectionTable), v.section(sectionFields)
	from, to := 0, 0 // fields wanted that follow each other, which are copied at once
	for len(table) > 1 {
		id, n, rest := table[0], int64(table[1]), table[2:]
		if n >= 0x80 {
			n, rest = cutNumber(table[1:])
		}
		if n < 0 || n > int64(len(fields)-to) {
			break
		}
		table = rest
		to += int(n)
		if field := fields[to-int(n) : to]; !v.wanted(m, id, field) {
			dst = append(dst, fields[from:to-len(field)]...)
			from = to
		}
	}
	return v.appendBlank(append(dst, fields[from:to]...))
}

func (v *View) wanted(m *FieldMatcher, id uint8, raw []byte) bool {
	if id != fieldOther || len(m.other) == 0 { // no mask has fieldOther
		return m.mask>>(id&63)&1 == 1 != m.not
	}
	f, _ := nextField(raw)
	return m.matchID(id, f.Name)
}

func (v *View) appendBlank(dst []byte) []byte {
	switch {
	case v.flags&flagBlank == 0:
		return dst
	case v.flags&flagBlankLF != 0:
		return append(dst, '\n')
	}
	return append(dst, '\r', '\n')
}

// field returns the value of the first stored field with the number, nil if there is none.
func (v *View) field(want uint8) []byte {
	table, fields := numberReader{b: v.section(sectionTable)}, v.section(sectionFields)
	for len(table.b) > 0 {
		id, n := table.octet(), table.number()
		if table.bad || n > int64(len(fields)) {
			return nil
		}
		if id == want {
			f, _ := nextField(fields[:n])
			return f.Value
		}
		fields = fields[n:]
	}
	return nil
}

// Preview is the preview text of RFC 8970: UTF-8, one line, at most 200 characters; empty if there is none.
func (v *View) Preview() []byte { return v.section(sectionPreview) }

// BaseSubject is the base subject of RFC 5256 section 2.1 in UTF-8, made from the first kilobyte of the subject.
func (v *View) BaseSubject() []byte { return v.section(sectionSubject) }

// IsReply reports whether the subject had something that RFC 5256 section 2.1 takes off replies and forwards.
func (v *View) IsReply() bool { return v.flags&flagReply != 0 }

// SentDate is the moment of the Date field; ok is false if there is none that can be understood. See SentZone.
func (v *View) SentDate() (unix int64, ok bool) { return v.date.unix, v.flags&flagDate != 0 }

// SentZone is the zone of the Date field in seconds east of UTC. SEARCH SENTON and its like disregard the zone
// (RFC 3501 section 6.4.4), so they compare SentDate plus SentZone.
func (v *View) SentZone() int { return v.date.offset }

// SentTime is SentDate as a [time.Time] in UTC, the zero time if there is none.
func (v *View) SentTime() time.Time {
	if v.flags&flagDate == 0 {
		return time.Time{}
	}
	return time.Unix(v.date.unix, 0).UTC()
}

// MessageID is the Message-ID with its angle brackets, nil if there is none.
func (v *View) MessageID() []byte { return firstMessageID(v.field(fieldMessageID)) }

// InReplyTo is the first message id of In-Reply-To, nil if there is none.
func (v *View) InReplyTo() []byte { return firstMessageID(v.field(fieldInReplyTo)) }

// AppendReferences appends the message ids of References in their order to dst, at most 1000.
func (v *View) AppendReferences(dst [][]byte) [][]byte {
	return AppendMessageIDs(dst, v.field(fieldReferences))
}

// maxMessageIDs bounds the message ids read of one field.
const maxMessageIDs = 1000

// AppendMessageIDs appends the message ids that the value of a Message-ID, In-Reply-To or References field names
// (RFC 5322 section 3.6.4), with their angle brackets. Words between them are passed over. The ids point into value.
func AppendMessageIDs(dst [][]byte, value []byte) [][]byte {
	for range maxMessageIDs {
		id, rest := nextMessageID(value)
		if id == nil {
			break
		}
		dst = append(dst, id)
		value = rest
	}
	return dst
}

// firstMessageID returns the first id, or the whole value where a broken program left the brackets out.
func firstMessageID(value []byte) []byte {
	if id, _ := nextMessageID(value); id != nil {
		return id
	}
	value = trimSpace(value)
	if len(value) == 0 || bytes.ContainsAny(value, "<> \t\r\n") {
		return nil
	}
	return value
}

func nextMessageID(value []byte) (id, rest []byte) {
	for {
		start := bytes.IndexByte(value, '<')
		if start < 0 {
			return nil, nil
		}
		value = value[start:]
		end := bytes.IndexAny(value[1:], "<> \t\r\n") + 1
		if end <= 0 {
			return nil, nil
		}
		if value[end] == '>' && end > 1 {
			return value[:end+1], value[end+1:]
		}
		value = value[end:]
	}
}

// numberReader reads the numbers of a stored value. After a mistake it reads zeros and says bad.
type numberReader struct {
	b   []byte
	bad bool
}

func (r *numberReader) octet() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *numberReader) unsigned() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		return uint64(r.octet())
	}
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// maxStoredNumber bounds sizes, so that sums of a few do not overflow.
const maxStoredNumber = 1 << 56

func (r *numberReader) number() int64 {
	n := r.unsigned()
	if n > maxStoredNumber {
		r.bad, r.b = true, nil
		return 0
	}
	return int64(n)
}

// cutNumber takes a number off the front of b; -1 where there is none.
func cutNumber(b []byte) (n int64, rest []byte) {
	if len(b) > 1 && b[0] >= 0x80 && b[1] < 0x80 { // as most lengths are that are not of one octet
		return int64(b[0]&0x7f) | int64(b[1])<<7, b[2:]
	}
	r := numberReader{b: b}
	if n = r.number(); r.bad {
		return -1, nil
	}
	return n, r.b
}

func (r *numberReader) signed() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *numberReader) take(n int64) []byte {
	if n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}
