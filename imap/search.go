package imap

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// search is SEARCH and UID SEARCH (RFC 3501 section 6.4.4) with the results of RFC 4731
// and the key of RFC 7162 section 3.1.5.
func (s *session) search(r *request) (reply, error) {
	prog, err := parseSearch(s.dec)
	if err != nil {
		return reply{}, err
	}
	if prog.modseq {
		if err := s.enableCondstore(); err != nil {
			return reply{}, err
		}
	}
	if err := prog.key.resolve(s.selected); err != nil {
		return reply{}, err
	}
	q := &searching{session: s, program: prog, uid: r.uid, asked: time.Now()}
	q.examiner.view = s.selected.view
	if err := q.run(); err != nil {
		return reply{}, err
	}
	if prog.extended {
		q.tellExtended(r.tag)
	} else {
		q.tell()
	}
	return reply{}, nil
}

const (
	// searchNotice is how often a client is told that its search goes on. That keeps a
	// connection alive on its way, and it is how the server learns that the client has
	// gone: nothing is read meanwhile.
	searchNotice = 2 * time.Second
	// maxSearchers bounds the bodies of one search that are read at the same time.
	maxSearchers = 4
)

// searching is a SEARCH under way.
type searching struct {
	session  *session
	program  *searchProgram
	uid      bool
	asked    time.Time // when it began, or the client was told that it goes on
	examiner examiner  // of the session's goroutine
	helpers  []*examiner

	rows      []mailbox.Row
	verdicts  []verdict // on the rows
	open      []int     // places in rows of those that their row alone does not decide
	msgs      []mailbox.Message
	view      message.View // being looked at
	undecided []int        // places of those that their index does not decide either
	views     []message.View
	arena     []byte // what the views show
	bodyMsgs  []mailbox.Message
	bodies    mailbox.Bodies // theirs

	found                uint32
	numbers              []uint32 // what was found, as the client counts
	highest, first, last mailbox.ModSeq
}

// run finds the messages.
func (q *searching) run() error {
	s := q.session
	for _, sp := range q.program.key.candidates(s.selected.view) {
		for from := sp.from; from <= sp.to; from += chunkRows {
			if err := q.goesOn(); err != nil {
				return err
			}
			q.rows = s.selected.view.Rows(q.rows[:0], from, min(sp.to, from+chunkRows-1))
			if err := q.chunk(); err != nil {
				return err
			}
			if q.found > 0 && q.program.extended && q.program.options == returnMin {
				return nil
			}
		}
	}
	return nil
}

// goesOn reports an error when the session has ended, and tells the client every now
// and then that it has not.
func (q *searching) goesOn() error {
	s := q.session
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if time.Since(q.asked) < searchNotice {
		return nil
	}
	q.asked = time.Now()
	s.enc.Text("* OK still searching\r\n")
	return s.enc.Flush()
}

// chunk judges the messages of q.rows: all by their rows, the undecided by their
// indexes, those still undecided by their bodies.
func (q *searching) chunk() error {
	q.verdicts = q.verdicts[:0]
	undecided := 0
	for i := range q.rows {
		v, _ := q.examiner.judge(&q.program.key, &q.rows[i], nil, false)
		q.verdicts = append(q.verdicts, v)
		if v == verdictUnknown {
			undecided++
		}
	}
	if undecided > 0 {
		if err := q.lookCloser(); err != nil {
			return err
		}
	}
	for i, v := range q.verdicts {
		if v == verdictYes {
			q.add(&q.rows[i])
		}
	}
	return nil
}

// add notes a message that matches.
func (q *searching) add(row *mailbox.Row) {
	number := row.Seq
	if q.uid {
		number = uint32(row.UID)
	}
	q.numbers = append(q.numbers, number)
	if q.found++; q.found == 1 {
		q.first = row.ModSeq
	}
	q.last = row.ModSeq
	q.highest = max(q.highest, row.ModSeq)
}

// lookCloser decides about the undecided messages of the chunk.
func (q *searching) lookCloser() error {
	q.open, q.msgs = q.open[:0], q.msgs[:0]
	for i, v := range q.verdicts {
		if v == verdictUnknown {
			q.open = append(q.open, i)
			q.msgs = append(q.msgs, q.rows[i].Message)
		}
	}
	for open, msgs := q.open, q.msgs; len(open) > 0; {
		n, err := q.inIndexes(open, msgs)
		if err := q.inBodies(); err != nil {
			return err
		}
		open, msgs = open[n:], msgs[n:]
		if err != nil && !errors.Is(err, errEnough) {
			if len(open) == 0 {
				return err
			}
			if err := q.unread(&q.rows[open[0]], err); err != nil {
				return err
			}
			q.verdicts[open[0]] = verdictNo
			open, msgs = open[1:], msgs[1:]
		}
		if err := q.goesOn(); err != nil {
			return err
		}
	}
	return nil
}

