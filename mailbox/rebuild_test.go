package mailbox

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// rebuildCase is a folder with two checkpoints, several segments and something wrong.
type rebuildCase struct {
	name string
	ruin func(t *testing.T, dir string, checkpoints, segments []string)
	want error
	from int // the checkpoint it is made from: 0 none, 1 the older, 2 the newer
	lost bool
}

func ruinNothing(*testing.T, string, []string, []string) {}

func ruinCheckpoints(t *testing.T, _ string, checkpoints, _ []string) {
	for _, c := range checkpoints {
		flipByte(t, c)
	}
}

// TestRebuildCases makes state.db again from all that may be left.
func TestRebuildCases(t *testing.T) {
	for _, c := range []rebuildCase{
		{"all is there", ruinNothing, nil, 2, false},
		{"the newer checkpoint is damaged", func(t *testing.T, _ string, checkpoints, _ []string) { flipByte(t, checkpoints[1]) }, nil, 1, false},
		{"both are, the log is whole", ruinCheckpoints, nil, 0, false},
		{"both are, the log's beginning was cleaned", func(t *testing.T, dir string, checkpoints, segments []string) {
			ruinCheckpoints(t, dir, checkpoints, segments)
			os.Remove(segments[0])
		}, ErrNoCheckpoint, 0, false},
		{"the log's beginning was cleaned", func(_ *testing.T, _ string, _, segments []string) { os.Remove(segments[0]) }, nil, 2, false},
		{"damage in the log before both", func(t *testing.T, _ string, _, segments []string) { flipByte(t, segments[0]) }, nil, 2, false},
		{"damage in the log behind both", func(t *testing.T, _ string, _, segments []string) {
			flipByte(t, segments[len(segments)-2])
		}, nil, 2, true},
		{"no state.db", func(_ *testing.T, dir string, _, _ []string) { os.Remove(filepath.Join(dir, stateFile)) }, nil, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
}

func (c rebuildCase) run(t *testing.T) {
	s := openQuiet(t, t.TempDir())
	a := newAccount(t, s)
	large := strings.Repeat("some words of a letter\r\n", 2000)
	lsns := []uint64{0}
	for i := range 60 {
		deliver(t, s, a, "INBOX", letter(i)+large[:i*700])
		if i == 15 || i == 30 {
			commit(t, s)
			if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
				t.Fatal(err)
			}
			lsns = append(lsns, uint64(s.disk.applied()))
		}
	}
	m := open(t, s, a, "INBOX")
	if _, err := m.Expunge(t.Context(), []goimap.UID{3, 40}, false); err != nil {
		t.Fatal(err)
	}
	want, before := uids(m), s.last
	described, err := s.Mailbox(a, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	validity := described.UIDValidity
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkpoints, _ := filepath.Glob(filepath.Join(s.dir, checkpointFolder, "*"))
	segments, _ := filepath.Glob(filepath.Join(s.dir, logFolder, "*.seg"))
	segments = slices.DeleteFunc(segments, func(name string) bool { // prepared ones
		data, err := os.ReadFile(name)
		return err != nil || allZero(data)
	})
	if len(checkpoints) != 2 || len(segments) < 4 {
		t.Fatalf("%d checkpoints, %d segments", len(checkpoints), len(segments))
	}
	c.ruin(t, s.dir, checkpoints, segments)
	was, _ := os.ReadFile(filepath.Join(s.dir, stateFile))
	o := testOptions(t)
	o.Logger = slog.New(slog.DiscardHandler)
	done, err := Rebuild(s.dir, o)
	if !errors.Is(err, c.want) {
		t.Fatalf("error %v, want %v", err, c.want)
	}
	if err != nil {
		if is, _ := os.ReadFile(filepath.Join(s.dir, stateFile)); !bytes.Equal(is, was) {
			t.Error("state.db was touched all the same")
		}
		return
	}
	if uint64(done.Checkpoint) != lsns[c.from] || done.Applied < before {
		t.Errorf("%+v, want from %d, up to %d", done, lsns[c.from], before)
	}
	again := openQuiet(t, s.dir)
	if err := again.checkMemory(); err != nil {
		t.Error(err)
	}
	switch got := uids(open(t, again, a, "INBOX")); {
	case !c.lost && !slices.Equal(got, want):
		t.Errorf("UIDs %v, want %v", got, want)
	case c.lost && (len(got) >= len(want) || len(got) < 30):
		t.Errorf("UIDs %v, after a loss of %v", got, want)
	}
	info, err := again.Mailbox(a, "INBOX")
	if err != nil || (info.UIDValidity != validity) != c.lost {
		t.Errorf("UIDVALIDITY %d, lost %v, %v", info.UIDValidity, c.lost, err)
	}
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// TestNoCheckpointAtStart: a store that would come back empty does not start.
func TestNoCheckpointAtStart(t *testing.T) {
	s, a := fillStore(t)
	for i := range 40 {
		deliver(t, s, a, "INBOX", letter(i)+strings.Repeat("line\r\n", 2000))
	}
	closeStore(t, s)
	segments, err := filepath.Glob(filepath.Join(s.dir, logFolder, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(s.dir, stateFile)), os.Remove(segments[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, testOptions(t)); !errors.Is(err, ErrNoCheckpoint) {
		t.Errorf("error %v", err)
	}
}
