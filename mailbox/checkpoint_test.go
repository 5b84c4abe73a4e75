package mailbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"

	"mailstead/mailbox/log"
)

func TestMain(m *testing.M) {
	RunChildCheck()
	runLargeChild()
	os.Exit(m.Run())
}

// fillDisk gives d an account with n messages in one mailbox.
func fillDisk(t testing.TB, d *disk, n int) *writer {
	t.Helper()
	w := &writer{t: t, d: d}
	w.ops(opAccount{Account: 1}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1})
	var recs []appliedRecord
	for i := range n {
		recs = append(recs, delivery(1, goimap.UID(i+1), BodyID(i+1), FlagSet{}))
	}
	w.apply(recs...)
	return w
}

func checkpointNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))[:len("state-0000000000000000")])
	}
	return names
}

func TestCheckpoint(t *testing.T) {
	d := newDisk(t)
	dir := filepath.Join(t.TempDir(), "checkpoints")
	w := fillDisk(t, d, 300)
	for step, want := range [][]string{
		{"state-000000000000012d"},
		{"state-000000000000012d"}, // nothing changed: nothing written
		{"state-000000000000012d", "state-000000000000012e"},
		{"state-000000000000012e", "state-000000000000012f"},
	} {
		if step >= 2 {
			w.ops(opFlags{Mailbox: 1, Flags: bits(seen), UIDs: []uidRange{{1, 5}}})
		}
		// What a crash in the middle of the one before leaves.
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if step == 2 {
			if err := os.WriteFile(filepath.Join(dir, checkpointTemp), []byte("half of a checkpoint"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		lsn, err := d.checkpoint(dir)
		if err != nil || lsn != w.lsn {
			t.Fatalf("LSN %d, want %d, error %v", lsn, w.lsn, err)
		}
		if diff := cmp.Diff(want, checkpointNames(t, dir)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", step, diff)
		}
	}
}

func TestCheckpointFails(t *testing.T) {
	d := newDisk(t)
	fillDisk(t, d, 3)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.checkpoint(file); err == nil {
		t.Error("a checkpoint in a file")
	}
}

// A rebuild takes the newest checkpoint that is whole.
func TestRebuild(t *testing.T) {
	d := newDisk(t)
	checkpointDir := t.TempDir()
	w := fillDisk(t, d, 100)
	for range 2 {
		w.ops(opFlags{Mailbox: 1, Flags: bits(seen), UIDs: []uidRange{{1, 5}}})
		if _, err := d.checkpoint(checkpointDir); err != nil {
			t.Fatal(err)
		}
	}
	w.ops(opExpunge{Mailbox: 1, UIDs: []uidRange{{7, 9}}})
	want := messagesOf(t, d, 1)
	stored, err := osFiles.checkpoints(checkpointDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		damage string // this checkpoint first
		want   log.LSN
	}{{"", 103}, {stored[0].path, 102}, {stored[1].path, 0}} {
		if c.damage != "" {
			flipByte(t, c.damage)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		lsn, err := osFiles.rebuild(dir, checkpointDir)
		if err != nil || lsn != c.want {
			t.Fatalf("rebuilt at %d, want %d, error %v", lsn, c.want, err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, damagedFile)); err != nil || string(b) != "damaged" {
			t.Errorf("the damaged file was not kept: %q, %v", b, err)
		}
		again, err := openDisk(dir, diskOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(again.apply(w.recs), again.check()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, messagesOf(t, again, 1)); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		if err := again.close(); err != nil {
			t.Error(err)
		}
	}
}

func flipByte(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheckInChild(t *testing.T) {
	d := newDisk(t)
	fillDisk(t, d, 3000)
	whole, err := os.ReadFile(filepath.Join(d.dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	inside := append([]byte{}, whole...)
	for i := 3 * 4096; i < len(inside); i += 4096 {
		copy(inside[i:], make([]byte, 512)) // every page but the first three has lost its first sector
	}
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"whole":   {whole, nil},
		"cut":     {whole[:16<<10], errDatabase},
		"rubbish": {[]byte("rubbish"), errDatabase},
		"sectors": {inside, errDatabase},
	} {
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkInChild(context.Background(), path); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	if err := checkInChild(context.Background(), filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("no file: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := checkInChild(ctx, filepath.Join(d.dir, stateFile)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	t.Setenv(childEnvironment, "x")
	if err := checkInChild(context.Background(), filepath.Join(d.dir, stateFile)); !errors.Is(err, errNoChild) {
		t.Errorf("in a child: %v", err)
	}
}
