package smtp

import (
	"bytes"
	"iter"
	"strings"
)

// field is one field of a header as it was written, with its folded lines and
// line ends.
type field []byte

// name is what stands before the colon.
func (f field) name() string {
	name, _, _ := bytes.Cut(f, []byte(":"))
	return string(bytes.TrimRight(name, " \t"))
}

func (f field) is(name string) bool {
	return len(f) > len(name) && bytes.EqualFold(f[:len(name)], []byte(name)) &&
		(f[len(name)] == ':' || strings.EqualFold(f.name(), name))
}

// value is what stands behind the colon, still folded.
func (f field) value() []byte {
	_, v, _ := bytes.Cut(f, []byte(":"))
	return v
}

// fields iterates over the fields of a header, up to the empty line or to a
// line that is no field: from there on it is body to everybody.
func fields(header []byte) iter.Seq[field] {
	return func(yield func(field) bool) {
		for len(header) > 0 {
			n := fieldEnd(header)
			if !startsField(header) || !yield(header[:n]) {
				return
			}
			header = header[n:]
		}
	}
}

// fieldEnd is the length of the field at the start of h, folded lines included.
func fieldEnd(h []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(h[n:], '\n')
		if i < 0 {
			return len(h)
		}
		n += i + 1
		if n == len(h) || h[n] != ' ' && h[n] != '\t' {
			return n
		}
	}
}

// startsField reports whether h begins with a field name (RFC 5322 section
// 2.2) and a colon; the obsolete form has white space between them.
func startsField(h []byte) bool {
	for i, c := range h {
		switch {
		case c == ':':
			return i > 0
		case c == ' ' || c == '\t':
			rest := bytes.TrimLeft(h[i:], " \t")
			return i > 0 && len(rest) > 0 && rest[0] == ':'
		case c < '!' || c > '~':
			return false
		}
	}
	return false
}

// checkHeader enforces the limits on a header: the number of its fields, and
// of trace fields among them (RFC 5321 section 6.3).
func checkHeader(header []byte, l Limits) error {
	all, received := 0, 0
	for f := range fields(header) {
		if all++; all > l.HeaderFields {
			return errHeaderTooBig
		}
		if f.is("Received") {
			received++
		}
	}
	if received > l.Received {
		return errLoop
	}
	return nil
}

// checkHeader is the function of that name, and keeps out what was forwarded from
// here before.
func (s *session) checkHeader(header []byte) error {
	if err := checkHeader(header, s.server.limits); err != nil {
		return err
	}
	if s.account.ID == 0 && s.tx.forwardedBefore(header) {
		return errForwardLoop
	}
	return nil
}

// forwardedBefore reports whether the message comes back to the alias that sent
// it elsewhere: its Delivered-To says so (RFC 9228), without waiting for
// as many Received fields as a loop may have. Above what somebody has sent again
// on purpose there are Resent fields (RFC 5322 section 3.6.6).
func (t *transaction) forwardedBefore(header []byte) bool {
	to := t.deliveredTo()
	if to == "" || len(t.Recipients[0].Route.Remote) == 0 {
		return false
	}
	for f := range fields(header) {
		name := f.name()
		switch {
		case len(name) > len(resent) && strings.EqualFold(name[:len(resent)], resent):
			return false
		case strings.EqualFold(name, "Delivered-To") && strings.EqualFold(string(bytes.TrimSpace(f.value())), to):
			return true
		}
	}
	return false
}

const resent = "Resent-"

// editHeader gives what is stored for a header.
func (s *session) editHeader(header []byte) ([]byte, error) {
	if err := s.checkHeader(header); err != nil {
		return nil, err
	}
	if !s.submission() {
		return append(s.trace(), header...), nil
	}
	return s.submitHeader(header)
}

// tlsNotRequired reports whether a header says "TLS-Required: No", once (RFC 8689 section 3).
func tlsNotRequired(header []byte) bool {
	found, no := 0, false
	for f := range fields(header) {
		if f.is("TLS-Required") {
			found++
			no = bytes.EqualFold(bytes.TrimSpace(f.value()), []byte("No"))
		}
	}
	return found == 1 && no
}
