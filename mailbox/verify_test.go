package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// verify expects so many findings and returns them.
func verify(t *testing.T, s *Store, want int) Verified {
	t.Helper()
	v, err := s.Verify(t.Context(), VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Findings) != want {
		t.Fatalf("%d findings, want %d: %+v", len(v.Findings), want, v.Findings)
	}
	if _, err := os.Stat(filepath.Join(s.dir, verifyFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is still there: %v", err)
	}
	return v
}

// openQuiet opens a store that will complain, and is not checked at its end.
func openQuiet(t *testing.T, dir string) *Store {
	t.Helper()
	o := testOptions(t)
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// segmentOf is the file a place is in.
func segmentOf(s *Store, p log.Place) string {
	return filepath.Join(s.dir, logFolder, fmt.Sprintf("%010d.seg", p.Segment))
}

// flipAt flips a bit behind the text in a file, and back when called again.
func flipAt(t *testing.T, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(data), text)
	if at < 0 {
		t.Fatalf("%s has no %q", path, text)
	}
	at += len(text)
	data[at] ^= 1
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(data[at:at+1], int64(at))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyWhole(t *testing.T) {
	s, a := fillStore(t)
	deliver(t, s, a, "Sent", strings.Repeat("a large one\r\n", 1<<17))
	var steps []string
	v, err := s.Verify(t.Context(), VerifyOptions{Rest: true, Progress: func(p VerifyProgress) { steps = append(steps, p.Step) }})
	if err != nil || len(v.Findings) != 0 || v.Bodies != 6 || v.Indexes != 6 || v.Orphans != 0 || v.Fenced != 0 || v.Octets < 13<<17 {
		t.Errorf("%+v, %v", v, err)
	}
	if len(slices.Compact(steps)) < 6 {
		t.Errorf("steps %q", steps)
	}
}

// TestVerifyFindsAFlippedBit: it is named with whom it hits, its message is
// refused from then on, across restarts, and the others are served.
func TestVerifyFindsAFlippedBit(t *testing.T) {
	for _, c := range []struct {
		name string
		text string // of the message that is hit
		file func(*Store, BodyID, log.Place) string
	}{
		{"in the log", letter(2), func(s *Store, _ BodyID, p log.Place) string { return segmentOf(s, p) }},
		{"in a large body", "Subject: large\r\n\r\n" + strings.Repeat("line\r\n", 1<<18), func(s *Store, id BodyID, _ log.Place) string {
			return filepath.Join(s.dir, logFolder, "big", fmt.Sprintf("%016x", uint64(id)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openQuiet(t, t.TempDir())
			a := newAccount(t, s)
			deliver(t, s, a, "INBOX", letter(1))
			uid := deliver(t, s, a, "INBOX", c.text)
			deliver(t, s, a, "INBOX", letter(3))
			if _, err := open(t, s, a, "INBOX").Copy(t.Context(), []goimap.UID{uid}, "Sent"); err != nil {
				t.Fatal(err)
			}
			list := rows(open(t, s, a, "INBOX"))
			hit := list[1].Body
			place, err := s.place(hit)
			if err != nil {
				t.Fatal(err)
			}
			file, at := c.file(s, hit, place), c.text[:len("From: a@exa")]
			if !place.Big {
				at = "Subject: letter "
				at = c.text[strings.Index(c.text, at):][:len(at)+1]
			}
			flipAt(t, file, at)
			v := verify(t, s, 1)
			f := v.Findings[0]
			if f.Where != "log" || f.Segment != place.Segment || f.Offset != int64(place.Offset) || v.Fenced != 1 {
				t.Errorf("%+v", v)
			}
			if len(f.Hit) != 2 || f.Hit[0] != (Hit{Body: hit, Account: a, Mailbox: "INBOX", UID: uid}) || f.Hit[1].Mailbox != "Sent" {
				t.Errorf("hit %+v", f.Hit)
			}
			for start := range 2 {
				if _, err := s.OpenBody(hit); !errors.Is(err, ErrDamaged) {
					t.Errorf("start %d: %v", start, err)
				}
				var several Bodies
				if err := s.LocateBodies([]Message{list[1].Message}, &several); err != nil {
					t.Fatal(err)
				}
				if _, err := several.Open(0, make([]byte, 4096)); !errors.Is(err, ErrDamaged) {
					t.Errorf("start %d, several: %v", start, err)
				}
				if got := text(t, s, list[2].Body); got != letter(3) {
					t.Errorf("start %d: the next message is %q", start, got)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openQuiet(t, s.dir)
			}
			flipAt(t, file, at)
			verify(t, s, 0)
			if got := text(t, s, hit); got != c.text {
				t.Errorf("mended, it is %q", got)
			}
		})
	}
}

// TestVerifyFindsLoss has segments and files of bodies vanish.
func TestVerifyFindsLoss(t *testing.T) {
	s := openQuiet(t, t.TempDir())
	a := newAccount(t, s)
	uid := deliver(t, s, a, "INBOX", strings.Repeat("line\r\n", 1<<18))
	m := open(t, s, a, "INBOX")
	body := rows(m)[0].Body
	if err := os.Remove(filepath.Join(s.dir, logFolder, "big", fmt.Sprintf("%016x", uint64(body)))); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Expunge(t.Context(), []goimap.UID{uid}, false); err != nil {
		t.Fatal(err)
	}
	b := s.NewBody()
	io.WriteString(b, letter(1))
	v := verify(t, s, 1)
	b.Abort()
	if h := v.Findings[0].Hit; len(h) != 1 || h[0] != (Hit{Body: body, Account: a, Mailbox: "INBOX", UID: uid, Expunged: true}) {
		t.Errorf("%+v", v.Findings)
	}
}

// TestVerifyFindsDamageInDatabases: wrong counters, broken pages, wrong indexes.
func TestVerifyFindsDamageInDatabases(t *testing.T) {
	t.Run("a flag that means nothing", func(t *testing.T) {
		s := openQuiet(t, t.TempDir())
		a := newAccount(t, s)
		deliver(t, s, a, "INBOX", letter(1))
		commit(t, s)
		err := s.disk.state.Update(func(tx *bbolt.Tx) error {
			key, _ := tx.Bucket(bucketFlags).Cursor().First()
			return tx.Bucket(bucketFlags).Delete(slices.Clone(key))
		})
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Verify(t.Context(), VerifyOptions{})
		if err != nil || !slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Where == stateFile }) {
			t.Errorf("%+v, %v", v, err)
		}
	})
	t.Run("an index", func(t *testing.T) {
		s, a := fillStore(t)
		commit(t, s)
		list := rows(open(t, s, a, "INBOX"))
		var other []byte
		err := s.disk.indexes([]BodyID{list[2].Body}, func(_ int, value []byte) error {
			other = slices.Clone(value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		other[2] ^= 1 // the size of the message
		if err := s.disk.applyDerived([]derivedEntry{{Body: list[1].Body, Value: []byte{255}}, {Body: list[2].Body, Value: other}}, 0); err != nil {
			t.Fatal(err)
		}
		for _, f := range verify(t, s, 2).Findings {
			if f.Where != derivedFile || !strings.Contains(f.What, "made again") {
				t.Errorf("%+v", f)
			}
		}
		commit(t, s)
		verify(t, s, 0)
		checkIndexes(t, s, list, 4)
	})
	t.Run("pages", func(t *testing.T) {
		s := openQuiet(t, t.TempDir())
		a := newAccount(t, s)
		deliver(t, s, a, "INBOX", letter(1))
		commit(t, s)
		data, err := os.ReadFile(s.disk.state.path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(s.disk.state.path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for at := 3 * os.Getpagesize(); at < len(data); at += os.Getpagesize() {
			if _, err := f.WriteAt(make([]byte, 512), int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		v := &verification{s: s, ctx: t.Context(), o: VerifyOptions{Progress: func(VerifyProgress) {}}}
		if err := errors.Join(v.openCopy(), v.state(), v.closeCopy()); err != nil {
			t.Fatal(err)
		}
		if f := v.found.Findings; len(f) != 1 || f[0].Where != stateFile {
			t.Errorf("%+v", f)
		}
		if _, err := f.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
	})
}

// TestVerifyWhileInUse: deliveries, flags and expunges are no damage.
func TestVerifyWhileInUse(t *testing.T) {
	s, a := fillStore(t)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		m := open(t, s, a, "INBOX")
		for i := 0; ctx.Err() == nil; i++ {
			uid := deliver(t, s, a, "INBOX", letter(i))
			if _, err := m.Expunge(t.Context(), []goimap.UID{uid}, false); i%2 == 0 && err != nil {
				t.Error(err)
			}
			m.View(true).Update(true)
			if i%10 == 0 {
				commit(t, s)
			}
		}
	})
	for range 5 {
		verify(t, s, 0)
	}
	stop()
	work.Wait()
}

func TestVerifyStops(t *testing.T) {
	s, _ := fillStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := &verification{s: s, ctx: ctx, o: VerifyOptions{Rest: true, Progress: func(VerifyProgress) {}}}
	if err := v.readLog(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.verifying.Lock()
	defer s.verifying.Unlock()
	if _, err := s.Verify(t.Context(), VerifyOptions{}); !errors.Is(err, ErrVerifying) {
		t.Error(err)
	}
}
