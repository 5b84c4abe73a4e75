package imap

import (
	"cmp"
	"slices"
	"strconv"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// maxContexts bounds the searches of a session that are kept up to date (RFC 5267 section
// 4.3.1 asks for one at least): each has its results in memory, and is run over every
// message that comes or changes.
const maxContexts = 8

// maxInserted is how many messages are put into a sorted context one by one. For more of
// them at a time all is sorted anew.
const maxInserted = 256

// searchContext is a search that is kept up to date (RFC 5267 section 4.3).
type searchContext struct {
	tag      string
	uid      bool // the client counts in UIDs
	program  *searchProgram
	members  []goimap.UID   // the results, ascending
	sorted   []goimap.UID   // the same in the order of SORT; nil for SEARCH
	seen     mailbox.ModSeq // changes were looked at up to here,
	lastSeen goimap.UID     // and messages
}

// tellNoUpdate says that results are not kept up to date (RFC 5267 section 4.3.1).
func (s *session) tellNoUpdate(tag string) {
	b := append(s.enc.Buf(), "* NO [NOUPDATE "...)
	s.enc.SetBuf(append(wire.AppendQuoted(b, tag), "] the results are not kept up to date\r\n"...))
}

// beginContext prepares a search whose results are to be kept up to date: what happens
// from here on is looked at later.
func (q *searching) beginContext() error {
	if q.program.options&returnUpdate == 0 {
		return nil
	}
	info, err := q.sel.mailbox.Info()
	if err != nil {
		return err
	}
	q.context = &searchContext{uid: q.uid, seen: info.HighestModSeq}
	if uids := q.sel.view.UIDs(); len(uids) > 0 {
		q.context.lastSeen = uids[len(uids)-1]
	}
	return nil
}

// keepContext keeps the results up to date from here on, or says that it does not.
func (q *searching) keepContext(tag string) {
	c := q.context
	if c == nil {
		return
	}
	byScore := slices.ContainsFunc(q.program.criteria, func(c sortCriterion) bool { return c.key == sortRelevancy })
	if len(q.sel.contexts) >= maxContexts || byScore {
		q.session.tellNoUpdate(tag)
		return
	}
	c.tag, c.program = tag, q.program.frozen(q.sel)
	c.set(q)
	q.sel.contexts = append(q.sel.contexts, c)
}

// set takes what a search found as the results.
func (c *searchContext) set(q *searching) {
	uids := q.sel.view.UIDs()
	all := make([]goimap.UID, len(q.found))
	for i, seq := range q.found {
		all[i] = uids[seq-1]
	}
	c.members = all
	if len(c.program.criteria) > 0 {
		c.sorted = all
		c.members = slices.Clone(all)
		slices.Sort(c.members)
	}
}

// frozen is the program for messages that come and change later: sequence numbers and the
// saved result mean what they mean now (RFC 5267 section 4.3).
func (p *searchProgram) frozen(sel *selected) *searchProgram {
	frozen := *p
	frozen.key = p.key.clone()
	frozen.key.freeze(sel)
	frozen.extended, frozen.options, frozen.criteria = false, 0, slices.Clone(p.criteria)
	return &frozen
}

func (k *searchKey) freeze(sel *selected) {
	for i := range k.kids {
		k.kids[i].freeze(sel)
	}
	if _, byUID := k.numbers.(goimap.UIDSet); k.kind != keySet || byUID {
		return
	}
	uids := sel.view.UIDs()
	var set goimap.UIDSet
	for _, sp := range k.spans {
		set = append(set, goimap.UIDRange{Start: uids[sp.from-1], Stop: uids[sp.to-1]})
	}
	if k.numbers = set; len(set) == 0 {
		k.kind = keyNever
	}
}

// checkContext refuses the tag of a context that is there already.
func (s *session) checkContext(tag string, prog *searchProgram) error {
	if prog.options&returnUpdate != 0 && s.selected != nil &&
		slices.ContainsFunc(s.selected.contexts, func(c *searchContext) bool { return c.tag == tag }) {
		return bad("tag reuse: results under this tag are kept up to date")
	}
	return nil
}

// cancelUpdate is CANCELUPDATE (RFC 5267 section 4.3.5).
func (s *session) cancelUpdate(*request) (reply, error) {
	var tags []string
	for n := 0; n == 0 || !s.dec.AtEnd(); n++ {
		s.dec.SP()
		tags = append(tags, s.dec.Str())
	}
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	s.selected.contexts = slices.DeleteFunc(s.selected.contexts, func(c *searchContext) bool { return slices.Contains(tags, c.tag) })
	return reply{Text: "no further updates"}, nil
}

// tellContextsGone tells of expunged messages, before the client hears that they are gone
// (RFC 5267 section 4.3.4).
func (s *session) tellContextsGone(u *mailbox.Update) {
	for _, c := range s.selected.contexts {
		gone := inBoth(u.Vanished, c.members)
		s.tellRemoved(c, gone, func(uid goimap.UID) uint32 {
			i, _ := slices.BinarySearch(u.Vanished, uid)
			return u.Expunged[i] + uint32(i) // as it counts before the first of them is gone
		})
	}
}

// tellContexts tells what came to the results and what left them.
func (s *session) tellContexts() error {
	for _, c := range s.selected.contexts {
		if err := s.tellContext(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) tellContext(c *searchContext) error {
	view := s.selected.view
	rows, seen := view.ChangedSince(nil, c.seen, c.lastSeen)
	c.seen = seen
	if uids := view.UIDs(); len(uids) > 0 {
		c.lastSeen = max(c.lastSeen, uids[len(uids)-1])
	}
	if len(rows) == 0 {
		return nil
	}
	q := s.newSearching(s.selected, c.program, "")
	defer q.release()
	matching, err := q.among(rows)
	if err != nil {
		return err
	}
	var added, removed []goimap.UID
	for i := range rows {
		uid := rows[i].UID
		switch is, was := holds(matching, uid), holds(c.members, uid); {
		case is && !was:
			added = append(added, uid)
		case was && !is:
			removed = append(removed, uid)
		}
	}
	if c.sorted != nil && len(added) > maxInserted {
		return s.tellAnew(c)
	}
	s.tellRemoved(c, removed, s.seqOf)
	return s.tellAdded(c, added)
}

// seqOf is the present sequence number of a message.
func (s *session) seqOf(uid goimap.UID) uint32 {
	seq, _ := s.selected.view.Seq(uid)
	return seq
}

// among returns the UIDs of those rows, in ascending order, that the program matches.
func (q *searching) among(rows []mailbox.Row) ([]goimap.UID, error) {
	if err := q.prepare(); err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(rows, searchRows) {
		q.rows = append(q.rows[:0], chunk...)
		if err := q.sift(0); err != nil {
			return nil, err
		}
		if err := q.settle(); err != nil {
			return nil, err
		}
	}
	uids := q.sel.view.UIDs()
	matching := make([]goimap.UID, len(q.found))
	for i, seq := range q.found {
		matching[i] = uids[seq-1]
	}
	return matching, nil
}

// inBoth returns what is in both of two ascending lists.
func inBoth(a, b []goimap.UID) []goimap.UID {
	var both []goimap.UID
	for _, uid := range a {
		if holds(b, uid) {
			both = append(both, uid)
		}
	}
	return both
}

// placed are results that stand one after the other, and the position of the first of
// them, counted from 1; 0 where positions are those of the mailbox.
type placed struct {
	position int
	uids     []goimap.UID
}

// tellRemoved takes messages, ascending, out of the results.
func (s *session) tellRemoved(c *searchContext, gone []goimap.UID, number func(goimap.UID) uint32) {
	if len(gone) == 0 {
		return
	}
	isGone := func(uid goimap.UID) bool { return holds(gone, uid) }
	c.members = slices.DeleteFunc(c.members, isGone)
	if c.sorted == nil {
		s.tellPlaced(c, "REMOVEFROM", []placed{{0, gone}}, number)
		return
	}
	// From the end on, so that positions before do not move.
	var list []placed
	for i := len(c.sorted) - 1; i >= 0; i-- {
		end := i + 1
		for i >= 0 && isGone(c.sorted[i]) {
			i--
		}
		if i+1 < end {
			list = append(list, placed{i + 2, slices.Clone(c.sorted[i+1 : end])})
		}
	}
	c.sorted = slices.DeleteFunc(c.sorted, isGone)
	s.tellPlaced(c, "REMOVEFROM", list, number)
}

// tellAdded takes messages, ascending, into the results.
func (s *session) tellAdded(c *searchContext, fresh []goimap.UID) error {
	if len(fresh) == 0 {
		return nil
	}
	c.members = append(c.members, fresh...)
	slices.Sort(c.members)
	if c.sorted == nil {
		s.tellPlaced(c, "ADDTO", []placed{{0, fresh}}, s.seqOf)
		return nil
	}
	list, err := s.insert(c, fresh)
	if err != nil {
		return err
	}
	s.tellPlaced(c, "ADDTO", list, s.seqOf)
	return nil
}

// insert puts messages into the sorted results and says where: from the end on, so that
// positions before do not move.
func (s *session) insert(c *searchContext, fresh []goimap.UID) ([]placed, error) {
	k := &sortComparer{session: s, criteria: c.program.criteria}
	type insertion struct {
		at   int
		uid  goimap.UID
		keys []sortValue
	}
	list := make([]insertion, 0, len(fresh))
	for _, uid := range fresh {
		keys, err := k.keys(uid)
		if err != nil {
			return nil, err
		}
		at, err := k.place(c.sorted, uid, keys)
		if err != nil {
			return nil, err
		}
		list = append(list, insertion{at, uid, keys})
	}
	slices.SortFunc(list, func(a, b insertion) int {
		return cmp.Or(cmp.Compare(a.at, b.at), k.compare(a.uid, a.keys, b.uid, b.keys))
	})
	var out []placed
	for i := len(list) - 1; i >= 0; i-- {
		at := list[i].at
		if n := len(out); n > 0 && out[n-1].position == at+1 {
			out[n-1].uids = slices.Insert(out[n-1].uids, 0, list[i].uid)
		} else {
			out = append(out, placed{at + 1, []goimap.UID{list[i].uid}})
		}
		c.sorted = slices.Insert(c.sorted, at, list[i].uid)
	}
	return out, nil
}

// tellAnew sorts all anew: the results that were told go, those that are now come.
func (s *session) tellAnew(c *searchContext) error {
	q := s.newSearching(s.selected, c.program, "")
	defer q.release()
	if err := q.find(); err != nil {
		return err
	}
	old := c.sorted
	c.set(q)
	if len(old) > 0 {
		s.tellPlaced(c, "REMOVEFROM", []placed{{1, old}}, s.seqOf)
	}
	if len(c.sorted) > 0 {
		s.tellPlaced(c, "ADDTO", []placed{{1, c.sorted}}, s.seqOf)
	}
	return nil
}

// tellPlaced writes the ESEARCH response of a change (RFC 5267 section 4.3.2).
func (s *session) tellPlaced(c *searchContext, what string, list []placed, number func(goimap.UID) uint32) {
	b := append(s.enc.Buf(), "* ESEARCH (TAG "...)
	b = append(wire.AppendQuoted(b, c.tag), ')')
	if c.uid {
		b = append(b, " UID"...)
	}
	b = append(append(append(b, ' '), what...), ' ')
	separator := byte('(')
	for _, p := range list {
		b = strconv.AppendInt(append(b, separator), int64(p.position), 10)
		b = append(b, ' ')
		separator = ' '
		if c.uid {
			b = wire.AppendNumbers(b, p.uids)
			continue
		}
		numbers := make([]uint32, len(p.uids))
		for i, uid := range p.uids {
			numbers[i] = number(uid)
		}
		b = wire.AppendNumbers(b, numbers)
	}
	s.enc.SetBuf(append(b, ")\r\n"...))
}
