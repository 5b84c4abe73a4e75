package backup

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// TestBackupWhileWorking: backups of a store that is worked with are each what
// the store was at one moment, from a folder and from an archive.
func TestBackupWhileWorking(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	to := t.TempDir()
	for range 20 {
		w.step()
	}
	working := make(chan struct{})
	go func() {
		defer close(working)
		for range 80 {
			w.step()
		}
	}()
	for range 3 {
		w.backup(to, Options{})
	}
	var archive bytes.Buffer
	if _, err := WriteArchive(t.Context(), &archive, w.source(), Options{}); err != nil {
		t.Error(err)
	}
	<-working
	names, err := Manifests(to)
	if err != nil || len(names) != 3 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		v, err := Verify(t.Context(), to, name, nil)
		if err != nil || len(v.Problems) > 0 {
			t.Errorf("%s: %v, %v", name, v.Problems, err)
		}
		dir := t.TempDir()
		r := restore(t, to, RestoreOptions{Dir: dir, Manifest: name})
		if got, _ := contents(t, dir, w.account); got != w.at(r.Manifest.Last) {
			t.Errorf("%s, change %d:\n%s\nnot\n%s", name, r.Manifest.Last, got, w.at(r.Manifest.Last))
		}
		if key, err := os.ReadFile(filepath.Join(dir, "tls", "key.pem")); string(key) != "a key" || err != nil {
			t.Errorf("%s: the key is %q, %v", name, key, err)
		}
	}
	dir := t.TempDir()
	r, err := RestoreArchive(t.Context(), &archive, RestoreOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := contents(t, dir, w.account); got != w.at(r.Manifest.Last) {
		t.Errorf("archive, change %d:\n%s\nnot\n%s", r.Manifest.Last, got, w.at(r.Manifest.Last))
	}
}

// TestBackupCopiesOnce: what is there is not copied again, and what no kept
// manifest names goes.
func TestBackupCopiesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	to := t.TempDir()
	for range 40 {
		w.deliver("INBOX", 20<<10)
	}
	first := w.backup(to, Options{})
	if first.Copied != first.Files || first.Files < 5 {
		t.Errorf("%+v", first)
	}
	again := w.backup(to, Options{})
	if again.Copied != 0 || again.Written != 0 || again.Files != first.Files {
		t.Errorf("nothing is new: %+v", again)
	}
	w.deliver("INBOX", 20<<10)
	w.deliver("INBOX", 100<<10)
	third := w.backup(to, Options{Keep: 2})
	if third.Copied != 3 || third.Files != first.Files+2 || third.Removed != 0 { // segment, large body, checkpoint
		t.Errorf("three are new: %+v, at first %+v", third, first)
	}
	w.deliver("INBOX", 20<<10)
	if fourth := w.backup(to, Options{Keep: 1}); fourth.Copied != 2 || fourth.Removed != 2 { // the two older checkpoints
		t.Errorf("the old ones go: %+v", fourth)
	}
	if names, err := Manifests(to); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	if err := w.s.Check(); err != nil {
		t.Error(err)
	}
}

var errKilled = errors.New("killed")

// killedAfter makes a backup that ends after so many changes of the folder.
func killedAfter(t *testing.T, to string, src Source, changes int) error {
	t.Helper()
	_, err := Write(t.Context(), to, src, Options{Keep: 1, step: func() error {
		if changes--; changes < 0 {
			return errKilled
		}
		return nil
	}})
	if err != nil && !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	return err
}

func verified(t *testing.T, dir string) *Manifest {
	t.Helper()
	v, err := Verify(t.Context(), dir, "", nil)
	if err != nil || len(v.Problems) > 0 {
		t.Fatalf("%v, %v", v.Problems, err)
	}
	return v.Manifest
}

// TestBackupKilledAnywhere: the first backup is ended at each of its changes of
// the folder, and the next one makes it.
func TestBackupKilledAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	for range 4 {
		w.deliver("INBOX", 20<<10)
	}
	w.deliver("INBOX", 100<<10)
	src := w.source()
	for n := 0; ; n++ {
		to := filepath.Join(t.TempDir(), "a", "b")
		done := killedAfter(t, to, src, n) == nil
		r, err := Write(t.Context(), to, src, Options{})
		if err != nil {
			t.Fatalf("after %d changes: %v", n, err)
		}
		if m := verified(t, to); m.Last != src.Snapshot.Last {
			t.Errorf("after %d changes: %d, not %d", n, m.Last, src.Snapshot.Last)
		}
		if left, err := filepath.Glob(filepath.Join(to, "*", "*", "*", "*"+tempSuffix)); err != nil || len(left) > 0 {
			t.Errorf("after %d changes: %v, %v", n, left, err)
		}
		if done {
			if n < 20 || r.Copied != 0 {
				t.Errorf("%d changes, then %+v", n, r)
			}
			return
		}
	}
}

