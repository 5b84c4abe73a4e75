package message

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// storedVersion is the first octet of a stored value. Values of another version are made again from the message.
const storedVersion = 1

// ErrCorrupt says that a stored value is not one, or one of another version: the message must be indexed again.
var ErrCorrupt = errors.New("message: stored index is corrupt")

// The flags of a stored value.
const (
	flagWhole   = 1 << iota // all header fields are stored
	flagDate                // the Date field was understood
	flagReply               // the subject says that this answers or forwards another message
	flagBlank               // the header ends with a blank line
	flagBlankLF             // which is a bare LF
)

// The parts of a stored value whose lengths stand in front.
const (
	sectionEnvelope = iota
	sectionEnvelopeUTF8
	sectionStructure
	sectionCuts
	sectionStructureUTF8
	sectionCutsUTF8
	sectionParts
	sectionTable
	sectionFields
	sectionPreview
	sectionSubject
	sectionCount
)

// fieldCache collects what is stored of the root's header.
type fieldCache struct {
	table   []byte // of each stored field its number and length
	fields  []byte // the fields as they stand
	covered uint64 // the names of which every field is stored
	flags   byte
	date    date
	lists   []byte // scratch for the encoded lists
}

// read goes through the header once.
func (c *fieldCache) read(ix *Index) {
	*c = fieldCache{table: c.table[:0], fields: kept(c.fields), lists: c.lists[:0]}
	complete := int64(len(ix.header)) == ix.HeaderSize()
	c.covered = knownFields
	if complete && len(ix.header) <= maxWholeHeader {
		c.flags |= flagWhole
	}
	var seen uint64
	n := 0
	for header := ix.header; len(header) > 0; n++ {
		f, rest := nextField(header)
		if f.Raw == nil {
			c.flags |= flagBlank
			if len(header) == 1 {
				c.flags |= flagBlankLF
			}
			break
		}
		header = rest
		if n == MaxHeaderFields {
			complete = false
			break
		}
		id := fieldIDOf(f.Name)
		c.store(id, f.Raw)
		if first := seen>>id&1 == 0; first && f.Name != nil {
			c.note(ix, id, f.Value)
		}
		seen |= 1 << id
	}
	if !complete {
		c.covered, c.flags = 0, c.flags&^flagWhole
	}
}

// store keeps a field, if it is one of those kept and there is room.
func (c *fieldCache) store(id uint8, raw []byte) {
	if c.flags&flagWhole == 0 {
		if id == fieldOther {
			return
		}
		if len(c.fields)+len(raw) > maxCachedFields {
			c.covered &^= 1 << id
			return
		}
	}
	c.table = binary.AppendUvarint(append(c.table, id), uint64(len(raw)))
	c.fields = append(c.fields, raw...)
}

// note takes from the first field of a name what threads and sorting need.
func (c *fieldCache) note(ix *Index, id uint8, value []byte) {
	switch id {
	case fieldDate:
		var ok bool
		if c.date, ok = parseDate(value); ok {
			c.flags |= flagDate
		}
	case fieldSubject:
		var reply bool
		if ix.subject, reply = appendBaseSubject(ix.subject[:0], value, ix.legacy()); reply {
			c.flags |= flagReply
		}
	}
}

// AppendTo appends the index as one value for the database; [Open] reads it.
func (ix *Index) AppendTo(dst []byte) []byte {
	c := &ix.cache
	c.read(ix)
	root := &ix.parts[0]
	cuts := len(c.lists)
	c.lists = appendCuts(c.lists, ix.cuts)
	cutsUTF8 := len(c.lists)
	c.lists = appendCuts(c.lists, ix.cutsUTF8)
	parts := len(c.lists)
	c.lists = ix.appendParts(c.lists)
	envelopeUTF8 := ix.get(root.envelopeUTF8)
	if bytes.Equal(envelopeUTF8, ix.get(root.envelope)) {
		envelopeUTF8 = nil
	}
	sections := [sectionCount][]byte{
		sectionEnvelope: ix.get(root.envelope), sectionEnvelopeUTF8: envelopeUTF8,
		sectionStructure: ix.structure, sectionCuts: c.lists[cuts:cutsUTF8],
		sectionStructureUTF8: ix.structureUTF8, sectionCutsUTF8: c.lists[cutsUTF8:parts],
		sectionParts: c.lists[parts:], sectionTable: c.table, sectionFields: c.fields,
		sectionPreview: ix.preview, sectionSubject: ix.subject,
	}
	dst = append(dst, storedVersion, c.flags)
	dst = binary.AppendUvarint(dst, uint64(ix.size))
	dst = binary.AppendUvarint(dst, uint64(root.headerSize))
	dst = binary.AppendUvarint(dst, uint64(ix.lines))
	dst = binary.AppendVarint(dst, c.date.unix)
	dst = binary.AppendVarint(dst, int64(c.date.offset))
	// Names missing from covered are rare, so their complement is short.
	dst = binary.AppendUvarint(dst, knownFields&^c.covered)
	for _, s := range sections {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
	}
	for _, s := range sections {
		dst = append(dst, s...)
	}
	return dst
}

