package imap

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"mailstead/mailbox"
)

const (
	// searchNotice is how often a client is told that its search goes on. That keeps a
	// connection alive on its way, and it is how the server learns that the client has
	// gone: nothing is read meanwhile.
	searchNotice = 2 * time.Second
	// searchRows is how many messages are taken from the view at a time.
	searchRows = 4096
	// maxSearchers bounds the goroutines of one search.
	maxSearchers = 4
	// minBatch and maxBatch bound the messages that a searcher takes at a time: few
	// enough that all have work, and enough to make a transaction worth it.
	minBatch, maxBatch = 16, 512
)

// searching is a SEARCH under way.
type searching struct {
	session   *session
	program   *searchProgram
	uid       bool
	told      time.Time // when it began, or the client was told that it goes on
	progress  progress
	total     uint32 // messages to be judged
	done      uint32 // of them, in earlier chunks
	searchers []*searcher
	closer    *shared // the work of lookCloser, while it lasts
	filter    *mailbox.TextFilter

	rows     []mailbox.Row
	verdicts []verdict // on the rows
	open     []int     // places in rows of those that the row alone does not decide

	found                uint32
	numbers              []uint32 // what was found, as the client counts
	highest, first, last mailbox.ModSeq
}

// searcher returns the nth searcher, making it if need be.
func (q *searching) searcher(n int) *searcher {
	for len(q.searchers) <= n {
		w := searchers.Get().(*searcher)
		w.search, w.examiner.view, w.examiner.filter = q, q.session.selected.view, q.filter
		q.searchers = append(q.searchers, w)
	}
	return q.searchers[n]
}

func (q *searching) release() {
	for _, w := range q.searchers {
		w.release()
	}
}

// run finds the messages, searchRows of them at a time however short the spans are.
func (q *searching) run() error {
	view := q.session.selected.view
	candidates := q.program.key.candidates(view)
	for _, sp := range candidates {
		q.total += sp.to - sp.from + 1
	}
	for _, sp := range candidates {
		for from := sp.from; from <= sp.to; {
			to := min(sp.to, from+searchRows-uint32(len(q.rows))-1)
			q.rows = view.Rows(q.rows, from, to)
			from = to + 1
			if len(q.rows) < searchRows {
				continue
			}
			if err := q.chunk(); err != nil || q.enough() {
				return err
			}
		}
	}
	return q.chunk()
}

// enough reports whether the answer is known: only the first message was asked for.
func (q *searching) enough() bool {
	return q.found > 0 && q.program.extended && q.program.options == returnMin
}

// goesOn reports an error when the session has ended, and tells the client every now
// and then that it has not.
func (q *searching) goesOn() error {
	s := q.session
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if time.Since(q.told) < searchNotice {
		return nil
	}
	q.told = time.Now()
	q.progress.tell(s, q.done+q.looked(), q.total)
	return s.enc.Flush()
}

// looked is how many messages of the chunk were looked at closely.
func (q *searching) looked() uint32 {
	if q.closer == nil {
		return 0
	}
	return uint32(min(int(q.closer.next.Load())*q.closer.batch, len(q.open)))
}

// chunk judges the messages of q.rows, all by their rows and the undecided more closely,
// and empties it.
func (q *searching) chunk() error {
	if err := q.goesOn(); err != nil {
		return err
	}
	defer func() {
		q.done += uint32(len(q.rows))
		q.rows = q.rows[:0]
	}()
	q.verdicts, q.open = q.verdicts[:0], q.open[:0]
	e := &q.searcher(0).examiner
	for i := range q.rows {
		v, _ := e.judge(&q.program.key, &q.rows[i], nil, false)
		q.verdicts = append(q.verdicts, v)
		if v == verdictUnknown {
			q.open = append(q.open, i)
		}
	}
	if len(q.open) > 0 {
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

// lookCloser has searchers decide about the undecided messages of the chunk, while this
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
	notice := time.NewTicker(searchNotice)
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
