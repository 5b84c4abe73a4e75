package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"mailstead/mailbox/message"
)

// mboxReader takes an mbox file apart (RFC 4155, and what programs really write): a
// message begins at a line "From sender date" and ends before the blank line that the
// next one, or the file's end, follows. It reads messages as they were before they were
// put there: with CRLF, and without the ">" that mboxo and mboxrd put before "From "; a
// Content-Length (mboxcl) counts where a message begins or the file ends behind it.
type mboxReader struct {
	src    io.ReaderAt
	r      *bufio.Reader
	offset int64 // of what r gives next

	within   bool   // a message
	counted  int64  // octets that belong to it whatever they look like
	midLine  bool   // the next octet is not the first of its line
	blank    bool   // the line before was blank, or there is none
	cr       bool   // the last octet handed out is a carriage return
	quotes   bool   // lines are looked at for ">"
	pending  []byte // of r's buffer, to be handed out
	discard  int    // octets of r that pending stands for
	pendLF   bool   // a line end follows pending
	readFail error
}

const (
	// mboxBuffer is what is read of a file at once.
	mboxBuffer = 128 << 10
	// maxFromLine is how far a line that begins with "From " and the one behind it are
	// looked at: an address of 320 octets, a date, and the name of a header field.
	maxFromLine = 1 << 10
	// maxQuotes bounds the ">" of one line; each is a time that it was put into an mbox.
	maxQuotes = 100
)

// errNoMbox says that a file does not begin as an mbox does.
var errNoMbox = errors.New("no mbox: it does not begin with a line From")

func newMboxReader(src io.ReaderAt, size int64) *mboxReader {
	return &mboxReader{src: src, r: bufio.NewReaderSize(io.NewSectionReader(src, 0, size), mboxBuffer), blank: true}
}

// fromLine is what a line "From " tells.
type fromLine struct {
	sender string
	date   time.Time // zero = none
	offset int64     // in the file
}

// next goes to the next message, over what was not read of the last. io.EOF at the end.
func (m *mboxReader) next() (fromLine, error) {
	if m.within {
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{m}); err != nil {
			return fromLine{}, err
		}
	}
	for {
		b, err := m.r.Peek(maxFromLine)
		if len(b) == 0 {
			if !errors.Is(err, io.EOF) {
				err = &BodyError{err}
			}
			return fromLine{}, err
		}
		if n := message.BlankLine(b); n > 0 { // in front of the first message, or more than one between
			m.skip(n)
			continue
		}
		if !bytes.HasPrefix(b, fromSpace) {
			return fromLine{}, fmt.Errorf("%w (at octet %d)", errNoMbox, m.offset)
		}
		return m.begin(b)
	}
}

// begin reads the From line that b begins with.
func (m *mboxReader) begin(b []byte) (fromLine, error) {
	line, _, found := bytes.Cut(b, []byte("\n"))
	f := parseFrom(line)
	f.offset = m.offset
	if found {
		m.skip(len(line) + 1)
	} else {
		m.skip(len(line))
		if err := m.skipLine(); err != nil {
			return fromLine{}, err
		}
	}
	m.within, m.midLine, m.blank, m.cr, m.quotes = true, false, false, false, true
	return f, nil
}

// skipLine goes to the end of a very long line.
func (m *mboxReader) skipLine() error {
	for {
		b, err := m.r.ReadSlice('\n')
		m.offset += int64(len(b))
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return &BodyError{err}
		}
	}
}

func (m *mboxReader) skip(n int) {
	d, _ := m.r.Discard(n) // of what was peeked at
	m.offset += int64(d)
}

var fromSpace = []byte("From ")

// parseFrom takes a From line apart. The date begins at the day of the week.
func parseFrom(line []byte) fromLine {
	var f fromLine
	line = bytes.TrimRight(bytes.TrimPrefix(line, fromSpace), "\r \t")
	at := 0
	for word := range bytes.FieldsSeq(line) {
		at += bytes.Index(line[at:], word)
		if isWeekday(word) {
			if t, ok := message.ParseDate(line[at:]); ok && !t.IsZero() {
				f.date = t
				f.sender = string(bytes.TrimSpace(line[:at]))
				return f
			}
		}
		at += len(word)
	}
	f.sender = string(line)
	return f
}

