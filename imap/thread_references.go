package imap

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"

	"mailstead/mailbox/message"
)

const (
	// dummiesPerMessage bounds the dummies of a THREAD by the number of its messages: a
	// message may refer to a thousand others, and in honest mail few of those are not
	// there. References to more of them are passed over.
	dummiesPerMessage, minDummies = 4, 1 << 16
	// stepsPerMessage bounds the steps upwards in trees that a THREAD takes in all when it
	// looks for loops. In honest mail a message that has others below it already is rare,
	// and for no other a step is needed. Links that would need more steps are not made, so
	// messages that were made for it cannot make a THREAD take more than linear time.
	stepsPerMessage, minSteps = 64, 1 << 20
)

// threadLinks are the links of step 1 of REFERENCES (RFC 5256 section 3), made in one pass
// over the messages. Nodes are numbered as they come up.
type threadLinks struct {
	seed    maphash.Seed
	byID    map[uint64]int32 // nodes by the hash of their Message-ID
	node    []int32          // of each message, by its place
	message []int32          // the place of each node; none for a dummy
	parent  []int32          // of each node
	kids    []int32          // how many each node has

	dummies int // that may still be made
	steps   int // that may still be taken

	ids [][]byte // of one message
	id  []byte
}

func newThreadLinks(n int) *threadLinks {
	return &threadLinks{
		seed: maphash.MakeSeed(), byID: make(map[uint64]int32, n), node: slices.Repeat([]int32{none}, n),
		dummies: dummiesPerMessage*n + minDummies, steps: stepsPerMessage*n + minSteps,
	}
}

// hash returns the hash of a Message-ID without its brackets and quoting, which may differ
// where the same is meant. Its seed is another each time, so nobody can make two that
// are alike.
func (l *threadLinks) hash(id []byte) uint64 {
	id = bytes.TrimSuffix(bytes.TrimPrefix(id, []byte("<")), []byte(">"))
	if bytes.IndexByte(id, '"') < 0 {
		return maphash.Bytes(l.seed, id)
	}
	l.id = l.id[:0]
	for i := 0; i < len(id); i++ {
		switch {
		case id[i] == '"':
			continue
		case id[i] == '\\' && i+1 < len(id):
			i++
		}
		l.id = append(l.id, id[i])
	}
	return maphash.Bytes(l.seed, l.id)
}

// add links a message with those that it refers to.
func (l *threadLinks) add(at int32, index *message.View) {
	l.claim(at, index.MessageID())
	if l.ids = index.AppendReferences(l.ids[:0]); len(l.ids) == 0 {
		if id := index.InReplyTo(); id != nil {
			l.ids = append(l.ids, id)
		}
	}
	before := none
	for _, id := range l.ids {
		x := l.referred(id)
		if x == none {
			continue
		}
		if before != none && l.parent[x] == none && !l.isBelow(before, x) {
			l.link(before, x)
		}
		before = x
	}
	l.answers(l.node[at], before)
}

// claim gives a message its node: that which others have referred to already, if no
// earlier message has the same Message-ID.
func (l *threadLinks) claim(at int32, id []byte) {
	if id == nil {
		l.node[at] = l.newNode(at)
		return
	}
	hash := l.hash(id)
	x, known := l.byID[hash]
	switch {
	case !known:
		x = l.newNode(at)
		l.byID[hash] = x
	case l.message[x] == none:
		l.message[x] = at
	default:
		x = l.newNode(at)
	}
	l.node[at] = x
}

// referred returns the node that a reference means, a dummy if there is no such message
// so far.
func (l *threadLinks) referred(id []byte) int32 {
	hash := l.hash(id)
	if x, known := l.byID[hash]; known {
		return x
	}
	if l.dummies--; l.dummies < 0 {
		return none
	}
	x := l.newNode(none)
	l.byID[hash] = x
	return x
}

func (l *threadLinks) newNode(at int32) int32 {
	l.message, l.parent, l.kids = append(l.message, at), append(l.parent, none), append(l.kids, 0)
	return int32(len(l.parent)) - 1
}

func (l *threadLinks) link(parent, x int32) {
	l.parent[x] = parent
	l.kids[parent]++
}

// answers makes parent that of x, whatever it had before; none is possible.
func (l *threadLinks) answers(x, parent int32) {
	old := l.parent[x]
	if old == parent {
		return
	}
	if old != none {
		l.parent[x] = none
		l.kids[old]--
	}
	if parent != none && !l.isBelow(parent, x) {
		l.link(parent, x)
	}
}

// isBelow reports whether a is x or one of those below it, or that this would take too
// long to find out.
func (l *threadLinks) isBelow(a, x int32) bool {
	if l.kids[x] == 0 {
		return a == x
	}
	for ; a != none; a = l.parent[a] {
		if l.steps--; a == x || l.steps < 0 {
			return true
		}
	}
	return false
}

