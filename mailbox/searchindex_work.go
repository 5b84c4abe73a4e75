package mailbox

import (
	"context"
	"errors"
	"time"
)

const (
	// searchPause is the least pause between two looks at the log: bodies are indexed some at a time.
	searchPause = 200 * time.Millisecond
	// searchTurn is how long bodies are indexed before as long a rest.
	searchTurn = 10 * time.Millisecond
	// searchShare is how many times as long the rest is while somebody writes: who waits
	// for an answer comes before who may search later, and a tenth of a processor still
	// indexes some hundred messages a second.
	searchShare = 9
	// searchRetry is the pause after the index could not be stored.
	searchRetry = 30 * time.Second
	// searchBatch is how many bodies of the table are looked at a time.
	searchBatch = 1000
)

// searchWorker brings the full-text index up to the log.
type searchWorker struct {
	s      *Store
	ctx    context.Context
	feed   *Feed
	reader gramReader
	worked time.Time // since the last rest
	seen   uint64    // records that were numbered by then
}

// runSearch keeps the index up with the log, until the store is closed.
func (s *Store) runSearch(ctx context.Context) {
	changed := make(chan struct{}, 1)
	defer s.WatchAll(changed)()
	w := &searchWorker{s: s, ctx: ctx}
	defer w.finish()
	for {
		err := w.catchUp()
		if err != nil && ctx.Err() == nil {
			s.logger.Warn("the search index does not follow; searches look at the messages themselves", "err", err)
			if restFor(ctx, searchRetry) == nil {
				continue
			}
		}
		if restFor(ctx, searchPause) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-s.search.wake:
		}
	}
}

// finish stores what is worth it when the store closes.
func (w *searchWorker) finish() {
	if w.s.search.waits() < minStored {
		return
	}
	if err := w.s.storeSearch(); err != nil {
		w.s.logger.Warn("the search index was not stored; the next start reads the messages again", "err", err)
	}
}

// catchUp indexes what is not indexed yet.
func (w *searchWorker) catchUp() error {
	x := &w.s.search
	w.worked = time.Now()
	at, next, resets := x.position()
	if next != 0 {
		if err := w.sweep(next, resets); err != nil {
			return err
		}
	}
	if w.feed == nil {
		w.feed = w.s.Feed(at)
	}
	stored := at
	err := w.feed.Read(w.ctx, func(c Change) error {
		if err := w.change(&c); err != nil {
			return err
		}
		x.reached(c.LSN)
		if x.waits() < maxUnindexed && c.LSN-stored < maxUnstoredChanges {
			return nil
		}
		stored = c.LSN
		return w.s.storeSearch()
	})
	if errors.Is(err, ErrBehind) {
		w.feed = nil
		x.reached(ModSeq(w.s.disk.applied()))
		x.again()
		return nil
	}
	return err
}

// sweep looks at all bodies from one on, and indexes those that are not.
func (w *searchWorker) sweep(next BodyID, resets int) error {
	x := &w.s.search
	began, indexed := time.Now(), 0
	// The table of bodies is looked at, and it has to have all that was read of the log before.
	if err := w.s.apply(); err != nil {
		return err
	}
	for next != 0 {
		ids, err := w.s.disk.bodiesFrom(next, searchBatch)
		if err != nil {
			return err
		}
		next = 0
		for _, id := range ids {
			done, err := w.index(id)
			if err != nil {
				return err
			}
			indexed += done
			next = id + 1
		}
		x.sweptTo(next, resets)
		if n := x.waits(); n >= maxUnindexed || next == 0 && n >= minStored {
			if err := w.s.storeSearch(); err != nil {
				return err
			}
		}
	}
	if indexed > searchBatch {
		w.s.logger.Info("the search index was made", "messages", indexed, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// change indexes the bodies that a change brought into mailboxes.
func (w *searchWorker) change(c *Change) error {
	for i := range c.Mailboxes {
		for j := range c.Mailboxes[i].Added {
			if _, err := w.index(c.Mailboxes[i].Added[j].Body); err != nil {
				return err
			}
		}
	}
	return nil
}

// index indexes a body, unless it is already, and returns how many that were. One that cannot be read stays without.
func (w *searchWorker) index(id BodyID) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	x := &w.s.search
	if x.knows(id) {
		return 0, nil
	}
	grams, err := w.reader.read(w.s, id)
	switch {
	case err == nil:
	case errors.Is(err, ErrGone), errors.Is(err, ErrDamaged):
		return 0, nil
	default:
		return 0, err
	}
	if _, err := w.s.place(id); err == nil { // else it was forgotten meanwhile
		x.add(id, grams)
	}
	return 1, w.rest()
}

// rest leaves half of the time to others, and more of it to writers.
func (w *searchWorker) rest() error {
	took := time.Since(w.worked)
	if took < searchTurn {
		return nil
	}
	err := restFor(w.ctx, w.pause(took))
	w.worked = time.Now()
	return err
}

// pause is how long the rest is after so much work.
func (w *searchWorker) pause(took time.Duration) time.Duration {
	numbered := w.s.numbered()
	writing := numbered != w.seen
	w.seen = numbered
	if writing {
		return searchShare * took
	}
	return took
}

// awaitSearch waits until all bodies were looked at.
func (s *Store) awaitSearch(ctx context.Context, progress func(done, total int64)) error {
	x := &s.search
	tick := time.NewTicker(searchPause)
	defer tick.Stop()
	for {
		x.mu.RLock()
		swept, next := x.swept, x.sweep
		x.mu.RUnlock()
		if progress != nil && next != 0 {
			progress(int64(next-1), int64(s.lastBody.Load()))
		}
		select {
		case <-swept:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-s.applier.stop:
			return ErrClosed
		case <-tick.C:
		}
	}
}
