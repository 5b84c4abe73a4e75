package imap

import (
	"strconv"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// lines are the answers of a plan that needs nothing but the arrays of the mailbox. What
// is the same in each of them is put together once.
type lines struct {
	start  block // up to the number of the message
	parts  []linePart
	end    block
	room   int         // that a line takes, but for its flags
	wanted int         // room for the next line, with its flags
	recent bool        // some messages are \Recent
	row    mailbox.Row // of the message of a line
}

// linePart is a value of a line, with the text in front of it.
type linePart struct {
	text block
	kind fetchKind
}

// maxLineValue is room for each value of a line: a date-time of 28 octets is the longest,
// and a block is written whole.
const maxLineValue = blockSize

// compileLines makes the lines of the plan. It reports false where they are none.
func (f *fetching) compileLines() bool {
	s, l := f.session, &f.lines
	if f.plan.index || f.plan.bodies || f.stored != 0 {
		return false
	}
	l.recent = !s.selected.hideRecent && s.selected.view.RecentCount() > 0
	l.start, _ = blockOf([]byte("* "))
	l.end, _ = blockOf([]byte(")\r\n"))
	l.parts = l.parts[:0]
	text := append(make([]byte, 0, blockSize), s.rowName()...)
	for i := range f.plan.items {
		it := &f.plan.items[i]
		b, ok := blockOf(append(text, it.label...))
		if !ok {
			return false
		}
		l.parts = append(l.parts, linePart{b, it.kind})
		text = append(text[:0], ' ')
	}
	l.room = (len(l.parts) + 1) * (blockSize + maxLineValue)
	l.wanted = l.room
	return true
}

// inLines answers for all messages from the arrays of the mailbox.
func (f *fetching) inLines(spans []span) error {
	if f.plan.flags {
		f.out.lend(f.session.tellKeywords)
	}
	for _, sp := range spans {
		for from := sp.from; from <= sp.to; {
			if err := f.session.interrupted(); err != nil {
				return err
			}
			f.out.room(f.lines.wanted)
			from = f.someLines(from, sp.to)
			if f.unformed != nil {
				f.out.lend(f.session.tellKeywords) // ahead of flags that the client may not know
				f.session.selected.flagForm(&f.unformed.Message)
				f.unformed = nil
			}
			if err := f.session.enc.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// someLines answers for messages from sequence number from to to until the buffer is full,
// or up to a message whose flags have no wire form yet, which it leaves in f.unformed. It
// returns the first number that it has not come to.
func (f *fetching) someLines(from, to uint32) uint32 {
	for c := range f.session.selected.view.Columns(from, to) {
		f.missing = f.missing || from < c.Seq
		n := f.lineEach(c)
		if from = c.Seq + uint32(n); n < c.Len() {
			return from
		}
	}
	f.missing = f.missing || from <= to
	return to + 1
}

// lineEach appends the answers for c, and returns for how many messages: not for all where
// the buffer is full or flags have no wire form.
func (f *fetching) lineEach(c mailbox.Columns) int {
	since := f.plan.changedSince
	b, at := f.out.b[:cap(f.out.b)], len(f.out.b)
	defer func() { f.out.b = b[:at] }()
	for i := range c.Len() {
		if since != 0 && c.ModSeq(i) <= since {
			continue
		}
		var flags *flagForm
		if f.plan.flags {
			if flags = f.formOf(c, i); flags == nil {
				return i
			}
		}
		if f.lines.wanted = f.roomFor(flags); len(b)-at < f.lines.wanted {
			return i
		}
		at = f.line(b, at, c, i, flags)
	}
	return c.Len()
}

// formOf is the wire form of the flags of the message with index i of c; where there is none
// it notes the message and returns nil: to make one takes a look at the mailbox, which is held.
func (f *fetching) formOf(c mailbox.Columns, i int) *flagForm {
	id, flags := c.Flags(i)
	if forms := f.session.selected.flagForms; int(id) < len(forms) {
		if form := &forms[id]; form.flags == flags && form.form != nil {
			return form
		}
	}
	f.unformed = new(mailbox.Row)
	c.Row(i, f.unformed)
	return nil
}

// roomFor is the room that a line with these flags takes, which may be nil.
func (f *fetching) roomFor(flags *flagForm) int {
	if flags == nil {
		return f.lines.room
	}
	return f.lines.room + len(flags.form) + len(` \Recent`)
}

// line writes the answer for the message with index i of c at b[at:], which has room for it,
// and returns where it ends.
func (f *fetching) line(b []byte, at int, c mailbox.Columns, i int, flags *flagForm) int {
	l := &f.lines
	at = l.start.put(b, at)
	if f.session.uidOnly {
		at = f.numbers.put(b, at, uint32(c.UID(i)))
	} else {
		at = f.numbers.put(b, at, c.Seq+uint32(i))
	}
	for p := range l.parts {
		part := &l.parts[p]
		at = part.text.put(b, at)
		switch part.kind {
		case fetchUID:
			at = f.uids.put(b, at, uint32(c.UID(i)))
		case fetchSize:
			at = len(strconv.AppendInt(b[:at], c.Size(i), 10))
		case fetchFlags:
			at = f.putFlags(b, at, flags, c.UID(i))
		default:
			c.Row(i, &l.row)
			at = len(f.appendValue(b[:at], part.kind, &l.row))
		}
	}
	return l.end.put(b, at)
}

// putFlags writes a list of flags at b[at:], which has room for it, and returns where it ends.
func (f *fetching) putFlags(b []byte, at int, flags *flagForm, uid goimap.UID) int {
	recent := f.lines.recent && f.session.selected.view.Recent(uid)
	if flags.short.size > 0 && !recent {
		return flags.short.put(b, at)
	}
	b = append(b[:at], flags.form...)
	if recent {
		b = appendRecent(b)
	}
	return len(b)
}
