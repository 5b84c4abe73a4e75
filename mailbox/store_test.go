package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/log"
	"mailstead/mailbox/message"
)

// testOptions are small, quiet, and never commit by themselves: a test that
// wants the databases brought up says so.
func testOptions(t testing.TB) Options {
	return Options{
		SegmentSize: 256 << 10,
		CommitEvery: time.Hour,
		CleanEvery:  time.Hour, // on a busy machine a test can take minutes
		Logger:      slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Fatal:       func(err error) { panic(err) },
	}
}

// osFiles is what a store lies on when it is not told otherwise.
var osFiles = files{log.OS()}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// newStore opens a store that is checked and closed when the test ends.
func newStore(t testing.TB) *Store { return openStore(t, t.TempDir()) }

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

// closeStore checks and closes a store that is still open.
func closeStore(t testing.TB, s *Store) {
	t.Helper()
	err := s.Check()
	if errors.Is(err, ErrClosed) {
		return
	}
	if err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// crash opens a copy of the store's folder as it is now, as after the end of
// the process: nothing is committed or closed before.
func crash(t testing.TB, s *Store) *Store {
	t.Helper()
	s.applier.commit.Lock() // a database is not copied in the middle of a commit
	defer s.applier.commit.Unlock()
	dir := t.TempDir()
	if err := copyFolder(dir, s.dir); err != nil {
		t.Fatal(err)
	}
	return openStore(t, dir)
}

// copyFolder copies a store's folder. Segments that are just being prepared may vanish meanwhile.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || path == from {
			return err
		}
		name := filepath.Join(to, path[len(from):])
		if e.IsDir() {
			return os.Mkdir(name, 0o700)
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(name, data, 0o600)
	})
}

// reopen closes the store and opens it again.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	closeStore(t, s)
	return openStore(t, s.dir)
}

// restarts are the ways in which a store begins again.
var restarts = map[string]func(testing.TB, *Store) *Store{
	"running": func(_ testing.TB, s *Store) *Store { return s },
	"reopen":  reopen,
	"crash":   crash,
	"crash after commit": func(t testing.TB, s *Store) *Store {
		commit(t, s)
		return crash(t, s)
	},
}

func commit(t testing.TB, s *Store) {
	t.Helper()
	if err := s.apply(); err != nil {
		t.Fatal(err)
	}
}

