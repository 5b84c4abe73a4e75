package journal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Journal takes steps down. Its methods may be called at the same time, and on
// nil, which keeps nothing.
type Journal struct {
	now func() time.Time
	log *slog.Logger

	kick    chan struct{}        // there is something to write
	flushes chan chan<- struct{} // from those who wait until it is written
	errands chan func()          // for the writer, between two of its own
	stop    chan struct{}
	once    sync.Once
	ended   chan struct{}
	shelves [3]shelf // the writer's: mail, refused, said

	mu      sync.Mutex
	waiting [3]batch // for the shelves
	dropped int      // since the writer looked
	tally   *tally
}

// batch is lines to be written with one call.
type batch struct {
	lines []byte
	steps int
}

func (b *batch) put(e *Event) {
	b.lines = appendLine(b.lines, e)
	b.steps++
}

// Options are those of a journal; the zero value of each is good.
type Options struct {
	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger     // nil = none
}

// maxWaiting is how many octets may wait for the writer on each shelf: what a
// burst of thousands of messages makes on a disk that does nothing else.
const maxWaiting = 1 << 20

// linger is for how long the writer collects before it writes: waking it costs more
// than what it does.
const linger = 50 * time.Millisecond

// Open begins to write into a folder, which it makes when there is a first step.
// A folder that cannot be written to is told of in the log, again and again; the
// journal is closed all the same.
func Open(dir string, o Options) *Journal {
	j := newJournal(dir, o, sizesFor(diskSize(dir)))
	go j.run()
	return j
}

// sizes are the bounds of a journal in octets: of its shelves, and of one file.
type sizes struct{ mail, refused, said, file int64 }

// sizesFor are the bounds on a disk of so many octets: less on a small one, all on one
// whose size is not known.
func sizesFor(disk int64) sizes {
	s := sizes{mail: mailBytes, refused: refusedBytes, said: saidBytes, file: fileBytes}
	if whole, share := s.mail+s.refused+s.said, disk/diskShare; disk > 0 && whole > share {
		s.mail, s.refused, s.said = share*s.mail/whole, share*s.refused/whole, share*s.said/whole
		s.file = max(min(s.file, s.refused/filesAtLeast), leastFile)
	}
	return s
}

func newJournal(dir string, o Options, s sizes) *Journal {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	j := &Journal{
		now: o.Now, log: o.Logger, kick: make(chan struct{}, 1), flushes: make(chan chan<- struct{}), errands: make(chan func()),
		stop: make(chan struct{}), ended: make(chan struct{}),
		tally: newTally(),
	}
	j.shelves = [3]shelf{
		{dir: dir, name: mailShelf, budget: s.mail, fileSize: s.file},
		{dir: dir, name: refusedShelf, budget: s.refused, fileSize: s.file},
		{dir: dir, name: saidShelf, budget: s.said, fileSize: s.file},
	}
	return j
}

// Add takes a step down; one without a time is now. It never waits: where the writer is far
// behind the step is dropped, and the journal says so.
func (j *Journal) Add(e Event) {
	if j != nil {
		j.add(e, false)
	}
}

// add is Add; more says that it is the rest of a step about many recipients.
func (j *Journal) add(e Event, more bool) {
	if e.At.IsZero() {
		e.At = j.now()
	}
	j.mu.Lock()
	j.tally.count(&e, more)
	b := &j.waiting[e.shelf()]
	if len(b.lines) >= maxWaiting {
		j.dropped++
		j.tally.f.Dropped++
	} else {
		b.put(&e)
	}
	j.mu.Unlock()
	select {
	case j.kick <- struct{}{}:
	default: // it knows
	}
}

// The shelves by their place.
const (
	onMail = iota
	onRefused
	onSaid
)

// shelf is where an event is kept.
func (e *Event) shelf() int {
	if e.Step == Refused || e.Step == Abandoned || e.Step == Judged && (e.Verdict == "defer" || e.Verdict == "refuse") {
		return onRefused
	}
	if e.Step == Talked {
		return onSaid
	}
	return onMail
}

// AddFor is Add for any number of recipients: an event holds a few of them.
func (j *Journal) AddFor(e Event, recipients []string) {
	if j == nil {
		return
	}
	more := false
	for len(recipients) > maxList {
		e.To, recipients = recipients[:maxList], recipients[maxList:]
		j.add(e, more)
		more = true
	}
	e.To = recipients
	j.add(e, more)
}

// Flush returns when what was added before can be read.
func (j *Journal) Flush(ctx context.Context) error {
	if j == nil {
		return nil
	}
	done := make(chan struct{})
	select {
	case j.flushes <- done:
	case <-j.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done // the writer never waits for anybody
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
	if err := removeUnfinished(j.shelves[onMail].dir); err != nil {
		j.log.Warn("journal: what an erasure has left cannot be removed", "err", err)
	}
	j.tidy()
	for {
		var done chan<- struct{}
		select {
		case <-j.kick:
			done = j.collect()
		case done = <-j.flushes:
		case errand := <-j.errands:
			errand()
			continue
		case <-tidy.C:
			j.tidy()
			continue
		case <-j.stop:
			j.write()
			return
		}
		j.write()
		if done != nil {
			close(done)
		}
	}
}

// collect lets steps gather, until somebody waits for them.
func (j *Journal) collect() (done chan<- struct{}) {
	enough := time.NewTimer(linger)
	defer enough.Stop()
	select {
	case <-enough.C:
	case done = <-j.flushes:
	case <-j.stop:
	}
	return done
}

// write writes what waits. What was dropped or could not be written before is
// said with it.
func (j *Journal) write() {
	now := j.now()
	j.mu.Lock()
	batches, dropped := j.waiting, j.dropped
	for i := range j.waiting {
		j.waiting[i] = batch{lines: j.shelves[i].takeSpare()}
	}
	j.dropped = 0
	j.mu.Unlock()
	if dropped > 0 {
		j.log.Warn("journal: steps were dropped, as the disk is too slow for them", "count", dropped)
		j.shelves[onMail].lost += dropped
	}
	for i := range j.shelves {
		err := j.shelves[i].write(&batches[i], now)
		if err != nil && !errors.Is(err, errResting) {
			j.log.Warn("journal: steps cannot be written; mail goes on", "err", err)
		}
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
