package mailbox

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// firstOfShelf is behind every body that the tests' stores give an id.
const firstOfShelf = BodyID(1) << 40

// indexShelf is a derived.db with indexes, and what should be in it.
type indexShelf struct {
	t    *testing.T
	s    *Store
	want map[BodyID]string
	n    int
}

// newIndexShelf has n indexes, of which half, drawn at random, are deleted.
func newIndexShelf(t *testing.T, n int) *indexShelf {
	s := newStore(t)
	quietSearch(s)
	s.cleaner.rest, s.cleaner.compactLeast = 0, 256<<10
	f := &indexShelf{t: t, s: s, want: make(map[BodyID]string)}
	random := rand.New(rand.NewPCG(1, 1))
	var list, gone []derivedEntry
	for i := range n {
		list = append(list, f.entry(firstOfShelf+BodyID(i), 400+random.IntN(2000)))
	}
	for _, e := range list {
		if random.IntN(2) == 0 {
			gone = append(gone, derivedEntry{Body: e.Body})
		}
	}
	f.store(list)
	f.store(gone)
	return f
}

// entry is an index of so many bytes that no other has.
func (f *indexShelf) entry(id BodyID, size int) derivedEntry {
	f.n++
	return derivedEntry{id, fmt.Appendf(nil, "%d of body %d %*d", f.n, id, size, 0)}
}

func (f *indexShelf) store(list []derivedEntry) {
	f.t.Helper()
	if err := f.s.disk.applyDerived(list, 0); err != nil {
		f.t.Fatal(err)
	}
	for _, e := range list {
		if f.want[e.Body] = string(e.Value); e.Value == nil {
			delete(f.want, e.Body)
		}
	}
}

// compare holds all indexes against what should be there.
func (f *indexShelf) compare(d *disk) {
	f.t.Helper()
	found := make(map[BodyID]string)
	ids := slices.Sorted(maps.Keys(f.want))
	for _, from := range []BodyID{0, firstOfShelf} { // one that is not there is found as none
		ids = append(ids, from+BodyID(f.n))
	}
	err := d.indexes(ids, func(i int, value []byte) error {
		if value != nil {
			found[ids[i]] = string(value)
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if !maps.Equal(found, f.want) {
		f.t.Errorf("%d indexes, want %d, or not the same", len(found), len(f.want))
	}
}

func (f *indexShelf) round() *cleaning {
	return &cleaning{s: f.s, ctx: f.t.Context(), began: time.Now(), forgotten: compactAfter}
}

func (f *indexShelf) use() (length, used int64) {
	f.t.Helper()
	length, used, err := f.s.disk.derivedUse()
	if err != nil {
		f.t.Fatal(err)
	}
	return length, used
}

// A derived.db of which half is gone is written anew, and afterwards takes little more than it needs. Then there is nothing to do.
func TestDerivedIsWrittenAnew(t *testing.T) {
	f := newIndexShelf(t, 2000)
	before := f.s.disk.derived.bolt.Load()
	length, used := f.use()
	if err := f.round().compactIfWorth(); err != nil {
		t.Fatal(err)
	}
	f.compare(f.s.disk)
	after := f.s.disk.derived.bolt.Load()
	now, usedNow := f.use()
	if after == before || now > length*7/10 || usedNow > used*11/10 || usedNow < used*9/10 || now > usedNow*5/4 {
		t.Errorf("%d bytes, of which %d are in use; before, %d and %d", now, usedNow, length, used)
	}
	if err := f.round().compactIfWorth(); err != nil || f.s.disk.derived.bolt.Load() != after {
		t.Errorf("written anew once more (%v)", err)
	}
	copied := crash(t, f.s)
	f.compare(copied.disk)
}

// What is stored and deleted while derived.db is copied, in front of the copy and behind it, is
// in the new file; with the search index cleared, or the work called off, the old one stays.
func TestDerivedChangesWhileItIsCopied(t *testing.T) {
	for _, how := range []string{"changes", "search cleared", "called off"} {
		t.Run(how, func(t *testing.T) {
			f := newIndexShelf(t, 2000)
			d := f.s.disk
			before := d.derived.bolt.Load()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			random := rand.New(rand.NewPCG(2, 2))
			steps := 0
			to, err := d.files.openSchema(filepath.Join(d.dir, derivedTemp), derivedSchema())
			if err != nil {
				t.Fatal(err)
			}
			c := &compaction{d: d, to: to, changed: make(map[derivedKey]struct{})}
			d.compacting.Store(c)
			defer d.compacting.Store(nil)
			replaced, err := c.run(ctx, func(cleaningStep) error {
				if steps++; steps > 4 {
					return nil
				}
				var list []derivedEntry
				for range compactLast {
					id := firstOfShelf + BodyID(random.IntN(2500))
					if e := f.entry(id, random.IntN(3000)); random.IntN(2) == 0 {
						list = append(list, e)
					} else {
						list = append(list, derivedEntry{Body: id})
					}
				}
				f.store(list)
				switch {
				case steps == 2 && how == "called off":
					cancel()
				case steps == 2 && how == "search cleared":
					return d.clearSearch()
				}
				return nil
			}, func() cleaningStep { return cleaningStep{} })
			if want := how == "changes"; replaced != want || (err == nil) != want || (d.derived.bolt.Load() != before) != want {
				t.Errorf("replaced is %t (%v)", replaced, err)
			}
			if !replaced {
				if err := to.Close(); err != nil {
					t.Error(err)
				}
			}
			d.compacting.Store(nil)
			f.compare(d)
			f.store([]derivedEntry{f.entry(firstOfShelf, 100)})
			f.compare(d)
			f.compare(crash(t, f.s).disk) // the remains of a copy are removed
		})
	}
}

// Who reads the old file reads on; others read the new one meanwhile.
func TestDerivedIsReplacedUnderReaders(t *testing.T) {
	f := newIndexShelf(t, 500)
	d := f.s.disk
	before := d.derived.bolt.Load()
	done := make(chan error)
	err := d.derived.View(func(tx *bbolt.Tx) error {
		go func() { done <- f.round().compact() }()
		for d.derived.bolt.Load() == before { // the one who replaces it waits for this transaction then
			select {
			case err := <-done:
				return fmt.Errorf("it was not replaced: %w", err)
			default:
				runtime.Gosched()
			}
		}
		f.compare(d)
		n := 0
		if err := tx.Bucket(bucketIndexes).ForEach(func(_, _ []byte) error { n++; return nil }); err != nil {
			return err
		}
		if n != len(f.want) {
			t.Errorf("%d indexes are left of the old file, of %d", n, len(f.want))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.compare(d)
}
