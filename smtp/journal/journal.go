package journal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Journal takes steps down. Its methods may be called at the same time, and on
// nil, which keeps nothing.
type Journal struct {
	in      chan entry
	dropped atomic.Int64
	stop    chan struct{}
	once    sync.Once
	ended   chan struct{}
	now     func() time.Time
	log     *slog.Logger
	shelves [2]shelf // the writer's: mail, refused
}

// entry is what the writer is handed: an event, or somebody who waits until all
// before it is in the files.
type entry struct {
	event Event
	done  chan<- struct{}
}

// Options are those of a journal; the zero value of each is good.
type Options struct {
	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger     // nil = none
}

// waiting is how many steps may wait for the writer: a burst of a second on a
// disk that does nothing else.
const waiting = 1024

// Open begins to write into a folder, which it makes when there is a first step.
// A folder that cannot be written to is told of in the log, again and again; the
// journal is closed all the same.
func Open(dir string, o Options) *Journal {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	j := &Journal{in: make(chan entry, waiting), stop: make(chan struct{}), ended: make(chan struct{}), now: o.Now, log: o.Logger}
	j.shelves = [2]shelf{
		{dir: dir, name: mailShelf, budget: mailBytes},
		{dir: dir, name: refusedShelf, budget: refusedBytes},
	}
	go j.run()
	return j
}

// Add takes a step down; one without a time is now. It never waits: where the writer is far
// behind the step is dropped, and the journal says so.
func (j *Journal) Add(e Event) {
	if j == nil {
		return
	}
	if e.At.IsZero() {
		e.At = j.now()
	}
	select {
	case j.in <- entry{event: e}:
	default:
		j.dropped.Add(1)
	}
}

// AddFor is Add for any number of recipients: an event holds a few of them.
func (j *Journal) AddFor(e Event, recipients []string) {
	if j == nil {
		return
	}
	for len(recipients) > maxList {
		e.To, recipients = recipients[:maxList], recipients[maxList:]
		j.Add(e)
	}
	e.To = recipients
	j.Add(e)
}

// Flush returns when what was added before can be read.
func (j *Journal) Flush(ctx context.Context) error {
	if j == nil {
		return nil
	}
	done := make(chan struct{})
	select {
	case j.in <- entry{done: done}:
	case <-j.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
	case <-j.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Close writes what waits and ends the writer. What is added later is dropped.
func (j *Journal) Close() {
	if j == nil {
		return
	}
	j.once.Do(func() { close(j.stop) })
	<-j.ended
}

// tidyEach is how often old files are looked for where nothing is written.
const tidyEach = time.Hour

func (j *Journal) run() {
	defer close(j.ended)
	defer j.closeFiles()
	tidy := time.NewTicker(tidyEach)
	defer tidy.Stop()
	j.tidy()
	for {
		select {
		case e := <-j.in:
			j.write(e)
		case <-tidy.C:
			j.tidy()
		case <-j.stop:
			select {
			case e := <-j.in:
				j.write(e)
				continue
			default:
				return
			}
		}
	}
}

// write writes an entry with those that wait behind it, with one call for each shelf.
func (j *Journal) write(e entry) {
	var waiters []chan<- struct{}
	for more := true; more; {
		if e.done != nil {
			waiters = append(waiters, e.done)
		} else {
			j.put(&e.event)
		}
		select {
		case e = <-j.in:
		default:
			more = false
		}
		if j.full() {
			j.flush()
		}
	}
	j.flush()
	for _, w := range waiters {
		close(w)
	}
}

// batch is how many octets are written with one call, about.
const batch = 64 << 10

func (j *Journal) full() bool {
	return len(j.shelves[0].lines)+len(j.shelves[1].lines) >= batch
}

func (j *Journal) put(e *Event) {
	s := &j.shelves[0]
	if e.Step == Refused || e.Step == Abandoned || e.Step == Judged && (e.Verdict == "defer" || e.Verdict == "refuse") {
		s = &j.shelves[1]
	}
	s.put(e)
}

// flush writes the lines of both shelves. What was dropped since is said first.
func (j *Journal) flush() {
	now := j.now()
	if n := j.dropped.Swap(0); n > 0 {
		j.log.Warn("journal: steps were dropped, as the disk is too slow for them", "count", n)
		j.put(&Event{At: now, Step: Lost, Count: int(n)})
	}
	for i := range j.shelves {
		s := &j.shelves[i]
		lost, err := s.write(now)
		if err != nil && !errors.Is(err, errResting) {
			j.log.Warn("journal: steps cannot be written; mail goes on", "err", err)
		}
		s.lost += lost
	}
}

// tidy removes what is too old.
func (j *Journal) tidy() {
	for i := range j.shelves {
		if err := j.shelves[i].tidy(j.now(), 0); err != nil {
			j.log.Warn("journal: old files cannot be removed", "err", err)
		}
	}
}

func (j *Journal) closeFiles() {
	for i := range j.shelves {
		j.shelves[i].close()
	}
}
