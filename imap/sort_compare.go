package imap

import (
	"bytes"
	"cmp"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// sortComparer compares single messages of the selected mailbox by sort criteria, where a
// few come into an order that is there already.
type sortComparer struct {
	session  *session
	criteria []sortCriterion
	values   map[goimap.UID][]sortValue // of messages looked at; nil for one that is gone
}

// sortValue is the value of one criterion.
type sortValue struct {
	number uint64
	text   []byte
}

// keys returns the values of a message, nil if it is gone.
func (k *sortComparer) keys(uid goimap.UID) ([]sortValue, error) {
	if values, known := k.values[uid]; known {
		return values, nil
	}
	sel := k.session.selected
	seq, _ := sel.view.Seq(uid)
	q := k.session.newSearching(sel, nil, "")
	q.found = []uint32{seq}
	var values []sortValue
	err := q.look(true, func(_ int, row *mailbox.Row, index *message.View) error {
		for _, c := range k.criteria {
			var v sortValue
			switch {
			case !c.key.isText():
				column := sortColumn{sortCriterion: c}
				v.number = column.number(row, index)
			case index != nil:
				v.text = c.key.appendText(nil, index)
			}
			values = append(values, v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if k.values == nil {
		k.values = make(map[goimap.UID][]sortValue)
	}
	k.values[uid] = values
	return values, nil
}

// compare orders two messages; those that are equal stay in the order of the mailbox.
func (k *sortComparer) compare(a goimap.UID, x []sortValue, b goimap.UID, y []sortValue) int {
	for i, c := range k.criteria {
		if i >= len(x) || i >= len(y) {
			break
		}
		order := cmp.Or(cmp.Compare(x[i].number, y[i].number), bytes.Compare(x[i].text, y[i].text))
		if c.reverse {
			order = -order
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(a, b)
}

// place finds where a message belongs in a sorted list, looking at about as many of it as
// its length has binary digits. Those that are gone, of which the client was not told,
// say nothing.
func (k *sortComparer) place(sorted []goimap.UID, uid goimap.UID, keys []sortValue) (int, error) {
	from, to := 0, len(sorted)
	for from < to {
		middle := from + (to-from)/2
		at := middle
		var other []sortValue
		for ; at < to; at++ {
			values, err := k.keys(sorted[at])
			if err != nil {
				return 0, err
			}
			if other = values; other != nil {
				break
			}
		}
		switch {
		case other == nil:
			to = middle // nothing but messages that are gone
		case k.compare(sorted[at], other, uid, keys) < 0:
			from = at + 1
		default:
			to = middle
		}
	}
	return from, nil
}
