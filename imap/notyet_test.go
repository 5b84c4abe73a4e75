package imap

import (
	"testing"

	"mailstead/mailbox"
)

// storeOrSkip skips a test that needs the store while that cannot be opened.
func storeOrSkip(t testing.TB) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Skipf("the store cannot be opened yet: %v", p)
		}
	}()
	s, err := mailbox.Open(t.TempDir(), mailbox.Options{SegmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
