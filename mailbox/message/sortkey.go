package message

import "bytes"

// AddressField names a field of the envelope that holds addresses.
type AddressField uint8

// The address fields that messages are sorted by, as their places among those of the ENVELOPE.
const (
	FromAddress AddressField = 0
	ToAddress   AddressField = 3
	CcAddress   AddressField = 4
)

// AppendSortAddress appends what a message is sorted by where the first address of a field counts, folded (see [Fold]): the
// local part (RFC 5256 section 3, FROM, TO and CC) or, for display, the name that is shown, else the address (RFC 5957
// section 3). Without an address it appends nothing. The first entry counts even if it begins a group.
func (v *View) AppendSortAddress(dst []byte, field AddressField, display bool) []byte {
	entry := firstEntry(v.Envelope(), int(field))
	if entry == nil {
		return dst
	}
	name, entry := nextString(entry)
	_, entry = nextString(entry) // the source route
	local, entry := nextString(entry)
	domain, _ := nextString(entry)
	var buf [256]byte
	if display && name != nil {
		if text := decodedText(buf[:0], name); len(text) > 0 {
			return Fold(dst, text)
		}
	}
	if local == nil {
		return dst
	}
	text := decodedText(buf[:0], local)
	if display && domain != nil {
		text = append(append(text, '@'), decodedText(nil, domain)...)
	}
	return Fold(dst, text)
}

// AppendSortSubject appends the folded base subject (RFC 5256 section 2.1).
func (v *View) AppendSortSubject(dst []byte) []byte { return Fold(dst, v.BaseSubject()) }

// decodedText undoes the quoting of a quoted string and the encoded words in it, in buf if there is room.
func decodedText(buf, quoted []byte) []byte {
	for i := 0; i < len(quoted); i++ {
		if quoted[i] == '\\' && i+1 < len(quoted) {
			i++
		}
		buf = append(buf, quoted[i])
	}
	if bytes.Contains(buf, []byte("=?")) {
		return []byte(DecodeHeader(buf))
	}
	return buf
}

// firstEntry returns what is in the parentheses of the first address of the nth list of an ENVELOPE, or more; nil if that
// list is NIL.
func firstEntry(envelope []byte, n int) []byte {
	if len(envelope) == 0 || envelope[0] != '(' {
		return nil
	}
	_, rest := nextString(envelope[1:]) // the date
	_, rest = nextString(rest)          // the subject
	for range n {
		rest = afterList(rest)
	}
	if !bytes.HasPrefix(rest, []byte("((")) {
		return nil
	}
	return rest[2:]
}

// nextString returns the string at the start of b without its quotes, nil for NIL, and what comes after the space
// behind it.
func nextString(b []byte) (quoted, rest []byte) {
	if len(b) == 0 || b[0] != '"' {
		return nil, afterSpace(b, len("NIL"))
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[1:i:i], afterSpace(b, i+1)
		}
	}
	return nil, nil
}

// afterList returns what comes after the list of addresses, or NIL, at the start of b and the space behind it.
func afterList(b []byte) []byte {
	if len(b) == 0 || b[0] != '(' {
		return afterSpace(b, len("NIL"))
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return afterSpace(b, i+1)
			}
		}
	}
	return nil
}

func afterSpace(b []byte, n int) []byte { return b[min(n+1, len(b)):] }
