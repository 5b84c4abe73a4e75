package mailbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeClock is a clock that tests set, and one that only counts.
type fakeClock struct {
	wall time.Time
	up   time.Duration
}

func newFakeClock() *fakeClock { return &fakeClock{wall: time.Unix(1_800_000_000, 0)} }

func (c *fakeClock) pass(d time.Duration) { c.wall, c.up = c.wall.Add(d), c.up+d }

// open opens a store that goes by the clock. Only what a test does purges.
func (c *fakeClock) open(t testing.TB, dir string, retention time.Duration) *Store {
	t.Helper()
	o := testOptions(t)
	o.Now = func() time.Time { return c.wall }
	o.Retention = retention
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	s.retention.mu.Lock()
	s.retention.uptime = func() time.Duration { return c.up }
	s.retention.looked = c.up
	s.retention.mu.Unlock()
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

// restart opens what a crash leaves; without state.db, that is made again.
func (c *fakeClock) restart(t testing.TB, s *Store, rebuild bool) *Store {
	t.Helper()
	dir := t.TempDir()
	s.applier.commit.Lock()
	err := copyFolder(dir, s.dir)
	s.applier.commit.Unlock()
	if err == nil && rebuild {
		err = os.Remove(filepath.Join(dir, stateFile))
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.open(t, dir, s.o.Retention)
}

// days passes days, with a round every hour.
func (c *fakeClock) days(t testing.TB, s *Store, n int) {
	t.Helper()
	for range n * 24 {
		c.pass(time.Hour)
		round(t, s)
	}
}

func round(t testing.TB, s *Store) {
	t.Helper()
	commit(t, s)
	if err := s.retentionRound(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// expungeAll expunges what is in a mailbox.
func expungeAll(t testing.TB, s *Store, a AccountID, name string) {
	t.Helper()
	m := open(t, s, a, name)
	if _, err := m.ExpungeAll(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	m.Close()
}

// deletedOf lists all deleted messages that a filter chooses, by pages of n.
func deletedOf(t testing.TB, s *Store, a AccountID, f DeletedFilter, n int) (list []DeletedMessage) {
	t.Helper()
	for after := ""; ; {
		page, next, err := s.DeletedMessages(t.Context(), a, f, after, n)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, page...)
		if after = next; after == "" {
			return list
		}
	}
}

// TestClockLook: a clock that is a day away from where it was expected is not
// trusted before a day has passed.
func TestClockLook(t *testing.T) {
	const day, now = 86400, 1_800_000_000
	for name, c := range map[string]struct {
		had     clockState
		now     int64
		elapsed time.Duration
		want    clockState
		jumped  bool
	}{
		"as expected":          {clockState{Seen: now}, now + 60, time.Minute, clockState{Seen: now + 60}, false},
		"a long sleep":         {clockState{Seen: now}, now + 9*day, 9 * day * time.Second, clockState{Seen: now + 9*day}, false},
		"set by hours":         {clockState{Seen: now}, now - 3600*20, time.Minute, clockState{Seen: now - 3600*20}, false},
		"a day forward":        {clockState{Seen: now}, now + day + 1, 0, clockState{Seen: now + day + 1, Since: now + day + 1}, true},
		"a day back":           {clockState{Seen: now}, now - day - 1, 0, clockState{Seen: now - day - 1, Since: now - day - 1}, true},
		"stands still":         {clockState{Seen: now}, now, 2 * day * time.Second, clockState{Seen: now, Since: now}, true},
		"held not long enough": {clockState{Seen: now + day - 60, Since: now}, now + day - 1, 59 * time.Second, clockState{Seen: now + day - 1, Since: now}, false},
		"held":                 {clockState{Seen: now + day - 60, Since: now}, now + day, time.Minute, clockState{Seen: now + day}, false},
		"jumps back again":     {clockState{Seen: now + 900*day, Since: now + 900*day}, now, time.Minute, clockState{Seen: now, Since: now}, true},
		"to the end of time":   {clockState{Seen: now}, 1 << 62, 0, clockState{Seen: 1 << 62, Since: 1 << 62}, true},
	} {
		if got, jump := c.had.look(c.now, c.elapsed); got != c.want || (jump != 0) != c.jumped {
			t.Errorf("%s: %+v, jump %v; want %+v", name, got, jump, c.want)
		}
	}
}

// TestRetentionEnds: what was deleted can be restored for seven days, and then
// nothing holds its body; a message that was moved was not deleted.
func TestRetentionEnds(t *testing.T) {
	clock := newFakeClock()
	s := clock.open(t, t.TempDir(), 0)
	a := newAccount(t, s)
	for n := range 600 {
		deliver(t, s, a, "INBOX", letter(n))
	}
	deliver(t, s, a, "Archive", letter(1000))
	m := open(t, s, a, "INBOX")
	if _, err := m.Move(t.Context(), uids(m)[:100], "Trash"); err != nil {
		t.Fatal(err)
	}
	m.Close()
	expungeAll(t, s, a, "INBOX")
	if err := s.Delete(t.Context(), a, "Archive"); err != nil {
		t.Fatal(err)
	}
	clock.days(t, s, 7)
	s = clock.restart(t, s, false)
	if got := len(deletedOf(t, s, a, DeletedFilter{}, 100)); got != 501 {
		t.Errorf("%d deleted messages, want 501", got)
	}
	clock.pass(time.Second)
	round(t, s)
	if got := deletedOf(t, s, a, DeletedFilter{}, 100); len(got) != 0 {
		t.Errorf("%d deleted messages past retention", len(got))
	}
	if gone, err := s.DeletedMailboxes(a); err != nil || len(gone) != 0 {
		t.Errorf("deleted mailboxes %+v, %v", gone, err)
	}
	if r, err := s.RestoreMessages(t.Context(), a, DeletedFilter{}); err != nil || r.Messages != 0 {
		t.Errorf("restored %+v, %v", r, err)
	}
	if info, err := s.Mailbox(a, "Trash"); err != nil || info.Messages != 100 {
		t.Errorf("Trash: %+v, %v", info, err)
	}
	clock.restart(t, s, true)
}

func TestNoRetention(t *testing.T) {
	clock := newFakeClock()
	s := clock.open(t, t.TempDir(), -1)
	a := newAccount(t, s)
	deliver(t, s, a, "INBOX", letter(1))
	expungeAll(t, s, a, "INBOX")
	clock.pass(time.Minute)
	round(t, s)
	if got := deletedOf(t, s, a, DeletedFilter{}, 1); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestClockJump: a clock that jumps, while the server runs or between two
// runs, purges nothing before it has held for a day.
func TestClockJump(t *testing.T) {
	for _, years := range []int{20, -20} {
		for _, off := range []bool{false, true} {
			clock := newFakeClock()
			s := clock.open(t, t.TempDir(), 0)
			a := newAccount(t, s)
			deliver(t, s, a, "INBOX", letter(1))
			expungeAll(t, s, a, "INBOX")
			round(t, s)
			clock.wall = clock.wall.AddDate(years, 0, 0)
			if off {
				s = clock.restart(t, s, false)
			}
			for range 23 {
				clock.pass(time.Hour)
				round(t, s)
			}
			s = clock.restart(t, s, false) // what is known of the clock outlives it
			if got := deletedOf(t, s, a, DeletedFilter{}, 1); len(got) != 1 {
				t.Errorf("%d years, off %v: purged by a clock that jumped", years, off)
			}
			clock.pass(2 * time.Hour)
			round(t, s)
			if got := deletedOf(t, s, a, DeletedFilter{}, 1); (len(got) == 0) != (years > 0) {
				t.Errorf("%d years, off %v: %d messages after the clock has held", years, off, len(got))
			}
		}
	}
}

// TestPurgeAccount ends the retention of one account, and of no other.
func TestPurgeAccount(t *testing.T) {
	s := newStore(t)
	ended := []AccountID{}
	s.AtPurge(func(a AccountID) []RoomChange {
		ended = append(ended, a)
		return []RoomChange{{Room: "test", Key: "ended", Value: []byte{byte(a)}}}
	})
	a, b := newAccount(t, s), newAccount(t, s)
	for _, x := range []AccountID{a, b} {
		deliver(t, s, x, "INBOX", letter(1))
		expungeAll(t, s, x, "INBOX")
		deliver(t, s, x, "Junk", letter(2))
		if err := s.Delete(t.Context(), x, "Junk"); err != nil {
			t.Fatal(err)
		}
	}
	purge := func() {
		t.Helper()
		if err := s.PurgeAccount(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	purge()
	if len(deletedOf(t, s, a, DeletedFilter{}, 10)) != 0 || len(deletedOf(t, s, b, DeletedFilter{}, 10)) != 2 || len(ended) != 0 {
		t.Errorf("not the one account; %v ended", ended)
	}
	if err := s.DeleteAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	purge()
	if list, err := s.DeletedAccounts(); err != nil || len(list) != 0 || len(ended) != 1 || ended[0] != a {
		t.Errorf("%+v, %v; %v ended", list, err, ended)
	}
	if v, ok, err := s.Room("test").Get("ended"); err != nil || !ok || AccountID(v[0]) != a {
		t.Errorf("the room has %v, %v", v, err)
	}
	if _, err := s.RestoreAccount(t.Context(), a); !errors.Is(err, ErrNoAccount) {
		t.Errorf("restoring what was purged: %v", err)
	}
}

// TestRetentionWithoutSpace: while the disk is nearly full, what was deleted is
// purged before its time, as much as is enough now and the next part later; where
// there was not enough, what is deleted then does not wait.
func TestRetentionWithoutSpace(t *testing.T) {
	dir := smallDisk(t, "64m")
	clock := newFakeClock()
	s := clock.open(t, filepath.Join(dir, "store"), 0)
	a := newAccount(t, s)
	left := func() int { return len(deletedOf(t, s, a, DeletedFilter{}, 10)) }
	near := nearSpace * s.log.InlineLimit()
	deliver(t, s, a, "INBOX", letter(1))
	deliver(t, s, a, "Junk", letter(2))
	large := letter(3) + strings.Repeat("line\r\n", 1<<20/6)
	for range 2*near>>20 + 1 {
		deliver(t, s, a, "Sent", large)
	}
	expungeAll(t, s, a, "INBOX")
	round(t, s)
	if left() != 1 {
		t.Fatal("purged with space")
	}
	headroom := near
	for s.log.HasSpace(headroom+1<<20) == nil {
		headroom += 1 << 20
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, headroom-near/2), 0o600); err != nil {
		t.Fatal(err)
	}
	for s.log.HasSpace(near) == nil {
		time.Sleep(time.Millisecond) // the log asks for free space every 50 ms at most
	}
	clock.wall = clock.wall.AddDate(20, 0, 0) // it does not depend on the clock
	round(t, s)
	if left() != 0 {
		t.Error("nothing was purged")
	}
	expungeAll(t, s, a, "Sent")
	round(t, s)
	if left() != 0 {
		t.Error("what was deleted when there was nothing to purge is not purged")
	}
	expungeAll(t, s, a, "Junk")
	round(t, s)
	if left() != 1 {
		t.Error("purged before the space of the last purge can be back")
	}
	clock.pass(spaceRest)
	round(t, s)
	if left() != 0 {
		t.Error("nothing more was purged")
	}
}
