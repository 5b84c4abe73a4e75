package imap

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

const (
	// searchNotice is how often a client is told that its search goes on: every 10 to 15
	// seconds, as RFC 9585 section 4 has it. That keeps a connection alive on its way, and
	// it is how the server learns that the client has gone without a word.
	searchNotice = 10 * time.Second
	// searchProbe is how often it is told so when it has closed its side of the
	// connection: if it does not listen either, that ends the search.
	searchProbe = 200 * time.Millisecond
	// searchRows is how many messages are taken from the view at a time.
	searchRows = 4096
	// minRows is how many those are at first when few results are enough.
	minRows = 64
	// maxSearchers bounds the goroutines of one search.
	maxSearchers = 4
	// minBatch and maxBatch bound the messages that a searcher takes at a time: few
	// enough that all have work, and enough to make a transaction worth it.
	minBatch, maxBatch = 16, 512
)

// searching is a search under way.
type searching struct {
	session   *session
	sel       *selected // what is searched
	program   *searchProgram
	uid       bool           // the client counts in UIDs
	context   *searchContext // that is to keep the results up to date
	told      time.Time      // when it began, or the client was told that it goes on
	progress  progress
	total     uint32 // messages to be judged
	done      uint32 // of them, but for those that wait in rows
	searchers []*searcher
	closer    *shared // the work of lookCloser, while it lasts
	filter    *mailbox.TextFilter

	enough   int  // so many results are all that is asked for; 0 = any number
	backward bool // they are those at the end of the mailbox

	must   []int            // texts that every match has, by their numbers in the filter, if it is asked first
	bodies []mailbox.BodyID // of a piece of the mailbox, then
	seqs   []uint32
	may    []int // indexes in bodies

	rows     []mailbox.Row
	verdicts []verdict // on the rows that were sifted
	scores   []uint8   // of the rows, in a fuzzy search
	open     []int     // places in rows of those that the row alone does not decide

	index message.View // that is being looked at

	found                []uint32 // sequence numbers of what was found
	relevancies          []uint8  // of what was found, in a fuzzy search
	highest, first, last mailbox.ModSeq
}

// newSearching prepares a search that a command with the tag asked for; "" = none did.
func (s *session) newSearching(sel *selected, prog *searchProgram, tag string) *searching {
	return &searching{session: s, sel: sel, program: prog, progress: progress{tag: tag}, told: time.Now()}
}

// prepare makes the program ready for the mailbox that is searched, as it is now.
func (q *searching) prepare() error {
	if err := q.program.key.resolve(q.sel); err != nil {
		return err
	}
	q.filter = q.program.key.textFilter(q.session.options.Store)
	q.must = q.program.key.mustContain(q.sel.view)
	q.orderTexts()
	return nil
}

// find runs the program.
func (q *searching) find() error {
	if err := q.prepare(); err != nil {
		return err
	}
	q.enough, q.backward = q.program.enough()
	if err := q.run(); err != nil {
		return err
	}
	if q.backward {
		slices.Reverse(q.found)
	}
	return q.order()
}

// enough says after how many results the answer is known, and from which end of the
// mailbox they are looked for: when only the first or the last is asked for, or a piece
// that is counted from there.
func (p *searchProgram) enough() (n int, backward bool) {
	if !p.extended || len(p.criteria) > 0 {
		return 0, false
	}
	switch p.options &^ (returnSave | returnContext) {
	case returnMin:
		return 1, false
	case returnMax:
		return 1, true
	case returnPartial:
		if !p.modseq { // that of all that match is told with it
			return int(p.partial.reach()), p.partial.backward
		}
	}
	return 0, false
}

// searcher returns the nth searcher, making it if need be.
func (q *searching) searcher(n int) *searcher {
	for len(q.searchers) <= n {
		w := searchers.Get().(*searcher)
		w.search, w.examiner.view, w.examiner.filter = q, q.sel.view, q.filter
		q.searchers = append(q.searchers, w)
	}
	return q.searchers[n]
}

func (q *searching) release() {
	for _, w := range q.searchers {
		w.release()
	}
}

// run finds the messages. It takes searchRows of them from the view at a time, fewer at
// first if few results are enough, and keeps those that may match until there are as many.
func (q *searching) run() error {
	spans := q.program.key.candidates(q.sel.view)
	for _, sp := range spans {
		q.total += sp.to - sp.from + 1
	}
	if q.backward {
		spans = slices.Clone(spans)
		slices.Reverse(spans)
	}
	size := searchRows
	if q.enough > 0 {
		size = min(max(4*q.enough, minRows), searchRows)
	}
	for _, sp := range spans {
		for sp.from <= sp.to && !q.known() {
			kept := len(q.rows)
			piece := q.cut(&sp, uint32(size))
			q.take(piece)
			if err := q.sift(kept); err != nil {
				return err
			}
			if q.enough == 0 && len(q.rows) < searchRows {
				continue
			}
			if err := q.settle(); err != nil {
				return err
			}
			size = min(2*size, searchRows)
		}
	}
	return q.settle()
}

