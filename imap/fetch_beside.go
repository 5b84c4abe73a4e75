package imap

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// minBeside is how many messages make it worth to have a second goroutine answer for half
// of them: what it answers takes some ten times as long as starting it.
const minBeside = 128

// beside is the answer for some messages that is put together while the session answers
// for those before them.
type beside struct {
	fetching *fetching
	bulk     *[]byte // that fetching fills
	rows     []mailbox.Row
	answered int // of rows, from the first on
	panicked any
	done     chan struct{}
}

// inHalves answers for the messages of a chunk from their indexes, for half of them at a
// time beside the other half.
func (f *fetching) inHalves() error {
	rows := f.rows
	for len(rows) >= minBeside && runtime.GOMAXPROCS(0) > 1 && f.knowsFlags(rows) {
		half := len(rows) / 2
		b := f.beside(rows[half:])
		err := f.fromIndexes(rows[:half])
		b.wait()
		if err == nil {
			f.out.take(b.fetching.out.b)
		}
		b.release()
		if err != nil {
			return err
		}
		if rows = rows[half+b.answered:]; b.answered == 0 { // bodies are wanted
			break
		}
	}
	return f.fromIndexes(rows)
}

// knowsFlags reports whether the wire form of the flags of all rows is at hand, so that
// nobody has to note one.
func (f *fetching) knowsFlags(rows []mailbox.Row) bool {
	if !f.plan.flags && f.stored == 0 {
		return true
	}
	sel := f.session.selected
	for i := range rows {
		sel.flagForm(&rows[i].Message)
	}
	for i := range rows {
		if !sel.hasFlagForm(&rows[i].Message) {
			return false
		}
	}
	return true
}

// beside begins to answer for rows.
func (f *fetching) beside(rows []mailbox.Row) *beside {
	other := fetchings.Get().(*fetching)
	other.session, other.plan, other.stored = f.session, f.plan, f.stored
	b := &beside{fetching: other, rows: rows, bulk: bulkBuffers.Get().(*[]byte), done: make(chan struct{})}
	other.out.b = (*b.bulk)[:0]
	go b.run()
	return b
}

func (b *beside) run() {
	defer close(b.done)
	defer func() {
		if p := recover(); p != nil {
			b.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	f := b.fetching
	f.take(b.rows)
	// An error is met again, and told, by the session, which goes on from there.
	_ = f.session.options.Store.Indexes(f.msgs, func(i int, v message.View) error {
		if len(f.out.b) > bulkChunk || !f.plan.answeredBy(&v) {
			return errEnough
		}
		f.fromIndex(&b.rows[i], &v)
		b.answered++
		return nil
	})
}

// wait waits for the end of run. Its panic goes on here, where it ends one session only.
func (b *beside) wait() {
	<-b.done
	if b.panicked != nil {
		panic(b.panicked)
	}
}

func (b *beside) release() {
	bulkBuffers.Put(b.bulk)
	b.fetching.out = output{}
	b.fetching.release()
}
