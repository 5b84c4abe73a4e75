package message

import (
	"bytes"
	"iter"
	"math/bits"
)

// Field is one header field as it stands in a message.
type Field struct {
	// Name is the field's name without the colon; empty for a line that is no header field.
	Name []byte
	// Raw is the whole field with its folded lines and line ends.
	Raw []byte
	// Value is what follows the colon, folded lines included, without the last line end.
	Value []byte
}

// Fields iterates over the fields of a raw header, in order, up to the blank line that ends it or the end of the
// input. The fields point into header.
func Fields(header []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(header) > 0 {
			var f Field
			f, header = nextField(header)
			if f.Raw == nil || !yield(f) {
				return
			}
		}
	}
}

// FieldValue returns the raw value of the first field called name (in any case) and whether there is one.
func FieldValue(header []byte, name string) ([]byte, bool) {
	for len(header) > 0 && BlankLine(header) == 0 {
		if len(header) > len(name) && equalFoldASCII(header[:len(name)], name) {
			if f, _ := nextField(header); len(f.Name) > 0 && len(f.Name) == len(name) {
				return f.Value, true
			}
		}
		header = header[fieldEnd(header):]
	}
	return nil, false
}

// nextField cuts the first field off a header. Raw is nil at the blank line.
func nextField(header []byte) (f Field, rest []byte) {
	if BlankLine(header) > 0 {
		return Field{}, header
	}
	end := fieldEnd(header)
	f.Raw = header[:end]
	colon := bytes.IndexByte(f.Raw, ':')
	if first := bytes.IndexByte(f.Raw, '\n'); colon < 0 || (first >= 0 && first < colon) {
		return f, header[end:]
	}
	// White space before the colon is obsolete but allowed (RFC 5322 section 4.5.8); within a name it is not.
	name := bytes.TrimRight(f.Raw[:colon], " \t")
	if len(name) > 0 && !bytes.ContainsAny(name, " \t") {
		f.Name, f.Value = name, trimLineEnd(f.Raw[colon+1:])
	}
	return f, header[end:]
}

// BlankLine returns the length of the blank line that b begins with: 2, 1, or 0 if it begins with none.
func BlankLine(b []byte) int {
	switch {
	case len(b) > 0 && b[0] == '\n':
		return 1
	case len(b) > 1 && b[0] == '\r' && b[1] == '\n':
		return 2
	}
	return 0
}

// fieldEnd returns where the field that b begins with ends: after its last folded line.
func fieldEnd(b []byte) int {
	end := 0
	for {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			return len(b)
		}
		end += i + 1
		if end == len(b) || (b[end] != ' ' && b[end] != '\t') {
			return end
		}
	}
}

// FieldMatcher says which header fields are wanted: those named (HEADER.FIELDS) or all others (HEADER.FIELDS.NOT).
// It is made once per command and then used without allocation.
type FieldMatcher struct {
	mask  uint64   // the names that this package knows by number
	other []string // the rest, in lower case
	not   bool
}

// NewFieldMatcher returns the matcher of RFC 3501 section 6.4.5 for the names, in any case; not asks for all fields but
// these.
func NewFieldMatcher(names []string, not bool) FieldMatcher {
	m := FieldMatcher{not: not}
	for _, name := range names {
		lower := string(bytes.ToLower([]byte(name)))
		if id, ok := fieldIDs[lower]; ok {
			m.mask |= 1 << id
			continue
		}
		m.other = append(m.other, lower)
	}
	return m
}

// Match reports whether the field called name is wanted.
func (m *FieldMatcher) Match(name []byte) bool {
	return m.matchID(fieldIDOf(name), name)
}

func (m *FieldMatcher) matchID(id uint8, name []byte) bool {
	if id != fieldOther {
		return m.mask>>id&1 == 1 != m.not
	}
	for _, o := range m.other {
		if len(o) == len(name) && equalFoldASCII(name, o) {
			return !m.not
		}
	}
	return m.not
}

// AppendHeaderFields appends the wanted fields of a raw header to dst, exactly as they stand and in the order of the
// message, and then the blank line that ends the header, if it has one (RFC 3501 section 6.4.5).
func AppendHeaderFields(dst, header []byte, m *FieldMatcher) []byte {
	for len(header) > 0 {
		f, rest := nextField(header)
		if f.Raw == nil {
			return append(dst, header[:BlankLine(header)]...)
		}
		if m.Match(f.Name) {
			dst = append(dst, f.Raw...)
		}
		header = rest
	}
	return dst
}

