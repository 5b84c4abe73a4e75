package mailbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mailstead/mailbox/log"
)

// Cleaning gives the space back of bodies that nobody holds any more: large
// ones are unlinked, and segments are, once nothing in them is needed. What is
// still held in a segment that is worth it is written into the log once more.
// docs/STORAGE.md says when a file may go.

const (
	// defaultCleanEvery is the pause between two rounds. A look at a million
	// bodies takes 70 ms, so it costs a thousandth of a core.
	defaultCleanEvery = time.Minute

	// quietCleanEvery is how often it is looked though nothing has changed: time
	// alone makes dead bodies overdue.
	quietCleanEvery = time.Hour

	// shortCleanPart is the part of the pause between two rounds that is enough
	// when work was refused for lack of space: somebody waits for the next one.
	shortCleanPart = 12

	// longestWait is how long an empty segment waits for the checkpoints that are
	// made anyway. A store in which nothing changes makes none.
	longestWait = 24 * time.Hour

	// movedAtOnce is how many segments are emptied before they are unlinked: for
	// so long their bodies take space twice.
	movedAtOnce = 4
)

// cleaner is the state of cleaning.
type cleaner struct {
	cancel context.CancelFunc // ends the background
	wanted chan struct{}      // has a value when work was refused for lack of space
	tally  cleanTally

	mu      sync.Mutex // held during a round
	rest    int        // how many times as long as a step took the disk is left to others
	fenced  map[uint32]bool
	looked  time.Time // when the last round was over,
	applied log.LSN   // what state.db was then,
	covered log.LSN   // and what the older checkpoint was
	dropped int       // bodies forgotten since it was looked whether derived.db is to be written anew
	stale   bool      // free pages of the databases may hold what was forgotten
	waits   time.Time // since when empty segments wait for checkpoints; zero = none do

	compactAfter int   // bodies; tests take fewer
	compactLeast int64 // bytes
}

func (c *cleaner) init() {
	c.rest, c.fenced, c.stale = cleanRest, make(map[uint32]bool), true
	c.compactAfter, c.compactLeast = compactAfter, compactLeast
	c.dropped = compactAfter // by the process before
	c.cancel = func() {}
	c.wanted = make(chan struct{}, 1)
}

// want says that work was refused for lack of space.
func (c *cleaner) want() {
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

// runCleaner goes on with unfinished erasures, and then cleans from time to
// time, and sooner where work is refused for lack of space, until the store is
// closed.
func (s *Store) runCleaner(ctx context.Context, unfinished map[AccountID][]string) {
	tick := time.NewTicker(s.o.CleanEvery)
	defer tick.Stop()
	if err := s.beginCleaning(ctx, unfinished); err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
		s.logger.Error("an erasure is not finished; the next start tries again", "err", err)
	}
	soon := time.NewTimer(s.o.CleanEvery / shortCleanPart)
	defer soon.Stop()
	var wanted <-chan struct{} // nil until the last round is long enough ago
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-soon.C:
			wanted = s.cleaner.wanted
			continue
		case <-wanted:
			err = s.retentionRound(ctx) // what is deleted goes before its time
		case <-tick.C:
		}
		err = errors.Join(err, s.clean(ctx))
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			s.logger.Warn("cleaning did not get through; trying again", "err", err)
		}
		select {
		case <-s.cleaner.wanted: // what was refused before the round, or in it
		default:
		}
		wanted = nil
		soon.Reset(s.o.CleanEvery / shortCleanPart)
	}
}

// beginCleaning finishes what the end of a process has cut short.
func (s *Store) beginCleaning(ctx context.Context, unfinished map[AccountID][]string) error {
	if err := s.dropOverwriting(); err != nil {
		return err
	}
	return s.finishErasures(ctx, unfinished)
}

// clean makes one round, if there may be something to do.
func (s *Store) clean(ctx context.Context) error {
	c := &s.cleaner
	c.mu.Lock()
	defer c.mu.Unlock()
	covered, err := s.coveredLSN()
	if err != nil {
		return err
	}
	low := s.nearlyFull()
	quiet := s.disk.applied() == c.applied && covered == c.covered
	if age := s.now().Sub(c.looked); quiet && !low && age >= 0 && age < quietCleanEvery {
		return nil
	}
	r := &cleaning{s: s, ctx: ctx, low: low, began: time.Now()}
	if err = r.run(); err == nil {
		err = r.compactIfWorth()
	}
	if err == nil {
		err = r.overwriteIfDue()
	}
	r.tell()
	c.looked, c.applied, c.covered = s.now(), s.disk.applied(), r.covered
	return err
}

