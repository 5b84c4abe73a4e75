package imap

import (
	"errors"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// seeFound is told of a message that was found: at is its place in found. The index is nil
// if it was not asked for or cannot be read, and valid during the call only; while it is
// there, nothing may block.
type seeFound func(at int, row *mailbox.Row, index *message.View) error

// look shows each message that was found and is still there, in ascending order as found
// is before it is sorted, with its stored index if that is asked for.
func (q *searching) look(index bool, see seeFound) error {
	var msgs []mailbox.Message
	for from := 0; from < len(q.found); {
		if err := q.goesOn(); err != nil {
			return err
		}
		to := min(from+chunkRows, len(q.found))
		q.rows = q.sel.rowsOf(q.rows[:0], q.found[from:to])
		msgs = msgs[:0]
		for i := range q.rows {
			msgs = append(msgs, q.rows[i].Message)
		}
		if err := q.lookAt(from, msgs, index, see); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// lookAt shows the messages of q.rows, which are among those found from a place on.
func (q *searching) lookAt(from int, msgs []mailbox.Message, index bool, see seeFound) error {
	at := from
	place := func(row *mailbox.Row) int {
		for q.found[at] != row.Seq {
			at++
		}
		return at
	}
	for i := 0; i < len(q.rows); i++ {
		if index {
			start := i
			err := q.session.options.Store.Indexes(msgs[i:], func(n int, v message.View) error {
				i = start + n
				q.index = v
				err := see(place(&q.rows[i]), &q.rows[i], &q.index)
				i++
				return err
			})
			if i == len(q.rows) && err == nil {
				return nil
			}
			if err := q.noIndex(err); err != nil {
				return err
			}
		}
		if err := see(place(&q.rows[i]), &q.rows[i], nil); err != nil {
			return err
		}
	}
	return nil
}

// noIndex is about a message whose index cannot be read: the others are shown all the
// same, unless the error that is returned ends it.
func (q *searching) noIndex(err error) error {
	switch {
	case errors.Is(err, mailbox.ErrGone):
		return nil
	case errors.Is(err, mailbox.ErrDamaged):
		q.session.log.Error("imap: a message cannot be sorted", "account", q.session.account.Name, "error", err)
		return nil
	}
	return err
}

// rowsOf appends the messages with the ascending sequence numbers that are still there.
func (sel *selected) rowsOf(dst []mailbox.Row, seqs []uint32) []mailbox.Row {
	for i := 0; i < len(seqs); {
		j := i + 1
		for j < len(seqs) && seqs[j] == seqs[j-1]+1 {
			j++
		}
		dst = sel.view.Rows(dst, seqs[i], seqs[j-1])
		i = j
	}
	return dst
}