// The header fields known by number. The numbers stand in stored values: append only, and raise storedVersion when one
// is added, because a stored value says "no such field" for every name it knew.
const (
	fieldOther uint8 = iota
	fieldFrom
	fieldTo
	fieldCc
	fieldBcc
	fieldSubject
	fieldDate
	fieldMessageID
	fieldInReplyTo
	fieldReferences
	fieldReplyTo
	fieldSender
	fieldContentType
	fieldContentDisposition
	fieldContentTransferEncoding
	fieldContentDescription
	fieldContentID
	fieldContentLanguage
	fieldContentLocation
	fieldContentMD5
	fieldMIMEVersion
	fieldReceived
)

// fieldNames are the fields that mail programs ask for in lists: Thunderbird, Apple Mail, K-9, mutt, mbsync,
// Roundcube, Evolution.
var fieldNames = [...]string{
	fieldFrom: "from", fieldTo: "to", fieldCc: "cc", fieldBcc: "bcc", fieldSubject: "subject", fieldDate: "date",
	fieldMessageID: "message-id", fieldInReplyTo: "in-reply-to", fieldReferences: "references",
	fieldReplyTo: "reply-to", fieldSender: "sender", fieldContentType: "content-type",
	fieldContentDisposition: "content-disposition", fieldContentTransferEncoding: "content-transfer-encoding",
	fieldContentDescription: "content-description", fieldContentID: "content-id",
	fieldContentLanguage: "content-language", fieldContentLocation: "content-location",
	fieldContentMD5: "content-md5", fieldMIMEVersion: "mime-version", fieldReceived: "received",
	22: "priority", 23: "x-priority", 24: "importance", 25: "newsgroups", 26: "list-id", 27: "list-post",
	28: "list-unsubscribe", 29: "list-subscribe", 30: "list-unsubscribe-post", 31: "auto-submitted",
	32: "precedence", 33: "lines", 34: "x-label", 35: "x-original-to", 36: "x-tuid", 37: "x-k9mail-identity",
	38: "x-uniform-type-identifier", 39: "x-universally-unique-identifier", 40: "disposition-notification-to",
	41: "x-draft-info", 42: "mail-followup-to", 43: "mail-reply-to", 44: "return-path", 45: "x-msmail-priority",
	46: "x-mailer", 47: "user-agent", 48: "x-spam-status", 49: "x-spam-flag", 50: "content-class",
	51: "x-calendar-attachment", 52: "x-evolution-source", 53: "list-archive", 54: "list-help", 55: "list-owner",
	56: "delivered-to", 57: "followup-to", 58: "organization", 59: "keywords", 60: "comments",
	61: "x-mozilla-draft-info",
}

// fieldIDs finds the number of a lower-case name.
var fieldIDs = func() map[string]uint8 {
	m := make(map[string]uint8, len(fieldNames))
	for id, name := range fieldNames {
		if name != "" {
			m[name] = uint8(id)
		}
	}
	return m
}()

// longestFieldName is the length of the longest known name.
const longestFieldName = 31

// knownFields has a bit for every field known by number.
var knownFields = func() (mask uint64) {
	for _, id := range fieldIDs {
		mask |= 1 << id
	}
	return mask
}()

// fieldIDOf returns the number of a field name in any case, or fieldOther.
func fieldIDOf(name []byte) uint8 {
	if len(name) > longestFieldName {
		return fieldOther
	}
	var lower [longestFieldName]byte
	for i, c := range name {
		lower[i] = lowerASCII(c)
	}
	return fieldIDs[string(lower[:len(name)])]
}

// covers reports whether all wanted names are among those known by number in covered.
func (m *FieldMatcher) covers(covered uint64) bool {
	return !m.not && len(m.other) == 0 && bits.OnesCount64(m.mask&^covered) == 0
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func upperASCII(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// equalFoldASCII reports whether b equals the lower-case s of the same length, without regard to ASCII case.
func equalFoldASCII(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if lowerASCII(b[i]) != lowerASCII(s[i]) {
			return false
		}
	}
	return true
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }

// isSpace reports white space including the line ends of folded fields.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trimWSP(b []byte) []byte { return bytes.Trim(b, " \t") }

func trimSpace(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

func trimLineEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}
