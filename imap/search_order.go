package imap

import (
	"cmp"
	"math"
	"slices"

	"mailstead/mailbox"
)

// sampledMessages is how many messages say how rare texts are. For each, the full-text
// index is asked about the thousand that came with it, and keeps what it says.
const sampledMessages = 4

// orderTexts puts what the fewest messages may contain in front where all keys have to
// match, and what most may contain where one is enough: so that most messages are decided
// by the first text that is looked for in them. Keys that are cheaper to judge by stay in
// front of dearer ones.
func (q *searching) orderTexts() {
	if q.filter == nil || q.filter.Texts() < 2 {
		return
	}
	q.program.key.weigh(q.filter.Weigh(q.sample()))
}

// sample returns some of the messages that are to be looked at, evenly spread.
func (q *searching) sample() (bodies []mailbox.BodyID) {
	spans := q.program.key.candidates(q.sel.view)
	total := uint32(0)
	for _, sp := range spans {
		total += sp.to - sp.from + 1
	}
	var rows []mailbox.Row
	for i := range uint64(sampledMessages) {
		at := uint32(uint64(total) * i / sampledMessages)
		for _, sp := range spans {
			if size := sp.to - sp.from + 1; at >= size {
				at -= size
				continue
			}
			rows = q.sel.view.Rows(rows, sp.from+at, sp.from+at)
			break
		}
	}
	for i := range rows {
		bodies = append(bodies, rows[i].Body)
	}
	return bodies
}

// weigh notes how many messages of a sample may match each key, and orders them. counts
// are those of the texts that the index was asked for.
func (k *searchKey) weigh(counts []int) {
	for i := range k.kids {
		k.kids[i].weigh(counts)
	}
	k.most = math.MaxInt // nothing is known
	switch {
	case k.text > 0:
		k.most = counts[k.text-1]
	case k.kind == keyAnd:
		k.order(1)
		for i := range k.kids {
			k.most = min(k.most, k.kids[i].most)
		}
	case k.kind == keyOr:
		k.order(-1)
		k.most = 0
		for i := range k.kids {
			k.most += min(k.kids[i].most, math.MaxInt-k.most)
		}
	}
}

// order sorts the kids by their cost, and those that cost the same by how many messages may
// match: the fewest first, or with the sign -1 the most.
func (k *searchKey) order(sign int) {
	slices.SortStableFunc(k.kids, func(a, b searchKey) int {
		return cmp.Or(cmp.Compare(a.cost.class(), b.cost.class()), sign*cmp.Compare(a.most, b.most))
	})
}

// class makes costs that are about the same the same: those of the keys that read bodies.
func (c keyKind) class() keyKind {
	if c == keyText {
		return keyBody
	}
	return c
}
