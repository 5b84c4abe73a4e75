package differential

import (
	"bytes"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sorts are the orders that both servers are asked for.
var sorts = []string{
	"(ARRIVAL)", "(REVERSE ARRIVAL)", "(DATE)", "(REVERSE DATE)", "(SIZE)", "(REVERSE SIZE)", "(SUBJECT)", "(REVERSE SUBJECT)", "(FROM)", "(TO)", "(CC)",
	"(REVERSE FROM SUBJECT)", "(SUBJECT DATE)", "(SUBJECT REVERSE DATE)", "(FROM SUBJECT SIZE)", "(DISPLAYFROM)", "(DISPLAYTO)", "(REVERSE DISPLAYFROM ARRIVAL)",
}

// plain are the UIDs of the messages whose headers can be read in one way only: servers order by
// what they make of dates, subjects and addresses, and one that is read in another way would
// move others around it.
func (p *pair) plain() string {
	var uids []string
	for i, m := range p.letters {
		if m.ordered || m.hasPlainHeader() {
			uids = append(uids, strconv.Itoa(i+1))
		}
	}
	if len(uids) < len(p.letters)/20 {
		p.ours.t.Errorf("only %d of %d headers are plain", len(uids), len(p.letters))
	}
	return strings.Join(uids, ",")
}

// sortAll compares the orders. A difference is a message that has to be moved to make both
// the same, as few as possible.
func (p *pair) sortAll() (found []difference) {
	plain := p.plain()
	for _, criteria := range sorts {
		ours, theirs, replies := p.askBoth("SORT", "UID SORT "+criteria+" UTF-8 UID "+plain)
		where := "SORT " + criteria
		if word(replies[0]) != word(replies[1]) || len(ours) != len(theirs) {
			found = append(found, difference{where: where, ours: fmt.Sprint(replies[0], len(ours)), theirs: fmt.Sprint(replies[1], len(theirs))})
			continue
		}
		found = append(found, p.moved(where, ours, theirs)...)
	}
	return found
}

// moved are the messages that do not stand in the same order.
func (p *pair) moved(where string, ours, theirs []int) (found []difference) {
	at := map[int]int{}
	for i, uid := range theirs {
		at[uid] = i
	}
	places := make([]int, len(ours))
	for i, uid := range ours {
		places[i] = at[uid]
	}
	stay := longestAscending(places)
	behind := func(list []int, i int) string {
		if i == 0 {
			return "first"
		}
		return "behind " + p.letters[list[i-1]-1].name
	}
	for i, uid := range ours {
		if !stay[i] {
			found = append(found, difference{where: where, letter: p.letters[uid-1], ours: behind(ours, i), theirs: behind(theirs, places[i])})
		}
	}
	return found
}

// longestAscending marks the elements of a longest ascending subsequence.
func longestAscending(list []int) (in []bool) {
	in = make([]bool, len(list))
	var ends []int // ends[n] is where the best sequence of n+1 elements ends
	before := make([]int, len(list))
	for i, v := range list {
		n, _ := slices.BinarySearchFunc(ends, v, func(end, v int) int { return list[end] - v })
		if before[i] = -1; n > 0 {
			before[i] = ends[n-1]
		}
		if n == len(ends) {
			ends = append(ends, i)
		} else {
			ends[n] = i
		}
	}
	if len(ends) == 0 {
		return in
	}
	for i := ends[len(ends)-1]; i >= 0; i = before[i] {
		in[i] = true
	}
	return in
}

// threaded is where a message stands in the threads.
type threaded struct {
	root   int // the smallest UID of its thread
	parent int // 0 = none, or one that is not there
}

// threadAll compares the trees: what belongs to a thread, what is below what, and the order.
func (p *pair) threadAll() (found []difference) {
	for _, algorithm := range []string{"ORDEREDSUBJECT", "REFERENCES", "REFS"} {
		command := "UID THREAD " + algorithm + " UTF-8 UID " + p.plain()
		var orders [2][]int
		var trees [2]map[int]threaded
		for i, c := range []*client{p.ours, p.theirs} {
			reply := c.command(command, func(response []byte) {
				if q := (&parser{rest: response}).values(); len(q) > 2 && q[1].text == "THREAD" {
					orders[i], trees[i] = readThreads(q[2:])
				}
			})
			if word(reply) != "OK" {
				found = append(found, difference{where: "THREAD " + algorithm, ours: reply, theirs: c.name})
			}
		}
		for uid := 1; uid <= len(p.letters); uid++ {
			if a, b := trees[0][uid], trees[1][uid]; a != b {
				found = append(found, difference{where: "THREAD " + algorithm, letter: p.letters[uid-1], ours: p.place(a), theirs: p.place(b)})
			}
		}
		if algorithm == "REFS" {
			found = append(found, p.refsOrders(orders, trees)...)
		}
		if len(orders[0]) == len(orders[1]) {
			found = append(found, p.moved("order of THREAD "+algorithm, orders[0], orders[1])...)
		}
	}
	return found
}

// refsOrders holds the order of threads by REFS against the two ways in which a thread can be
// the newest: ours against that of the draft, which looks when messages arrived, and theirs
// against that which explains all differences, by when they were sent.
func (p *pair) refsOrders(orders [2][]int, trees [2]map[int]threaded) (found []difference) {
	for i, way := range []struct {
		name string
		of   func(*letter) time.Time
	}{{"the newest INTERNALDATE", func(m *letter) time.Time { return m.arrival }}, {"the newest sent date", (*letter).sent}} {
		newest := map[int]time.Time{}
		for _, uid := range orders[i] {
			root, at := trees[i][uid].root, way.of(p.letters[uid-1])
			if at.After(newest[root]) {
				newest[root] = at
			}
		}
		before := 0
		for _, uid := range orders[i] {
			root := trees[i][uid].root
			if before != 0 && newest[root].Before(newest[before]) {
				found = append(found, difference{where: "THREAD REFS by " + way.name, letter: p.letters[root-1], ours: "behind " + p.letters[before-1].name})
			}
			before = root
		}
	}
	return found
}

// sent is when the letter was sent, by its header, or when it arrived (RFC 5256 section 2.2).
func (m *letter) sent() time.Time {
	read, err := mail.ReadMessage(bytes.NewReader(m.raw))
	if err != nil {
		return m.arrival
	}
	at, err := read.Header.Date()
	if err != nil {
		return m.arrival
	}
	return at
}

func (p *pair) place(at threaded) string {
	if at.root == 0 {
		return "nowhere"
	}
	place := "thread of " + p.letters[at.root-1].name
	if at.parent > 0 {
		place += ", below " + p.letters[at.parent-1].name
	}
	return place
}

// readThreads reads the threads of a response: the messages as they come, and where each
// stands.
func readThreads(threads []value) (order []int, places map[int]threaded) {
	places = map[int]threaded{}
	for _, thread := range threads {
		from := len(order)
		order = readThread(thread.list, 0, order, places)
		root := slices.Min(order[from:])
		for _, uid := range order[from:] {
			at := places[uid]
			at.root = root
			places[uid] = at
		}
	}
	return order, places
}

func readThread(members []value, parent int, order []int, places map[int]threaded) []int {
	for _, member := range members {
		if member.kind == 'l' {
			order = readThread(member.list, parent, order, places)
			continue
		}
		uid, _ := strconv.Atoi(member.text)
		places[uid] = threaded{parent: parent}
		order = append(order, uid)
		parent = uid
	}
	return order
}
