package imap

import (
	"cmp"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// maxSortCriteria bounds the criteria of one SORT; there are ten different ones.
const maxSortCriteria = 16

// sortKey is what messages are sorted by.
type sortKey uint8

const (
	sortArrival sortKey = iota
	sortCc
	sortDate
	sortDisplayFrom
	sortDisplayTo
	sortFrom
	sortRelevancy
	sortSize
	sortSubject
	sortTo
)

// sortKeys are the criteria of RFC 5256 section 3, RFC 5957 section 4 and RFC 6203 section 6.
var sortKeys = map[string]sortKey{
	"ARRIVAL": sortArrival, "CC": sortCc, "DATE": sortDate, "DISPLAYFROM": sortDisplayFrom, "DISPLAYTO": sortDisplayTo,
	"FROM": sortFrom, "RELEVANCY": sortRelevancy, "SIZE": sortSize, "SUBJECT": sortSubject, "TO": sortTo,
}

// sortCriterion is one of the criteria of a SORT.
type sortCriterion struct {
	key     sortKey
	reverse bool
}

// isText reports whether texts are compared.
func (k sortKey) isText() bool {
	switch k {
	case sortArrival, sortDate, sortRelevancy, sortSize:
		return false
	}
	return true
}

// inIndex reports whether the row of a message does not tell the key.
func (k sortKey) inIndex() bool { return k.isText() || k == sortDate }

// sort is SORT and UID SORT (RFC 5256 section 3) with the results of RFC 5267 section 3.
func (s *session) sort(r *request) (reply, error) {
	prog, err := parseSort(s.dec)
	if err != nil {
		return reply{}, s.selected.notSaved(prog, err)
	}
	return s.runSearch(r, prog)
}

// parseSort reads the arguments of SORT; see parseSearch.
func parseSort(d *wire.Decoder) (*searchProgram, error) {
	p := &searchParser{Decoder: d}
	prog := &searchProgram{name: "SORT"}
	d.SP()
	p.maybeReturn(prog)
	d.List(func() {
		if len(prog.criteria) == maxSortCriteria {
			d.Fail("more than %d sort criteria", maxSortCriteria)
		}
		prog.criteria = append(prog.criteria, p.criterion())
	})
	if d.Err() == nil && len(prog.criteria) == 0 {
		d.Fail("no sort criteria")
	}
	d.SP()
	return prog, p.searchCriteria(prog)
}

// searchCriteria reads the charset, which is not optional here, and the keys.
func (p *searchParser) searchCriteria(prog *searchProgram) error {
	if err := p.charsetName(); err != nil {
		return err
	}
	p.SP()
	return p.finish(prog)
}

func (p *searchParser) criterion() sortCriterion {
	var c sortCriterion
	name := p.Word()
	if c.reverse = name == "REVERSE"; c.reverse {
		p.SP()
		name = p.Word()
	}
	key, ok := sortKeys[name]
	if !ok {
		p.Fail("unknown sort criterion")
	}
	c.key = key
	return c
}

// sortOrder brings the messages that were found into order. Each criterion is a column of
// numbers that order as its values do, so that whatever is sorted by, numbers are compared.
type sortOrder struct {
	search  *searching
	columns []sortColumn
	text    []byte // of one message
	octets  int    // of all different texts
}

// sortColumn is one criterion of all messages. Texts are numbered as they come, and the
// numbers replaced by those of their order in the end.
type sortColumn struct {
	sortCriterion
	values  []uint64
	numbers map[string]uint64
}

// maxSortText bounds the octets of the different texts that one SORT compares, some
// million subjects: they are in memory while it runs.
const maxSortText = 256 << 20

var errSortText = no(goimap.ResponseCodeLimit, "too many texts to sort")

// order sorts what was found by the program's criteria. Messages that are equal by all of
// them stay in the order of the mailbox.
func (q *searching) order() error {
	if len(q.program.criteria) == 0 || len(q.found) < 2 {
		return nil
	}
	o := sortOrder{search: q}
	index := false
	for _, c := range q.program.criteria {
		column := sortColumn{sortCriterion: c, values: make([]uint64, len(q.found))}
		if c.key.isText() {
			column.numbers = map[string]uint64{"": 0}
		}
		o.columns = append(o.columns, column)
		index = index || c.key.inIndex()
	}
	if err := q.look(index, o.take); err != nil {
		return err
	}
	for i := range o.columns {
		o.columns[i].finish()
	}
	o.sort()
	q.noteEnds()
	return nil
}

// noteEnds notes the mod-sequences of the first and the last message in the order.
func (q *searching) noteEnds() {
	if !q.program.modseq {
		return
	}
	for i, modSeq := range []*mailbox.ModSeq{&q.first, &q.last} {
		seq := q.found[i*(len(q.found)-1)]
		for _, row := range q.sel.view.Rows(nil, seq, seq) {
			*modSeq = row.ModSeq
		}
	}
}

// take notes the values of a message. Without an index, which could not be read, its texts
// are empty.
func (o *sortOrder) take(at int, row *mailbox.Row, index *message.View) error {
	for i := range o.columns {
		c := &o.columns[i]
		if c.key == sortRelevancy {
			c.values[at] = 100 - uint64(o.search.relevancies[at]) // the best first
			continue
		}
		if !c.key.isText() {
			c.values[at] = c.number(row, index)
			continue
		}
		if index == nil {
			continue
		}
		o.text = c.key.appendText(o.text[:0], index)
		n, known := c.numbers[string(o.text)]
		if !known {
			if o.octets += len(o.text); o.octets > maxSortText {
				return errSortText
			}
			n = uint64(len(c.numbers))
			c.numbers[string(o.text)] = n
		}
		c.values[at] = n
	}
	return nil
}

// number is a value that is no text, as a number that orders as it does.
func (c *sortColumn) number(row *mailbox.Row, index *message.View) uint64 {
	const sign = 1 << 63 // makes negative numbers the smaller ones
	switch c.key {
	case sortSize:
		return uint64(row.Size)
	case sortDate:
		return uint64(sentDate(row, index)) ^ sign
	}
	return uint64(row.Internal.Unix) ^ sign
}

// sentDate is the sent date of RFC 5256 section 2.2 in Unix seconds: without a Date field
// that can be understood, the date of arrival.
func sentDate(row *mailbox.Row, index *message.View) int64 {
	if index != nil {
		if unix, ok := index.SentDate(); ok {
			return unix
		}
	}
	return row.Internal.Unix
}

// appendText appends the value of a key that is a text, folded.
func (k sortKey) appendText(dst []byte, index *message.View) []byte {
	switch k {
	case sortSubject:
		return index.AppendSortSubject(dst)
	case sortFrom:
		return index.AppendSortAddress(dst, message.FromAddress, false)
	case sortTo:
		return index.AppendSortAddress(dst, message.ToAddress, false)
	case sortCc:
		return index.AppendSortAddress(dst, message.CcAddress, false)
	case sortDisplayFrom:
		return index.AppendSortAddress(dst, message.FromAddress, true)
	}
	return index.AppendSortAddress(dst, message.ToAddress, true)
}

// finish makes the numbers of texts those of their order, and turns them round for REVERSE.
func (c *sortColumn) finish() {
	if c.key.isText() {
		texts := make([]string, 0, len(c.numbers))
		for text := range c.numbers {
			texts = append(texts, text)
		}
		slices.Sort(texts)
		rank := make([]uint64, len(texts))
		for n, text := range texts {
			rank[c.numbers[text]] = uint64(n)
		}
		c.numbers = nil
		for at, n := range c.values {
			c.values[at] = rank[n]
		}
	}
	if c.reverse {
		for at := range c.values {
			c.values[at] = ^c.values[at]
		}
	}
}

// sort puts q.found, and what belongs to it, in order.
func (o *sortOrder) sort() {
	type place struct {
		first uint64 // value of the first criterion, so that the others are rarely looked at
		at    uint32
	}
	found := o.search.found
	places := make([]place, len(found))
	for at := range places {
		places[at] = place{o.columns[0].values[at], uint32(at)}
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		for _, c := range o.columns[1:] {
			if x, y := c.values[a.at], c.values[b.at]; x != y {
				return cmp.Compare(x, y)
			}
		}
		return cmp.Compare(a.at, b.at)
	})
	sorted := make([]uint32, len(found))
	var scores []uint8
	for i, p := range places {
		sorted[i] = found[p.at]
		if o.search.program.fuzzy {
			scores = append(scores, o.search.relevancies[p.at])
		}
	}
	o.search.found, o.search.relevancies = sorted, scores
}
