package log

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"mailstead/mailbox/log/disktest"
)

// world is what the outside knows of a log over several power cuts.
type world struct {
	mu      sync.Mutex
	n       int            // entries made so far: each is unlike any other
	written map[LSN]*Entry // by its number in the present run
	acked   map[LSN]bool   // Wait or replay told somebody
	applied LSN            // what the databases hold
}

func (w *world) entry(rng *rand.Rand, l *Log) (*Entry, error) {
	w.mu.Lock()
	w.n++
	n := w.n
	w.mu.Unlock()
	size := rng.IntN(3000)
	switch rng.IntN(12) {
	case 0:
		size = int(l.InlineLimit()) - rng.IntN(100)
	case 1:
		size = 0
	case 2:
		return bigEntry(l, n, 40_000+rng.IntN(40_000))
	}
	return letter(n, size), nil
}

// bigEntry commits a big body and describes it.
func bigEntry(l *Log, n, size int) (*Entry, error) {
	b, err := l.NewBig(BodyID(n))
	if err != nil {
		return nil, err
	}
	if _, err := b.Write(content(n, size)); err != nil {
		return nil, errors.Join(err, b.Abort())
	}
	if err := b.Commit(); err != nil {
		return nil, err
	}
	e := &Entry{Kind: 7, Meta: fmt.Appendf(nil, "meta of %d", n)}
	b.Describe(e)
	return e, nil
}

// write appends entries until the log fails or count are written.
func (w *world) write(l *Log, rng *rand.Rand, count int) {
	for range count {
		e, err := w.entry(rng, l)
		if err != nil || l.Reserve(e.Size(), false) != nil {
			return
		}
		w.mu.Lock()
		if lsn := l.Append(e); lsn != 0 {
			w.written[lsn] = e
		}
		w.mu.Unlock()
		if l.Wait(e) != nil {
			return
		}
		w.mu.Lock()
		w.acked[e.LSN] = true
		w.mu.Unlock()
	}
}

// run opens the log, holds what it says against what is known, writes until
// the power goes, and returns the first contradiction.
func (w *world) run(d *disk, rng *rand.Rand) error {
	o := quiet("d")
	o.FS, o.Applied = d, w.applied
	o.Fatal = func(error) {}
	last := w.applied
	places := make(map[LSN]Place)
	l, rep, err := Open(o, func(r Record) error {
		e := w.written[r.LSN]
		switch {
		case r.LSN != last+1:
			return fmt.Errorf("contradiction: record %d follows %d", r.LSN, last)
		case e == nil:
			return fmt.Errorf("contradiction: record %d was never written", r.LSN)
		case !bytes.Equal(e.Meta, r.Meta):
			return fmt.Errorf("contradiction: record %d is %q, was written as %q", r.LSN, r.Meta, e.Meta)
		}
		last = r.LSN
		w.acked[r.LSN] = true
		places[r.LSN] = r.Place
		return nil
	})
	if errors.Is(err, disktest.ErrPower) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Close()
	if len(rep.Damaged) > 0 {
		return fmt.Errorf("damage where none is: %+v", rep)
	}
	for lsn := range w.acked {
		if lsn > last {
			return fmt.Errorf("record %d was acknowledged and is lost; the last is %d", lsn, last)
		}
	}
	for lsn := range w.written {
		if lsn > last {
			delete(w.written, lsn)
		}
	}
	if err := w.bodies(l, d, places); err != nil {
		return err
	}
	damaged, err := l.Verify(func(Record, []byte) error { return nil })
	if err == nil && len(damaged) > 0 {
		return fmt.Errorf("damage is seen where none is: %+v", damaged)
	}
	var wg sync.WaitGroup
	for range 1 + rng.IntN(6) {
		seed := rng.Uint64()
		wg.Go(func() { w.write(l, rand.New(rand.NewPCG(seed, 1)), 60) })
	}
	wg.Wait()
	durable := l.Durable()
	w.applied += LSN(rng.Uint64N(uint64(durable-w.applied) + 1))
	return nil
}

// bodies reads the bodies of the replayed records.
func (w *world) bodies(l *Log, d *disk, places map[LSN]Place) error {
	for lsn, p := range places {
		e := w.written[lsn]
		if e.BodyID == 0 {
			continue
		}
		got, err := readBody(l, p, e.BodyID)
		if errors.Is(err, disktest.ErrPower) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("body of record %d: %w", lsn, err)
		}
		if want := content(int(e.BodyID), int(p.Size)); !bytes.Equal(got, want) {
			return fmt.Errorf("body of record %d has changed", lsn)
		}
	}
	return nil
}

// cuts lives through count power cuts in a row, some of them while the log
// recovers. In every third case only the program ends, and what it had not
// synced is there until the next cut.
func cuts(seed uint64, count int, lies bool) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	w := &world{written: make(map[LSN]*Entry), acked: make(map[LSN]bool)}
	d := newDisk()
	if lies {
		d.Lie(func(string) bool { return true })
	}
	for range count {
		changes := 1 + rng.IntN(30)
		if rng.IntN(3) > 0 {
			changes = 1 + rng.IntN(400)
		}
		d.cutAfter(changes)
		if err := w.run(d, rng); err != nil {
			return err
		}
		if rng.IntN(3) == 0 {
			d.Kill()
			continue
		}
		d = d.restart(rng, []float64{0, .1, .5, .9, 1}[rng.IntN(5)])
	}
	return w.run(d, rng)
}

func TestPowerCuts(t *testing.T) {
	seeds := uint64(40)
	if n, err := strconv.ParseUint(os.Getenv("MAILSTEAD_CUTS"), 10, 64); err == nil {
		seeds = n // five cuts each
	}
	for seed := range seeds {
		if err := cuts(seed, 5, false); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// The same with a disk whose syncs do nothing must be caught, or the test
// above proves nothing.
func TestPowerCutsNegativeControl(t *testing.T) {
	caught := 0
	for seed := range uint64(20) {
		if cuts(seed, 5, true) != nil {
			caught++
		}
	}
	if caught < 10 {
		t.Errorf("a lying disk was noticed in %d of 20 runs", caught)
	}
}
