package imap

import (
	"errors"
	"sync"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// fetch is FETCH and UID FETCH (RFC 3501 section 6.4.5) with CHANGEDSINCE and VANISHED
// (RFC 7162 sections 3.1.4.1 and 3.2.6).
func (s *session) fetch(r *request) (reply, error) {
	s.dec.SP()
	spans := s.numbers(r)
	s.dec.SP()
	plan := parseFetch(s.dec, r.uid && !s.uidOnly)
	s.checkVanished(r, plan)
	s.checkItems(plan)
	if plan.partial != nil {
		if !r.uid {
			s.dec.Fail("PARTIAL belongs to UID FETCH")
		}
		spans = windowOf(spans, *plan.partial) // before CHANGEDSINCE (RFC 9394 section 3.4)
	}
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if plan.modseq {
		s.enableCondstore()
		s.modSeqs = true
	}
	f := fetchings.Get().(*fetching)
	defer f.release()
	if s.utf8 {
		plan.speakUTF8()
	}
	f.session, f.plan = s, plan
	if plan.vanished { // ahead of the answers, as section 3.2.6 wants it
		s.tellVanishedEarlier(r.set, plan.changedSince, 0)
	}
	if err := f.run(spans); err != nil {
		return reply{}, err
	}
	if f.unreadable != nil {
		return reply{}, f.unreadable
	}
	if f.missing && !r.uid { // a UID command tells of the expunges before its reply
		return reply{Code: "EXPUNGEISSUED", Text: "some messages are not there any more"}, nil
	}
	return reply{}, nil
}

// fetching is a FETCH under way, with its buffers.
type fetching struct {
	session *session
	plan    *fetchPlan
	out     output

	stored     mailbox.ModSeq // of the change that set \Seen; 0 = none
	missing    bool           // some messages of the set are gone
	unreadable error          // what came of the first message that could not be read

	lines    lines
	unformed *mailbox.Row // its flags are to get a wire form; nil = none

	numbers counter // of messages, as answers begin with them
	uids    counter
	rows    []mailbox.Row
	msgs    []mailbox.Message
	bodies  mailbox.Bodies
	views   []message.View // of the rows whose bodies are to be opened
	arena   []byte         // what these views show
	small   []byte         // the body of one message
	header  []byte         // of one message
	fields  []byte         // those wanted of it, or a decoded part
	decoded []byte         // a piece of one
}

// fetchings keep their buffers from one command to the next, not from one session to
// itself: idle sessions hold none.
var fetchings = sync.Pool{New: func() any { return new(fetching) }}

// maxKeptHeader is the largest scratch buffer kept.
const maxKeptHeader = 256 << 10

func (f *fetching) release() {
	clear(f.views)
	kept := fetching{rows: f.rows[:0], msgs: f.msgs[:0], views: f.views[:0], bodies: f.bodies, small: f.small, lines: lines{parts: f.lines.parts[:0]}}
	if cap(f.arena) <= 2*maxInTransaction {
		kept.arena = f.arena[:0]
	}
	if cap(f.header)+cap(f.fields)+cap(f.decoded) <= 3*maxKeptHeader {
		kept.header, kept.fields, kept.decoded = f.header[:0], f.fields[:0], f.decoded[:0]
	}
	*f = kept
	fetchings.Put(f)
}

// run answers for all messages.
func (f *fetching) run(spans []span) error {
	if err := f.markSeen(spans); err != nil {
		return err
	}
	f.out.begin(f.session.enc)
	defer f.out.end()
	if f.compileLines() {
		return f.inLines(spans)
	}
	return f.chunks(spans, f.answer)
}

// chunkRows is how many messages FETCH and SEARCH take from the view at a time. A look
// at the stored indexes has the kernel read ahead anew, which costs as much as a few
// hundred indexes.
const chunkRows = 1024

// chunks calls do with the messages of the spans in f.rows, chunkRows of them at a time
// however short the spans are.
func (f *fetching) chunks(spans []span, do func() error) error {
	f.rows = f.rows[:0]
	for _, sp := range spans {
		for from := sp.from; from <= sp.to; {
			had := uint32(len(f.rows))
			to := min(sp.to, from+chunkRows-had-1)
			f.rows = f.session.selected.view.Rows(f.rows, from, to)
			f.missing = f.missing || uint32(len(f.rows))-had <= to-from
			from = to + 1
			if len(f.rows) < chunkRows {
				continue
			}
			if err := f.chunk(do); err != nil {
				return err
			}
		}
	}
	return f.chunk(do)
}

// chunk calls do with what is wanted of f.rows, and empties it.
func (f *fetching) chunk(do func() error) error {
	if err := f.session.interrupted(); err != nil {
		return err
	}
	f.dropUnchanged()
	err := do()
	f.rows = f.rows[:0]
	return err
}

// dropUnchanged leaves out what CHANGEDSINCE does not ask for.
func (f *fetching) dropUnchanged() {
	since := f.plan.changedSince
	if since == 0 {
		return
	}
	n := 0
	for i := range f.rows {
		if f.rows[i].ModSeq > since {
			f.rows[n] = f.rows[i]
			n++
		}
	}
	f.rows = f.rows[:n]
}

// markSeen sets \Seen for all messages that lack it, in one change before the first
// answer, so that each answer shows its message as it is then.
func (f *fetching) markSeen(spans []span) error {
	s := f.session
	if !f.plan.seen || !s.selected.maySet(mailbox.FlagSeen) {
		return nil
	}
	var unseen []goimap.UID
	err := f.chunks(spans, func() error {
		for i := range f.rows {
			if row := &f.rows[i]; !row.Flags.Has(mailbox.FlagSeen) {
				unseen = append(unseen, row.UID)
			}
		}
		return nil
	})
	if err != nil || len(unseen) == 0 {
		return err
	}
	result, err := s.selected.mailbox.Store(s.ctx, mailbox.StoreChange{
		UIDs: unseen, Op: mailbox.FlagsAdd, Flags: []goimap.Flag{goimap.FlagSeen},
		Permits: []mailbox.Permit{s.permit(mailbox.RightRead)},
	})
	if errors.Is(err, mailbox.ErrNoSpace) || errors.Is(err, mailbox.ErrRights) {
		return nil // a full disk keeps nobody from reading, nor does a right that is gone just now
	}
	if err != nil {
		return err
	}
	if f.stored = result.ModSeq; f.stored != 0 {
		s.modSeqs = true
		s.selected.view.Reported(f.stored)
	}
	return nil
}

// answer answers for the messages of one chunk.
func (f *fetching) answer() error {
	if len(f.rows) == 0 {
		return nil
	}
	if f.plan.flags || f.stored != 0 {
		f.out.lend(f.session.tellKeywords)
	}
	if f.plan.index {
		return f.inHalves()
	}
	return f.withBodies(f.rows, nil)
}

// maxInTransaction is how many octets of views may be kept for later while a
// transaction of the store is open. Answers may be of bulkChunk octets and one more:
// nothing is written to the client meanwhile.
const maxInTransaction = 1 << 20

// errEnough ends a walk over indexes early.
var errEnough = errors.New("imap: enough for one transaction")

// fromIndexes answers for rows with the help of the stored indexes.
func (f *fetching) fromIndexes(rows []mailbox.Row) error {
	for len(rows) > 0 {
		n, err := f.inTransaction(rows)
		if err := f.withBodies(rows[n-len(f.views):n], f.views); err != nil {
			return err
		}
		rows = rows[n:]
		if err != nil && len(rows) == 0 {
			return err
		}
		if err != nil && !errors.Is(err, errEnough) {
			if err := f.unread(&rows[0], err); err != nil {
				return err
			}
			rows = rows[1:]
		}
		if err := f.session.enc.Err(); err != nil {
			return err
		}
	}
	return nil
}

// inTransaction answers for messages from their indexes as long as these suffice, and
// keeps the views of the others, and of all behind the first of them, in f.views. It
// returns for how many messages one or the other was done; an error other than errEnough
// concerns the next.
func (f *fetching) inTransaction(rows []mailbox.Row) (n int, err error) {
	f.views, f.arena = f.views[:0], f.arena[:0]
	f.take(rows)
	f.out.room(min(len(rows)*maxRow, bulkChunk))
	before := len(f.out.b)
	err = f.session.options.Store.Indexes(f.msgs, func(i int, v message.View) error {
		if len(f.out.b)-before > bulkChunk || len(f.arena) > maxInTransaction {
			return errEnough
		}
		n++
		if len(f.views) > 0 || !f.plan.answeredBy(&v) {
			v, f.arena = v.CloneTo(f.arena)
			f.views = append(f.views, v)
			return nil
		}
		f.fromIndex(&rows[i], &v)
		return nil
	})
	return n, err
}

// take puts the messages of rows into f.msgs.
func (f *fetching) take(rows []mailbox.Row) {
	f.msgs = f.msgs[:0]
	for i := range rows {
		f.msgs = append(f.msgs, rows[i].Message)
	}
}

// unread notes that a message cannot be read. The others are answered all the same;
// the error that is returned ends the command.
func (f *fetching) unread(row *mailbox.Row, err error) error {
	switch {
	case errors.Is(err, mailbox.ErrGone):
		f.missing = true
		return nil
	case errors.Is(err, errUnknownCTE):
		f.leaveOut(row, err)
		return nil
	case !errors.Is(err, mailbox.ErrDamaged):
		return err
	}
	s := f.session
	s.log.Error("imap: a message cannot be read", "account", s.account.Name, "uid", row.UID, "error", err)
	f.leaveOut(row, err)
	return nil
}

// leaveOut notes why a message is not answered for.
func (f *fetching) leaveOut(row *mailbox.Row, err error) {
	if f.unreadable == nil {
		f.unreadable = err
	}
	if f.stored != 0 && row.ModSeq == f.stored { // it is marked as seen nevertheless
		f.out.lend(func() { f.session.tellRow(row, true) })
	}
}
