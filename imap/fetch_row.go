package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

const (
	// maxRow is room for an answer without index and body. One with hundreds of keywords
	// is longer: then the buffer grows.
	maxRow = 1 << 10
	// maxSmallBody is about the size up to which a body is read when it is opened. What
	// is read is copied, so that this must not become dearer than a system call.
	maxSmallBody = 16 << 10
	// maxFilteredHeader bounds the octets of a header in which fields are looked for
	// when they do not stand in the index.
	maxFilteredHeader = 1 << 20
)

// begin starts the answer for a message. When it was marked as seen just now, and the
// flags are not asked for, they are told first.
func (f *fetching) begin(row *mailbox.Row) {
	f.out.b = f.session.appendRowStart(f.out.b, row, &f.numbers)
	if f.stored == 0 || row.ModSeq != f.stored {
		return
	}
	if f.session.condstore && !f.plan.uid && !f.session.uidOnly { // RFC 7162 section 3.2.4
		f.ofRow(&seenUID, row)
	}
	if !f.plan.flags {
		f.ofRow(&seenFlags, row)
	}
	if !f.plan.modseq && f.session.condstore { // RFC 7162 section 3.1.4.2
		f.ofRow(&seenModSeq, row)
	}
}

// The items that tell of \Seen set by the command itself.
var (
	seenUID    = fetchItem{kind: fetchUID, label: []byte("UID ")}
	seenFlags  = fetchItem{kind: fetchFlags, label: []byte("FLAGS ")}
	seenModSeq = fetchItem{kind: fetchModSeq, label: []byte("MODSEQ ")}
)

// endRow ends the answer: a closing parenthesis takes the place of the last space.
func (f *fetching) endRow() {
	f.out.b = append(f.out.b[:len(f.out.b)-1], ")\r\n"...)
}

// ofRow appends an item that the row itself answers, and a space.
func (f *fetching) ofRow(it *fetchItem, row *mailbox.Row) {
	b := append(f.out.b, it.label...)
	f.out.b = append(f.appendValue(b, it.kind, row), ' ')
}

// appendValue appends what the row says of an item.
func (f *fetching) appendValue(b []byte, kind fetchKind, row *mailbox.Row) []byte {
	switch kind {
	case fetchUID:
		return f.uids.append(b, uint32(row.UID))
	case fetchFlags:
		return f.session.selected.appendFlags(b, &row.Message)
	case fetchModSeq:
		b = append(b, '(')
		b = strconv.AppendUint(b, uint64(row.ModSeq), 10)
		return append(b, ')')
	case fetchInternalDate:
		return appendInternalDate(b, row.Internal)
	case fetchSize:
		return strconv.AppendInt(b, row.Size, 10)
	case fetchSaveDate:
		return appendInternalDate(b, mailbox.Date{Unix: row.Saved})
	case fetchEmailID:
		return append(appendEmailID(append(b, '('), row.Body), ')')
	}
	return append(b, "NIL"...) // THREADID: there are none (RFC 8474 section 5.2)
}

// ofIndex appends an item that the row or the index answers, and a space.
func (f *fetching) ofIndex(it *fetchItem, row *mailbox.Row, v *message.View) {
	b := f.out.b
	switch it.kind {
	case fetchEnvelope:
		b = append(append(b, it.label...), v.Envelope()...)
	case fetchEnvelopeUTF8:
		b = append(append(b, it.label...), or(v.EnvelopeUTF8(), v.Envelope())...)
	case fetchBodyStructure:
		b = append(append(b, it.label...), v.BodyStructure()...)
	case fetchBodyStructureUTF8:
		b = append(append(b, it.label...), or(v.BodyStructureUTF8(), v.BodyStructure())...)
	case fetchBody:
		b = v.AppendBody(append(b, it.label...))
	case fetchBodyUTF8:
		b = v.AppendBodyUTF8(append(b, it.label...))
	case fetchPreview:
		b = wire.AppendString(append(b, it.label...), v.Preview())
	case fetchPreviewUTF8:
		b = wire.AppendStringUTF8(append(b, it.label...), v.Preview())
	default:
		f.ofRow(it, row)
		return
	}
	f.out.b = append(b, ' ')
}

// or returns a, or b where a is nil.
func or(a, b []byte) []byte {
	if a == nil {
		return b
	}
	return a
}

// fromIndex answers for a message whose body is not needed.
func (f *fetching) fromIndex(row *mailbox.Row, v *message.View) {
	f.begin(row)
	for i := range f.plan.items {
		it := &f.plan.items[i]
		if it.section == nil {
			f.ofIndex(it, row, v)
			continue
		}
		f.storedSection(it, v)
	}
	f.endRow()
}

// storedSection appends a section that stands in the index, and a space.
func (f *fetching) storedSection(it *fetchItem, v *message.View) {
	if fields := it.section.fields; fields != nil {
		f.fields = v.AppendHeaderFields(f.fields[:0], fields)
	} else {
		f.fields = v.AppendHeader(f.fields[:0])
	}
	f.literal(it, f.fields)
}

// literal appends of data what the item asks for as a literal, and a space. An empty
// string is a literal too: programs that tell strings from literals expect message
// data to be one.
func (f *fetching) literal(it *fetchItem, data []byte) {
	from, size := it.section.clip(int64(len(data)))
	b := append(f.out.b, it.label...)
	b = wire.AppendLiteralHeader(b, size)
	b = append(b, data[from:from+size]...)
	hideNUL(b[int64(len(b))-size:])
	f.out.b = append(b, ' ')
}

