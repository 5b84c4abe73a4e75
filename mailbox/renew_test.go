package mailbox

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// validities returns the UIDVALIDITY of every mailbox of a.
func validities(t testing.TB, s *Store, a AccountID) map[string]uint32 {
	t.Helper()
	list, err := s.Mailboxes(a)
	if err != nil {
		t.Fatal(err)
	}
	had := make(map[string]uint32)
	for _, info := range list {
		had[info.Name] = info.UIDValidity
	}
	return had
}

// expectRenewed checks that every mailbox has a larger UIDVALIDITY than before.
func expectRenewed(t testing.TB, before, after map[string]uint32) {
	t.Helper()
	if len(after) != len(before) {
		t.Errorf("%d mailboxes, before %d", len(after), len(before))
	}
	for name, v := range before {
		if after[name] <= v {
			t.Errorf("%s: UIDVALIDITY %d, before %d", name, after[name], v)
		}
	}
}

// manyMailboxes is a store with more mailboxes than one record renews.
func manyMailboxes(t testing.TB) (*Store, AccountID) {
	s := newStore(t)
	a := newAccount(t, s)
	for n := range 2 * renewBatch {
		if _, err := s.Create(t.Context(), a, fmt.Sprint("box ", n), ""); err != nil {
			t.Fatal(err)
		}
	}
	return s, a
}

// quietly opens dir with what it warns of discarded: it is the test's own doing.
func quietly(t testing.TB, dir string) (*Store, error) {
	o := testOptions(t)
	o.Logger = slog.New(slog.DiscardHandler)
	return Open(dir, o)
}

// TestRenewalAsMarked has a store begin with the mark, as after the restore of
// a copy: all mailboxes are new to clients, once.
func TestRenewalAsMarked(t *testing.T) {
	s, a := manyMailboxes(t)
	before := validities(t, s, a)
	closeStore(t, s)
	for range 2 { // twice is as good as once
		if err := MarkRenewal(s.dir); err != nil {
			t.Fatal(err)
		}
	}
	s, err := quietly(t, s.dir)
	if err != nil {
		t.Fatal(err)
	}
	first := s
	t.Cleanup(func() { closeStore(t, first) })
	after := validities(t, s, a)
	expectRenewed(t, before, after)
	for how, restart := range restarts {
		s = restart(t, s)
		if again := validities(t, s, a); !maps.Equal(again, after) {
			t.Errorf("%s: UIDVALIDITYs %v, before %v", how, again, after)
		}
	}
}

// TestRenewalGivesNewIDs loses a mailbox, an account and a message, as a
// restore does: their ids are not given again.
func TestRenewalGivesNewIDs(t *testing.T) {
	s, a := fillStore(t)
	commit(t, s)
	dir := t.TempDir()
	if err := copyFolder(dir, s.dir); err != nil {
		t.Fatal(err)
	}
	made, err := s.Create(t.Context(), a, "lost", "")
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, s, a, "lost", letter(8))
	body := rows(open(t, s, a, "lost"))[0].Body
	account := newAccount(t, s)
	if err := MarkRenewal(dir); err != nil {
		t.Fatal(err)
	}
	restored, err := quietly(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restored.Close() })
	expectFilled(t, restored, a)
	crashed := crash(t, restored)
	if err := os.Remove(filepath.Join(crashed.dir, stateFile)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{restored, reopen(t, crashed)} {
		again, err := s.Create(t.Context(), a, "new", "")
		if err != nil || again.ID <= made.ID {
			t.Errorf("mailbox %d, lost was %d, error %v", again.ID, made.ID, err)
		}
		deliver(t, s, a, "new", letter(9))
		if b := rows(open(t, s, a, "new"))[0].Body; b <= body || text(t, s, b) != letter(9) {
			t.Errorf("body %d, lost was %d", b, body)
		}
		if next := newAccount(t, s); next <= account {
			t.Errorf("account %d, lost was %d", next, account)
		}
	}
}

// TestRenewalIsFinished ends a start between two records of the renewal: the
// next one gives every mailbox a UIDVALIDITY that nobody has seen.
func TestRenewalIsFinished(t *testing.T) {
	s, a := manyMailboxes(t)
	before := validities(t, s, a)
	s.mu.RLock()
	some := slices.Collect(maps.Values(s.durable.listings))[:renewBatch]
	s.mu.RUnlock()
	if err := s.renewSome(some); err != nil {
		t.Fatal(err)
	}
	half := validities(t, s, a)
	if err := MarkRenewal(s.dir); err != nil {
		t.Fatal(err)
	}
	after := validities(t, crash(t, s), a)
	expectRenewed(t, before, after)
	expectRenewed(t, half, after)
	if err := os.Remove(filepath.Join(s.dir, renewFile)); err != nil {
		t.Error(err)
	}
}

// TestRenewalIsMarkedFirst loses a record of the log, and the mark cannot be
// made: the start fails with nothing behind the loss applied, since a later one
// could not know of it. When it can be made, mailboxes are new to clients.
func TestRenewalIsMarkedFirst(t *testing.T) {
	s, a := fillStore(t)
	commit(t, s)
	s.applier.commit.Lock() // the search index may ask for one, and what is applied is not read again
	deliver(t, s, a, "Sent", letter(6))
	place, _ := s.overlay.place(rows(open(t, s, a, "Sent"))[0].Body)
	deliver(t, s, a, "INBOX", letter(7))
	before, applied := validities(t, s, a), s.disk.applied()
	dir := t.TempDir()
	err := copyFolder(dir, s.dir)
	s.applier.commit.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, filepath.Join(dir, logFolder, fmt.Sprintf("%010d.seg", place.Segment)), int64(place.Offset))
	mark := filepath.Join(dir, renewFile)
	if err := os.Mkdir(mark, 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := quietly(t, dir); err == nil {
		t.Error("a start that cannot make the mark went on")
		s.Close()
	}
	d, err := openDisk(dir, diskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if now := d.applied(); now != applied {
		t.Errorf("applied up to %d without the mark, before %d", now, applied)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	renewed, err := quietly(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	expectRenewed(t, before, validities(t, renewed, a))
	if _, err := os.Stat(mark); !os.IsNotExist(err) {
		t.Errorf("the mark stays: %v", err)
	}
	if err := renewed.Close(); err != nil {
		t.Error(err)
	}
}

// overwrite damages a file at an offset.
func overwrite(t testing.TB, path string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("damage"), offset); err != nil {
		t.Fatal(err)
	}
}
