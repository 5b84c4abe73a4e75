package mailbox

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// BenchmarkVerify is the rate of a whole verification without rests, in the page cache.
func BenchmarkVerify(b *testing.B) {
	o := testOptions(b)
	o.SegmentSize = 32 << 20
	s, err := Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	a := newAccount(b, s)
	large := strings.Repeat("some words of a letter\r\n", 2200)
	for i := range 2000 {
		deliver(b, s, a, "INBOX", letter(i)+large)
	}
	commit(b, s)
	for b.Loop() {
		v, err := s.Verify(b.Context(), VerifyOptions{})
		if err != nil || len(v.Findings) != 0 {
			b.Fatal(v.Findings, err)
		}
		b.SetBytes(v.Octets)
	}
}

// BenchmarkRebuildMillion makes the state.db of a million messages again from a
// checkpoint, until the store is open.
func BenchmarkRebuildMillion(b *testing.B) {
	dir := b.TempDir()
	d := millionMessages(b, dir)
	if _, err := d.checkpoint(filepath.Join(dir, checkpointFolder)); err != nil {
		b.Fatal(err)
	}
	if err := d.close(); err != nil {
		b.Fatal(err)
	}
	o := testOptions(b)
	took := time.Duration(0)
	for b.Loop() {
		done, err := Rebuild(dir, o)
		if err != nil {
			b.Fatal(err)
		}
		took += done.Took
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s-to-open")
}

// millionMessages opens databases in dir with a mailbox of a million messages, brought by
// a hundred commits.
func millionMessages(b *testing.B, dir string) *disk {
	b.Helper()
	d, err := openDisk(dir, diskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	w := &writer{t: b, d: d}
	w.ops(opAccount{Account: 1}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1})
	for first := 0; first < 1_000_000; first += 10_000 {
		var recs []appliedRecord
		for i := range 10_000 {
			recs = append(recs, delivery(1, goimap.UID(first+i+1), BodyID(first+i+1), FlagSet{}))
		}
		w.apply(recs...)
		w.recs = nil
	}
	return d
}
