package imap

import (
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// mustContain returns the numbers of texts that every match has to have, if the full-text
// index is worth to be asked for them before anything is known of a message: unless
// another key, which costs less, leaves few messages over.
func (k *searchKey) mustContain(view *mailbox.View) (texts []int) {
	if k.text > 0 {
		return []int{k.text - 1}
	}
	if k.kind != keyAnd {
		return nil
	}
	unseen, deleted := view.Counted()
	for i := range k.kids {
		kid := &k.kids[i]
		switch {
		case kid.text > 0:
			texts = append(texts, kid.text-1)
		case !kid.leavesMany(unseen, deleted, view.Len()):
			return nil
		}
	}
	return texts
}

// leavesMany reports whether a key may leave most messages over as far as their rows say,
// of so many that are unseen and deleted.
func (k *searchKey) leavesMany(unseen, deleted, all uint32) bool {
	switch {
	case k.kind == keyAll, k.kind == keySet, k.cost >= keySentBefore:
		return true // a set is what is looked through
	case k.kind == keyFlag && k.flag == goimap.FlagSeen:
		return unseen <= all/2
	case k.kind == keyNot && k.kids[0].kind == keyFlag && k.kids[0].flag == goimap.FlagDeleted:
		return deleted <= all/2
	}
	return false
}

// take appends to q.rows the messages of a piece of the mailbox, but for those that the
// full-text index excludes where it is asked first.
func (q *searching) take(piece span) {
	if len(q.must) == 0 {
		q.rows = q.sel.view.Rows(q.rows, piece.from, piece.to)
		return
	}
	q.bodies, q.seqs = q.bodies[:0], q.seqs[:0]
	for c := range q.sel.view.Columns(piece.from, piece.to) {
		q.bodies = append(q.bodies, c.Bodies()...)
		for i := range uint32(c.Len()) {
			q.seqs = append(q.seqs, c.Seq+i)
		}
	}
	q.may = q.filter.Select(q.may[:0], q.must, q.bodies)
	q.done += uint32(len(q.bodies) - len(q.may))
	seqs := q.seqs[:0]
	for _, i := range q.may {
		seqs = append(seqs, q.seqs[i])
	}
	q.rows = q.sel.rowsOf(slices.Grow(q.rows, len(seqs)), seqs)
}
