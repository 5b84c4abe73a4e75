package mailbox

import (
	"slices"
	"sort"

	goimap "github.com/emersion/go-imap/v2"
)

// candidate is a message as a decision sees it: with everything that is
// numbered, durable or not.
type candidate struct {
	added
	modseq ModSeq
	// place is the message's position in the mailbox, counting those that
	// were expunged but not yet durably so. Two messages of neighbouring
	// places have no other between them, so one range can hold both.
	place int
}

// candidates calls f with each existing message that is asked for, in order. The caller holds Store.seq, and the messages are loaded.
// f must not keep the candidate.
func (b *box) candidates(asked selection, f func(*candidate)) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if pending := b.changes[b.published:]; len(pending) > 0 {
		list := b.overlaid(asked, pending)
		for i := range list {
			f(&list[i])
		}
		return
	}
	var c candidate
	for i := range b.messages.selected(asked) {
		b.messages.candidate(i, &c)
		f(&c)
	}
}

func (m *messages) candidate(i int, c *candidate) {
	c.UID = m.uids[i]
	c.Flags = m.flags.sets[m.sets[i]]
	c.Size = int64(m.size[i])
	c.Internal = Date{Unix: m.date[i], Zone: m.zone[i]}
	c.Saved = m.saved[i]
	c.Body = m.body[i]
	c.modseq = m.modseq[i]
	c.place = i
}

// selected yields the indexes of what is asked for, each once:
// a UID that is named twice must not be counted twice.
func (m *messages) selected(asked selection) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		if asked.all {
			for i := range m.uids {
				if !yield(i) {
					return
				}
			}
			return
		}
		i := 0
		for _, uid := range asked.uids {
			if i = m.next(i, uid); i == len(m.uids) {
				return
			}
			if m.uids[i] != uid {
				continue
			}
			if !yield(i) {
				return
			}
			i++
		}
	}
}

// next returns the index of the first message from index i on whose UID is
// not below uid. What is asked for in ascending order is mostly near.
func (m *messages) next(i int, uid goimap.UID) int {
	if i < len(m.uids) && m.uids[i] < uid {
		i++
	}
	if i >= len(m.uids) || m.uids[i] >= uid {
		return i
	}
	n, _ := slices.BinarySearch(m.uids[i:], uid)
	return i + n
}

// overlaid returns the candidates with changes that are numbered but not
// durable laid over the messages, which are.
func (b *box) overlaid(asked selection, pending []*change) []candidate {
	var list []candidate
	for i := range b.messages.selected(asked) {
		var c candidate
		b.messages.candidate(i, &c)
		list = append(list, c)
	}
	places := b.messages.len()
	for _, ch := range pending {
		for _, a := range ch.added {
			if _, named := slices.BinarySearch(asked.uids, a.UID); named || asked.all {
				list = append(list, candidate{added: a, modseq: ch.lsn, place: places})
			}
			places++
		}
		for _, run := range ch.flags {
			within(list, run.uids, func(c *candidate) { c.Flags, c.modseq = run.flags, ch.lsn })
		}
		if len(ch.expunged) > 0 {
			within(list, ch.expunged, func(c *candidate) { c.place = -1 })
			list = slices.DeleteFunc(list, func(c candidate) bool { return c.place < 0 })
		}
	}
	return list
}

// within calls f with those of list whose UIDs are in ranges. Both ascend.
func within(list []candidate, ranges []uidRange, f func(*candidate)) {
	i := 0
	for _, r := range ranges {
		if i < len(list) && list[i].UID < r.First { // mostly the next one
			i++
		}
		i += sort.Search(len(list)-i, func(n int) bool { return list[i+n].UID >= r.First })
		for ; i < len(list) && list[i].UID <= r.Last; i++ {
			f(&list[i])
		}
	}
}

// runs collects UIDs, ascending, as ranges.
type runs struct {
	list []uidRange
	last int // place of the last one
}

// add appends c. A range goes on over UIDs that no message has.
func (r *runs) add(c *candidate) {
	if n := len(r.list); n > 0 && r.last+1 == c.place {
		r.list[n-1].Last = c.UID
	} else {
		r.list = append(r.list, uidRange{First: c.UID, Last: c.UID})
	}
	r.last = c.place
}