// nearlyFull says whether what ordinary work leaves free is near.
func (s *Store) nearlyFull() bool {
	return errors.Is(s.log.HasSpace(movedAtOnce*s.log.SegmentSize()), log.ErrNoSpace)
}

// coveredLSN is up to where the older of the two kept checkpoints holds the
// log: a rebuild needs nothing of the segments before.
func (s *Store) coveredLSN() (log.LSN, error) {
	stored, err := s.files.checkpoints(filepath.Join(s.dir, checkpointFolder))
	if err != nil {
		return 0, fmt.Errorf("looking at checkpoints: %w", err)
	}
	if len(stored) < checkpointsKept {
		return 0, nil
	}
	return stored[checkpointsKept-1].lsn, nil
}

// cleaning is one round.
type cleaning struct {
	s       *Store
	ctx     context.Context
	low     bool // on space: everything is worth it, and nobody rests
	must    map[uint32]bool
	began   time.Time
	covered log.LSN
	survey  *survey

	forgotten, unlinked int
	freed, moved        int64    // bytes
	kept                []BodyID // whose files somebody links: they go at the next start
}

// run goes on until nothing is left that is worth it.
func (r *cleaning) run() error {
	for {
		plan, err := r.look()
		if err != nil {
			return err
		}
		if len(plan.move) == 0 {
			return nil
		}
		n := movedAtOnce
		if r.low {
			n = 1
		}
		if err := r.move(plan.move[:min(n, len(plan.move))]); err != nil {
			return err
		}
	}
}

// look removes what can go and says what is left to do.
func (r *cleaning) look() (plan cleaningPlan, err error) {
	if plan, err = r.remove(); err != nil || !r.worthCheckpoints(&plan) {
		return plan, err
	}
	if err := r.advance(); err != nil {
		return plan, err
	}
	return r.remove()
}

// remove removes what can go at once.
func (r *cleaning) remove() (plan cleaningPlan, err error) {
	if plan, err = r.plan(); err != nil {
		return plan, err
	}
	if err := r.unlink(plan.empty); err != nil {
		return plan, err
	}
	return plan, r.forget()
}

// plan looks at the store as it is now.
func (r *cleaning) plan() (plan cleaningPlan, err error) {
	s := r.s
	// Segments come first: what is written behind them is no business of the survey.
	segments := s.log.Segments()
	if r.covered, err = s.coveredLSN(); err != nil {
		return plan, err
	}
	if r.survey, err = s.disk.survey(r.covered); err != nil {
		return plan, err
	}
	s.cleaner.tally.live.Store(r.survey.live)
	old, err := s.overdueLSN(r.ctx, r.survey)
	if err != nil {
		return plan, err
	}
	return planCleaning(segments, r.survey, cleaningRules{
		covered: r.covered, overdue: old, low: r.low, full: s.log.HasSpace(0) != nil, fenced: s.cleaner.fenced, must: r.must, segment: s.log.SegmentSize(),
	}), nil
}

// worthCheckpoints says whether checkpoints are made only for what waits for
// them: each is a copy of state.db.
func (r *cleaning) worthCheckpoints(plan *cleaningPlan) bool {
	c := &r.s.cleaner
	waiting := plan.waiting + r.survey.deadBig
	now := r.s.now()
	switch {
	case waiting == 0:
		c.waits = time.Time{}
		return false
	case c.waits.IsZero():
		c.waits = now
	}
	worth := r.low || len(r.must) > 0 || plan.waits > manySmall || waiting >= max(2*r.s.log.SegmentSize(), r.survey.live/16) || now.Sub(c.waits) >= longestWait
	if worth {
		c.waits = time.Time{}
	}
	return worth
}

// advance makes checkpoints until the older kept one is true for everything
// that state.db knew when it was looked at.
func (r *cleaning) advance() error {
	s := r.s
	for range checkpointsKept {
		covered, err := s.coveredLSN()
		if err != nil || covered >= r.survey.applied {
			return err
		}
		step := r.step()
		if err := s.pass(r.ctx); err != nil {
			return err
		}
		if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
			return err
		}
		if err := r.rest(step, 1); err != nil {
			return err
		}
	}
	return nil
}

// pass brings state.db at least one record further: a checkpoint that is true
// for the same LSN as the one before is none.
func (s *Store) pass(ctx context.Context) error {
	err := s.write(ctx, urgent, baseNeed, nil, func(d *decision) error {
		d.ops = append(d.ops, opForgotten{})
		return nil
	})
	if err != nil {
		return fmt.Errorf("cleaning: %w", err)
	}
	return s.apply()
}

