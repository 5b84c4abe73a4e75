package mailbox

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailstead/mailbox/log"
)

// shelf is a store of bodies that entries of a room hold, each of which names
// its owner in every line. It stands for anything that holds bodies.
type shelf struct {
	t     testing.TB
	s     *Store
	sizes map[string]int // lines of the body under each key
	ids   map[string]BodyID
	next  int
}

func newShelf(t testing.TB) *shelf {
	s := newStore(t)
	s.cleaner.rest = 0
	return &shelf{t: t, s: s, sizes: make(map[string]int), ids: make(map[string]BodyID)}
}

func shelfText(key string, lines int) string {
	return "Subject: " + key + "\r\n\r\n" + strings.Repeat(fmt.Sprintf("%-62s\r\n", key), lines)
}

// put stores a body of so many lines of 64 bytes.
func (f *shelf) put(lines int) string {
	f.t.Helper()
	f.next++
	key := fmt.Sprint("key ", f.next)
	b := f.s.NewBody()
	if _, err := b.Write([]byte(shelfText(key, lines))); err != nil {
		f.t.Fatal(err)
	}
	_, err := f.s.Deliver(f.t.Context(), b, nil, func(id BodyID) []RoomChange {
		f.ids[key] = id
		return []RoomChange{{Room: "shelf", Key: key, Value: []byte{}, Body: id}}
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.sizes[key] = lines
	return key
}

// drop lets the body of a key die.
func (f *shelf) drop(key string) {
	f.t.Helper()
	if err := f.s.Change(f.t.Context(), RoomChange{Room: "shelf", Key: key}); err != nil {
		f.t.Fatal(err)
	}
	delete(f.sizes, key)
}

// live is what the bodies take that are held.
func (f *shelf) live() (n int64) {
	for key, lines := range f.sizes {
		n += int64(len(shelfText(key, lines)))
	}
	return n
}

// age makes two checkpoints, so that everything before is behind both.
func (f *shelf) age() {
	f.t.Helper()
	for range checkpointsKept {
		if err := f.s.pass(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
		if _, err := f.s.disk.checkpoint(filepath.Join(f.s.dir, checkpointFolder)); err != nil {
			f.t.Fatal(err)
		}
	}
}

// clean cleans for as long as there is something to do.
func (f *shelf) clean() {
	f.t.Helper()
	for range 2 { // what is moved waits for checkpoints, too
		f.age()
		if err := f.s.clean(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// compare reads every body of a store that should have them all.
func (f *shelf) compare(s *Store) {
	f.t.Helper()
	for key, lines := range f.sizes {
		if got := text(f.t, s, f.ids[key]); got != shelfText(key, lines) {
			f.t.Errorf("%s is %.60q", key, got)
		}
	}
}

// segmentBytes is the length of all segments that hold records.
func segmentBytes(s *Store) (n int64) {
	for _, info := range s.log.Segments() {
		n += info.Size
	}
	return n
}

// rebuildStore opens a copy of the store without its state.db and, if asked,
// without the newest checkpoint.
func rebuildStore(t testing.TB, s *Store, older bool) *Store {
	t.Helper()
	dir := t.TempDir()
	if err := copyFolder(dir, s.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, stateFile)); err != nil {
		t.Fatal(err)
	}
	if stored, err := osFiles.checkpoints(filepath.Join(dir, checkpointFolder)); err != nil {
		t.Fatal(err)
	} else if older && len(stored) > 1 {
		flipByteOf(t, stored[0].path)
	}
	return openStore(t, dir)
}

func flipByteOf(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Space comes back, and what is held is what it was: while serving, after a
// restart, a crash and a rebuild.
func TestCleaning(t *testing.T) {
	t.Parallel()
	f := newShelf(t)
	random := rand.New(rand.NewPCG(1, 1))
	large := 0
	for range 6 {
		var keys []string
		for i := range 60 {
			lines := random.IntN(400)
			if i%20 == 0 {
				lines = 1000 // 64 KB: a file of its own with segments of 256 KB
				large++
			}
			keys = append(keys, f.put(lines))
		}
		for _, key := range keys {
			if random.IntN(4) > 0 {
				f.drop(key)
			}
		}
		f.clean()
		f.compare(f.s)
	}
	if limit := f.live()*115/100 + 2*f.s.o.SegmentSize; segmentBytes(f.s) > limit {
		t.Errorf("segments have %d bytes for %d, which is more than %d", segmentBytes(f.s), f.live(), limit)
	}
	names, err := os.ReadDir(filepath.Join(f.s.dir, logFolder, "big"))
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, lines := range f.sizes {
		if lines == 1000 {
			held++
		}
	}
	if len(names) != held || held == large {
		t.Errorf("%d files of large bodies, %d are held of %d", len(names), held, large)
	}
	garbage, err := f.s.disk.garbageUpTo(^log.LSN(0), garbageKey{}, 1000)
	if err != nil || len(garbage) > 100 {
		t.Errorf("%d bodies are garbage, error %v", len(garbage), err)
	}
	f.compare(rebuildStore(t, f.s, false))
	f.compare(rebuildStore(t, f.s, true))
	f.compare(crash(t, f.s))
	f.s = reopen(t, f.s)
	f.compare(f.s)
}

// A crash between any two steps of cleaning leaves every body, whether state.db
// survives it or is made again from either checkpoint.
func TestCleaningCrashes(t *testing.T) {
	t.Parallel()
	f := newShelf(t)
	for i := range 45 {
		f.put(20 + i*7%300)
	}
	f.put(1000)
	dead := f.put(1000)
	for i, key := range slices.Sorted(maps.Keys(f.sizes)) {
		if i%3 > 0 || key == dead {
			f.drop(key)
		}
	}
	f.age()
	r := &cleaning{s: f.s, ctx: t.Context()}
	var plan cleaningPlan
	steps := []struct {
		name string
		do   func() error
	}{
		{"nothing", func() error { return nil }},
		{"plan", func() (err error) { plan, err = r.plan(); return err }},
		{"copy", func() error {
			list, err := f.s.bodiesIn(plan.move)
			if err != nil {
				return err
			}
			return f.s.moveBodies(t.Context(), list)
		}},
		{"commit", f.s.apply},
		{"first checkpoints", func() error { return r.advance() }},
		{"unlink", func() (err error) {
			if plan, err = r.plan(); err == nil {
				err = r.unlink(plan.empty)
			}
			return err
		}},
		{"forget", r.forget},
		{"again", func() error { return f.s.clean(t.Context()) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		t.Run(step.name, func(t *testing.T) {
			for _, copied := range []*Store{crash(t, f.s), rebuildStore(t, f.s, false), rebuildStore(t, f.s, true)} {
				g := *f
				g.t = t
				g.compare(copied)
				copied.cleaner.rest = 0
				if err := copied.clean(t.Context()); err != nil {
					t.Error(err)
				}
				g.compare(copied)
			}
		})
	}
	if r.unlinked == 0 || r.forgotten == 0 {
		t.Errorf("%d segments were unlinked, %d bodies forgotten", r.unlinked, r.forgotten)
	}
}

// A reader in the middle of a body that is moved, and whose segment goes, reads
// on; one that was told the old place finds the new one.
func TestSlowReaderDuringCleaning(t *testing.T) {
	f := newShelf(t)
	var msgs []Message
	var keys []string
	for range 10 {
		keys = append(keys, f.put(300))
		msgs = append(msgs, Message{Body: f.ids[keys[len(keys)-1]]})
		for range 8 {
			f.drop(f.put(200))
		}
	}
	f.age()
	var located Bodies
	if err := f.s.LocateBodies(msgs, &located); err != nil {
		t.Fatal(err)
	}
	old := slices.Clone(located.places)
	var open []*Body
	for i := range msgs[:5] {
		b, err := f.s.OpenBody(msgs[i].Body)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		open = append(open, b)
	}
	half := make([]byte, 5000)
	for i, b := range open {
		if _, err := b.ReadAt(half, 0); err != nil || string(half) != shelfText(keys[i], 300)[:5000] {
			t.Errorf("%s before: %v", keys[i], err)
		}
	}
	f.clean()
	gone := 0
	for i := range msgs {
		if _, err := f.s.log.Body(old[i], log.BodyID(msgs[i].Body)); err != nil {
			gone++
		}
		b, err := located.Open(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil || string(got) != shelfText(keys[i], 300) {
			t.Errorf("%s at its new place: %.40q, %v", keys[i], got, err)
		}
		b.Close()
	}
	if gone < 5 {
		t.Errorf("%d places are gone, so nothing was proved", gone)
	}
	for i, b := range open {
		rest := make([]byte, len(shelfText(keys[i], 300))-5000)
		if _, err := b.ReadAt(rest, 5000); err != nil || string(rest) != shelfText(keys[i], 300)[5000:] {
			t.Errorf("%s afterwards: %.40q, %v", keys[i], rest, err)
		}
	}
}

// While somebody keeps the files, none goes; afterwards they do.
func TestKeepFiles(t *testing.T) {
	f := newShelf(t)
	for range 40 {
		f.drop(f.put(300))
	}
	f.drop(f.put(1000))
	f.age()
	release := f.s.keepFiles()
	before := f.s.log.Segments()
	f.clean()
	if after := f.s.log.Segments(); len(after) < len(before) || after[0] != before[0] {
		t.Errorf("segments %v, now %v", before, after)
	}
	stored, err := osFiles.checkpoints(filepath.Join(f.s.dir, checkpointFolder))
	if err != nil || len(stored) <= checkpointsKept {
		t.Errorf("%d checkpoints, error %v", len(stored), err)
	}
	release()
	f.clean()
	if after := f.s.log.Segments(); len(after) > 2 {
		t.Errorf("segments %v", after)
	}
	if stored, err := osFiles.checkpoints(filepath.Join(f.s.dir, checkpointFolder)); err != nil || len(stored) != checkpointsKept {
		t.Errorf("%d checkpoints, error %v", len(stored), err)
	}
}

// TestRestartsLeaveFewFiles: each start seals the segment of the one before,
// and each of these is full. They become few again by themselves.
func TestRestartsLeaveFewFiles(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	const starts = 200
	for i := range starts {
		deliver(t, s, a, "INBOX", letter(i))
		if i%25 == 24 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, s.dir)
		} else if err := s.log.Seal(); err != nil { // what the next start does
			t.Fatal(err)
		}
	}
	if n := len(s.log.Segments()); n < starts {
		t.Fatalf("%d segments: there is nothing to be tested", n)
	}
	s.cleaner.rest = 0
	for range 2 { // what the first round moved is behind checkpoints in the second
		commit(t, s)
		if err := s.clean(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.log.Segments()); n > 2*manySmall+movedAtOnce {
		t.Errorf("%d segments are left", n)
	}
	s = reopen(t, s)
	for i, row := range rows(open(t, s, a, "INBOX")) {
		if text(t, s, row.Body) != letter(i) {
			t.Errorf("message %d is another", i)
		}
	}
}
