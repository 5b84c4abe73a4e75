package report

import (
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// idleDesk is a desk that notes letters and does not get to read them.
func idleDesk(s *mailbox.Store) *Desk {
	d := newDesk(s, forUs)
	d.o.Logger = discard()
	return d
}

var forUs = Options{
	Ours: func(domain string) bool { return domain == "example.org" },
	Now:  func() time.Time { return day(22, 12, 0, 0) },
}

// waitingIn counts the letters that are noted to be read.
func waitingIn(t *testing.T, s *mailbox.Store) (n int) {
	t.Helper()
	must(t, s.Room(roomName).Each(waitingPrefix, func(string, []byte) error { n++; return nil }))
	return n
}

// TestTakenIsRead: what was taken before the server went is read after its next
// start, also what its recipient has no more by then, and then no more.
func TestTakenIsRead(t *testing.T) {
	dir := t.TempDir()
	s := mailboxtest.OpenStore(t, dir)
	a, err := s.CreateAccount(t.Context(), nil)
	must(t, err)
	d := idleDesk(s)
	xml := string(sample(t, "rfc7489.xml"))
	for _, content := range []string{xml, strings.Replace(xml, "4711", "4712", 1), "nothing"} {
		must(t, d.Take(t.Context(), stored(t, s, a, letter("application/gzip", "r.gz", gzipped(t, []byte(content))))))
	}
	_, err = s.EraseAccount(t.Context(), a, nil, func(string, int64, int64) {})
	must(t, err)
	if n := waitingIn(t, s); n != 3 {
		t.Fatalf("%d letters wait", n)
	}
	must(t, s.Close())

	s = mailboxtest.OpenStore(t, dir)
	next, err := Open(s, forUs)
	must(t, err)
	next.Close()
	if n := len(kept(t, s, KindDMARC)); n != 2 {
		t.Errorf("%d reports", n)
	}
	if n := waitingIn(t, s); n != 0 {
		t.Errorf("%d letters still wait", n)
	}
}

// TestLetterThatEndsTheServer is given up after some starts.
func TestLetterThatEndsTheServer(t *testing.T) {
	s := mailboxtest.NewStore(t)
	a, err := s.CreateAccount(t.Context(), nil)
	must(t, err)
	must(t, idleDesk(s).Take(t.Context(), stored(t, s, a, letter("text/xml", "r.xml", sample(t, "rfc7489.xml")))))
	for start := 1; start <= maxStarts; start++ {
		d := idleDesk(s) // that ends before it is done
		must(t, d.recall(t.Context()))
		if len(d.waiting) != 1 {
			t.Fatalf("start %d has %d letters to read", start, len(d.waiting))
		}
	}
	d := idleDesk(s)
	must(t, d.recall(t.Context()))
	if n := waitingIn(t, s); n != 0 || len(d.waiting) != 0 {
		t.Errorf("%d letters wait, %d are to be read", n, len(d.waiting))
	}
}

// TestFloodOfReports: beyond the bound nothing is noted, and no mail refused.
func TestFloodOfReports(t *testing.T) {
	s := mailboxtest.NewStore(t)
	d := idleDesk(s)
	d.waiting = make([]mailbox.BodyID, maxWaiting)
	must(t, d.Take(t.Context(), 1<<40))
	if n := waitingIn(t, s); n != 0 || len(d.waiting) != maxWaiting {
		t.Errorf("%d are noted, %d wait", n, len(d.waiting))
	}
}

// TestClosedWithManyToRead: closing reads a bounded number, and leaves the others noted.
func TestClosedWithManyToRead(t *testing.T) {
	s := mailboxtest.NewStore(t)
	a, err := s.CreateAccount(t.Context(), nil)
	must(t, err)
	d := idleDesk(s)
	const more = 5
	for range lastLetters + more {
		must(t, d.Take(t.Context(), stored(t, s, a, letter("text/xml", "r.xml", []byte("nothing")))))
	}
	<-d.kick // nobody is told of them: all are left for the end
	go d.run()
	d.Close()
	if n := waitingIn(t, s); n != more {
		t.Errorf("%d letters wait, want %d", n, more)
	}
}
