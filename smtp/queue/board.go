package queue

import (
	"cmp"
	"container/heap"
	"sync"
	"time"
)

// board is which entry is to be tried when: all that is kept of the queue in
// memory, some hundred bytes an entry. It is guarded by Queue.mu.
//
// An entry waits in the heap until it is due, then in its destination's line;
// destinations take turns, so a long line costs the others nothing.
type board struct {
	limits       Limits
	jobs         map[entryID]*job
	destinations map[string]*destination
	heap         jobHeap
	turns        []*destination // those with a line that may have one more attempt
	looked       time.Time      // when it was last lined up
	running      int
}

// job is an entry on the board.
type job struct {
	id    entryID
	to    *destination
	next  time.Time
	state jobState
	held  bool
	// released says, while an attempt is under way, that nobody is talked to any more.
	released bool
	again    bool       // to be tried again as soon as the attempt under way is over
	index    int        // in the heap
	edit     sync.Mutex // is held from reading the entry until it is written
}

type jobState uint8

const (
	parked    jobState = iota // held
	scheduled                 // in the heap
	inLine                    // of its destination
	trying                    // an attempt is under way
)

// destination is where one courier goes at a time, or a few: a domain, or the smarthost of several (Queue.way).
type destination struct {
	name    string
	jobs    int
	running int
	line    []*job // those that are not inLine any more are passed over
	inTurns bool
	outage  outage
	window  window
}

// outage is why a destination could not be reached, which counts for all its
// entries until a time.
type outage struct {
	until   time.Time
	outcome Outcome
}

func newBoard(l Limits) board {
	return board{limits: l, jobs: make(map[entryID]*job), destinations: make(map[string]*destination)}
}

// add puts an entry on the board that goes by a way, unless it is there.
func (b *board) add(id entryID, e *entry, way string) {
	if b.jobs[id] != nil {
		return
	}
	j := &job{id: id, to: b.destination(way), held: e.Held}
	j.to.jobs++
	b.jobs[id] = j
	b.schedule(j, e.Next)
}

// destination is the one of a name.
func (b *board) destination(name string) *destination {
	d := b.destinations[name]
	if d == nil {
		d = &destination{name: name}
		b.destinations[name] = d
	}
	return d
}

// move has a job that has no attempt under way go by another way; it is parked if it was not on that one.
func (b *board) move(j *job, way string) {
	if j.to.name == way {
		return
	}
	b.park(j)
	b.leave(j)
	j.to = b.destination(way)
	j.to.jobs++
}

// leave takes a job from its destination.
func (b *board) leave(j *job) {
	if j.to.jobs--; j.to.jobs == 0 {
		delete(b.destinations, j.to.name)
	}
}

// remove takes a job off the board that has no attempt under way.
func (b *board) remove(j *job) {
	b.park(j)
	delete(b.jobs, j.id)
	b.leave(j)
}

// schedule has a job tried at a time; if it is held, when it is released.
func (b *board) schedule(j *job, at time.Time) {
	b.park(j)
	j.next = at
	if !j.held {
		j.state = scheduled
		heap.Push(&b.heap, j)
	}
}

// park takes a job out of heap and line.
func (b *board) park(j *job) {
	if j.state == scheduled {
		heap.Remove(&b.heap, j.index)
	}
	j.state = parked
}

// lookAgain is how long a job waits that nobody can take anywhere: its domain
// may become one of this server.
const lookAgain = 10 * time.Minute

// followClock has what waits wait no longer than it would have, after the clock
// was set back.
func (b *board) followClock(now time.Time) {
	now = now.Round(0) // by the time that is written down, as entries' are
	back := b.looked.Sub(now)
	b.looked = now
	if back < longest {
		return // it waits for as long, at most
	}
	for _, j := range b.heap {
		if latest := now.Add(longest); j.next.Round(0).After(latest) {
			j.next = j.next.Round(0).Add(-back)
			if j.next.After(latest) {
				j.next = latest
			}
		}
	}
	heap.Init(&b.heap)
	for _, d := range b.destinations {
		d.outage = outage{}
	}
}

// lineUp lines up the jobs that are due; those to where reachable says no are
// looked at again later. It returns when the next one will be due, zero for never.
func (b *board) lineUp(now time.Time, reachable func(destination string) bool) time.Time {
	b.followClock(now)
	for len(b.heap) > 0 {
		j := b.heap[0]
		if j.next.After(now) {
			return j.next
		}
		heap.Pop(&b.heap)
		if !reachable(j.to.name) {
			j.state = parked
			b.schedule(j, now.Add(lookAgain))
			continue
		}
		j.state = inLine
		j.to.line = append(j.to.line, j)
		b.giveTurn(j.to)
	}
	return time.Time{}
}

func (b *board) giveTurn(d *destination) {
	if !d.inTurns && len(d.line) > 0 && d.running < d.window.width(b.limits.PerDestination) {
		d.inTurns = true
		b.turns = append(b.turns, d)
	}
}

// start returns a job whose attempt may begin now, or nil.
func (b *board) start() *job {
	for b.running < b.limits.Attempts && len(b.turns) > 0 {
		d := b.turns[0]
		b.turns[0], b.turns = nil, b.turns[1:]
		d.inTurns = false
		j := d.first()
		if j == nil {
			continue
		}
		j.state = trying
		d.running++
		b.running++
		b.giveTurn(d)
		return j
	}
	return nil
}

// first takes the first job out of the line.
func (d *destination) first() *job {
	for len(d.line) > 0 {
		j := d.line[0]
		d.line[0], d.line = nil, d.line[1:]
		if j.state == inLine && j.to == d {
			return j
		}
	}
	d.line = nil
	return nil
}

// release lets another job go where one has been, whose result is still to be
// written: a connection need not wait for the disk. The attempt counts as one of all
// until then, so no more than Limits.Attempts results are lost in a crash.
func (b *board) release(j *job) {
	j.released = true
	j.to.running--
	b.giveTurn(j.to)
}

// finish ends an attempt; the job is parked then.
func (b *board) finish(j *job) {
	if !j.released {
		b.release(j)
	}
	j.state, j.released = parked, false
	b.running--
}

// jobHeap is container/heap's, the job that is due next first.
type jobHeap []*job

func (h jobHeap) Len() int { return len(h) }

func (h jobHeap) Less(i, k int) bool {
	return cmp.Or(h[i].next.Compare(h[k].next), cmp.Compare(h[i].id, h[k].id)) < 0
}

func (h jobHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].index, h[k].index = i, k
}

// Push and Pop are for container/heap only.
func (h *jobHeap) Push(x any) {
	j := x.(*job)
	j.index = len(*h)
	*h = append(*h, j)
}

func (h *jobHeap) Pop() any {
	last := len(*h) - 1
	j := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return j
}
