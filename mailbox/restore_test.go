package mailbox

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// TestRestoreMessages restores with flags, keywords and dates, by every filter, once.
func TestRestoreMessages(t *testing.T) {
	clock := newFakeClock()
	s := clock.open(t, t.TempDir(), 0)
	a := newAccount(t, s)
	date := time.Date(2026, 5, 17, 10, 0, 0, 0, time.FixedZone("", -3*3600))
	put := func(name, from string, date time.Time, flags ...goimap.Flag) {
		t.Helper()
		b := s.NewBody()
		fmt.Fprintf(b, "From: %s\r\nSubject: =?UTF-8?Q?sch=C3=B6n?=\r\n\r\nx\r\n", from)
		if _, err := s.Deliver(t.Context(), b, []Target{{Account: a, Name: name, Flags: flags, Date: date}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("INBOX", "=?UTF-8?Q?J=C3=B6rg?= <j@example.test>", date, "$One", "$Two", goimap.FlagSeen, goimap.FlagDeleted)
	put("INBOX", "ann@example.test", date.AddDate(0, 0, 1), "$Two")
	put("Junk", "ann@example.test", date.AddDate(0, 0, 2))
	m := open(t, s, a, "INBOX")
	if _, err := m.Copy(t.Context(), uids(m)[1:], "Trash"); err != nil { // not gone: it is in Trash, too
		t.Fatal(err)
	}
	expungeAll(t, s, a, "INBOX")
	expungeAll(t, s, a, "Junk")
	for i, c := range []struct {
		f    DeletedFilter
		want int
	}{
		{DeletedFilter{}, 2}, {DeletedFilter{Mailbox: "inbox"}, 1}, {DeletedFilter{Mailbox: "Trash"}, 0},
		{DeletedFilter{From: "JÖRG"}, 1}, {DeletedFilter{From: "ann@"}, 1}, {DeletedFilter{From: "nobody"}, 0},
		{DeletedFilter{Since: date}, 2}, {DeletedFilter{Since: date.Add(time.Second)}, 1}, {DeletedFilter{Before: date}, 0},
		{DeletedFilter{Since: date, Before: date.Add(time.Second)}, 1},
	} {
		for _, n := range []int{1, 10} {
			if got := deletedOf(t, s, a, c.f, n); len(got) != c.want {
				t.Errorf("filter %d: %+v", i, got)
			}
		}
	}
	got := deletedOf(t, s, a, DeletedFilter{From: "jörg"}, 10)
	if len(got) != 1 || got[0].From != "Jörg <j@example.test>" || got[0].Subject != "schön" || !got[0].Received.Equal(date) ||
		got[0].Mailbox != "INBOX" || got[0].UID != 1 || !got[0].Deleted.Equal(clock.wall) {
		t.Errorf("%+v", got)
	}
	if _, _, err := s.DeletedMessages(t.Context(), a, DeletedFilter{}, "xx", 1); !errors.Is(err, ErrCursor) {
		t.Errorf("a place that is none: %v", err)
	}
	for _, want := range []int{1, 0} { // twice is once
		if r, err := s.RestoreMessages(t.Context(), a, DeletedFilter{From: "jörg"}); err != nil || r.Messages != want || r.Mailbox != "Restored" {
			t.Errorf("restored %+v, %v", r, err)
		}
	}
	s = clock.restart(t, s, true)
	m = open(t, s, a, "Restored")
	list := rows(m)
	if len(list) != 1 || list[0].Flags != bits(seen, KeywordBit, KeywordBit+1) || !slices.Equal(m.Keywords(), []string{"$One", "$Two"}) ||
		list[0].Internal != DateOf(date) || list[0].Saved != clock.wall.Unix() {
		t.Errorf("%+v with %q", list, m.Keywords())
	}
	if r, err := s.RestoreMessages(t.Context(), a, DeletedFilter{}); err != nil || r.Messages != 1 {
		t.Errorf("restored %+v, %v", r, err)
	}
	// The letter in Trash is deleted for a second time: it comes back once.
	expungeAll(t, s, a, "Trash")
	if r, err := s.RestoreMessages(t.Context(), a, DeletedFilter{}); err != nil || r.Messages != 1 {
		t.Errorf("restored %+v, %v", r, err)
	}
	if n := len(rows(open(t, s, a, "Restored"))); n != 3 {
		t.Errorf("%d messages", n)
	}
}

// TestRestoreMailbox makes mailboxes again, in several records, under a free
// name, with the special use that nobody has.
func TestRestoreMailbox(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	for n := range 1200 {
		deliver(t, s, a, "Junk", letter(n), "$Junk")
	}
	before, err := s.Mailbox(a, "Junk")
	if err != nil {
		t.Fatal(err)
	}
	remove := func() {
		t.Helper()
		if err := s.Delete(t.Context(), a, "Junk"); err != nil {
			t.Fatal(err)
		}
	}
	restore := func(name string, n int) Info {
		t.Helper()
		r, err := s.RestoreMailbox(t.Context(), a, "Junk")
		if err != nil || r != (Restored{Mailbox: name, Messages: n}) {
			t.Fatalf("%+v, %v", r, err)
		}
		info, err := s.Mailbox(a, name)
		if err != nil || int(info.Messages) != n {
			t.Fatalf("%+v, %v", info, err)
		}
		return info
	}
	remove()
	if list, err := s.DeletedMailboxes(a); err != nil || len(list) != 1 || list[0].Name != "Junk" || list[0].Messages != 1200 || list[0].Size != before.Size {
		t.Errorf("%+v, %v", list, err)
	}
	now := restore("Junk", 1200)
	if now.ID == before.ID || now.UIDValidity <= before.UIDValidity || now.SpecialUse != goimap.MailboxAttrJunk || now.Size != before.Size {
		t.Errorf("%+v, was %+v", now, before)
	}
	if _, err := s.RestoreMailbox(t.Context(), a, "Junk"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("a second time: %v", err)
	}
	remove()
	if _, err := s.Create(t.Context(), a, "Junk", goimap.MailboxAttrJunk); err != nil {
		t.Fatal(err)
	}
	if info := restore("Junk (restored)", 1200); info.SpecialUse != "" {
		t.Errorf("special use %s twice", info.SpecialUse)
	}
	remove()
	if _, err := s.Create(t.Context(), a, "Junk", ""); err != nil {
		t.Fatal(err)
	}
	restore("Junk (restored 2)", 0)
	m := open(t, s, a, "Junk (restored)")
	for i, r := range rows(m) {
		if r.Flags != bits(KeywordBit) || r.UID != goimap.UID(i+1) || i%100 == 0 && text(t, s, r.Body) != letter(i) {
			t.Fatalf("message %d is %+v", i, r)
		}
	}
}

// TestRestoreAccount brings back under its id what an account had at the end,
// and goes on where an attempt ended.
func TestRestoreAccount(t *testing.T) {
	clock := newFakeClock()
	s := clock.open(t, t.TempDir(), 0)
	a := newAccount(t, s)
	for _, name := range []string{"parent/child", "early"} {
		if _, err := s.Create(t.Context(), a, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, s, a, "INBOX", letter(1))
	expungeAll(t, s, a, "INBOX")
	for n := range 5 {
		deliver(t, s, a, "INBOX", letter(10+n))
		deliver(t, s, a, "parent/child", letter(20+n))
	}
	want := names(t, s, a)
	clock.pass(time.Minute)
	if _, err := s.RestoreAccount(t.Context(), a); !errors.Is(err, ErrExists) {
		t.Errorf("an account that is there: %v", err)
	}
	for round := range 2 {
		if err := s.DeleteAccount(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		list, err := s.DeletedAccounts()
		if err != nil || len(list) != 1 || list[0].ID != a || list[0].Messages != 10 {
			t.Errorf("%+v, %v", list, err)
		}
		if round == 1 { // an attempt got as far as this
			if err := s.beginAccount(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if _, err := s.RestoreMailbox(t.Context(), a, "parent"); err != nil {
				t.Fatal(err)
			}
			s = clock.restart(t, s, false)
		}
		r, err := s.RestoreAccount(t.Context(), a, RoomChange{Room: "test", Key: "k", Value: []byte("v")})
		if err != nil || r.Messages != 10 {
			t.Fatalf("%+v, %v", r, err)
		}
		if got := names(t, s, a); !slices.Equal(got, want) {
			t.Errorf("mailboxes %q, were %q", got, want)
		}
		if _, ok, err := s.Room("test").Get("k"); err != nil || !ok {
			t.Error("the change is not made")
		}
		if list := rows(open(t, s, a, "INBOX")); len(list) != 5 || text(t, s, list[4].Body) != letter(14) {
			t.Errorf("INBOX has %+v", list)
		}
	}
	if got := len(deletedOf(t, s, a, DeletedFilter{}, 10)); got != 1 {
		t.Errorf("%d deleted messages, one was expunged before", got)
	}
	if _, err := s.RestoreAccount(t.Context(), 77); !errors.Is(err, ErrNoAccount) {
		t.Errorf("an account that never was: %v", err)
	}
}
