package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/message"
)

// fillStore makes a store with some of everything.
func fillStore(t *testing.T) (*Store, AccountID) {
	s := newStore(t)
	quietSearch(s) // it commits when it comes to it: what is committed here is for tests to say
	a := newAccount(t, s)
	for i := range 5 {
		deliver(t, s, a, "INBOX", letter(i), "word")
	}
	m := open(t, s, a, "INBOX")
	if _, err := m.Move(t.Context(), []goimap.UID{2}, "Trash"); err != nil {
		t.Fatal(err)
	}
	if err := s.Change(t.Context(), RoomChange{Room: "r", Key: "k", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	return s, a
}

// expectFilled expects what fillStore made.
func expectFilled(t *testing.T, s *Store, a AccountID) {
	t.Helper()
	m := open(t, s, a, "INBOX")
	if got := uids(m); !slices.Equal(got, []goimap.UID{1, 3, 4, 5}) {
		t.Errorf("INBOX has %v", got)
	}
	list := rows(m)
	if text(t, s, list[1].Body) != letter(2) || len(m.Keywords()) != 1 || !list[1].Flags.Has(KeywordBit) {
		t.Errorf("message 3 is %+v", list[1])
	}
	checkIndexes(t, s, list, 4)
	if v, ok, err := s.Room("r").Get("k"); err != nil || !ok || string(v) != "v" {
		t.Errorf("room has %d bytes, %v", len(v), ok)
	}
}

// damage ruins the two first pages of a bbolt file, which say where all others are.
func damage(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data[:2*max(os.Getpagesize(), derivedPage)] {
		data[i] ^= 0x5a
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDatabasesAreMadeAgain has a database vanish or rot while the store is
// closed, with and without a checkpoint.
func TestDatabasesAreMadeAgain(t *testing.T) {
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, file string
		checkpoint bool
		ruin       func(*testing.T, string)
	}{
		{"no state, from the log", stateFile, false, remove},
		{"no state, from a checkpoint", stateFile, true, remove},
		{"damaged state, from the log", stateFile, false, damage},
		{"damaged state, from a checkpoint", stateFile, true, damage},
		{"no derived", derivedFile, false, remove},
		{"damaged derived", derivedFile, false, damage},
		{"state without freelist", stateFile, true, damageFreelist},
		{"derived without freelist", derivedFile, false, damageFreelist},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, a := fillStore(t)
			if c.checkpoint {
				commit(t, s)
				if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
					t.Fatal(err)
				}
			}
			uid := deliver(t, s, a, "Sent", letter(77))
			closeStore(t, s)
			c.ruin(t, filepath.Join(s.dir, c.file))
			s = openStore(t, s.dir)
			expectFilled(t, s, a)
			if r := rows(open(t, s, a, "Sent")); len(r) != 1 || r[0].UID != uid {
				t.Errorf("Sent has %+v", r)
			}
			if next := deliver(t, s, a, "INBOX", letter(6)); next != 6 {
				t.Errorf("the next UID is %d", next)
			}
		})
	}
}

// TestUnfinishedStart begins where a start was killed.
func TestUnfinishedStart(t *testing.T) {
	s, a := fillStore(t)
	closeStore(t, s)
	mark := filepath.Join(s.dir, startingFile)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, s.dir)
	expectFilled(t, s, a)
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark is still there: %v", err)
	}
}

// TestUnfinishedStartWithDamage begins where a start died of pages inside a
// database that opens well. Only the child's look finds them.
func TestUnfinishedStartWithDamage(t *testing.T) {
	for _, file := range []string{stateFile, derivedFile} {
		t.Run(file, func(t *testing.T) {
			s, a := fillStore(t)
			closeStore(t, s)
			path := filepath.Join(s.dir, file)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 4 * os.Getpagesize(); i < len(whole); i += os.Getpagesize() {
				clear(whole[i:][:512])
			}
			err = errors.Join(os.WriteFile(path, whole, 0o600), os.WriteFile(filepath.Join(s.dir, startingFile), nil, 0o600))
			if err != nil {
				t.Fatal(err)
			}
			expectFilled(t, openStore(t, s.dir), a)
		})
	}
}

