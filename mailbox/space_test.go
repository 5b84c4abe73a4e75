package mailbox

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"golang.org/x/sys/unix"
)

// TestFullDisk fills a disk with mail. What was acknowledged stays, flags and
// expunges go on, and service returns by itself when there is space.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "48m")
	s := openStore(t, filepath.Join(dir, "store"))
	a := newAccount(t, s)
	filler := filepath.Join(dir, "filler")
	if err := s.HasSpace(12 << 10); err != nil {
		t.Errorf("HasSpace with space: %v", err)
	}
	if err := s.HasSpace(1 << 30); !errors.Is(err, ErrNoSpace) {
		t.Errorf("HasSpace of more than there is: %v", err)
	}
	if err := os.WriteFile(filler, make([]byte, 24<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	text := letter(1) + strings.Repeat("0123456789\r\n", 1000)
	stored := 0
	try := func() error {
		err := tryDeliver(t, s, a, text)
		if err == nil {
			stored++
		}
		return err
	}
	var err error
	for err == nil && stored < 10_000 {
		err = try()
	}
	if !errors.Is(err, ErrNoSpace) || stored == 0 {
		t.Fatalf("after %d messages: %v", stored, err)
	}
	if err := s.HasSpace(int64(len(text))); !errors.Is(err, ErrNoSpace) {
		t.Errorf("HasSpace of what was refused: %v", err)
	}
	large := s.NewBody()
	if _, err = large.Write(make([]byte, 8<<20)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a large body: %v", err)
	}
	large.Abort()

	m := open(t, s, a, "INBOX")
	if len(rows(m)) != stored {
		t.Fatalf("%d messages, %d were stored", len(rows(m)), stored)
	}
	if _, err := m.Store(t.Context(), StoreChange{UIDs: uids(m), Op: FlagsAdd, Flags: []goimap.Flag{goimap.FlagDeleted}}); err != nil {
		t.Errorf("flags on a full disk: %v", err)
	}
	if _, err := m.Expunge(t.Context(), []goimap.UID{1, 2}, true); err != nil {
		t.Errorf("expunge on a full disk: %v", err)
	}
	commit(t, s)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	// The log asks for free space a few times a second only.
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		if err = try(); !errors.Is(err, ErrNoSpace) || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("with space again: %v", err)
	}
	s = reopen(t, s)
	if n := len(rows(open(t, s, a, "INBOX"))); n != stored-2 {
		t.Errorf("%d messages, want %d", n, stored-2)
	}
}

// TestCommitOnFullDisk has the databases follow the log when others have taken
// every block: state.db has its own.
func TestCommitOnFullDisk(t *testing.T) {
	dir := smallDisk(t, "64m")
	s := openStore(t, filepath.Join(dir, "store"))
	a := newAccount(t, s)
	for i := range 300 {
		deliver(t, s, a, "INBOX", letter(i))
	}
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	m := open(t, s, a, "INBOX")
	if _, err := m.Store(t.Context(), StoreChange{UIDs: uids(m), Op: FlagsAdd, Flags: []goimap.Flag{"kept"}}); err != nil {
		t.Fatal(err)
	}
	s.applier.commit.Lock() // nobody else's commit is judged here
	s.applier.mu.Lock()
	queued := appliedRecords(s.applier.queue)
	s.applier.mu.Unlock()
	err = s.disk.apply(queued)
	s.applier.commit.Unlock()
	if err != nil {
		t.Errorf("state.db takes nothing: %v", err)
	}
	s = reopen(t, s)
	if list := rows(open(t, s, a, "INBOX")); len(list) != 300 || !list[299].Flags.Has(KeywordBit) {
		t.Errorf("%d messages after opening on a full disk", len(list))
	}
}
