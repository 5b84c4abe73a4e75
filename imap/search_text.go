package imap

import (
	"bytes"
	"io"
	"slices"
	"unicode/utf8"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// maxWholeBody is about the size up to which a body is read in one piece, so that a small
// message costs one system call.
const maxWholeBody = 128 << 10

// examiner looks at one message after the other, at each as closely as it is told to. It
// belongs to one goroutine.
type examiner struct {
	view   *mailbox.View       // does not change meanwhile
	filter *mailbox.TextFilter // nil when no key has a number there

	row     *mailbox.Row
	index   *message.View // nil = not to be looked at yet
	mayRead bool          // the body may be read
	bodies  *mailbox.Bodies
	place   int // of the message's body among them

	body   *mailbox.Body // once it was needed
	header []byte        // once it was needed, and is not in the index
	err    error         // of reading

	scored, scores int // how well fuzzy keys matched, in all, and how many of them

	whole  []byte // for a small body
	raw    []byte // for the header
	fields []byte // of one name
	folded []byte
	text   message.TextReader
}

// judge is the verdict on a message: from the row alone, from the index where that is
// given, from the body where that may be read.
func (e *examiner) judge(k *searchKey, row *mailbox.Row, index *message.View, mayRead bool) (verdict, error) {
	e.row, e.index, e.mayRead, e.err = row, index, mayRead, nil
	e.scored, e.scores = 0, 0
	v := k.eval(e)
	if e.body != nil {
		e.body.Close()
		e.body, e.header = nil, nil
	}
	return v, e.err
}

// forget drops what belongs to one search, and buffers that a huge header has grown.
func (e *examiner) forget() {
	kept := examiner{folded: e.folded, whole: e.whole, fields: e.fields, text: e.text}
	if cap(e.raw) <= maxKeptHeader {
		kept.raw = e.raw
	}
	*e = kept
}

// sent judges by the Date field, without time and zone. A message that has none was
// sent on no day.
func (e *examiner) sent(k *searchKey) verdict {
	if e.index == nil {
		return verdictUnknown
	}
	unix, ok := e.index.SentDate()
	return verdictOf(ok && k.onDay(dayOf(unix+int64(e.index.SentZone()))))
}

// inHeader judges by the header fields of one name.
func (e *examiner) inHeader(k *searchKey) verdict {
	switch {
	case e.index == nil:
		return verdictUnknown
	case e.index.Covers(&k.matcher):
		e.fields = e.index.AppendHeaderFields(e.fields[:0], &k.matcher)
		return verdictOf(e.fieldsContain(k.needle))
	case !e.mayRead:
		return verdictUnknown
	}
	return verdictOf(e.readHeader() && message.HeaderContains(e.header, k.field, k.needle))
}

// fieldsContain reports whether one of the fields in e.fields has the folded needle in
// its value. They are whole fields of the name looked for, and perhaps a blank line.
func (e *examiner) fieldsContain(needle []byte) bool {
	for fields := e.fields; len(fields) > 0; {
		end := 0
		for end < len(fields) {
			n := bytes.IndexByte(fields[end:], '\n')
			if n < 0 {
				end = len(fields)
				break
			}
			if end += n + 1; end < len(fields) && fields[end] != ' ' && fields[end] != '\t' {
				break
			}
		}
		_, value, isField := bytes.Cut(fields[:end], []byte{':'})
		if isField && (len(needle) == 0 || e.contains(value, needle)) {
			return true
		}
		fields = fields[end:]
	}
	return false
}

// readHeader reads the header into e.header, once for all keys.
func (e *examiner) readHeader() bool {
	if e.header != nil || !e.open() {
		return e.header != nil
	}
	size := min(e.index.HeaderSize(), maxFilteredHeader)
	if int64(cap(e.raw)) < size || e.raw == nil {
		e.raw = make([]byte, size)
	}
	n, err := e.body.ReadAt(e.raw[:size], 0)
	if err != nil && err != io.EOF {
		e.err = err
		return false
	}
	e.header = e.raw[:n]
	return true
}

// contains reports whether the decoded value of a header field contains the folded
// needle, without allocation where nothing has to be decoded.
func (e *examiner) contains(value, needle []byte) bool {
	value = trimSpace(value)
	if !e.foldPlain(value) {
		if needsDecoding(value) {
			value = []byte(message.DecodeHeader(value))
		}
		e.folded = message.Fold(e.folded[:0], value)
	}
	return bytes.Contains(e.folded, needle)
}

// needsDecoding reports whether a trimmed value is anything but UTF-8 in one line
// without encoded words.
func needsDecoding(value []byte) bool {
	return bytes.Contains(value, []byte("=?")) || bytes.ContainsAny(value, "\x00\r\n") || !utf8.Valid(value)
}

// foldPlain folds a trimmed value into e.folded in one pass, if decoding would leave it
// as it is: the fold of ASCII is its upper case.
func (e *examiner) foldPlain(value []byte) bool {
	e.folded = slices.Grow(e.folded[:0], len(value))[:len(value)]
	for i, c := range value {
		switch {
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case c < ' ' && c != '\t', c > '~', c == '=' && i+1 < len(value) && value[i+1] == '?':
			return false
		}
		e.folded[i] = c
	}
	return true
}

// trimSpace cuts off white space, as decoding does.
func trimSpace(value []byte) []byte {
	isSpace := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
	for len(value) > 0 && isSpace(value[0]) {
		value = value[1:]
	}
	for len(value) > 0 && isSpace(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	return value
}

// inText judges by the decoded text.
func (e *examiner) inText(k *searchKey) verdict {
	if e.index == nil || !e.mayRead {
		return verdictUnknown
	}
	if !e.open() {
		return verdictNo
	}
	scope := message.ScopeBody
	if k.kind == keyText {
		scope = message.ScopeText
	}
	found, err := e.text.Contains(e.body, e.index, scope, k.needle)
	if err != nil {
		e.err = err
	}
	return verdictOf(found)
}

// open opens the body, once for all keys. A small one is read whole.
func (e *examiner) open() bool {
	if e.body != nil || e.err != nil {
		return e.err == nil
	}
	if e.whole == nil {
		e.whole = make([]byte, maxWholeBody)
	}
	e.body, e.err = e.bodies.Open(e.place, e.whole)
	return e.err == nil
}
