package mailboxtest

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/log"
)

// NewStore opens a store in a folder of the test's, with small segments; a
// benchmark's has those of a server, as what small ones cost beside a delivery is
// not what a server pays. When the test ends, the store is checked and closed; a
// violated invariant fails the test.
func NewStore(t testing.TB) *mailbox.Store {
	t.Helper()
	return OpenStore(t, t.TempDir())
}

// NewStoreOn is NewStore with the log on another file system, one with faults.
func NewStoreOn(t testing.TB, fs log.FS) *mailbox.Store {
	t.Helper()
	return open(t, t.TempDir(), fs)
}

// OpenStore is NewStore for a folder that may hold a store already. A test
// that closes the store itself, to open the folder again, checks it before.
func OpenStore(t testing.TB, dir string) *mailbox.Store {
	t.Helper()
	return open(t, dir, nil)
}

func open(t testing.TB, dir string, fs log.FS) *mailbox.Store {
	t.Helper()
	var segments int64 = 256 << 10
	if _, ok := t.(*testing.B); ok {
		segments = 0
	}
	s, err := mailbox.Open(dir, mailbox.Options{
		SegmentSize: segments,
		FS:          fs,
		Logger:      slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := s.Check()
		if errors.Is(err, mailbox.ErrClosed) {
			return
		}
		if err != nil {
			t.Errorf("the store is not whole: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

// testLog writes to the log of a test.
type testLog struct{ t testing.TB }

func (w testLog) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}
