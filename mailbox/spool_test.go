package mailbox_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// TestSpool: what is held comes back as it was, from memory and from a file,
// and nothing of it stays.
func TestSpool(t *testing.T) {
	for _, size := range []int{0, 1, 5000, 1 << 20, 1<<20 + 1, 3<<20 + 17} {
		dir := t.TempDir()
		s := mailboxtest.OpenStore(t, dir)
		text := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		p := s.NewSpool()
		for rest := text; len(rest) > 0; rest = rest[min(len(rest), 60000):] {
			if _, err := p.Write(rest[:min(len(rest), 60000)]); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			var out bytes.Buffer
			if n, err := p.WriteTo(&out); err != nil || n != int64(size) || !bytes.Equal(out.Bytes(), text) {
				t.Errorf("%d octets: came back as %d, %v", size, n, err)
			}
		}
		if n := len(bigFiles(t, dir)); n != min(size>>20, 1) { // tests have small segments, so a megabyte is large
			t.Errorf("%d octets: %d files", size, n)
		}
		p.Free()
		p.Free()
		if left := bigFiles(t, dir); len(left) > 0 {
			t.Errorf("%d octets: left %q", size, left)
		}
	}
}

// TestSpoolTooBig: a spool holds no more than a message may have.
func TestSpoolTooBig(t *testing.T) {
	s, err := mailbox.Open(t.TempDir(), mailbox.Options{MaxMessageSize: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := s.NewSpool()
	defer p.Free()
	if _, err := p.Write(make([]byte, 2<<20)); err != nil {
		t.Error(err)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, mailbox.ErrTooBig) {
		t.Errorf("one octet too many: %v", err)
	}
	if _, err := p.WriteTo(new(bytes.Buffer)); !errors.Is(err, mailbox.ErrTooBig) {
		t.Errorf("reading what is too big: %v", err)
	}
}

func bigFiles(t *testing.T, dir string) []string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(dir, "*", "big"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("the folder of large bodies is %q, %v", folders, err)
	}
	names, err := filepath.Glob(filepath.Join(folders[0], "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