func isWeekday(word []byte) bool {
	switch string(bytes.TrimRight(word, ",")) {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}

// beginsMessage says whether b, at the beginning of a line, is a From line with a message
// behind it. A date in it and a header field behind it prove one also where the blank
// line before it is missing; without a date it has to be a bare one behind a blank line.
func beginsMessage(b []byte, afterBlank bool) bool {
	if !bytes.HasPrefix(b, fromSpace) {
		return false
	}
	line, next, found := bytes.Cut(b, []byte("\n"))
	if !found && len(b) >= maxFromLine {
		return false
	}
	field := isField(next)
	f := parseFrom(line)
	if !f.date.IsZero() {
		return field || afterBlank && (len(next) == 0 || message.BlankLine(next) > 0 || bytes.HasPrefix(next, []byte(">From ")))
	}
	return field && afterBlank && len(bytes.Fields(line)) <= 2
}

// isField says whether b begins with the name of a header field and a colon.
func isField(b []byte) bool {
	for i, c := range b {
		switch {
		case c == ':':
			return i > 0
		case c <= ' ' || c >= 0x7f:
			return false
		}
	}
	return false
}

// header reads the message's header with its blank line, to at most message.MaxHeader
// octets and a line: what is longer goes on in Read.
func (m *mboxReader) header() ([]byte, error) {
	var header []byte
	for len(header) < message.MaxHeader {
		start := len(header)
		for {
			if err := m.fill(); errors.Is(err, io.EOF) {
				return header, nil
			} else if err != nil {
				return nil, err
			}
			header = m.appendPending(header)
			if !m.midLine || len(header) > message.MaxHeader {
				break
			}
		}
		if string(header[start:]) == "\r\n" {
			break
		}
	}
	return header, nil
}

// appendPending hands out all that is pending.
func (m *mboxReader) appendPending(dst []byte) []byte {
	dst = append(dst, m.pending...)
	if len(m.pending) > 0 {
		m.cr = m.pending[len(m.pending)-1] == '\r'
	}
	m.pending = nil
	if m.pendLF {
		if !m.cr {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		m.pendLF, m.cr = false, false
	}
	return dst
}

// countOn takes the message's length from a Content-Length field, if what is found at its
// end says that it is right. Such a message is not looked through for "From ".
func (m *mboxReader) countOn(length int64) {
	m.consume()
	var b [8]byte
	n, err := m.src.ReadAt(b[:], m.offset+length)
	if err != nil && !errors.Is(err, io.EOF) {
		return
	}
	end := b[message.BlankLine(b[:n]):n]
	if length > 0 && (bytes.HasPrefix(end, fromSpace) || n < len(b) && len(end) == 0 && m.reaches(length)) {
		m.counted, m.quotes = length, false
	}
}

// reaches says whether there are so many octets.
func (m *mboxReader) reaches(length int64) bool {
	var last [1]byte
	n, _ := m.src.ReadAt(last[:], m.offset+length-1)
	return n == 1
}

// Read reads what follows the header, to the message's end.
func (m *mboxReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(m.pending) == 0 && !m.pendLF {
			if err := m.fill(); err != nil {
				if n > 0 {
					return n, nil
				}
				return 0, err
			}
		}
		n += m.handOut(p[n:])
	}
	return n, nil
}

// handOut copies from what is pending into p, which has room for an octet.
func (m *mboxReader) handOut(p []byte) int {
	if len(m.pending) > 0 {
		n := copy(p, m.pending)
		m.cr = m.pending[n-1] == '\r'
		m.pending = m.pending[n:]
		return n
	}
	switch {
	case !m.pendLF:
		return 0
	case !m.cr:
		p[0], m.cr = '\r', true
		return 1
	}
	p[0], m.cr, m.pendLF = '\n', false, false
	return 1
}

// consume ends with what was handed out.
func (m *mboxReader) consume() {
	m.skip(m.discard)
	m.discard = 0
}

// fill makes the next line, or a piece of a long one, pending. io.EOF at the message's end.
func (m *mboxReader) fill() error {
	m.consume()
	if !m.within {
		return io.EOF
	}
	if m.readFail != nil {
		return m.readFail
	}
	if !m.midLine && m.counted == 0 && m.atEnd() {
		m.within, m.blank = false, true
		return io.EOF
	}
	if _, err := m.r.Peek(1); err != nil {
		if errors.Is(err, io.EOF) {
			m.within = false
			return io.EOF
		}
		m.readFail = &BodyError{err}
		return m.readFail
	}
	b, _ := m.r.Peek(m.r.Buffered())
	if m.counted > 0 {
		b = b[:min(int64(len(b)), m.counted)]
	}
	m.take(b)
	return nil
}

// take makes the line that b begins with pending.
func (m *mboxReader) take(b []byte) {
	whole := false
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b, whole = b[:i+1], true
	}
	m.discard = len(b)
	if m.counted > 0 {
		m.counted -= int64(len(b))
	}
	if !m.midLine {
		m.blank = message.BlankLine(b) > 0
		if m.quotes && b[0] == '>' && isQuotedFrom(b) {
			b = b[1:]
		}
	}
	m.midLine, m.pendLF = !whole, whole
	if whole {
		b = b[:len(b)-1] // a carriage return stays, and then none is put before the line feed
	}
	m.pending = b
}

// isQuotedFrom says whether b begins with "From " behind some ">".
func isQuotedFrom(b []byte) bool {
	i := 0
	for i < len(b) && i < maxQuotes && b[i] == '>' {
		i++
	}
	return bytes.HasPrefix(b[i:], fromSpace)
}

// atEnd says whether the message ends before the line that comes, and reads the blank
// line that belongs to the end.
func (m *mboxReader) atEnd() bool {
	if b, _ := m.r.Peek(1); len(b) == 0 || b[0] != 'F' && b[0] != '\n' && b[0] != '\r' {
		// A line that begins with ">" has to be in the buffer up to its "From ".
		if len(b) == 1 && b[0] == '>' && m.r.Buffered() < maxQuotes+len(fromSpace) {
			m.r.Peek(maxQuotes + len(fromSpace))
		}
		return false // and at the file's end fill finds out
	}
	b, err := m.r.Peek(maxFromLine)
	n := message.BlankLine(b)
	if n == 0 {
		return beginsMessage(b, m.blank)
	}
	if len(b) == n && errors.Is(err, io.EOF) || beginsMessage(b[n:], true) {
		m.skip(n)
		return true
	}
	return false
}