// TestCheckpointWhenDue counts bytes and time.
func TestCheckpointWhenDue(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := checkpointer{last: now, done: make(chan struct{}, 1)}
	for _, step := range []struct {
		name    string
		later   time.Duration
		written int64
		want    bool
	}{
		{"nothing written", 48 * time.Hour, 0, false},
		{"little, but long ago", 0, 1, true},
	} {
		now = now.Add(step.later)
		if got := c.due(now, step.written); got != step.want {
			t.Errorf("%s: %v", step.name, got)
		}
	}
	c.making, c.bytes, c.last = true, 0, now
	if c.due(now, checkpointBytes) {
		t.Error("a second one while the first is made")
	}
	c.done <- struct{}{}
	if !c.due(now, 0) {
		t.Error("much was written, but none is due")
	}
	c.bytes = 0
	if c.due(now, checkpointBytes-1) || !c.due(now, 1) {
		t.Error("the bytes are not counted")
	}
}

func TestCheckpointIsMade(t *testing.T) {
	s, _ := fillStore(t)
	commit(t, s)
	s.written.Store(checkpointBytes)
	s.checkpointIfDue()
	<-s.checkpointer.done
	stored, err := osFiles.checkpoints(filepath.Join(s.dir, checkpointFolder))
	if err != nil || len(stored) != 1 || stored[0].lsn != s.disk.applied() {
		t.Errorf("checkpoints %+v, %v", stored, err)
	}
	s.checkpointer.done <- struct{}{}
}

// TestLargeBodyWithoutRecord leaves the file of a delivery that was never
// acknowledged.
func TestLargeBodyWithoutRecord(t *testing.T) {
	s, a := fillStore(t)
	b := s.NewBody()
	b.Write(bytes.Repeat([]byte("line\r\n"), 1<<20/4))
	if err := b.finish(); err != nil {
		t.Fatal(err)
	}
	crashed := crash(t, s)
	if ids, err := crashed.log.Bigs(); err != nil || len(ids) != 0 {
		t.Errorf("files %v, %v after a crash", ids, err)
	}
	if next := crashed.NewBody(); next.number() <= b.id {
		t.Errorf("body id %d was given out again", next.number())
	}
	expectFilled(t, crashed, a)
	b.Abort()
	if ids, err := s.log.Bigs(); err != nil || len(ids) != 0 {
		t.Errorf("files %v, %v after Abort", ids, err)
	}
}

