package mailbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// TestFormatsDocument holds the table of docs/STORAGE.md against that of the code.
func TestFormatsDocument(t *testing.T) {
	document, err := os.ReadFile("../docs/STORAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Formats() {
		row := fmt.Sprintf("| %s | `%s` | %d | %d | %s | %s |", f.Name, f.Files, f.Writes, f.Oldest, f.Older, f.Newer)
		if !strings.Contains(string(document), row+"\n") {
			t.Errorf("docs/STORAGE.md lacks the row\n%s", row)
		}
	}
	if last := byte(codeAnnotation); stateSchema().version != 2 || last != 18 {
		t.Errorf("schema %d with operations up to %d: a new operation gives state.db another version, which a released program refuses; note here which", stateSchema().version, last)
	}
}

// inFolder is what a store's folder has, by name: a sum of each file. The lock is not of it: its holder writes a number.
func inFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() == lockFile {
			return err
		}
		if e.IsDir() {
			files[path] = "folder"
			return nil
		}
		data, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%d %x", len(data), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// newerSegment has the first segment of a log say that it is of version 2.
func newerSegment(t *testing.T, dir string) string {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, logFolder, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 2048} {
		binary.LittleEndian.PutUint32(data[at+8:], 2)
		binary.LittleEndian.PutUint32(data[at+60:], crc32.Checksum(data[at:at+60], castagnoli))
	}
	if err := os.WriteFile(segments[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(logFolder, filepath.Base(segments[0]))
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// TestNewerFormats: what a later program wrote is refused with a sentence that says which file, its version, what this program
// knows and who wrote it; and the folder has every byte that it had.
func TestNewerFormats(t *testing.T) {
	newer := stateSchema().version + 1
	for name, c := range map[string]struct {
		is      error
		prepare func(t *testing.T, s *Store) (file string)
		want    string
	}{
		"a segment": {log.ErrNewerFormat, func(t *testing.T, s *Store) string { return newerSegment(t, s.dir) },
			"%s has format version 2, this program knows 1: it was written by mailstead 0.9.1-test."},
		"a segment, without state.db": {log.ErrNewerFormat, func(t *testing.T, s *Store) string {
			remove(t, filepath.Join(s.dir, stateFile))
			return newerSegment(t, s.dir)
		}, "%s has format version 2, this program knows 1: it was written by mailstead 0.9.1-test."},
		"state.db": {errNewerSchema, func(t *testing.T, s *Store) string {
			setSchema(t, filepath.Join(s.dir, stateFile), newer)
			return stateFile
		}, "%s has format version 3, this program knows 1 to 2: it was written by mailstead 0.9.1-test."},
		"a checkpoint, without state.db": {errNewerSchema, func(t *testing.T, s *Store) string {
			remove(t, filepath.Join(s.dir, stateFile))
			return newerCheckpoint(t, s.dir, newer)
		}, "%s has format version 3, this program knows 1 to 2: it was written by mailstead 0.9.1-test."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := testOptions(t)
			o.Program = "0.9.1-test"
			s, err := Open(t.TempDir(), o)
			if err != nil {
				t.Fatal(err)
			}
			deliver(t, s, newAccount(t, s), "INBOX", letter(1))
			commit(t, s)
			if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			file := c.prepare(t, s)
			before := inFolder(t, s.dir)
			_, err = Open(s.dir, testOptions(t))
			if !errors.Is(err, c.is) || !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), fmt.Sprintf(c.want, file)) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(before, inFolder(t, s.dir)); diff != "" {
				t.Errorf("the refused start has changed (-before +after):\n%s", diff)
			}
		})
	}
}

