package mailauth

import (
	"bytes"
	"slices"
)

// maxFields bounds the header fields that are looked at. The receiver takes no
// header with more, and the work of a signature grows with their number.
const maxFields = 1000

// headerField is one field of a header.
type headerField struct {
	raw  []byte // the whole field with folded lines and line ends
	name []byte // what stands before the colon, without white space
	hash uint32 // nameHash of the name: most names that differ are told apart by it
}

func (f headerField) is(name fieldName) bool { return name.same(fieldName{f.name, f.hash}) }

// value is what stands behind the colon, line ends included.
func (f headerField) value() []byte {
	_, value, _ := bytes.Cut(f.raw, []byte(":"))
	return value
}

// fieldName is a name to look for.
type fieldName struct {
	text []byte
	hash uint32
}

func (n fieldName) same(other fieldName) bool {
	return n.hash == other.hash && bytes.EqualFold(n.text, other.text)
}

func newFieldName(name []byte) fieldName { return fieldName{name, nameHash(name)} }

func fieldNameOf(name string) fieldName { return newFieldName([]byte(name)) }

// nameHash is FNV-1a over the name in lower case.
func nameHash(name []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range name {
		h = (h ^ uint32(lower(c))) * 16777619
	}
	return h
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// splitHeader cuts a header into its fields. What is no field ends it: many
// mail programs show everything from there on as body, so it is body here, too,
// and rest begins with it. An empty line that ends the header is in neither.
// Complete is false when there are more than maxFields. Room is what fields may take.
func splitHeader(header []byte, room []headerField) (fields []headerField, rest []byte, complete bool) {
	fields = room[:0]
	for len(header) > 0 {
		end := fieldLength(header)
		name, ok := nameOf(header[:end])
		if !ok {
			break
		}
		if len(fields) == maxFields {
			return fields, nil, false
		}
		fields = append(fields, headerField{header[:end], name, nameHash(name)})
		header = header[end:]
	}
	return fields, bytes.TrimPrefix(header, crlf), true
}

var crlf = []byte("\r\n")

// fieldLength is where the field that h begins with ends, folded lines included.
func fieldLength(h []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(h[n:], '\n')
		if i < 0 {
			return len(h)
		}
		n += i + 1
		if n == len(h) || !isWSP(h[n]) {
			return n
		}
	}
}

// nameOf is the name of a field (RFC 5322 section 2.2; white space before the
// colon is the obsolete form of section 4.5.8), and whether it has one.
func nameOf(field []byte) ([]byte, bool) {
	colon := bytes.IndexByte(field, ':')
	if colon < 0 {
		return nil, false
	}
	name := bytes.TrimRight(field[:colon], " \t")
	return name, isFieldName(name)
}

func isFieldName(name []byte) bool {
	for _, c := range name {
		if c < '!' || c > '~' || c == ':' {
			return false
		}
	}
	return len(name) > 0
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }

// picker chooses the fields that a signature covers.
type picker struct {
	fields []headerField
	used   []bool // by the present signature
}

// pick calls hash with each field that names choose, in their order. Of
// several fields of one name the last is taken first, then those above it; a
// name without a field left stands for nothing (RFC 6376 section 5.4.2). The
// field at own is the signature itself and is never chosen.
func (p *picker) pick(names []fieldName, own int, hash func(field []byte)) {
	p.used = slices.Grow(p.used[:0], len(p.fields))[:len(p.fields)]
	clear(p.used)
	if own >= 0 {
		p.used[own] = true
	}
	for _, name := range names {
		for i := len(p.fields) - 1; i >= 0; i-- {
			if !p.used[i] && p.fields[i].is(name) {
				p.used[i] = true
				hash(p.fields[i].raw)
				break
			}
		}
	}
}

// count is how many fields have the name.
func (p *picker) count(name fieldName) int {
	n := 0
	for i := range p.fields {
		if p.fields[i].is(name) {
			n++
		}
	}
	return n
}
