package mailbox

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"mailstead/mailbox/log"
)

// Bounds of what is acknowledged and not yet in the databases.
const (
	// commitWeight has the applier commit before its time: a start after a crash
	// replays at most about so much, in bytes of memory.
	commitWeight = 8 << 20
	// maxWeight has writers wait: it bounds the memory.
	maxWeight = 32 << 20
	// retryAfter is the pause after a commit that the disk had no space for.
	retryAfter = time.Second
	// restShare is how many times as long as a commit took the applier leaves
	// the disk to others, unless there is pressingWeight by then: writers
	// that have to wait at maxWeight lose more than those that share the disk.
	restShare      = 9
	pressingWeight = maxWeight / 2
	// clockShare is the same for commits that only the clock asks for, of which
	// none waits longer than clockAtMost: where a flush takes long, deliveries would
	// wait for two of each of them.
	clockShare  = 99
	clockAtMost = 10 * time.Second
	// derivedEvery and derivedBytes say when the applier has derived.db take its
	// indexes: so long after the last time, or when they take so much memory. Each
	// commit is some flushes that deliveries wait for, and what a crash takes is
	// made again.
	derivedEvery = 10 * time.Second
	derivedBytes = 8 << 20
)

// applier brings what is durable in the log into the databases.
type applier struct {
	mu      sync.Mutex
	queue   []*record     // published, in LSN order
	weight  int64         // of everything numbered that state.db lacks
	full    bool          // the last commit found no space
	drained chan struct{} // closed, and made anew, after each commit

	commit sync.Mutex // held during a commit
	behind bool       // derived.db could not take its last indexes; under commit
	stored time.Time  // when it took the last ones; under commit
	wake   chan struct{}
	stop   chan struct{}
	work   sync.WaitGroup // the applier, and a checkpoint beside it

	commits commitTally
}

func (a *applier) init() {
	a.drained = make(chan struct{})
	a.wake = make(chan struct{}, 1)
	a.stop = make(chan struct{})
}

// numbered counts a record that the databases will have to take.
func (a *applier) numbered(weight int64) {
	a.mu.Lock()
	a.weight += weight
	a.mu.Unlock()
}

// take queues published records.
func (a *applier) take(group []*log.Entry) {
	a.mu.Lock()
	for _, e := range group {
		a.queue = append(a.queue, e.Value.(*record))
	}
	heavy := a.weight >= commitWeight
	a.mu.Unlock()
	if heavy {
		a.hurry()
	}
}

// hurry asks for a commit now.
func (a *applier) hurry() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// admit waits while the databases are too far behind. ErrNoSpace when that is
// for lack of space, ErrClosed.
func (s *Store) admit(ctx context.Context) error {
	a := &s.applier
	for {
		a.mu.Lock()
		behind, full, drained := a.weight >= maxWeight, a.full, a.drained
		a.mu.Unlock()
		if !behind {
			return nil
		}
		if full {
			return ErrNoSpace
		}
		select {
		case <-drained:
		case <-ctx.Done():
			return ctx.Err()
		case <-a.stop:
			return ErrClosed
		}
	}
}

// runApplier commits after each clockPause, and sooner when much is pending.
func (s *Store) runApplier() {
	a := &s.applier
	timer := time.NewTimer(s.o.CommitEvery)
	defer timer.Stop()
	var rested time.Time
	for {
		select {
		case <-a.stop:
			return
		case <-a.wake:
			if !a.due(time.Now(), rested) {
				continue // the next record that is published, or the timer, asks again
			}
		case <-timer.C:
			s.recordTold()
		}
		began := time.Now()
		err := s.bringUp(false)
		s.checkpointIfDue()
		s.sweepSnapshots()
		ended := time.Now()
		took := ended.Sub(began)
		rested = ended.Add(restShare * took)
		pause := clockPause(s.o.CommitEvery, took)
		if err != nil {
			pause = retryAfter
		}
		timer.Reset(pause)
	}
}

