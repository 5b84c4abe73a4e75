package mailbox

import goimap "github.com/emersion/go-imap/v2"

// ChangedSince appends the messages of the view that were changed after since, and all
// whose UID is above above, in ascending order, to dst. It also returns the mod-sequence
// up to which it has looked, to go on from: since again, if the mailbox is gone.
func (v *View) ChangedSince(dst []Row, since ModSeq, above goimap.UID) ([]Row, ModSeq) {
	b := v.box
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.durable.gone {
		return dst, since
	}
	m := b.messages
	from, to := m.flaggedSince(since, nil)
	fresh := m.search(above + 1)
	for i := from; i < min(to, fresh); i++ {
		if m.modseq[i] > since {
			dst = v.appendRow(dst, i)
		}
	}
	for i := fresh; i < m.len(); i++ {
		dst = v.appendRow(dst, i)
	}
	return dst, max(since, b.durable.highest)
}

// appendRow appends the message with index i, if it is in the view. The caller holds the
// box's mu.
func (v *View) appendRow(dst []Row, i int) []Row {
	m := v.box.messages
	seq, ok := uint32(i)+1, i < len(v.uids)
	if v.generation != m.generation {
		seq, ok = v.Seq(m.uids[i])
	}
	if !ok {
		return dst
	}
	dst = append(dst, Row{Seq: seq})
	m.at(i, &dst[len(dst)-1].Message)
	return dst
}
