package imap

import (
	"errors"
	"slices"

	goimap "github.com/emersion/go-imap/v2"
)

// savedResult reads "$", the messages that the last search with SAVE found (RFC 5182).
func (p *searchParser) savedResult() searchKey {
	p.Expect('$')
	return searchKey{kind: keySet}
}

// save makes what a search found the saved result: all of it if all or its number was
// asked for, or nothing but to save it; else what was asked for (RFC 5182 section 2.4, RFC
// 9394 section 3.2).
func (q *searching) save() {
	const pieces = returnMin | returnMax | returnPartial
	options := q.program.options
	if len(q.found) == 0 || options&(returnAll|returnCount) != 0 || options&pieces == 0 {
		q.sel.saved = q.sel.uidRanges(ascending(q.found))
		return
	}
	var some []uint32
	if options&returnPartial != 0 {
		from, to := q.program.partial.window(len(q.found))
		some = append(some, q.found[from:to]...)
	}
	if options&returnMin != 0 {
		some = append(some, q.found[0])
	}
	if options&returnMax != 0 {
		some = append(some, q.found[len(q.found)-1])
	}
	slices.Sort(some)
	q.sel.saved = q.sel.uidRanges(slices.Compact(some))
}

// ascending returns numbers in ascending order, sorted if they are not.
func ascending(numbers []uint32) []uint32 {
	if slices.IsSorted(numbers) {
		return numbers
	}
	numbers = slices.Clone(numbers)
	slices.Sort(numbers)
	return numbers
}

// uidRanges returns the UIDs of messages, given by ascending sequence numbers, as ranges
// with no other message of the mailbox in them. New messages get higher UIDs, so none will
// ever be.
func (sel *selected) uidRanges(seqs []uint32) goimap.UIDSet {
	uids := sel.view.UIDs()
	var set goimap.UIDSet
	for i, seq := range seqs {
		uid := uids[seq-1]
		if i > 0 && seqs[i-1]+1 == seq {
			set[len(set)-1].Stop = uid
			continue
		}
		set = append(set, goimap.UIDRange{Start: uid, Stop: uid})
	}
	return set
}

// notSaved empties the saved result if a search that was to set it failed with NO (RFC
// 5182 section 2.1); one that was malformed changes nothing.
func (sel *selected) notSaved(prog *searchProgram, err error) error {
	if err != nil && prog.options&returnSave != 0 && replyTo(err).Type == goimap.StatusResponseTypeNo && !errors.Is(err, errBye) {
		sel.saved = nil
	}
	return err
}