// inIndexes judges the messages at the places by their indexes. It notes those that stay
// undecided, with their indexes in q.views, and returns how many it judged; an error
// other than errEnough concerns the next.
func (q *searching) inIndexes(open []int, msgs []mailbox.Message) (n int, err error) {
	q.views, q.arena, q.undecided = q.views[:0], q.arena[:0], q.undecided[:0]
	err = q.session.options.Store.Indexes(msgs, func(i int, v message.View) error {
		if len(q.arena) > maxInTransaction {
			return errEnough
		}
		n++
		at := open[i]
		q.view = v
		q.verdicts[at], _ = q.examiner.judge(&q.program.key, &q.rows[at], &q.view, false)
		if q.verdicts[at] == verdictUnknown {
			v, q.arena = v.CloneTo(q.arena)
			q.views = append(q.views, v)
			q.undecided = append(q.undecided, at)
		}
		return nil
	})
	return n, err
}

// inBodies judges the undecided messages by their bodies, several at the same time.
func (q *searching) inBodies() error {
	if len(q.undecided) == 0 {
		return nil
	}
	q.bodyMsgs = q.bodyMsgs[:0]
	for _, at := range q.undecided {
		q.bodyMsgs = append(q.bodyMsgs, q.rows[at].Message)
	}
	if err := q.session.options.Store.LocateBodies(q.bodyMsgs, &q.bodies); err != nil {
		return err
	}
	workers := min(runtime.GOMAXPROCS(0), maxSearchers, len(q.undecided))
	for len(q.helpers) < workers {
		q.helpers = append(q.helpers, &examiner{view: q.examiner.view})
	}
	var share shared
	var work sync.WaitGroup
	for _, e := range q.helpers[:workers] {
		work.Go(func() { q.help(e, &share) })
	}
	work.Wait()
	if share.panicked != nil {
		panic(share.panicked) // where the server expects it: it ends this session only
	}
	return share.err
}

// shared is the work that several examiners take their messages from.
type shared struct {
	next atomic.Int64 // index of q.undecided

	mu       sync.Mutex
	err      error // the first that ends the search
	panicked any
}

// help judges messages until none is left.
func (q *searching) help(e *examiner, share *shared) {
	defer func() {
		if p := recover(); p != nil {
			share.mu.Lock()
			share.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			share.mu.Unlock()
		}
	}()
	for q.session.ctx.Err() == nil {
		i := int(share.next.Add(1)) - 1
		if i >= len(q.undecided) {
			return
		}
		at := q.undecided[i]
		e.bodies, e.place = &q.bodies, i
		v, err := e.judge(&q.program.key, &q.rows[at], &q.views[i], true)
		if err != nil {
			v = verdictNo
			share.mu.Lock()
			share.err = cmp.Or(share.err, q.unread(&q.rows[at], err))
			share.mu.Unlock()
		}
		q.verdicts[at] = v
	}
}

// unread is about a message that cannot be read: it does not match, and the search goes
// on, unless the error that is returned ends it.
func (q *searching) unread(row *mailbox.Row, err error) error {
	switch {
	case errors.Is(err, mailbox.ErrGone):
		return nil
	case !errors.Is(err, mailbox.ErrDamaged):
		return err
	}
	s := q.session
	s.log.Error("imap: a message cannot be searched", "account", s.account.Name, "uid", row.UID, "error", err)
	return nil
}

// tell writes the SEARCH response (RFC 3501 section 7.2.5, RFC 7162 section 3.1.6).
func (q *searching) tell() {
	enc := q.session.enc
	enc.Text("* SEARCH")
	for _, n := range q.numbers {
		enc.SetBuf(strconv.AppendUint(append(enc.Buf(), ' '), uint64(n), 10))
	}
	if q.program.modseq && q.found > 0 {
		enc.Text(" (MODSEQ ").Number(uint64(q.highest)).Text(")")
	}
	enc.CRLF()
}

// tellExtended writes the ESEARCH response (RFC 4731 sections 3.1 and 3.2).
func (q *searching) tellExtended(tag string) {
	enc, options := q.session.enc, q.program.options
	b := append(enc.Buf(), "* ESEARCH (TAG "...)
	b = append(wire.AppendQuoted(b, tag), ')')
	if q.uid {
		b = append(b, " UID"...)
	}
	if q.found > 0 && options&returnMin != 0 {
		b = strconv.AppendUint(append(b, " MIN "...), uint64(q.numbers[0]), 10)
	}
	if q.found > 0 && options&returnMax != 0 {
		b = strconv.AppendUint(append(b, " MAX "...), uint64(q.numbers[len(q.numbers)-1]), 10)
	}
	if options&returnCount != 0 {
		b = strconv.AppendUint(append(b, " COUNT "...), uint64(q.found), 10)
	}
	if q.found > 0 && options&returnAll != 0 {
		b = wire.AppendNumbers(append(b, " ALL "...), q.numbers)
	}
	if q.found > 0 && q.program.modseq {
		b = strconv.AppendUint(append(b, " MODSEQ "...), uint64(q.modSeq()), 10)
	}
	enc.SetBuf(append(b, "\r\n"...))
}

// modSeq is the mod-sequence of what was asked for: of the first, the last, the larger
// of both, or the highest of all (RFC 4731 section 3.2).
func (q *searching) modSeq() mailbox.ModSeq {
	switch q.program.options {
	case returnMin:
		return q.first
	case returnMax:
		return q.last
	case returnMin | returnMax:
		return max(q.first, q.last)
	}
	return q.highest
}
