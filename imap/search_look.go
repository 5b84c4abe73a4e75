package imap

import (
	"errors"
	"sync"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// searcher judges messages that their rows do not decide: by their indexes, then by
// their bodies. It belongs to one goroutine at a time.
type searcher struct {
	search   *searching
	examiner examiner
	stopped  func() bool // the search has failed elsewhere

	msgs      []mailbox.Message
	view      message.View // being looked at
	undecided []int        // places of those that their index does not decide either
	views     []message.View
	arena     []byte         // what the views show
	bodies    mailbox.Bodies // of the undecided
}

// searchers keep their buffers from one search to the next.
var searchers = sync.Pool{New: func() any { return new(searcher) }}

func (w *searcher) release() {
	clear(w.views)
	if cap(w.arena) > 2*maxInTransaction {
		w.arena = nil
	}
	w.search, w.stopped, w.view = nil, nil, message.View{}
	w.examiner.forget()
	searchers.Put(w)
}

// judge decides about the messages at the places in the rows of the search.
func (w *searcher) judge(open []int) error {
	for len(open) > 0 {
		n, err := w.inIndexes(open)
		if err := w.inBodies(); err != nil {
			return err
		}
		if open = open[n:]; err == nil || errors.Is(err, errEnough) {
			continue
		}
		if len(open) == 0 {
			return err
		}
		if err := w.unread(open[0], err); err != nil {
			return err
		}
		open = open[1:]
	}
	return nil
}

// inIndexes judges messages by their indexes. It notes those that stay undecided, with
// their indexes in w.views, and returns how many it judged; an error other than errEnough
// concerns the next.
func (w *searcher) inIndexes(open []int) (n int, err error) {
	q := w.search
	w.take(open)
	w.views, w.arena, w.undecided = w.views[:0], w.arena[:0], w.undecided[:0]
	err = q.session.options.Store.Indexes(w.msgs, func(i int, v message.View) error {
		if len(w.arena) > maxInTransaction {
			return errEnough
		}
		n++
		at := open[i]
		w.view = v
		q.verdicts[at], _ = w.examiner.judge(&q.program.key, &q.rows[at], &w.view, false)
		q.score(at, &w.examiner)
		if q.verdicts[at] == verdictUnknown {
			v, w.arena = v.CloneTo(w.arena)
			w.views = append(w.views, v)
			w.undecided = append(w.undecided, at)
		}
		return nil
	})
	return n, err
}

// inBodies judges the undecided messages by their bodies.
func (w *searcher) inBodies() error {
	if len(w.undecided) == 0 {
		return nil
	}
	q := w.search
	w.take(w.undecided)
	if err := q.session.options.Store.LocateBodies(w.msgs, &w.bodies); err != nil {
		return err
	}
	w.examiner.bodies = &w.bodies
	for i, at := range w.undecided {
		if w.stopped() {
			return nil
		}
		if err := q.session.ctx.Err(); err != nil {
			return err
		}
		var err error
		w.examiner.place = i
		q.verdicts[at], err = w.examiner.judge(&q.program.key, &q.rows[at], &w.views[i], true)
		q.score(at, &w.examiner)
		if err != nil {
			if err := w.unread(at, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// take puts the messages at the places into w.msgs.
func (w *searcher) take(places []int) {
	w.msgs = w.msgs[:0]
	for _, at := range places {
		w.msgs = append(w.msgs, w.search.rows[at].Message)
	}
}

// unread is about a message that cannot be read: it does not match, and the search goes
// on, unless the error that is returned ends it.
func (w *searcher) unread(at int, err error) error {
	q := w.search
	q.verdicts[at] = verdictNo
	switch {
	case errors.Is(err, mailbox.ErrGone):
		return nil
	case !errors.Is(err, mailbox.ErrDamaged):
		return err
	}
	s := q.session
	s.log.Error("imap: a message cannot be searched", "account", s.account.Name, "uid", q.rows[at].UID, "error", err)
	return nil
}
