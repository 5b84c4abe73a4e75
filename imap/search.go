package imap

import (
	"slices"

	"mailstead/mailbox"
)

// search is SEARCH and UID SEARCH (RFC 3501 section 6.4.4) with the results of RFC 4731
// and the key of RFC 7162 section 3.1.5.
func (s *session) search(r *request) (reply, error) {
	prog, err := parseSearch(s.dec)
	if err != nil {
		return reply{}, s.selected.notSaved(prog, err)
	}
	if s.rev2 && !prog.extended { // RFC 9051 section 6.4.4: as if it said RETURN (ALL)
		prog.extended, prog.options = true, returnAll
	}
	return s.runSearch(r, prog)
}

// runSearch runs a program over the selected mailbox and answers with what it finds.
func (s *session) runSearch(r *request, prog *searchProgram) (reply, error) {
	if err := s.checkSearch(r, prog); err != nil {
		return reply{}, err
	}
	q := s.newSearching(s.selected, prog, r.tag)
	q.uid = r.uid
	defer q.release()
	if err := q.beginContext(); err != nil {
		return reply{}, err
	}
	if err := q.find(); err != nil {
		return reply{}, s.selected.notSaved(prog, err)
	}
	q.answer(r.tag)
	return reply{}, nil
}

// checkSearch refuses what may not be asked for, and notes what the program says about
// the client.
func (s *session) checkSearch(r *request, prog *searchProgram) error {
	if r.bySeq = prog.bySeq; r.bySeq && s.uidOnly {
		return errUIDRequired
	}
	if prog.asksRelevancy() && !prog.fuzzy {
		return bad("RELEVANCY goes with FUZZY") // RFC 6203 section 4
	}
	if err := s.checkContext(r.tag, prog); err != nil {
		return err
	}
	if prog.recent && s.rev2 {
		return bad("NEW, OLD and RECENT are not in IMAP4rev2") // RFC 9051 appendix E, 12
	}
	if prog.charset && s.utf8Accept && !s.rev2 {
		return bad("texts are in UTF-8, which leaves no charset to name") // RFC 6855 section 3
	}
	if prog.modseq {
		s.enableCondstore()
	}
	return nil
}

// answer saves what was found where that was asked for, and tells it.
func (q *searching) answer(tag string) {
	prog := q.program
	if prog.options&returnSave != 0 {
		q.save()
	}
	switch {
	case !prog.extended:
		q.tell()
	case prog.options != returnSave: // alone, it has nothing told (RFC 5182 section 2.2)
		q.tellExtended(tag, nil)
	}
	q.keepContext(tag)
}

// modSeq is the mod-sequence of what was asked for: of the first, the last, the larger
// of both, or the highest of all (RFC 4731 section 3.2).
func (q *searching) modSeq() mailbox.ModSeq {
	switch q.program.options &^ (returnSave | returnContext | returnUpdate | returnRelevancy) {
	case returnMin:
		return q.first
	case returnMax:
		return q.last
	case returnMin | returnMax:
		return max(q.first, q.last)
	}
	return q.highest
}

// asksRelevancy reports whether scores are asked for, or sorted by.
func (p *searchProgram) asksRelevancy() bool {
	return p.options&returnRelevancy != 0 ||
		slices.ContainsFunc(p.criteria, func(c sortCriterion) bool { return c.key == sortRelevancy })
}
