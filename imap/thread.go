package imap

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// threadAlgorithms make trees of messages. REFS is that of draft-ietf-morg-inthread: as
// REFERENCES, but subjects are not looked at, and the thread with the newest message comes
// last.
var threadAlgorithms = map[string]func(*threading) []int32{
	"ORDEREDSUBJECT": (*threading).orderedSubject,
	"REFERENCES":     (*threading).references,
	"REFS":           (*threading).refs,
}

// thread is THREAD and UID THREAD (RFC 5256 section 3).
func (s *session) thread(r *request) (reply, error) {
	p := &searchParser{Decoder: s.dec}
	prog := &searchProgram{}
	s.dec.SP()
	algorithm, known := threadAlgorithms[s.dec.Word()]
	s.dec.SP()
	if err := p.searchCriteria(prog); err != nil {
		return reply{}, err
	}
	if !known {
		return reply{}, bad("unknown threading algorithm")
	}
	if err := s.checkSearch(r, prog); err != nil {
		return reply{}, err
	}
	q := s.newSearching(s.selected, prog, r.tag)
	q.uid = r.uid
	defer q.release()
	if err := q.find(); err != nil {
		return reply{}, err
	}
	t := newThreading(q)
	if err := q.look(true, t.take); err != nil {
		return reply{}, err
	}
	roots := algorithm(t)
	return reply{}, t.tell(roots)
}

// threading makes trees of the messages that were found. A node is a message, or a dummy:
// a message that is not there, but that others refer to.
type threading struct {
	search *searching
	links  *threadLinks

	order   []int32  // the messages, as places in found, by sent date
	dates   []int64  // by place in found
	arrival []int64  // INTERNALDATE
	subject []uint64 // hash of the folded base subject; 0 = empty
	reply   []bool   // the subject says that the message answers or forwards another

	// The trees in the end, by node; none where there is no such node.
	parent, child, last, next []int32
	text                      []byte
}

// none is no node.
const none int32 = -1

func newThreading(q *searching) *threading {
	n := len(q.found)
	return &threading{
		search: q, links: newThreadLinks(n), dates: make([]int64, n), arrival: make([]int64, n),
		subject: make([]uint64, n), reply: make([]bool, n),
	}
}

// take notes what is needed of a message, and links it with those that it refers to.
func (t *threading) take(at int, row *mailbox.Row, index *message.View) error {
	t.dates[at], t.arrival[at] = sentDate(row, index), row.Internal.Unix
	if index == nil {
		return nil
	}
	t.reply[at] = index.IsReply()
	if t.text = index.AppendSortSubject(t.text[:0]); len(t.text) > 0 {
		t.subject[at] = max(1, maphash.Bytes(t.links.seed, t.text))
	}
	t.links.add(int32(at), index)
	return nil
}

// sortByDate fills in t.order. Messages sent at the same time stay in the order of the
// mailbox (RFC 5256 section 2.2).
func (t *threading) sortByDate() {
	t.order = make([]int32, len(t.dates))
	for i := range t.order {
		t.order[i] = int32(i)
	}
	slices.SortFunc(t.order, func(a, b int32) int { return cmp.Or(cmp.Compare(t.dates[a], t.dates[b]), cmp.Compare(a, b)) })
}

// begin makes room for n nodes without links.
func (t *threading) begin(n int) {
	room := slices.Repeat([]int32{none}, 3*n)
	t.child, t.last, t.next = room[:n:n], room[n:2*n:2*n], room[2*n:]
}

// addChild makes x the last child of p.
func (t *threading) addChild(p, x int32) {
	if t.child[p] == none {
		t.child[p] = x
	} else {
		t.next[t.last[p]] = x
	}
	t.last[p] = x
}

// orderedSubject puts messages of the same base subject together: by sent date, all under
// the first (RFC 5256 section 3).
func (t *threading) orderedSubject() []int32 {
	t.sortByDate()
	t.begin(len(t.dates))
	t.parent = slices.Repeat([]int32{none}, len(t.dates))
	first := make(map[uint64]int32)
	var roots []int32
	for _, x := range t.order {
		if root, ok := first[t.subject[x]]; ok {
			t.parent[x] = root
			t.addChild(root, x)
			continue
		}
		first[t.subject[x]] = x
		roots = append(roots, x)
	}
	return roots
}

// isMessage tells messages from dummies.
func (t *threading) isMessage(x int32) bool { return int(x) < len(t.dates) }

// maxThreadNesting bounds the parentheses of a THREAD response within each other. Clients
// read them by recursion, and who sends us mail chooses how messages refer to each other;
// below it, the messages of a thread follow each other as if each answered the one before.
const maxThreadNesting = 200

// tell writes the THREAD response (RFC 5256 section 4).
func (t *threading) tell(roots []int32) error {
	enc := t.search.session.enc
	enc.Text("* THREAD ")
	w := threadWriter{threading: t}
	for _, root := range roots {
		enc.SetBuf(w.appendThread(enc.Buf(), root))
	}
	if len(roots) == 0 {
		b := enc.Buf()
		enc.SetBuf(b[:len(b)-1]) // no thread, no space
	}
	enc.CRLF()
	return nil
}

// threadWriter writes one thread after the other, without recursion.
type threadWriter struct {
	*threading
	after []int32 // the nodes that come next, on each level that has several
}

// appendThread appends the tree below root.
func (w *threadWriter) appendThread(b []byte, root int32) []byte {
	b = append(b, '(')
	x, fresh := root, true
	for {
		if w.isMessage(x) {
			if !fresh {
				b = append(b, ' ')
			}
			b = strconv.AppendUint(b, uint64(w.search.number(w.search.found[x])), 10)
			fresh = false
		}
		switch c := w.child[x]; {
		case c != none && w.next[c] == none:
			x = c
			continue
		case c != none && len(w.after) < maxThreadNesting:
			if !fresh {
				b = append(b, ' ')
			}
			w.after = append(w.after, w.next[c])
			b, x, fresh = append(b, '('), c, true
			continue
		case c != none:
			b = w.appendLine(b, x)
		}
		b = append(b, ')')
		for len(w.after) > 0 && w.after[len(w.after)-1] == none {
			w.after = w.after[:len(w.after)-1]
			b = append(b, ')')
		}
		if len(w.after) == 0 {
			return b
		}
		x = w.after[len(w.after)-1]
		w.after[len(w.after)-1] = w.next[x]
		b, fresh = append(b, '('), true
	}
}

// appendLine appends all messages below top, each before those below it.
func (w *threadWriter) appendLine(b []byte, top int32) []byte {
	for x := top; ; {
		if w.child[x] != none {
			x = w.child[x]
		} else {
			for x != top && w.next[x] == none {
				x = w.parent[x]
			}
			if x == top {
				return b
			}
			x = w.next[x]
		}
		b = strconv.AppendUint(append(b, ' '), uint64(w.search.number(w.search.found[x])), 10)
	}
}