// legacy is the charset that 8-bit octets of the header are taken for: the body's, if it names one.
func (ix *Index) legacy() string {
	if isASCII(ix.header) {
		return ""
	}
	return string(ix.get(ix.parts[0].charset))
}

// appendCuts appends each cut as its distance from the one before and its length.
func appendCuts(dst []byte, cuts []cut) []byte {
	at := 0
	for _, c := range cuts {
		dst = binary.AppendUvarint(dst, uint64(c.start-at))
		dst = binary.AppendUvarint(dst, uint64(c.end-c.start))
		at = c.end
	}
	return dst
}

// Common media types and charsets are stored as one octet, their place in these lists; 0 means spelled out. The lists
// are part of the format: append only.
var (
	commonTypes = [...][2]string{
		{}, {"text", "plain"}, {"text", "html"}, {"multipart", "mixed"}, {"multipart", "alternative"},
		{"multipart", "related"}, {"multipart", "signed"}, {"multipart", "report"}, {"multipart", "digest"},
		{"message", "rfc822"}, {"message", "delivery-status"}, {"message", "disposition-notification"},
		{"message", "global"}, {"application", "octet-stream"}, {"application", "pdf"}, {"application", "zip"},
		{"application", "pgp-signature"}, {"application", "pgp-encrypted"}, {"application", "pkcs7-signature"},
		{"application", "pkcs7-mime"}, {"application", "msword"}, {"application", "ms-tnef"}, {"image", "jpeg"},
		{"image", "png"}, {"image", "gif"}, {"text", "calendar"}, {"text", "csv"}, {"text", "rfc822-headers"},
		{"text", "x-patch"},
	}
	commonCharsets  = [...]string{"", "us-ascii", "utf-8", "iso-8859-1", "windows-1252", "iso-8859-15", "gb2312", "koi8-r"}
	commonEncodings = [...]string{"", "7bit", "8bit", "binary", "quoted-printable", "base64"}
)

// The same lists as octets, so that a view can show them without copying.
var (
	typeNames = func() (names [len(commonTypes)][2][]byte) {
		for i, t := range commonTypes {
			names[i] = [2][]byte{[]byte(t[0]), []byte(t[1])}
		}
		return names
	}()
	charsetNames  = octetList(commonCharsets[:])
	encodingNames = octetList(commonEncodings[:])
)

func octetList(words []string) [][]byte {
	list := make([][]byte, len(words))
	for i, w := range words {
		list[i] = []byte(w)
	}
	return list
}

// appendParts appends the table of parts.
func (ix *Index) appendParts(dst []byte) []byte {
	at := int64(0)
	for i := range ix.parts {
		p := &ix.parts[i]
		dst = append(dst, byte(p.kind))
		dst = ix.appendType(dst, p)
		dst = appendCommon(dst, commonEncodings[:], ix.get(p.encoding))
		dst = appendCommon(dst, commonCharsets[:], ix.get(p.charset))
		dst = binary.AppendUvarint(dst, uint64(p.next-i))
		dst = binary.AppendUvarint(dst, uint64(p.headerStart-at))
		dst = binary.AppendUvarint(dst, uint64(p.headerSize))
		dst = binary.AppendUvarint(dst, uint64(p.bodySize))
		dst = binary.AppendUvarint(dst, uint64(p.lines))
		at = p.headerStart
	}
	return dst
}

func (ix *Index) appendType(dst []byte, p *part) []byte {
	typ, sub := ix.get(p.typ), ix.get(p.sub)
	for code := 1; code < len(commonTypes); code++ {
		if t := &commonTypes[code]; string(sub) == t[1] && string(typ) == t[0] {
			return append(dst, byte(code))
		}
	}
	return appendCounted(appendCounted(append(dst, 0), typ), sub)
}

// spelled marks a charset or encoding that is not in its list.
const spelled = 0xff

func appendCommon(dst []byte, list []string, s []byte) []byte {
	for code, known := range list {
		if string(s) == known {
			return append(dst, byte(code))
		}
	}
	return appendCounted(append(dst, spelled), s)
}

func appendCounted(dst, s []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
