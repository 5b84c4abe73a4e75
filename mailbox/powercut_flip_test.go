package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// flipping is a disk after a power cut and a start that went well, bits of
// which flip.
type flipping struct {
	*trial
	rng  *rand.Rand
	seen map[string]int // flips by kind of file
	hits int            // that cost somebody a body
}

// newFlipping has a store with some mail, two checkpoints, and a log behind them.
func newFlipping(t *testing.T, seed uint64) *flipping {
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := &flipping{trial: newTrial(dir, 2*seed, &moments{cuts: make(map[string]int)}, simFaults{}), // even: one hand
		rng: rand.New(rand.NewPCG(seed, 5)), seen: make(map[string]int)}
	for range 2 {
		if err := errors.Join(f.life(), f.checkpoint()); err != nil {
			t.Fatal(err)
		}
	}
	f.arm()
	err := f.life()
	f.d = f.d.restart(f.trial.rng, .5)
	if err := errors.Join(err, f.life(), f.prove()); err != nil { // makes everything durable that it found
		t.Fatal(err)
	}
	f.d = f.d.copy()
	return f
}

// prove writes records that nobody misses: the last one of a log cannot be told
// from a torn write where state.db is lost, too.
func (f *flipping) prove() error {
	s, err := Open(f.dir, f.options(f.d))
	if err != nil {
		return err
	}
	for range 2 {
		err = errors.Join(err, s.Change(context.Background(), RoomChange{Room: "end", Key: "of the log"}))
	}
	return errors.Join(err, s.Close())
}

func (f *flipping) checkpoint() error {
	s, err := Open(f.dir, f.options(f.d))
	if err != nil {
		return err
	}
	_, err = s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder))
	return errors.Join(err, s.Close())
}

// draw chooses a file whose bytes have checksums, by its kind, and a bit of it.
// The databases have a test of their own.
func (f *flipping) draw() (name string, at int64, bit uint8) {
	kinds := make(map[string][]string)
	for _, name := range f.d.Files() {
		if kind := kindOf(name); slices.Contains([]string{"segment", "big body", "checkpoint"}, kind) && len(f.d.Bytes(name)) > 0 {
			kinds[kind] = append(kinds[kind], name)
		}
	}
	var all []string
	for kind := range kinds {
		all = append(all, kind)
	}
	slices.Sort(all)
	kind := all[f.rng.IntN(len(all))]
	f.seen[kind]++
	name = kinds[kind][f.rng.IntN(len(kinds[kind]))]
	return name, f.rng.Int64N(int64(len(f.d.Bytes(name)))), uint8(f.rng.IntN(8))
}

// flip flips one bit and opens the store, with its state.db and without.
func (f *flipping) flip() error {
	name, at, bit := f.draw()
	for _, gone := range []string{"", stateFile} {
		d := f.d.copy()
		d.Harm(name, at, at+1, func(b []byte) { b[0] ^= 1 << bit })
		if gone != "" {
			d.Lose(filepath.Join(f.dir, gone))
		}
		if err := f.look(d, gone == ""); err != nil {
			return fmt.Errorf("bit %d of octet %d of %s, without %q: %w", bit, at, strings.TrimPrefix(name, f.dir+"/"), gone, err)
		}
	}
	return nil
}

// look opens the store on a disk with a flipped bit. Whatever is served is
// right, and what is not was noticed; with state.db, one body at most.
func (f *flipping) look(d *simDisk, state bool) error {
	s, err := Open(f.dir, f.options(d))
	if err != nil {
		return fmt.Errorf("the store does not open: %w", err)
	}
	defer s.Close()
	v, err := s.Verify(context.Background(), VerifyOptions{})
	if err != nil {
		return err
	}
	noticed := len(f.words.take()) > 0 || len(v.Findings) > 0
	refused := make(map[BodyID]bool)
	for _, o := range f.tenants {
		o.patient, o.refused = true, refused
		have, err := o.read(s)
		o.patient = false
		if err != nil {
			return err
		}
		if diff := o.difference(o.sure, have); diff != "" && (state || !noticed) {
			return fmt.Errorf("%s: %s", o.name, diff)
		}
	}
	switch {
	case len(refused) > 0 && !noticed:
		return fmt.Errorf("bodies %v are refused, and nobody says why", refused)
	case len(refused) > 1 && state:
		return fmt.Errorf("bodies %v are refused for one bit", refused)
	case !noticed:
		return s.Check()
	}
	f.hits += len(refused)
	return nil
}

// TestStoreFlippedBits flips bits of the log, of large bodies and of
// checkpoints under a store that was through a power cut. Each is never read,
// or noticed, by the start or by Verify: no message is served with other bytes,
// none is missing without a word, and others are served. More of it:
// MAILSTEAD_FLIPS.
func TestStoreFlippedBits(t *testing.T) {
	const perStore = 15
	hits := 0
	for seed := range uint64(max(1, number("MAILSTEAD_FLIPS", trialsOf(30, 15))/perStore)) {
		f := newFlipping(t, seed)
		for range perStore {
			if err := f.flip(); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
		hits += f.hits
		t.Logf("seed %d: %v, %d bodies refused", seed, f.seen, f.hits)
	}
	if hits == 0 {
		t.Error("no flip hit a body, so nothing is proved")
	}
}