// TestOldBackupOutlivesAKilledOne: with a second backup ended at each of its
// changes there is always one, and the last try makes the second.
func TestOldBackupOutlivesAKilledOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 13)
	to := t.TempDir()
	w.deliver("INBOX", 20<<10)
	w.deliver("INBOX", 100<<10)
	w.backup(to, Options{})
	w.deliver("INBOX", 20<<10)
	w.deliver("INBOX", 100<<10)
	w.expunge("INBOX", 1)
	src := w.source()
	for n := 0; killedAfter(t, to, src, n) != nil; n++ {
		verified(t, to)
	}
	m, dir := verified(t, to), t.TempDir()
	restore(t, to, RestoreOptions{Dir: dir})
	if got, _ := contents(t, dir, w.account); m.Last != src.Snapshot.Last || got != w.at(m.Last) {
		t.Errorf("change %d of %d: %s\nnot\n%s", m.Last, src.Snapshot.Last, got, w.at(m.Last))
	}
}

// TestInterruptedCopyIsUsed: what an ended backup copied is not copied again,
// unless it is not what it should be.
func TestInterruptedCopyIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	to := t.TempDir()
	for range 40 {
		w.deliver("INBOX", 20<<10)
	}
	src := w.source()
	if _, err := Write(t.Context(), to, src, Options{}); err != nil {
		t.Fatal(err)
	}
	names, _ := Manifests(to)
	if err := os.Remove(filepath.Join(to, manifestFolder, names[0])); err != nil {
		t.Fatal(err)
	}
	flip(t, firstSegment(t, to), 5000)
	r, err := Write(t.Context(), to, src, Options{})
	if err != nil || r.Copied != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if v, err := Verify(t.Context(), to, "", nil); err != nil || len(v.Problems) > 0 {
		t.Errorf("%v, %v", v.Problems, err)
	}
}

func firstSegment(t *testing.T, dir string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, storesFolder, "*", "log", "*.seg"))
	if err != nil || len(list) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	return list[0]
}

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 0x10
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsFoundAndNamed: one bit, a missing file and a missing body, in a
// backup and in an archive.
func TestDamageIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	var archive bytes.Buffer
	for range 20 {
		w.deliver("INBOX", 20<<10)
	}
	w.deliver("Archive", 100<<10)
	to := t.TempDir()
	w.backup(to, Options{})
	if _, err := WriteArchive(t.Context(), &archive, w.source(), Options{}); err != nil {
		t.Fatal(err)
	}
	bigs, err := filepath.Glob(filepath.Join(to, storesFolder, "*", "log", "big", "*"))
	if err != nil || len(bigs) != 1 {
		t.Fatalf("%v, %v", bigs, err)
	}
	segment := firstSegment(t, to)
	for _, c := range []struct {
		what  string
		spoil func()
		name  string
	}{
		{"a flipped bit", func() { flip(t, segment, 9000) }, filepath.Base(segment)},
		{"a missing body", func() { os.Rename(bigs[0], bigs[0]+".away") }, filepath.Base(bigs[0])},
	} {
		c.spoil()
		v, err := Verify(t.Context(), to, "", nil)
		if err != nil || len(v.Problems) == 0 || !strings.Contains(v.Problems[0], c.name) {
			t.Errorf("%s: %v, %v", c.what, v.Problems, err)
		}
		_, err = Restore(t.Context(), to, RestoreOptions{Dir: t.TempDir()})
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: restored with %v", c.what, err)
		}
		dir := t.TempDir()
		r := restore(t, to, RestoreOptions{Dir: dir, Damaged: true})
		if len(r.Problems) == 0 || !r.Renewed {
			t.Errorf("%s: %+v", c.what, r)
		}
		flip(t, segment, 9000) // back, for the second case
	}
	whole := archive.Bytes()
	for what, data := range map[string][]byte{
		"a flipped bit": flipped(whole, len(whole)/2),
		"the end":       whole[:len(whole)-4096],
		"no archive":    []byte(strings.Repeat("nonsense", 200)),
		"nothing":       nil,
	} {
		_, err := RestoreArchive(t.Context(), bytes.NewReader(data), RestoreOptions{Dir: t.TempDir()})
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoBackup) {
			t.Errorf("archive, %s: %v", what, err)
		}
	}
}