// cut takes at most n messages off the end of sp where the search is.
func (q *searching) cut(sp *span, n uint32) span {
	piece := *sp
	if q.backward {
		if piece.to-piece.from >= n {
			piece.from = piece.to - n + 1
		}
		sp.to = piece.from - 1
		return piece
	}
	if piece.to-piece.from >= n {
		piece.to = piece.from + n - 1
	}
	sp.from = piece.to + 1
	return piece
}

// known reports whether the answer is known.
func (q *searching) known() bool { return q.enough > 0 && len(q.found) >= q.enough }

// goesOn reports an error when the session has ended, and tells the client every now
// and then that it has not.
func (q *searching) goesOn() error {
	s := q.session
	if err := s.interrupted(); err != nil {
		return err
	}
	every := searchNotice
	if s.half() {
		every = searchProbe
	}
	if time.Since(q.told) < every {
		return nil
	}
	q.told = time.Now()
	q.progress.tell(s, q.done+q.looked(), q.total)
	return s.enc.Flush()
}

// looked is how many of the undecided messages were looked at closely.
func (q *searching) looked() uint32 {
	if q.closer == nil {
		return 0
	}
	return uint32(min(int(q.closer.next.Load())*q.closer.batch, len(q.open)))
}

// sift judges the messages of q.rows from a place on, which are a piece of the mailbox in
// its order, by their rows, and keeps those that match or may match.
func (q *searching) sift(from int) error {
	if err := q.goesOn(); err != nil {
		return err
	}
	if q.backward {
		slices.Reverse(q.rows[from:])
	}
	e := &q.searcher(0).examiner
	kept := from
	for i := from; i < len(q.rows); i++ {
		v, _ := e.judge(&q.program.key, &q.rows[i], nil, false)
		if v == verdictNo {
			continue
		}
		if v == verdictUnknown {
			q.open = append(q.open, kept)
		}
		if q.verdicts = append(q.verdicts, v); q.program.fuzzy {
			q.scores = append(q.scores, e.relevancy())
		}
		if kept != i {
			q.rows[kept] = q.rows[i]
		}
		kept++
	}
	q.done += uint32(len(q.rows) - kept)
	q.rows = q.rows[:kept]
	return nil
}

// settle decides about the messages of q.rows that their rows do not decide, notes those
// that match, and empties it.
func (q *searching) settle() error {
	if len(q.open) > 0 {
		if err := q.lookCloser(); err != nil {
			return err
		}
	}
	for i, v := range q.verdicts {
		if v == verdictYes {
			q.add(i)
		}
	}
	q.done += uint32(len(q.rows))
	q.rows, q.verdicts, q.scores, q.open = q.rows[:0], q.verdicts[:0], q.scores[:0], q.open[:0]
	return nil
}

// score notes how well the message at a place in the rows matches.
func (q *searching) score(at int, e *examiner) {
	if q.program.fuzzy {
		q.scores[at] = e.relevancy()
	}
}

// add notes that the message at a place in the rows matches.
func (q *searching) add(at int) {
	row := &q.rows[at]
	if q.found = append(q.found, row.Seq); q.program.fuzzy {
		q.relevancies = append(q.relevancies, q.scores[at])
	}
	if len(q.found) == 1 || q.backward {
		q.first = row.ModSeq
	}
	if len(q.found) == 1 || !q.backward {
		q.last = row.ModSeq
	}
	q.highest = max(q.highest, row.ModSeq)
}

// lookCloser has searchers decide about the undecided messages, while this
// goroutine keeps in touch with the client.
func (q *searching) lookCloser() error {
	n := min(runtime.GOMAXPROCS(0), maxSearchers, (len(q.open)+minBatch-1)/minBatch)
	share := shared{batch: min(max(len(q.open)/(4*n), minBatch), maxBatch)}
	q.closer = &share
	defer func() { q.closer = nil }()
	var work sync.WaitGroup
	for i := range n {
		w := q.searcher(i)
		work.Go(func() { w.work(&share) })
	}
	done := make(chan struct{})
	go func() {
		work.Wait()
		close(done)
	}()
	notice := time.NewTicker(searchProbe)
	defer notice.Stop()
	for {
		select {
		case <-notice.C:
			if err := q.goesOn(); err != nil {
				share.fail(err)
			}
		case <-done:
			if share.panicked != nil {
				panic(share.panicked) // where the server expects it: it ends this session only
			}
			return errors.Join(share.err, q.session.ctx.Err())
		}
	}
}

// shared is the work that several searchers take their batches from.
type shared struct {
	batch  int
	next   atomic.Int64 // batch to be taken
	failed atomic.Bool

	mu       sync.Mutex
	err      error // the first
	panicked any
}

func (s *shared) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.failed.Store(true)
}

// work judges batches of messages until none is left.
func (w *searcher) work(share *shared) {
	defer func() {
		if p := recover(); p != nil {
			share.fail(errSearchPanic)
			share.mu.Lock()
			share.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			share.mu.Unlock()
		}
	}()
	open := w.search.open
	for w.stopped = share.failed.Load; !w.stopped(); {
		from := int(share.next.Add(1)-1) * share.batch
		if from >= len(open) {
			return
		}
		if err := w.judge(open[from:min(from+share.batch, len(open))]); err != nil {
			share.fail(err)
			return
		}
	}
}

// errSearchPanic stops the other searchers.
var errSearchPanic = errors.New("imap: a searcher panicked")