func newAccount(t testing.TB, s *Store) AccountID {
	t.Helper()
	a, err := s.CreateAccount(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// letter is a small message with its number in it.
func letter(n int) string {
	return fmt.Sprintf("From: a@example.test\r\nSubject: letter %d\r\n\r\nNumber %d.\r\n", n, n)
}

// deliver puts a letter into a mailbox.
func deliver(t testing.TB, s *Store, a AccountID, name, text string, flags ...goimap.Flag) goimap.UID {
	t.Helper()
	b := s.NewBody()
	defer b.Abort()
	io.WriteString(b, text)
	placed, err := s.Deliver(context.Background(), b, []Target{{Account: a, Name: name, Flags: flags}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if placed[0].Err != nil {
		t.Fatal(placed[0].Err)
	}
	return placed[0].UID
}

// tryDeliver is deliver to the INBOX of a store that may refuse.
func tryDeliver(t testing.TB, s *Store, a AccountID, text string) error {
	b := s.NewBody()
	defer b.Abort()
	if _, err := io.WriteString(b, text); err != nil {
		return err
	}
	_, err := s.Deliver(t.Context(), b, []Target{{Account: a, Name: "INBOX"}}, nil)
	return err
}

func open(t testing.TB, s *Store, a AccountID, name string) *Mailbox {
	t.Helper()
	m, err := s.OpenMailbox(t.Context(), a, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// rows returns a mailbox's messages.
func rows(m *Mailbox) []Row {
	v := m.View(false)
	return v.Rows(nil, 1, v.Len())
}

// text reads a stored message.
func text(t testing.TB, s *Store, id BodyID) string {
	t.Helper()
	b, err := s.OpenBody(id)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var out bytes.Buffer
	if _, err := b.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDeliverAndRead(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			a := newAccount(t, s)
			big := letter(9) + string(bytes.Repeat([]byte("0123456789abcdef\r\n"), 100_000))
			for i, text := range []string{letter(1), letter(2), big} {
				if uid := deliver(t, s, a, "INBOX", text); uid != goimap.UID(i+1) {
					t.Fatalf("message %d got UID %d", i, uid)
				}
			}
			s = restart(t, s)
			m := open(t, s, a, "inbox")
			list := rows(m)
			if len(list) != 3 {
				t.Fatalf("%d messages", len(list))
			}
			for i, want := range []string{letter(1), letter(2), big} {
				if got := text(t, s, list[i].Body); got != want || list[i].Size != int64(len(want)) {
					t.Errorf("message %d: %d bytes, want %d", i, len(got), len(want))
				}
			}
			checkIndexes(t, s, list, 3)
			u, err := s.Usage(a)
			if want := int64(len(letter(1)) + len(letter(2)) + len(big)); err != nil || u.Messages != 3 || u.Size != want {
				t.Errorf("usage %+v, %v; want %d bytes", u, err, want)
			}
		})
	}
}

// checkIndexes expects an index with a subject for each row.
func checkIndexes(t *testing.T, s *Store, list []Row, want int) {
	t.Helper()
	msgs := make([]Message, len(list))
	for i := range list {
		msgs[i] = list[i].Message
	}
	n := 0
	err := s.Indexes(msgs, func(i int, v message.View) error {
		if i != n || !bytes.Contains(v.Envelope(), []byte("letter")) || v.Size() != msgs[i].Size {
			t.Errorf("index %d: %s", i, v.Envelope())
		}
		n++
		return nil
	})
	if err != nil || n != want {
		t.Errorf("%d indexes, %v; want %d", n, err, want)
	}
}

func TestSecondOwnerIsRefused(t *testing.T) {
	s := newStore(t)
	_, err := Open(s.dir, testOptions(t))
	if !errors.Is(err, ErrLocked) || !bytes.Contains([]byte(err.Error()), fmt.Appendf(nil, "process %d", os.Getpid())) {
		t.Errorf("second Open: %v", err)
	}
}

func TestFlagsExpungeCopyMove(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			a := newAccount(t, s)
			for i := range 10 {
				deliver(t, s, a, "INBOX", letter(i))
			}
			m := open(t, s, a, "INBOX")
			res, err := m.Store(t.Context(), StoreChange{UIDs: []goimap.UID{1, 2, 3, 99}, Op: FlagsAdd, Flags: []goimap.Flag{`\seen`, "$Work"}})
			if err != nil || res.ModSeq == 0 || res.Modified != nil {
				t.Fatal(res, err)
			}
			copied, err := m.Copy(t.Context(), []goimap.UID{2, 4}, "Archive")
			if err != nil || !slices.Equal(copied.Source, []goimap.UID{2, 4}) || !slices.Equal(copied.Dest, []goimap.UID{1, 2}) {
				t.Fatal(copied, err)
			}
			if copied, err = m.Move(t.Context(), []goimap.UID{3, 5, 77}, "Archive"); err != nil || !slices.Equal(copied.Dest, []goimap.UID{3, 4}) {
				t.Fatal(copied, err)
			}
			if copied, err = m.Move(t.Context(), []goimap.UID{10}, "inbox"); err != nil || !slices.Equal(copied.Dest, []goimap.UID{11}) {
				t.Fatal(copied, err)
			}
			if _, err := m.Store(t.Context(), StoreChange{UIDs: []goimap.UID{7, 8}, Op: FlagsReplace, Flags: []goimap.Flag{`\Deleted`}}); err != nil {
				t.Fatal(err)
			}
			gone, err := m.ExpungeAll(t.Context(), true)
			if err != nil || !slices.Equal(gone, []goimap.UID{7, 8}) {
				t.Fatal(gone, err)
			}
			s = restart(t, s)
			m = open(t, s, a, "INBOX")
			if got, want := uids(m), []goimap.UID{1, 2, 4, 6, 9, 11}; !slices.Equal(got, want) {
				t.Errorf("INBOX has %v, want %v", got, want)
			}
			work, _ := m.Bits([]goimap.Flag{"$WORK"}, false)
			if r := rows(m); !r[0].Flags.Has(FlagSeen) || r[0].Flags != work.With(FlagSeen) || r[2].Flags != (FlagSet{}) {
				t.Errorf("flags of %+v", r)
			}
			if vanished, ok := m.Vanished(res.ModSeq); !ok || vanished.String() != "3,5,7:8,10" {
				t.Errorf("vanished %v, %v", vanished, ok)
			}
			archive := open(t, s, a, "Archive")
			if r := rows(archive); len(r) != 4 || text(t, s, r[0].Body) != letter(1) || text(t, s, r[3].Body) != letter(4) ||
				!r[2].Flags.Has(FlagSeen) || len(archive.Keywords()) != 1 {
				t.Errorf("Archive has %+v, keywords %q", r, archive.Keywords())
			}
			if info, _ := m.Info(); info.Messages != 6 || info.Unseen != 4 || info.Deleted != 0 || info.UIDNext != 12 {
				t.Errorf("INBOX is %+v", info)
			}
		})
	}
}

// TestNoUIDsIsNone: who asks for nothing must not get everything.
func TestNoUIDsIsNone(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	for i := range 3 {
		deliver(t, s, a, "INBOX", letter(i), `\Deleted`)
	}
	m := open(t, s, a, "INBOX")
	for _, none := range [][]goimap.UID{nil, {}} {
		for _, deleted := range []bool{false, true} {
			if gone, err := m.Expunge(t.Context(), none, deleted); err != nil || len(gone) != 0 {
				t.Errorf("expunged %v, error %v", gone, err)
			}
		}
		for _, transfer := range []func(context.Context, []goimap.UID, string) (Copied, error){m.Copy, m.Move} {
			if c, err := transfer(t.Context(), none, "Trash"); err != nil || len(c.Source) != 0 {
				t.Errorf("took %v along, error %v", c.Source, err)
			}
		}
		res, err := m.Store(t.Context(), StoreChange{UIDs: none, Op: FlagsReplace})
		if err != nil || res.ModSeq != 0 {
			t.Errorf("set flags: %+v, error %v", res, err)
		}
	}
	if got := uids(m); len(got) != 3 {
		t.Errorf("%v are left", got)
	}
	if gone, err := m.ExpungeAll(t.Context(), true); err != nil || len(gone) != 3 {
		t.Errorf("expunging all took %v, error %v", gone, err)
	}
}

func uids(m *Mailbox) []goimap.UID {
	return m.View(false).UIDs()
}
