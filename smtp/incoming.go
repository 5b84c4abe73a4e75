package smtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"mailstead/mailbox"
	"mailstead/smtp/report"
)

// Errors of a message as a whole.
var (
	errTooBig       = errors.New("smtp: message too big")
	errHeaderTooBig = errors.New("smtp: message header too big")
	errLoop         = errors.New("smtp: too many Received fields")
	errForwardLoop  = errors.New("smtp: forwarded from here before")
)

// incoming is a message being received. Octets come from content, the header
// is held back until it is whole and judged, the rest goes on to the store.
type incoming struct {
	content
	limits Limits
	body   *mailbox.NewBody
	seal   seal // nil where the header is stored as soon as it is there
	spool  func() *mailbox.Spool
	held   *mailbox.Spool                      // the body that a seal sees before; nil while nothing is held back
	edit   func(header []byte) ([]byte, error) // what is stored for the header, with the trace in front
	header []byte                              // so far, while it is not whole
	inBody bool
	size   int64

	messageID   string // "" without one
	onward      bool   // the header is asked how the message is to go on
	tlsOptional bool   // it says that encryption is not demanded
	report      bool   // the header looks like that of a report
	asciiHeader bool   // the header has no octets above 127
	eightBit    bool   // something has
}

// newMessage begins the transaction's message.
func (s *session) newMessage(dots bool) *incoming {
	m := &incoming{limits: s.server.limits, body: s.server.o.Deliver.NewBody(), spool: s.server.o.Deliver.NewSpool, edit: s.editHeader, seal: s.sealFor(), onward: s.tx.wantsHeader()}
	m.content = content{out: m, dots: dots, repair: s.submission()}
	return m
}

// Write takes the next octets of the message, checked and without stuffed dots.
func (m *incoming) Write(p []byte) (int, error) {
	if m.size += int64(len(p)); m.size > m.limits.MessageSize {
		return 0, errTooBig
	}
	m.eightBit = m.eightBit || !ascii(p)
	if m.inBody {
		return m.text(p)
	}
	h := p
	if len(m.header) > 0 {
		m.header = append(m.header, p...)
		h = m.header
	}
	if end := headerEnd(h, len(h)-len(p)); end >= 0 {
		return len(p), m.begin(h[:end], h[end:])
	}
	if len(h) > m.limits.HeaderSize {
		return 0, errHeaderTooBig
	}
	if len(m.header) == 0 {
		m.header = append(m.header, p...)
	}
	return len(p), nil
}

// headerEnd is where the header with its empty line ends, or -1. Nothing
// before known ends it.
func headerEnd(h []byte, known int) int {
	if bytes.HasPrefix(h, crlf) {
		return len(crlf)
	}
	from := max(0, known-len("\r\n\r"))
	if i := bytes.Index(h[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + len("\r\n\r\n")
	}
	return -1
}

// text takes octets of the body.
func (m *incoming) text(p []byte) (int, error) {
	if m.seal == nil {
		return m.body.Write(p)
	}
	if n, err := m.seal.Write(p); err != nil {
		return n, err
	}
	return m.held.Write(p)
}

// begin stores the header and what came with it.
func (m *incoming) begin(header, rest []byte) error {
	m.inBody = true
	if len(header) > m.limits.HeaderSize {
		return errHeaderTooBig
	}
	m.asciiHeader, m.messageID, m.report = ascii(header), messageIDOf(header), report.Recognize(header)
	m.tlsOptional = m.onward && tlsNotRequired(header)
	err := m.storeHeader(header)
	if err == nil && len(rest) > 0 {
		_, err = m.text(rest)
	}
	m.header = nil
	return err
}

// storeHeader is for a header that is whole; a seal that has to see the body
// keeps it for itself.
func (m *incoming) storeHeader(header []byte) error {
	var h []byte
	var err error
	if m.seal == nil {
		h, err = m.edit(header)
	} else if h, err = m.seal.begin(header, !m.asciiHeader); err == nil && h == nil {
		m.held = m.spool()
		return nil
	}
	m.seal = nil
	if err == nil {
		_, err = m.body.Write(h)
	}
	return err
}

// finish ends the message; a header without an empty line behind it is all of it.
func (m *incoming) finish() error {
	m.content.end()
	if m.err == nil && !m.inBody {
		m.fail(m.begin(m.header, nil))
	}
	if m.err == nil && m.seal != nil {
		m.fail(m.release())
	}
	return m.err
}

// release stores what was held back.
func (m *incoming) release() error {
	h, err := m.seal.finish(!m.asciiHeader, m.held)
	if err != nil {
		return err
	}
	if _, err = m.body.Write(h); err == nil {
		_, err = m.held.WriteTo(m.body)
	}
	m.held.Free()
	return err
}

func (m *incoming) abort() {
	m.body.Abort()
	if m.held != nil {
		m.held.Free()
	}
}

// ascii reports whether p has no octet above 127, eight at a time: every
// message passes through here.
func ascii(p []byte) bool {
	const high = 0x8080808080808080
	for len(p) >= 32 {
		q := p[:32]
		if (binary.LittleEndian.Uint64(q)|binary.LittleEndian.Uint64(q[8:])|
			binary.LittleEndian.Uint64(q[16:])|binary.LittleEndian.Uint64(q[24:]))&high != 0 {
			return false
		}
		p = p[32:]
	}
	for _, b := range p {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