// newerCheckpoint makes the newest checkpoint one of a later version, and returns its name.
func newerCheckpoint(t *testing.T, dir string, version int) string {
	t.Helper()
	list, err := osFiles.checkpoints(filepath.Join(dir, checkpointFolder))
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	setSchema(t, list[0].path, version)
	crc, err := osFiles.syncedChecksum(list[0].path)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf(checkpointName, uint64(list[0].lsn), crc)
	if err := os.Rename(list[0].path, filepath.Join(dir, checkpointFolder, name)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(checkpointFolder, name)
}

// TestRebuildPassesNewerCheckpointsOver: who went back to an older program has checkpoints of the newer one; they are not
// what a damaged state.db is made of, and where there is nothing else the store stays as it is.
func TestRebuildPassesNewerCheckpointsOver(t *testing.T) {
	s, a := fillStore(t)
	commit(t, s)
	folder := filepath.Join(s.dir, checkpointFolder)
	older, err := s.disk.checkpoint(folder)
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, s, a, "Trash", letter(50))
	commit(t, s)
	if _, err := s.disk.checkpoint(folder); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	newerCheckpoint(t, s.dir, stateSchema().version+1)
	done, err := Rebuild(s.dir, testOptions(t))
	if err != nil || done.Checkpoint != older {
		t.Errorf("made from %d, not %d: %v", done.Checkpoint, older, err)
	}
	expectFilled(t, openStore(t, s.dir), a)
	list, err := osFiles.checkpoints(folder)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, list[1].path)
	state := filepath.Join(t.TempDir(), stateFile)
	if _, err := osFiles.restoreInto(state, folder); !errors.Is(err, errNewerSchema) {
		t.Errorf("with a newer checkpoint only: %v", err)
	}
	if _, err := os.Stat(state); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has left %v", err)
	}
}

// TestUpgradeKeepsCopy brings the folder of version 1 up: the copy of before is what was there, it can be put back, and then
// brings the same again. What was brought up once is not copied again.
func TestUpgradeKeepsCopy(t *testing.T) {
	dir := t.TempDir()
	unpackFolder(t, storeFixture(1), dir)
	before, err := Inspect(dir, Options{})
	if err != nil || !before.Pending() || before.Err() != nil || before.Copy == 0 || before.Need != 2*before.Copy || len(before.Kept) > 0 {
		t.Fatalf("before: %+v, error %v", before, err)
	}
	original, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(t)
	o.Program, o.Now = "0.2.0", func() time.Time { return time.Date(2026, 11, 23, 23, 59, 0, 0, time.UTC) }
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	expectFormatStore(t, s)
	closeStore(t, s)
	after, err := Inspect(dir, Options{})
	if err != nil || after.Pending() || after.Program != "0.2.0" || after.Copy != 0 || len(after.Kept) != 1 {
		t.Fatalf("after: %+v, error %v", after, err)
	}
	copied, err := os.ReadFile(filepath.Join(dir, after.Kept[0]))
	if err != nil || !bytes.HasPrefix(original, copied) || int64(len(copied)) != before.Copy {
		t.Errorf("the copy has %d bytes of %d, error %v", len(copied), len(original), err)
	}
	c, ok := parseCopyName(filepath.Base(after.Kept[0]))
	if !ok || c.from != 1 || c.to != 2 || c.day != "20261123" || c.lsn == 0 || c.crc != crc32.Checksum(copied, castagnoli) {
		t.Errorf("its name is %s", after.Kept[0])
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), copied, 0o600); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, dir) // brings it up once more
	if list := rows(open(t, again, 1, "Sent")); len(list) != 1 || text(t, again, list[0].Body) != formatLarge() {
		t.Errorf("Sent has %+v", list)
	}
	if a := newAccount(t, again); a <= skippedAccounts {
		t.Errorf("the next account is %d", a)
	}
	closeStore(t, again)
	if kept, err := osFiles.copiesOf(dir); err != nil || !slices.Equal(kept, after.Kept) {
		t.Errorf("copies %v, error %v", kept, err)
	}
}

