package mailbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// follower knows the messages of a store from nothing but its feed.
type follower struct {
	feed  *Feed
	boxes map[ID]map[goimap.UID]FlagSet
	last  ModSeq
}

func follow(s *Store, after ModSeq) *follower {
	return &follower{feed: s.Feed(after), boxes: make(map[ID]map[goimap.UID]FlagSet)}
}

func (f *follower) read() error {
	return f.feed.Read(context.Background(), func(c Change) error {
		if c.LSN <= f.last {
			return fmt.Errorf("change %d behind %d", c.LSN, f.last)
		}
		f.last = c.LSN
		for _, m := range c.Mailboxes {
			f.change(m)
		}
		return nil
	})
}

func (f *follower) change(m MailboxChange) {
	if f.boxes[m.Mailbox] == nil {
		f.boxes[m.Mailbox] = make(map[goimap.UID]FlagSet)
	}
	box := f.boxes[m.Mailbox]
	for _, a := range m.Added {
		box[a.UID] = a.Flags
	}
	for _, c := range m.Flags {
		for uid := range box {
			if c.UIDs.Contains(uid) {
				box[uid] = c.Flags
			}
		}
	}
	maps.DeleteFunc(box, func(uid goimap.UID, _ FlagSet) bool { return m.Expunged.Contains(uid) })
	if m.Deleted {
		delete(f.boxes, m.Mailbox)
	}
}

// compare holds what was heard against what is there.
func (f *follower) compare(t *testing.T, s *Store, a AccountID) {
	t.Helper()
	infos, err := s.Mailboxes(a)
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != len(f.boxes) {
		t.Errorf("%d mailboxes, heard of %d", len(infos), len(f.boxes))
	}
	for _, i := range infos {
		got := make(map[goimap.UID]FlagSet)
		for _, r := range rows(open(t, s, a, i.Name)) {
			got[r.UID] = r.Flags
		}
		if !maps.Equal(got, f.boxes[i.ID]) {
			t.Errorf("%s: heard %v\nthere is %v", i.Name, f.boxes[i.ID], got)
		}
	}
}

// TestFeedSaysEverything: random operations and restarts, known from the feed alone.
func TestFeedSaysEverything(t *testing.T) {
	w := newWorld(t, 11)
	f := follow(w.s, 0)
	for range 150 {
		w.step()
		f.feed = w.s.Feed(f.last) // the store may be another one: it was restarted
		if err := f.read(); err != nil {
			t.Fatal(err)
		}
	}
	if f.last != w.s.LastChange() || f.feed.At() != f.last {
		t.Errorf("heard up to %d, at %d of %d", f.last, f.feed.At(), w.s.LastChange())
	}
	f.compare(t, w.s, w.a)
}

func TestFeedChange(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	info, err := s.Mailbox(a, inbox)
	if err != nil {
		t.Fatal(err)
	}
	f := s.Feed(s.LastChange())
	woken := make(chan struct{}, 1)
	defer s.WatchAll(woken)()
	uid := deliver(t, s, a, inbox, letter(1), goimap.FlagSeen)
	<-woken
	var got []Change
	read := func() {
		t.Helper()
		if err := f.Read(t.Context(), func(c Change) error { got = append(got, c); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if len(got) != 1 || len(got[0].Mailboxes) != 1 || got[0].Body == 0 || got[0].LSN != s.LastChange() {
		t.Fatalf("%+v", got)
	}
	m := got[0].Mailboxes[0]
	if m.Mailbox != info.ID || m.Account != a || len(m.Added) != 1 || m.Added[0].UID != uid ||
		m.Added[0].Body != got[0].Body || m.Added[0].Size != int64(len(letter(1))) || !m.Added[0].Flags.Has(FlagSeen) {
		t.Errorf("%+v", m)
	}
	if _, err := s.Create(t.Context(), a, "gone", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), a, "gone"); err != nil {
		t.Fatal(err)
	}
	got = nil
	read()
	made := slices.IndexFunc(got, func(c Change) bool { return len(c.Mailboxes) > 0 && c.Mailboxes[0].Described })
	deleted := slices.IndexFunc(got, func(c Change) bool { return len(c.Mailboxes) > 0 && c.Mailboxes[0].Deleted })
	if made < 0 || deleted <= made || got[made].Mailboxes[0].Account != 0 {
		t.Errorf("%+v", got)
	}
	if err := s.DeleteAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	got = nil
	read()
	if n := len(got); n == 0 || !slices.Contains(got[n-1].Erased, a) {
		t.Errorf("%+v", got)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Feed(0).Read(stopped, func(Change) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// TestFeedHoldsNothingBack: segments go, and who has not read them is told so.
func TestFeedHoldsNothingBack(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	behind, ahead := s.Feed(0), s.Feed(0)
	if err := ahead.Read(t.Context(), func(Change) error { return nil }); err != nil {
		t.Fatal(err)
	}
	at := ahead.At()
	commit(t, s)
	if err := s.log.Seal(); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, a, inbox, letter(1))
	if err := s.log.Remove(s.log.Segments()[0].Number); err != nil { // it has no bodies
		t.Fatal(err)
	}
	none := func(Change) error { t.Error("a change out of its order"); return nil }
	if err := behind.Read(t.Context(), none); !errors.Is(err, ErrBehind) {
		t.Errorf("behind: %v", err)
	}
	count := 0
	if err := s.Feed(at).Read(t.Context(), func(Change) error { count++; return nil }); err != nil || count != 1 {
		t.Errorf("%d changes, %v", count, err)
	}
	if err := s.Feed(s.LastChange()+1).Read(t.Context(), none); !errors.Is(err, ErrBehind) {
		t.Errorf("of another store: %v", err)
	}
}