// TestLargeBodyOfALostRecord damages the record of a large message. Its file is
// all that is left of it, and stays. Its UID will be given to another message,
// so mailboxes are new to clients.
func TestLargeBodyOfALostRecord(t *testing.T) {
	s, a := fillStore(t)
	text := strings.Repeat("line\r\n", 1<<18)
	s.applier.commit.Lock() // the search index may ask for one, and what is applied is not read again
	deliver(t, s, a, "Sent", text)
	body := rows(open(t, s, a, "Sent"))[0].Body
	record, _ := s.overlay.place(body)
	deliver(t, s, a, "INBOX", letter(6)) // says that the record before was durable
	deliver(t, s, a, "INBOX", letter(7))
	dir := t.TempDir()
	err := copyFolder(dir, s.dir)
	s.applier.commit.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	segment, err := os.OpenFile(filepath.Join(dir, logFolder, fmt.Sprintf("%010d.seg", record.Segment)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer segment.Close()
	if _, err := segment.WriteAt([]byte("damage"), int64(record.Offset)); err != nil {
		t.Fatal(err)
	}
	options := testOptions(t)
	options.Logger = slog.New(slog.DiscardHandler) // the damage is told of
	before, err := s.Mailbox(a, "Sent")
	if err != nil {
		t.Fatal(err)
	}
	validity := before.UIDValidity
	for start := range 2 {
		damaged, err := Open(dir, options)
		if err != nil {
			t.Fatal(err)
		}
		switch info, err := damaged.Mailbox(a, "Sent"); {
		case err != nil || info.Messages != 0 || info.UIDNext > before.UIDNext:
			t.Errorf("Sent is %+v, %v", info, err)
		case start == 0 && info.UIDValidity <= validity, start == 1 && info.UIDValidity != validity:
			t.Errorf("start %d: UIDVALIDITY %d, before %d", start, info.UIDValidity, validity)
		default:
			validity = info.UIDValidity
		}
		if err := damaged.checkMemory(); err != nil {
			t.Error(err)
		}
		if m := open(t, damaged, a, "INBOX"); len(rows(m)) != 6 {
			t.Errorf("INBOX has %v", uids(m))
		}
		if b := damaged.NewBody(); b.number() <= body {
			t.Errorf("body id %d was given out again", b.id)
		} else {
			b.Abort()
		}
		if err := damaged.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadFile(filepath.Join(dir, logFolder, "big", fmt.Sprintf("%016x.aside", body)))
		if err != nil || string(left) != text {
			t.Errorf("%d bytes are left, %v", len(left), err)
		}
	}
}

// TestIndexOfALostBody has derived.db know more than what is left of the log.
func TestIndexOfALostBody(t *testing.T) {
	s, _ := fillStore(t)
	if err := s.disk.applyDerived([]derivedEntry{{Body: 1000, Value: []byte("of another message")}}, 0); err != nil {
		t.Fatal(err)
	}
	b := reopen(t, s).NewBody()
	defer b.Abort()
	if b.number() <= 1000 {
		t.Errorf("body id %d has the index of another message", b.id)
	}
}

// TestNoGapsBetweenBodies: a small message that is given up or only held takes no number from those that are delivered.
func TestNoGapsBetweenBodies(t *testing.T) {
	s, a := fillStore(t)
	before := s.lastBody.Load()
	given, held := s.NewBody(), s.NewSpool()
	for _, w := range []io.Writer{given, held} {
		if _, err := io.WriteString(w, letter(1)); err != nil {
			t.Fatal(err)
		}
	}
	given.Abort()
	deliver(t, s, a, "INBOX", letter(2))
	held.Free()
	if last := s.lastBody.Load(); last != before+1 {
		t.Errorf("body %d follows body %d", last, before)
	}
}

// TestIDsAreNotReused deletes everything with the largest ids and restarts.
func TestIDsAreNotReused(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s, a := fillStore(t)
			made, err := s.Create(t.Context(), a, "x", "")
			if err != nil {
				t.Fatal(err)
			}
			deliver(t, s, a, "x", letter(1))
			body := rows(open(t, s, a, "x"))[0].Body
			if err := s.Delete(t.Context(), a, "x"); err != nil {
				t.Fatal(err)
			}
			gone := newAccount(t, s)
			if err := s.DeleteAccount(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			s = restart(t, s)
			again, err := s.Create(t.Context(), a, "x", "")
			if err != nil || again.ID <= made.ID || again.UIDValidity <= made.UIDValidity {
				t.Errorf("made %+v, then %+v, %v", made, again, err)
			}
			if b := s.NewBody(); b.number() <= body {
				t.Errorf("body id %d after %d", b.id, body)
			} else {
				b.Abort()
			}
			if next := newAccount(t, s); next <= gone {
				t.Errorf("account %d after %d", next, gone)
			}
			if _, err := s.Mailboxes(gone); !errors.Is(err, ErrNoAccount) {
				t.Errorf("erased account: %v", err)
			}
		})
	}
}

// TestIndexOfAnotherVersion has derived.db hold what message.Open refuses.
func TestIndexOfAnotherVersion(t *testing.T) {
	s, a := fillStore(t)
	commit(t, s)
	list := rows(open(t, s, a, "INBOX"))
	if err := s.disk.applyDerived([]derivedEntry{{Body: list[1].Body, Value: []byte{255}}, {Body: list[2].Body}}, 0); err != nil {
		t.Fatal(err)
	}
	checkIndexes(t, s, list, 4)
	commit(t, s)
	err := s.disk.indexes([]BodyID{list[1].Body, list[2].Body}, func(i int, value []byte) error {
		_, err := message.Open(value)
		return err
	})
	if err != nil {
		t.Errorf("the index was not stored again: %v", err)
	}
}

// TestReplayIsBounded replays more than one batch.
func TestReplayIsBounded(t *testing.T) {
	s, a := fillStore(t)
	value := bytes.Repeat([]byte("x"), 30_000)
	for i := range 600 {
		if err := s.Change(t.Context(), RoomChange{Room: "r", Key: fmt.Sprint(i), Value: value}); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			commit(t, s)
		}
	}
	before := s.disk.applied()
	s = crash(t, s)
	if s.disk.applied() <= before {
		t.Error("nothing was replayed")
	}
	expectFilled(t, s, a)
}