// TestUpgradeKeepsTwoCopies: older ones go, and so does what a crash has left.
func TestUpgradeKeepsTwoCopies(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, upgradeFolder)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state-1-to-2-20200101-0000000000000001-00000000.db", "state-1-to-2-20200101-0000000000000002-00000000.db", "ours", upgradeTemp} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copyTestFile(t, stateFixture(1), filepath.Join(dir, stateFile))
	d, err := openDisk(dir, diskOptions{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	names, err := osFiles.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if len(names) != 3 || names[0] != "ours" || names[1] != "state-1-to-2-20200101-0000000000000002-00000000.db" {
		t.Errorf("the folder has %v", names)
	}
}

// TestInspectNothing: a folder without a store has no formats, and is not made.
func TestInspectNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	i, err := Inspect(dir, Options{})
	if err != nil || i.Pending() || i.Err() != nil || slices.ContainsFunc(i.Found, func(f FoundFormat) bool { return f.Version != 0 }) {
		t.Errorf("%+v, error %v", i, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
}

// fullFS has little space.
type fullFS struct {
	log.FS
	free int64
}

func (f fullFS) Space(string) (log.Space, error) { return log.Space{Total: 1 << 40, Free: f.free}, nil }

// TestUpgradeWithoutRoom: a start without room for the copy is refused before anything is changed.
func TestUpgradeWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	unpackFolder(t, storeFixture(1), dir)
	i, err := Inspect(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := inFolder(t, dir)
	o := testOptions(t)
	o.FS = fullFS{log.OS(), i.Need - 1}
	if _, err := Open(dir, o); !errors.Is(err, ErrNoRoomToUpgrade) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(before, inFolder(t, dir)); diff != "" {
		t.Errorf("the refused start has changed (-before +after):\n%s", diff)
	}
}

// TestUpgradePowerCuts cuts the power in every moment of a start that brings state.db up. What is there then is the state of
// before, whole, or the one of after with a whole copy of the one before; and the next start comes to the same, with one copy.
func TestUpgradePowerCuts(t *testing.T) {
	fixture, err := os.ReadFile(stateFixture(1))
	if err != nil {
		t.Fatal(err)
	}
	moments := make(map[string]bool)
	rng := rand.New(rand.NewPCG(1, 1))
	for cut := 1; ; cut++ {
		for _, survived := range []float64{0, .5, 1} {
			w := newUpgradeWorld(t.TempDir(), fixture, nil)
			if !w.cutAt(cut, moments, rng, survived) {
				if len(moments) < 8 {
					t.Errorf("moments: %v", moments)
				}
				return
			}
			if err := w.prove(); err != nil {
				t.Fatalf("cut %d, %g survived: %v\n%s", cut, survived, err, w.d.Recent())
			}
		}
	}
}

// TestUpgradePowerCutsNegativeControls has the same notice that the copy is not synced before it gets its name, and that the name is not
// before the database is brought up.
func TestUpgradePowerCutsNegativeControls(t *testing.T) {
	fixture, err := os.ReadFile(stateFixture(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, lies := range map[string]func(string) bool{
		"copy": func(moment string) bool {
			return strings.Contains(moment, "sync") && strings.HasSuffix(moment, " spare")
		},
		"folder": func(moment string) bool { return strings.HasSuffix(moment, " "+upgradeFolder) },
	} {
		rng := rand.New(rand.NewPCG(1, 1))
		noticed := false
		for cut := 1; !noticed; cut++ {
			w := newUpgradeWorld(t.TempDir(), fixture, lies)
			if !w.cutAt(cut, nil, rng, 0) {
				break
			}
			noticed = w.prove() != nil
		}
		if !noticed {
			t.Errorf("%s: nobody notices that it is not synced", name)
		}
	}
}

// upgradeWorld is a simulated disk with a state.db of version 1.
type upgradeWorld struct {
	dir string
	d   *simDisk
}

func newUpgradeWorld(dir string, fixture []byte, lies func(string) bool) *upgradeWorld {
	w := &upgradeWorld{dir: dir, d: newSimDisk(dir)}
	w.d.Put(filepath.Join(dir, stateFile), fixture)
	w.d.Lie(lies)
	return w
}

func (w *upgradeWorld) open() (*disk, error) {
	return openDisk(w.dir, diskOptions{Files: files{w.d}, Keep: true, Program: "0.2.0"})
}

// cutAt starts, and cuts the power in the nth moment; it reports whether there was such a moment.
func (w *upgradeWorld) cutAt(n int, moments map[string]bool, rng *rand.Rand, survived float64) bool {
	w.d.Cut(n%2 == 0, func(moment string) bool {
		if moments != nil {
			moments[moment] = true
		}
		n--
		return n == 0
	})
	d, err := w.open()
	if err == nil {
		_ = d.close() // the power is out, perhaps
	}
	if !w.d.Dead() {
		return false
	}
	w.d = w.d.restart(rng, survived)
	return true
}

// prove looks at what a cut has left, starts again, and looks again.
func (w *upgradeWorld) prove() error {
	f := files{w.d}
	state, err := f.peek(filepath.Join(w.dir, stateFile))
	if err != nil {
		return err
	}
	if state.Version == 2 {
		if err := w.proveCopy(); err != nil {
			return fmt.Errorf("brought up: %w", err)
		}
	}
	w.d.Lie(nil)
	d, err := w.open()
	if err != nil {
		return err
	}
	if err := errors.Join(d.check(), d.close()); err != nil {
		return err
	}
	if state, err = f.peek(filepath.Join(w.dir, stateFile)); err != nil || state.Version != 2 || state.Program != "0.2.0" {
		return fmt.Errorf("after the next start: %+v, %w", state, err)
	}
	return w.proveCopy()
}

// proveCopy expects one copy, which is whole, of version 1, and nothing beside it.
func (w *upgradeWorld) proveCopy() error {
	f, folder := files{w.d}, filepath.Join(w.dir, upgradeFolder)
	names, err := f.ReadDir(folder)
	if err != nil || len(names) != 1 {
		return fmt.Errorf("the folder of copies has %v, %w", names, err)
	}
	c, ok := parseCopyName(names[0])
	sum, err := f.syncedChecksum(filepath.Join(folder, names[0]))
	if err != nil || !ok || sum != c.crc {
		return fmt.Errorf("the copy %s has the sum %08x, %w", names[0], sum, err)
	}
	p, err := f.peek(filepath.Join(folder, names[0]))
	if err != nil || p.Version != 1 || p.Applied != c.lsn {
		return fmt.Errorf("the copy says %+v, %w", p, err)
	}
	return nil
}

// TestPeek reads what a database says of itself beside one who writes, with a root that is a leaf and one that is a branch.
func TestPeek(t *testing.T) {
	path := filepath.Join(t.TempDir(), stateFile)
	db, err := osFiles.openSchema(path, stateSchema())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	commit := func(n int) error {
		return db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "bucket%03d", n))
			return errors.Join(err, b.Put([]byte("key"), make([]byte, 800)), putApplied(tx, log.LSN(n)), putProgram(tx, fmt.Sprint("0.", n)))
		})
	}
	for n := range 200 {
		if err := commit(n); err != nil {
			t.Fatal(err)
		}
		p, err := osFiles.peek(path)
		if err != nil || p.Version != stateSchema().version || p.Applied != log.LSN(n) || p.Program != fmt.Sprint("0.", n) {
			t.Fatalf("commit %d: %+v, %v", n, p, err)
		}
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 200; n < 500; n++ {
			if err := commit(n % 250); err != nil {
				t.Error(err)
			}
		}
	})
	defer writing.Wait()
	for range 100 {
		p, err := osFiles.peek(path)
		if err != nil || p.Version != stateSchema().version || p.Program != fmt.Sprint("0.", uint64(p.Applied)) {
			t.Fatalf("beside who writes: %+v, %v", p, err)
		}
	}
}

