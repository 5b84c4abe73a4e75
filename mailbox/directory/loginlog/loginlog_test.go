package loginlog

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newLog(t *testing.T) (*Log, *clock, *mailbox.Store) {
	t.Helper()
	s, c := mailboxtest.NewStore(t), &clock{time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)}
	return New(s, c.now), c, s
}

func lines(t *testing.T, l *Log, a mailbox.AccountID) []Line {
	t.Helper()
	all, err := l.Lines(t.Context(), a, 0)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRuns: logins that are alike are one line a day, others have their own, and the log goes on after a restart.
func TestRuns(t *testing.T) {
	l, c, s := newLog(t)
	phone := Login{Account: 1, Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.7"), App: "phone", Result: OK}
	guess := Login{Account: 1, Protocol: "submission", Remote: netip.MustParseAddr("198.51.100.1"), Result: Wrong}
	start := c.at
	for range 3 {
		for range 20 * 60 { // each minute
			l.Note(phone)
			c.at = c.at.Add(time.Minute)
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	phone.Client = "Mail\x00 1.0"
	l.Identify(phone)
	for i := range 5 {
		guess.Remote = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
		l.Note(guess)
	}
	l.Note(Login{Account: 2, Protocol: "pop3", Remote: netip.MustParseAddr("2001:db8::1"), Result: Disabled})
	want := []Line{
		{c.at, c.at, 5, "submission", "198.51.100.0/24", nil, "", Wrong},
		{start.Add(48 * time.Hour), start.Add(60*time.Hour - time.Minute), 12 * 60, "imap", "192.0.2.7", []string{"Mail 1.0"}, "phone", OK},
		{start.Add(24 * time.Hour), start.Add(48*time.Hour - time.Minute), 24 * 60, "imap", "192.0.2.7", nil, "phone", OK},
		{start, start.Add(24*time.Hour - time.Minute), 24 * 60, "imap", "192.0.2.7", nil, "phone", OK},
	}
	if got := lines(t, l, 1); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	again := New(s, c.now)
	if got := lines(t, again, 1); !reflect.DeepEqual(got, want) {
		t.Errorf("after a restart %+v", got)
	}
	if got := lines(t, again, 2); len(got) != 1 || got[0].Remote != "2001:db8::/48" {
		t.Errorf("%+v", got)
	}
	last, ok, err := again.Last(1)
	if err != nil || !ok || !last.Last.Equal(want[1].Last) {
		t.Errorf("the last one: %+v, %v, %v", last, ok, err)
	}
	if _, ok, err := again.Last(2); ok || err != nil {
		t.Errorf("a refused one is the last one: %v", err)
	}
}

// TestBounds: guesses from everywhere are few lines and push no login out; old ones go, and those of accounts that are gone.
func TestBounds(t *testing.T) {
	l, c, s := newLog(t)
	l.Note(Login{Account: 1, Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.7"), Result: OK})
	guess := Login{Account: 1, Protocol: "imap", Result: Wrong}
	for i := range 1000 {
		guess.Remote = netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		l.Note(guess)
	}
	got := lines(t, l, 1)
	if len(got) != maxGuessers+2 {
		t.Errorf("%d lines", len(got))
	}
	rest := 0
	for _, line := range got {
		if line.Remote == "" {
			rest += line.Count
		}
	}
	if rest != 1000-maxGuessers {
		t.Errorf("%d guesses are told of together", rest)
	}
	// As if many days had brought as many: written beside the log, and counted by it.
	var changes []mailbox.RoomChange
	for i := range maxFailed {
		e := &entry{account: 1, Line: Line{First: c.at.Add(time.Duration(i-maxFailed) * time.Minute), Result: Wrong}}
		changes = append(changes, put(l.newKey(e), e.Line))
	}
	if err := l.write(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	l = New(s, c.now)
	l.Note(Login{Account: 1, Protocol: "pop3", Remote: netip.MustParseAddr("192.0.2.7"), Result: OK})
	got = lines(t, l, 1)
	kept := map[Result]int{}
	for _, line := range got {
		kept[line.Result]++
	}
	if kept[OK] != 2 || kept[Wrong] != maxFailed-maxFailed/10 {
		t.Errorf("kept %v", kept)
	}

	c.at = c.at.AddDate(0, 0, Days+1)
	l.Note(Login{Account: 1, Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.8"), Result: OK})
	l.Note(Login{Account: 2, Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.9"), Result: OK})
	l.Note(Login{Account: 3, Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.9"), Result: OK})
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Tidy(t.Context(), func(a mailbox.AccountID) bool { return a != 2 }); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, l, 1); len(got) != 1 || got[0].Remote != "192.0.2.8" {
		t.Errorf("%d lines are left, %+v", len(got), got[:min(3, len(got))])
	}
	l.Note(Login{Account: 3, Protocol: "pop3", Remote: netip.MustParseAddr("192.0.2.9"), Result: OK})
	if err := l.Forget(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := ""
	s.Room(room).Each("", func(key string, _ []byte) error { left += key + " "; return nil })
	if n := len(left); n == 0 || left[:len(Prefix(1))] != Prefix(1) || len(lines(t, l, 3))+len(lines(t, l, 2)) != 0 {
		t.Errorf("left: %s", left)
	}
}

// TestDiskThatTakesNothing: what could not be written is written later, once, and memory is bounded meanwhile.
func TestDiskThatTakesNothing(t *testing.T) {
	l, _, _ := newLog(t)
	for i := range maxOpen + maxWaiting + 10 {
		l.Note(Login{Account: 1, Protocol: fmt.Sprint(i), Remote: netip.MustParseAddr("192.0.2.7"), Result: OK})
	}
	if len(l.runs) != maxOpen || len(l.ended) != maxWaiting || l.dropped != 10 {
		t.Errorf("%d runs, %d wait, %d dropped", len(l.runs), len(l.ended), l.dropped)
	}
	l.ended, l.dropped = nil, 0
	l.putBack(l.take()) // as where the write fails
	if got := lines(t, l, 1); len(got) != maxOpen {
		t.Errorf("%d lines, want %d", len(got), maxOpen)
	}
}

// BenchmarkNote is what a login pays.
func BenchmarkNote(b *testing.B) {
	l := New(nil, time.Now)
	login := Login{Account: 1, Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.7"), App: "phone", Result: OK}
	b.ReportAllocs()
	for b.Loop() {
		l.Note(login)
	}
}
