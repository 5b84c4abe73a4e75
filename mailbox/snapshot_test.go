package mailbox

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSnapshotsAreSwept: one that nobody holds goes, one that is held stays for
// a day.
func TestSnapshotsAreSwept(t *testing.T) {
	s := newStore(t)
	deliver(t, s, newAccount(t, s), inbox, letter(1))
	now := time.Now()
	s.o.Now = func() time.Time { return now }
	held, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hold, err := HoldSnapshot(held.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	there := func(snap Snapshot) bool {
		_, err := os.Stat(filepath.Join(snap.Dir, filepath.FromSlash(snap.Files[0].Name)))
		return err == nil
	}
	for _, c := range []struct {
		later      time.Duration
		held, left bool
	}{{time.Second, true, true}, {2 * time.Hour, true, false}, {25 * time.Hour, false, false}} {
		now = now.Add(c.later)
		s.snapshots.swept = time.Time{}
		s.sweepSnapshots()
		if there(held) != c.held || there(left) != c.left {
			t.Errorf("%v later: %v, %v", c.later, there(held), there(left))
		}
	}
	for _, name := range []string{"", ".", "..", "../log", "a/b"} {
		if err := s.DropSnapshot(name); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

// TestSnapshotWithoutMail: an empty store has one, too, and its identity stays.
func TestSnapshotWithoutMail(t *testing.T) {
	s := newStore(t)
	first, err := s.Snapshot(t.Context())
	if err != nil || len(first.Files) == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	s = reopen(t, s)
	second, err := s.Snapshot(t.Context())
	if err != nil || second.Store != first.Store || len(first.Store) != identitySize {
		t.Errorf("%+v, %v", second, err)
	}
}