// unlink removes segments in which nothing is needed.
func (r *cleaning) unlink(numbers []log.SegmentInfo) error {
	for _, info := range numbers {
		step := r.step()
		done, err := r.s.removeFiles(func() error { return r.s.log.Remove(info.Number) })
		switch {
		case !done:
			return nil // somebody links them: next time
		case errors.Is(err, log.ErrInUse), errors.Is(err, log.ErrGone):
			continue // not cut to its length yet
		case err != nil:
			return fmt.Errorf("cleaning: %w", err)
		}
		r.unlinked++
		r.freed += info.Size
		if err := r.rest(step, 0); err != nil { // what a file system does with freed blocks holds up flushes
			return err
		}
	}
	return nil
}

// tell reports a round in which something was done.
func (r *cleaning) tell() {
	if r.unlinked+r.forgotten == 0 && r.moved == 0 {
		return
	}
	t := &r.s.cleaner.tally
	t.segments.Add(uint64(r.unlinked))
	t.freed.Add(uint64(r.freed))
	t.moved.Add(uint64(r.moved))
	r.s.logger.Info("cleaned", "segments", r.unlinked, "freed", r.freed, "moved", r.moved,
		"forgotten", r.forgotten, "took", time.Since(r.began).Round(time.Millisecond))
}

// forget has bodies that nobody holds leave the databases, and the files of
// large ones the disk. Small ones are known until their segment is gone: how
// long they are dead says when it has to go.
func (r *cleaning) forget() error {
	segments := make(map[uint32]bool)
	for _, info := range r.s.log.Segments() {
		segments[info.Number] = true
	}
	var after garbageKey
	for {
		list, err := r.s.disk.garbageUpTo(r.covered, after, forgetStep)
		if err != nil || len(list) == 0 {
			return err
		}
		after = list[len(list)-1]
		ids := make([]BodyID, len(list))
		for i := range list {
			ids[i] = list[i].body
		}
		slices.Sort(ids)
		var gone, big []BodyID
		err = r.s.disk.places(ids, func(i int, p log.Place, ok bool) {
			switch {
			case !ok:
			case p.Big:
				gone, big = append(gone, ids[i]), append(big, ids[i])
				r.freed += p.Size
			case !segments[p.Segment]:
				gone = append(gone, ids[i])
			}
		})
		if err != nil {
			return err
		}
		step := r.step()
		if err := r.forgetBodies(gone); err != nil {
			return err
		}
		pause := r.pause(step, 1)
		if err := r.unlinkBig(big); err != nil {
			return err
		}
		if err := restFor(r.ctx, pause); err != nil {
			return err
		}
	}
}

// forgetBodies forgets bodies, ascending. Their indexes go first: when the
// table has lost them nobody would know of what is left.
func (r *cleaning) forgetBodies(ids []BodyID) error {
	if len(ids) == 0 {
		return nil
	}
	s := r.s
	if err := s.forgetSearch(ids); err != nil {
		return err
	}
	s.overlay.forgetIndexes(ids)
	s.applier.commit.Lock()
	err := s.applyDerived()
	s.applier.commit.Unlock()
	if err != nil {
		return err
	}
	o := opForgotten{Bodies: joinBodies(ids)}
	err = s.write(r.ctx, urgent, baseNeed+len(o.Bodies)*bodyRangeNeed, nil, func(d *decision) error {
		d.ops = append(d.ops, o)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cleaning: %w", err)
	}
	if err := s.apply(); err != nil {
		return err
	}
	s.overlay.forgetIndexes(ids) // one may have been made again meanwhile, for a session that still shows its message
	if err := s.forgetSearch(ids); err != nil {
		return err
	}
	r.forgotten += len(ids)
	return nil
}

// unlinkBig removes the files of bodies that are forgotten. Those that are
// being linked go at the next start.
func (r *cleaning) unlinkBig(ids []BodyID) error {
	for _, id := range ids {
		step := r.step()
		done, err := r.s.removeFiles(func() error { return r.s.log.RemoveBig(log.BodyID(id)) })
		if err != nil {
			return fmt.Errorf("cleaning: %w", err)
		}
		if !done {
			r.kept = append(r.kept, id)
		}
		if err := r.rest(step, 0); err != nil {
			return err
		}
	}
	return nil
}

// bodyRangeNeed is the longest that a range of opForgotten can be, in bytes.
const bodyRangeNeed = 12

// joinBodies makes ranges of ascending ids.
func joinBodies(ids []BodyID) (ranges []bodyRange) {
	for _, id := range ids {
		ranges = appendBody(ranges, id)
	}
	return ranges
}