func flipped(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 0x10
	return data
}

// TestLogicalDamage: files that are what the manifest says, and still no store.
func TestLogicalDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	for range 20 {
		w.deliver("INBOX", 20<<10)
	}
	w.deliver("INBOX", 100<<10)
	for _, c := range []struct {
		what, say string
		spoil     func(*mailbox.Snapshot)
	}{
		{"without its large body", "is not where the log says", func(s *mailbox.Snapshot) {
			s.Files = slices.DeleteFunc(s.Files, func(f mailbox.SnapshotFile) bool { return strings.Contains(f.Name, "/big/") })
		}},
		{"without its segments", "is not where the log says", func(s *mailbox.Snapshot) {
			s.Files = slices.DeleteFunc(s.Files, func(f mailbox.SnapshotFile) bool { return strings.HasSuffix(f.Name, ".seg") })
		}},
		{"without its checkpoint", "checkpoint", func(s *mailbox.Snapshot) {
			s.Files = slices.DeleteFunc(s.Files, func(f mailbox.SnapshotFile) bool { return strings.HasPrefix(f.Name, "checkpoints/") })
		}},
		{"that ends too early", "ends at record", func(s *mailbox.Snapshot) { s.Last += 3 }},
	} {
		to, src := t.TempDir(), w.source()
		c.spoil(&src.Snapshot)
		if _, err := Write(t.Context(), to, src, Options{}); err != nil {
			t.Fatal(err)
		}
		v, err := Verify(t.Context(), to, "", nil)
		if err != nil || !strings.Contains(strings.Join(v.Problems, "\n"), c.say) {
			t.Errorf("%s: %v, %v", c.what, v.Problems, err)
		}
	}
}

// TestRestoreRenewsValidity: a known UID never shows another message. The
// UIDVALIDITY stays only for a complete backup, when that is asked for.
func TestRestoreRenewsValidity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	w.deliver("INBOX", 100)
	to := t.TempDir()
	w.backup(to, Options{})
	w.deliver("INBOX", 100) // UID 2, which the restored store will give again
	before, err := w.s.Mailbox(w.account, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if r := restore(t, to, RestoreOptions{Dir: dir}); !r.Renewed {
		t.Errorf("%+v", r)
	}
	for again := range 2 {
		_, validity := contents(t, dir, w.account)
		if got := validity["INBOX"]; got <= before.UIDValidity {
			t.Errorf("start %d: UIDVALIDITY %d, was %d", again, got, before.UIDValidity)
		}
		before.UIDValidity = max(before.UIDValidity, validity["INBOX"]-1) // it is renewed once
		if again == 1 && validity["INBOX"] != before.UIDValidity+1 {
			t.Errorf("renewed again: %d", validity["INBOX"])
		}
	}
	if _, err := Restore(t.Context(), to, RestoreOptions{Dir: t.TempDir(), KeepValidity: true}); !errors.Is(err, ErrNotComplete) {
		t.Errorf("%v", err)
	}
	src := w.source()
	src.Complete = true
	if _, err := Write(t.Context(), to, src, Options{}); err != nil {
		t.Fatal(err)
	}
	now, err := w.s.Mailbox(w.account, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	restore(t, to, RestoreOptions{Dir: dir, KeepValidity: true})
	if _, validity := contents(t, dir, w.account); validity["INBOX"] != now.UIDValidity {
		t.Errorf("UIDVALIDITY %d, was %d", validity["INBOX"], now.UIDValidity)
	}
}

// TestRestoredStoreIsAnother: its backups do not mix with those of the first.
func TestRestoredStoreIsAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 9)
	to, dir := t.TempDir(), t.TempDir()
	w.deliver("INBOX", 100)
	w.backup(to, Options{})
	restore(t, to, RestoreOptions{Dir: dir})
	other := &world{t: t, dir: dir, account: w.account, model: w.model, was: make(map[mailbox.ModSeq]string),
		s: mailboxtest.OpenStore(t, filepath.Join(dir, "store"))}
	w.deliver("INBOX", 100)
	other.backup(to, Options{})
	w.backup(to, Options{})
	names, err := Manifests(to)
	if err != nil || len(names) != 3 {
		t.Fatalf("%v, %v", names, err)
	}
	stores := make(map[string]bool)
	for _, name := range names {
		m, err := ReadManifest(to, name)
		if err != nil {
			t.Fatal(err)
		}
		stores[m.Store] = true
		if v, err := Verify(t.Context(), to, name, nil); err != nil || len(v.Problems) > 0 {
			t.Errorf("%s: %v, %v", name, v.Problems, err)
		}
	}
	if len(stores) != 2 {
		t.Errorf("stores: %v", stores)
	}
}