// goesOn reports an error when there is nobody to answer any more. A client that has
// closed its side is given each answer at once: if it does not listen, that shows.
func (f *fetching) goesOn() error {
	if f.session.half() {
		f.out.lend(func() { f.session.enc.Flush() })
	}
	return f.session.interrupted()
}

// withBodies answers for messages whose bodies are needed; views are nil when their
// structure is not.
func (f *fetching) withBodies(rows []mailbox.Row, views []message.View) error {
	if len(rows) == 0 {
		return nil
	}
	f.take(rows)
	if err := f.session.options.Store.LocateBodies(f.msgs, &f.bodies); err != nil {
		return err
	}
	if f.small == nil {
		f.small = make([]byte, maxSmallBody)
	}
	for i := range rows {
		if err := f.goesOn(); err != nil {
			return err
		}
		var v *message.View
		if views != nil {
			v = &views[i]
		}
		body, err := f.bodies.Open(i, f.small)
		if err == nil {
			err = f.withBody(&rows[i], v, body)
		} else {
			err = f.unread(&rows[i], err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withBody answers for a message with the help of its body, which it closes; v may be
// nil. If the body fails before anything of the answer is on its way, the message is
// left out.
func (f *fetching) withBody(row *mailbox.Row, v *message.View, body *mailbox.Body) (err error) {
	defer body.Close()
	f.out.room(maxRow)
	start, written := len(f.out.b), f.out.written
	f.begin(row)
	for i := range f.plan.items {
		it := &f.plan.items[i]
		switch {
		case it.section == nil && v == nil:
			f.ofRow(it, row)
		case it.section == nil:
			f.ofIndex(it, row, v)
		case v != nil && it.section.answeredBy(v):
			f.storedSection(it, v)
		default:
			if err = f.bodySection(it, v, body); err != nil {
				return f.broken(row, start, written, err)
			}
		}
	}
	f.endRow()
	return f.session.enc.Err()
}

// broken handles an error of reading in the middle of an answer: the answer is taken
// back, or, when the client has a part of it, the session ended.
func (f *fetching) broken(row *mailbox.Row, start, written int, err error) error {
	if f.out.written != written {
		return fmt.Errorf("%w in the middle of a literal: %w", errBye, err)
	}
	f.out.b = f.out.b[:start]
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: the body is shorter than its index says", mailbox.ErrDamaged)
	}
	return f.unread(row, err)
}

// bodySection appends a section that is read from the body, and a space.
func (f *fetching) bodySection(it *fetchItem, v *message.View, body *mailbox.Body) error {
	s := it.section
	if s.decode {
		return f.binary(it, v, body)
	}
	off, size, ok := int64(0), body.Size(), true
	if !s.whole() {
		off, size, ok = v.Section(s.path, s.what)
	}
	switch {
	case !ok:
		f.out.b = append(append(f.out.b, it.label...), "NIL "...)
		return nil
	case off+size > body.Size():
		return io.ErrUnexpectedEOF
	case s.fields != nil:
		if err := f.readHeader(body, off, min(size, maxFilteredHeader)); err != nil {
			return err
		}
		f.fields = message.AppendHeaderFields(f.fields[:0], f.header, s.fields)
		f.literal(it, f.fields)
		return nil
	}
	from, size := s.clip(size)
	f.out.b = wire.AppendLiteralHeader(append(f.out.b, it.label...), size)
	if err := f.out.copy(body, off+from, size); err != nil {
		return err
	}
	f.out.b = append(f.out.b, ' ')
	return nil
}

// hideNUL puts another octet in the place of each NUL of a literal, which may not hold it
// (RFC 3501 section 9, CHAR8): 0x80, as other servers do, so that the sizes stay. BINARY
// sends what is stored.
func hideNUL(b []byte) {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return
		}
		b[i] = 0x80
		b = b[i+1:]
	}
}

// readHeader reads size octets at off into f.header.
func (f *fetching) readHeader(body *mailbox.Body, off, size int64) error {
	if int64(cap(f.header)) < size {
		f.header = make([]byte, size)
	}
	f.header = f.header[:size]
	n, err := body.ReadAt(f.header, off)
	if int64(n) == size {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

const monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"

// appendInternalDate appends a date-time as wire.AppendDateTime does, without making a
// time zone for each.
func appendInternalDate(b []byte, d mailbox.Date) []byte {
	t := time.Unix(d.Unix+int64(d.Zone)*60, 0).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(b, '"')
	if day < 10 {
		b = append(b, ' ', byte('0'+day))
	} else {
		b = appendTwo(b, day)
	}
	b = append(b, '-')
	b = append(b, monthNames[3*(month-1):3*month]...)
	b = append(b, '-')
	b = appendTwo(appendTwo(b, year/100), year%100)
	b = appendTwo(append(b, ' '), hour)
	b = appendTwo(append(b, ':'), minute)
	b = appendTwo(append(b, ':'), second)
	zone, sign := int(d.Zone), byte('+')
	if zone < 0 {
		zone, sign = -zone, '-'
	}
	b = append(b, ' ', sign)
	return append(appendTwo(appendTwo(b, zone/60), zone%60), '"')
}

// appendTwo appends two digits.
func appendTwo(b []byte, n int) []byte {
	return append(b, byte('0'+n/10%10), byte('0'+n%10))
}
