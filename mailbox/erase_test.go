package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"
)

// traces returns the files below dir that have a word.
func traces(t *testing.T, dir, word string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a segment that was being prepared
		}
		if bytes.Contains(data, []byte(word)) {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Nothing of an erased account is in any file of the store: not in segments,
// large bodies, checkpoints, nor in free pages of the databases. What others have
// stays, also where it came in the same message.
func TestEraseAccount(t *testing.T) {
	s := newStore(t)
	s.cleaner.rest = 0
	word := "wordThatIsOnlyHers"
	other := newAccount(t, s)
	a, err := s.CreateAccount(t.Context(), func(id AccountID) []RoomChange {
		return []RoomChange{{Room: "people", Key: "hers", Value: []byte(word)}}
	})
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for i := range 60 {
		hers := "Subject: " + word + "\r\n\r\n" + strings.Repeat(fmt.Sprintf("%s %d\r\n", word, i), 200)
		if i%20 == 0 {
			hers += strings.Repeat(word, 4000) // a file of its own
		}
		deliver(t, s, a, "INBOX", hers)
		his := letter(i) + strings.Repeat("his own\r\n", 300)
		kept = append(kept, his)
		deliver(t, s, other, "INBOX", his)
		if i%10 == 0 {
			commit(t, s)
		}
	}
	shared := s.NewBody()
	if _, err := shared.Write([]byte(letter(100))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Deliver(t.Context(), shared, []Target{{Account: a, Name: "INBOX"}, {Account: other, Name: "INBOX"}}, nil); err != nil {
		t.Fatal(err)
	}
	kept = append(kept, letter(100))
	m := open(t, s, a, "INBOX")
	if _, err := m.Store(t.Context(), StoreChange{UIDs: uids(m), Op: FlagsAdd, Flags: []goimap.Flag{goimap.Flag("k" + word)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Expunge(t.Context(), []goimap.UID{3, 4, 5}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), a, "Folder "+word, ""); err != nil {
		t.Fatal(err)
	}
	commit(t, s)
	if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, damagedFile), []byte(word), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := traces(t, s.dir, word); len(found) < 8 {
		t.Fatalf("only %v have the word, so nothing is proved", found)
	}
	steps := make(map[string]bool)
	result, err := s.EraseAccount(t.Context(), a, []string{word}, func(doing string, _, _ int64) { steps[doing] = true },
		RoomChange{Room: "people", Key: "hers"})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Left) > 0 || result.Segments == 0 || result.Freed == 0 || len(steps) < 3 {
		t.Errorf("%+v, steps %v", result, steps)
	}
	if found := traces(t, s.dir, word); len(found) > 0 {
		t.Errorf("%v still have the word", found)
	}
	for range 2 {
		m = open(t, s, other, "INBOX")
		list := rows(m)
		if len(list) != len(kept) {
			t.Fatalf("%d messages of the other, want %d", len(list), len(kept))
		}
		for i := range list {
			if text(t, s, list[i].Body) != kept[i] {
				t.Errorf("message %d of the other is another", i)
			}
		}
		s = reopen(t, s)
	}
	if _, err := s.EraseAccount(t.Context(), a, nil, func(string, int64, int64) {}); err != nil {
		t.Errorf("erasing again: %v", err)
	}
}

// TestOverwritingIsDroppedOnce: the start of cleaning and an erasure may both
// find what is to be deleted.
func TestOverwritingIsDroppedOnce(t *testing.T) {
	s := newStore(t)
	for range 20 {
		next := uint64(0)
		if err := s.disk.state.Update(func(tx *bbolt.Tx) error { return putOverwriting(tx, &next, 1) }); err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		var errs [4]error
		for i := range errs {
			work.Go(func() { errs[i] = dropOverwriting(s.disk.state) })
		}
		work.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
	}
}

// erasuresEnd waits until a start has finished what was begun before it.
func erasuresEnd(s *Store) error {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		left := false
		err := s.Room(cleanRoom).Each(eraseKey, func(string, []byte) error { left = true; return nil })
		if err != nil || !left {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("the erasure does not end")
		}
	}
}

// An erasure that the end of the process cuts short is finished by the next start.
func TestErasureGoesOn(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"", "reading the log", "cleaning", "overwriting free pages of the databases", "making checkpoints"} {
		t.Run(end, func(t *testing.T) {
			s := newStore(t)
			s.cleaner.rest = 0
			a := newAccount(t, s)
			word := "wordThatIsOnlyHers"
			for range 40 {
				deliver(t, s, a, "INBOX", "Subject: "+word+"\r\n\r\n"+strings.Repeat(word, 1000))
			}
			ctx, cancel := context.WithCancel(t.Context())
			if end == "" {
				e := erasing{s: s, ctx: ctx, account: a, words: []string{word}}
				if err := e.begin(nil); err != nil {
					t.Fatal(err)
				}
			} else {
				_, err := s.EraseAccount(ctx, a, []string{word}, func(doing string, _, _ int64) {
					if doing == end {
						cancel()
					}
				})
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			cancel()
			s = crash(t, s)
			if err := erasuresEnd(s); err != nil {
				t.Fatal(err)
			}
			if found := traces(t, s.dir, word); len(found) > 0 {
				t.Errorf("%v still have the word", found)
			}
		})
	}
}