// prune takes the dummies out (step 3): a message is put under the next message above it.
// Only at the top a dummy stays, if it has several children. Dummies that stay are
// numbered behind the messages.
func (t *threading) prune() {
	l, n := t.links, len(t.dates)
	t.parent = slices.Repeat([]int32{none}, n)
	stays := make(map[int32]int32) // numbers of the dummies at the top
	var kids []int32               // of those
	var path []int32
	for at, x := range l.node {
		if x == none {
			continue // it could not be read
		}
		p := l.parent[x]
		for path = path[:0]; p != none && l.message[p] == none && l.parent[p] != none; p = l.parent[p] {
			path = append(path, p)
		}
		for _, dummy := range path {
			l.parent[dummy] = p // the next way through here is short
		}
		switch {
		case p == none:
		case l.message[p] != none:
			t.parent[at] = l.message[p]
		default:
			dummy, known := stays[p]
			if !known {
				dummy = int32(n + len(kids))
				stays[p] = dummy
				kids = append(kids, 0)
			}
			kids[int(dummy)-n]++
			t.parent[at] = dummy
		}
	}
	for at, p := range t.parent {
		if p != none && !t.isMessage(p) && kids[int(p)-n] == 1 {
			t.parent[at] = none
		}
	}
	t.parent = append(t.parent, slices.Repeat([]int32{none}, len(kids))...)
}

// grow puts children below their parents by sent date, and returns what has no parent in
// the same order, a dummy at the place of its first child (steps 4 and 6).
func (t *threading) grow() []int32 {
	t.begin(len(t.parent))
	var roots []int32
	for _, x := range t.order {
		p := t.parent[x]
		if p == none {
			roots = append(roots, x)
			continue
		}
		if !t.isMessage(p) && t.child[p] == none {
			roots = append(roots, p)
		}
		t.addChild(p, x)
	}
	return roots
}

// references is THREAD=REFERENCES (RFC 5256 section 3).
func (t *threading) references() []int32 {
	t.sortByDate()
	t.prune()
	roots := t.grow()
	table := t.subjectTable(roots)
	for _, root := range roots {
		if other, ok := table[t.threadSubject(root)]; ok && other != root {
			t.merge(table, root, other)
		}
	}
	return t.grow()
}

// threadSubject is the subject of a thread; 0 for an empty one, which is in no table.
func (t *threading) threadSubject(root int32) uint64 {
	if !t.isMessage(root) {
		root = t.child[root]
	}
	return t.subject[root]
}

// answersOther reports whether a thread begins with a reply or a forwarded message.
func (t *threading) answersOther(root int32) bool { return t.isMessage(root) && t.reply[root] }

// subjectTable is step 5 B: a thread for each subject.
func (t *threading) subjectTable(roots []int32) map[uint64]int32 {
	table := make(map[uint64]int32, len(roots))
	for _, root := range roots {
		subject := t.threadSubject(root)
		if subject == 0 {
			continue
		}
		other, taken := table[subject]
		if !taken || t.isMessage(other) && (!t.isMessage(root) || t.answersOther(other) && !t.answersOther(root)) {
			table[subject] = root
		}
	}
	return table
}

// merge is step 5 C: two threads of the same subject, of which the table has other.
func (t *threading) merge(table map[uint64]int32, root, other int32) {
	switch {
	case !t.isMessage(root): // and so is other, dummies go first
		for x := t.child[root]; x != none; x = t.next[x] {
			t.parent[x] = other
		}
	case !t.isMessage(other), t.answersOther(root) && !t.answersOther(other):
		t.parent[root] = other
	default:
		dummy := int32(len(t.parent))
		t.parent = append(t.parent, none)
		t.parent[root], t.parent[other] = dummy, dummy
		table[t.threadSubject(root)] = dummy
	}
}

// refs is THREAD=REFS: threads are made as by REFERENCES, but not merged by subject, and
// come in the order of the newest message in each.
func (t *threading) refs() []int32 {
	t.sortByDate()
	t.prune()
	roots := t.grow()
	newest := make([]int64, len(t.parent))
	for i := range newest {
		newest[i] = -1 << 63
	}
	above := slices.Clone(t.parent)
	var path []int32
	for at := range t.dates {
		x := int32(at)
		for path = path[:0]; above[x] != none; x = above[x] {
			path = append(path, x)
		}
		for _, below := range path {
			above[below] = x // the next way through here is short
		}
		newest[x] = max(newest[x], t.arrival[at])
	}
	slices.SortStableFunc(roots, func(a, b int32) int { return cmp.Compare(newest[a], newest[b]) })
	return roots
}
