package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailstead/mailbox/log"
)

const (
	// moveStep is how many bytes of bodies are written before the disk is left to
	// others: what a delivery may have to wait behind.
	moveStep = 512 << 10

	// forgetStep is how many bodies are forgotten before the disk is left to others:
	// their indexes may lie in as many pages of derived.db, which are written anew.
	forgetStep = 1024

	// cleanRest is how many times as long as a step took the disk is left to
	// others while they write: cleaning has a tenth of it then. It has half of it
	// while nobody else writes.
	cleanRest = 9
)

// move writes the bodies that somebody holds in these segments into the log
// once more, and returns when state.db knows their new places.
func (r *cleaning) move(numbers []uint32) error {
	list, err := r.s.bodiesIn(numbers)
	if err != nil {
		return err
	}
	for len(list) > 0 {
		n, size := 0, int64(0)
		for n < len(list) && (n == 0 || size < moveStep) {
			size += log.RecordSize(bodyMeta, list[n].inline())
			n++
		}
		if err := r.moveStep(list[:n]); err != nil {
			return err
		}
		r.moved += size
		list = list[n:]
	}
	step := r.step()
	if err := r.s.apply(); err != nil {
		return err
	}
	return r.rest(step, 0)
}

// storedAt is a body with its place.
type storedAt struct {
	id    BodyID
	place log.Place
}

// inline is how many bytes of the body are in the log.
func (b *storedAt) inline() int64 {
	if b.place.Big {
		return 0
	}
	return b.place.Size
}

// bodiesIn returns the bodies that somebody holds in segments, as they lie there.
func (s *Store) bodiesIn(numbers []uint32) (list []storedAt, err error) {
	err = s.disk.eachBody(nil, func(b *storedBody) {
		if b.Refs > 0 && slices.Contains(numbers, b.Place.Segment) {
			list = append(list, storedAt{b.ID, b.Place})
		}
	})
	slices.SortFunc(list, func(a, b storedAt) int {
		return cmp.Or(cmp.Compare(a.place.Segment, b.place.Segment), cmp.Compare(a.place.Offset, b.place.Offset))
	})
	return list, err
}

// moveStep moves some bodies with one flush and then rests.
func (r *cleaning) moveStep(list []storedAt) error {
	step := r.step()
	if err := r.s.moveBodies(r.ctx, list); err != nil {
		return err
	}
	return r.rest(step, uint64(len(list)))
}

// cleaningStep is when a step began.
type cleaningStep struct {
	at       time.Time
	numbered uint64 // records until then
}

func (r *cleaning) step() cleaningStep { return cleaningStep{time.Now(), r.s.numbered()} }

// rest leaves the disk to others after a step that wrote so many records.
func (r *cleaning) rest(step cleaningStep, wrote uint64) error {
	return restFor(r.ctx, r.pause(step, wrote))
}

// pause is how long rest rests.
func (r *cleaning) pause(step cleaningStep, wrote uint64) time.Duration {
	if r.low {
		return 0
	}
	pause := time.Duration(r.s.cleaner.rest) * time.Since(step.at)
	if r.s.numbered() == step.numbered+wrote { // nobody else wrote
		pause /= cleanRest
	}
	return pause
}

// restFor leaves the disk to others for a while.
func restFor(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return ctx.Err()
	}
}

// numbered is how many records were numbered so far.
func (s *Store) numbered() uint64 {
	s.seq.Lock()
	defer s.seq.Unlock()
	return uint64(s.last)
}

// moveBodies writes bodies into the log once more, one record for each, and
// waits for all. A segment with one that cannot be moved is fenced: it stays.
func (s *Store) moveBodies(ctx context.Context, list []storedAt) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	var written []*record
	var buffers [][]byte
	var failed error
	for i := range list {
		rec, buf, err := s.moveBody(&list[i])
		buffers = append(buffers, buf)
		if err != nil {
			failed = err
			break
		}
		if rec != nil {
			written = append(written, rec)
		}
	}
	if len(written) > 0 {
		failed = s.await(written[len(written)-1], failed)
	}
	for _, rec := range written {
		rec.entry.Meta, rec.entry.Body = nil, nil
	}
	for _, buf := range buffers {
		putBuffer(buf)
	}
	return failed
}

// moveBody numbers the record that brings a body once more. It returns nil for
// one that is not there any more, or cannot be moved.
func (s *Store) moveBody(b *storedAt) (*record, []byte, error) {
	if s.cleaner.fenced[b.place.Segment] {
		return nil, nil, nil
	}
	rec := new(record)
	buf, err := s.log.Carry(&rec.entry, b.place, log.BodyID(b.id), getBuffer(int(b.inline())+carryRoom))
	switch {
	case errors.Is(err, log.ErrGone):
		return nil, buf, nil
	case errors.Is(bodyError(err), ErrDamaged), errors.Is(err, log.ErrTooLarge):
		s.logger.Error("a message cannot be moved; its segment stays", "segment", b.place.Segment, "body", b.id, "err", err)
		s.cleaner.fenced[b.place.Segment] = true
		return nil, buf, nil
	case err != nil:
		return nil, buf, fmt.Errorf("cleaning: %w", err)
	}
	promised := log.RecordSize(baseNeed, b.inline())
	if err := s.log.Reserve(promised, true); err != nil {
		return nil, buf, fmt.Errorf("cleaning: %w", s.spaceError(err))
	}
	used, _, err := s.number(rec, func(d *decision) error {
		d.ops = append(d.ops, opMoved{Body: b.id})
		return nil
	})
	s.log.Release(promised - used)
	if err != nil || used == 0 {
		return nil, buf, err
	}
	return rec, buf, nil
}

// carryRoom is what is read of a record beside its body, in bytes.
const carryRoom = 600