// TestRefusals: what is no backup is not written into, and no store over another.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	src := w.source()
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), other, src, Options{}); !errors.Is(err, ErrNoBackup) {
		t.Errorf("into a folder of somebody's: %v", err)
	}
	if _, err := Manifests(other); !errors.Is(err, ErrNoBackup) {
		t.Errorf("from a folder of somebody's: %v", err)
	}
	to := t.TempDir()
	d, err := openFolder(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), to, src, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("into a folder in use: %v", err)
	}
	d.close()
	if _, err := Restore(t.Context(), to, RestoreOptions{Dir: t.TempDir()}); !errors.Is(err, ErrNoBackup) {
		t.Errorf("from an empty one: %v", err)
	}
	if _, err := Write(t.Context(), to, src, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), to, RestoreOptions{Dir: w.dir}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("over a store: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Restore(stopped, to, RestoreOptions{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	for _, m := range []Manifest{
		{Format: 2, Store: "A"}, {Format: 1, Store: "../x"}, {Format: 0, Store: "A"},
		{Format: 1, Store: "A", Files: []File{{Name: "store/../../x", SHA256: strings.Repeat("0", 64)}}},
		{Format: 1, Store: "A", Files: []File{{Name: "/etc/passwd", SHA256: strings.Repeat("0", 64)}}},
		{Format: 1, Store: "A", Files: []File{{Name: "beside/x", SHA256: "../x"}}},
	} {
		if err := m.check(); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewerFormat) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

// TestDamagedManifest: it is told by its name, an older one serves, and nothing
// is removed that it may have named.
func TestDamagedManifest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12)
	to := t.TempDir()
	w.deliver("INBOX", 100)
	w.backup(to, Options{Now: time.Now().Add(-time.Hour)})
	w.deliver("INBOX", 100)
	w.backup(to, Options{})
	names, _ := Manifests(to)
	flip(t, filepath.Join(to, manifestFolder, names[1]), 30)
	if _, err := Restore(t.Context(), to, RestoreOptions{Dir: t.TempDir()}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), names[1]) {
		t.Errorf("%v", err)
	}
	restore(t, to, RestoreOptions{Dir: t.TempDir(), Manifest: names[0]})
	w.deliver("INBOX", 100)
	if r := w.backup(to, Options{}); len(r.Warnings) != 1 || r.Removed != 0 {
		t.Errorf("%+v", r)
	}
	// Of two, the damaged one and the older go.
	if r := w.backup(to, Options{Keep: 1}); len(r.Warnings) != 0 || r.Removed == 0 {
		t.Errorf("%+v", r)
	}
}

func FuzzManifest(f *testing.F) {
	m := Manifest{Format: 1, Store: "ABC", Files: []File{{Name: "store/log/0000000001.seg", Size: 4, SHA256: strings.Repeat("0", 64)}}}
	_, data, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1,"store":"A","files":[{"name":"store/../x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if !filepath.IsLocal(filepath.FromSlash(m.at(file))) || !filepath.IsLocal(filepath.FromSlash(file.Name)) {
				t.Errorf("%q leads to %q", file.Name, m.at(file))
			}
		}
	})
}

// FuzzArchive: no archive writes outside of the folder that is restored.
func FuzzArchive(f *testing.F) {
	f.Add([]byte(strings.Repeat("nonsense", 200)))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "server")
		RestoreArchive(t.Context(), bytes.NewReader(data), RestoreOptions{Dir: dir})
		if entries, err := os.ReadDir(parent); err != nil || len(entries) > 1 {
			t.Errorf("%v, %v", entries, err)
		}
	})
}