// clockPause is how long the clock waits after a commit that took so long.
func clockPause(every, took time.Duration) time.Duration {
	return max(every, min(clockShare*took, clockAtMost), restShare*took)
}

// due reports whether a commit that was asked for is made now: rested says
// when the disk has had its rest from the last one.
func (a *applier) due(now, rested time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !now.Before(rested) || a.weight >= pressingWeight
}

// apply commits everything published to the databases. An error is lack of
// space in state.db: it is tried again. That derived.db lacks something is none.
func (s *Store) apply() error { return s.bringUp(true) }

// bringUp is apply; without all, derived.db gets its part only when it is time.
func (s *Store) bringUp(all bool) error {
	a := &s.applier
	a.commit.Lock()
	defer a.commit.Unlock()
	a.mu.Lock()
	batch := a.queue
	a.queue = nil
	a.mu.Unlock()
	if len(batch) == 0 {
		_ = s.applyDerivedIf(all) // has said so, and readers make what they need
		return nil
	}
	began := time.Now()
	err := s.disk.apply(appliedRecords(batch))
	a.commits.note(time.Since(began))
	if err != nil && !isFull(err) {
		s.unsynced(err)
		s.fatal(err)
		return err
	}
	a.mu.Lock()
	if err != nil {
		a.queue = append(batch, a.queue...)
	} else {
		for _, r := range batch {
			a.weight -= r.weight
		}
	}
	wasFull := a.full
	a.full = err != nil
	close(a.drained)
	a.drained = make(chan struct{})
	a.mu.Unlock()
	switch {
	case err != nil && !wasFull: // once, not every second
		s.logger.Warn("no space to bring the databases up to the log; trying again", "err", err)
	case err == nil && wasFull:
		s.logger.Info("the databases are brought up to the log again")
	}
	if err != nil {
		return err
	}
	s.forget(batch)
	_ = s.applyDerivedIf(all) // as above
	return nil
}

// applyDerivedIf is applyDerived, now or when it is time.
func (s *Store) applyDerivedIf(now bool) error {
	if !now && time.Since(s.applier.stored) < derivedEvery && s.overlay.unstoredBytes() < derivedBytes {
		return nil
	}
	return s.applyDerived()
}

func appliedRecords(batch []*record) []appliedRecord {
	list := make([]appliedRecord, len(batch))
	for i, r := range batch {
		list[i] = appliedRecord{LSN: r.entry.LSN, Ops: r.ops, Body: BodyID(r.entry.BodyID), Place: r.entry.Place}
	}
	return list
}

// forget drops from memory what state.db holds now.
func (s *Store) forget(batch []*record) {
	last := batch[len(batch)-1].entry.LSN
	boxes := make(map[*box]struct{})
	for _, r := range batch {
		for _, c := range r.changes {
			boxes[c.box] = struct{}{}
		}
	}
	for b := range boxes {
		b.applied(ModSeq(last))
	}
	s.opened.written(boxes)
	s.overlay.forget(batch, last)
}

// maxUnstored bounds the indexes that are kept while derived.db cannot take
// them, in bytes. Readers make again what is dropped.
const maxUnstored = 32 << 20

// applyDerived commits what can be made again. It is not worth a fatal error,
// and told of once until it goes well again.
func (s *Store) applyDerived() error {
	s.applier.stored = time.Now()
	entries, lsn := s.overlay.unstored()
	if len(entries) == 0 {
		return nil
	}
	if err := s.disk.applyDerived(entries, lsn); err != nil {
		if !s.applier.behind {
			s.logger.Warn("storing indexes of messages failed; trying again", "err", err)
		}
		s.applier.behind = true
		if s.overlay.unstoredBytes() > maxUnstored {
			s.overlay.stored(entries)
		}
		return err
	}
	s.applier.behind = false
	s.overlay.stored(entries)
	return nil
}

// isFull reports whether err is lack of space.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