// TestPeekDamaged flips bits of a database and cuts it short: there is an answer or an error, never a panic.
func TestPeekDamaged(t *testing.T) {
	whole, err := os.ReadFile(stateFixture(2))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range 2000 {
		data := slices.Clone(whole)
		for range 1 + i%3 {
			data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
		}
		if i%10 == 0 {
			data = data[:rng.IntN(len(data))]
		}
		d := newSimDisk(dir)
		d.Put(filepath.Join(dir, stateFile), data)
		if _, err := (files{d}).peek(filepath.Join(dir, stateFile)); err != nil && !errors.Is(err, errDatabase) {
			t.Fatalf("flip %d: %v", i, err)
		}
	}
}

// TestCopyNames: what is no copy's name is passed over.
func TestCopyNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"state-1-to-2-20261123-000000000000001f-00ab12cd.db":  true,
		"state-1-to-12-20261123-000000000000001f-00ab12cd.db": true,
		"state-1-to-2-20261123-1f-00ab12cd.db":                false,
		"state-1-to-2-20261123-000000000000001f-00ab12cd.dbx": false,
		"state-000000000000001f-00ab12cd.db":                  false,
		upgradeTemp:                                           false, "": false,
	} {
		if _, got := parseCopyName(name); got != ok {
			t.Errorf("%q: %v", name, got)
		}
	}
}
