package mailbox

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// addText adds a message to p.
func addText(t testing.TB, p *Appending, text string, flags ...goimap.Flag) {
	t.Helper()
	b := p.s.NewBody()
	if _, err := b.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(t.Context(), b, flags, time.Time{}); err != nil {
		t.Fatal(err)
	}
}

// expectHeld checks how many bodies wait for an Appending.
func expectHeld(t testing.TB, s *Store, want int) {
	t.Helper()
	n := 0
	if err := s.Room(appendRoom).Each("", func(string, []byte) error { n++; return nil }); err != nil || n != want {
		t.Errorf("%d bodies are held, want %d; %v", n, want, err)
	}
}

// TestAppending: messages of all sizes come together, also past a crash, in their order
// and with their flags; until then nobody sees one.
func TestAppending(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	texts := []string{letter(1), "Subject: big\r\n\r\n" + strings.Repeat("x", 2<<20), letter(3), letter(4)}
	p := s.StartAppending(a, "inbox")
	for _, text := range texts {
		addText(t, p, text, "$new", goimap.FlagSeen)
	}
	if info, err := s.Mailbox(a, "INBOX"); err != nil || info.Messages != 0 {
		t.Fatalf("%d messages before the commit, %v", info.Messages, err)
	}
	placed, err := p.Commit(t.Context(), nil, 0)
	if err != nil || !slices.Equal(placed.UIDs, []goimap.UID{1, 2, 3, 4}) {
		t.Fatalf("%+v, %v", placed, err)
	}
	p.Abort() // does nothing
	expectHeld(t, s, 0)
	for _, s := range []*Store{crash(t, s), s} {
		m := open(t, s, a, "INBOX")
		list := rows(m)
		if len(list) != len(texts) {
			t.Fatalf("%d messages", len(list))
		}
		for i, row := range list {
			if text(t, s, row.Body) != texts[i] || !row.Flags.Has(FlagSeen) || !row.Flags.Has(KeywordBit) {
				t.Errorf("message %d is not what was appended: %v", i, row.Flags)
			}
		}
		m.Close()
	}
}

// TestAppendingIsAllOrNothing: what is refused, given up or cut off leaves nothing.
func TestAppendingIsAllOrNothing(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	setQuota(t, s, a, Quota{Messages: 2})
	refusals := []struct {
		name string
		want error
	}{{"INBOX", ErrOverQuota}, {"None", ErrNoMailbox}}
	for _, r := range refusals {
		p := s.StartAppending(a, r.name)
		for n := range 3 {
			addText(t, p, letter(n))
		}
		if _, err := p.Commit(t.Context(), nil, 0); !errors.Is(err, r.want) {
			t.Errorf("%s: %v, want %v", r.name, err, r.want)
		}
		p.Abort()
		expectHeld(t, s, 0)
		holds(t, s, a, Usage{})
	}
	cut := s.StartAppending(a, "INBOX")
	for n := range 3 {
		addText(t, cut, letter(n))
	}
	if err := cut.settle(); err != nil { // what is held is durable when the process ends
		t.Fatal(err)
	}
	expectHeld(t, s, 2)
	after := crash(t, s)
	expectHeld(t, after, 0)
	holds(t, after, a, Usage{})
	cut.Abort()
	expectHeld(t, s, 0)
}

// TestReplace: one message goes and another comes in one change, within the quota that
// is full before and after; where the one is gone, the other does not come.
func TestReplace(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	deliver(t, s, a, "INBOX", letter(1), goimap.FlagDeleted)
	deliver(t, s, a, "INBOX", letter(2))
	setQuota(t, s, a, Quota{Messages: 2})
	m := open(t, s, a, "INBOX")
	defer m.Close()
	replace := func(name string, uid goimap.UID) error {
		p := s.StartAppending(a, name)
		defer p.Abort()
		addText(t, p, letter(3))
		_, err := p.Commit(t.Context(), m, uid)
		return err
	}
	if err := replace("INBOX", 2); err != nil {
		t.Fatal(err)
	}
	if err := replace("INBOX", 2); !errors.Is(err, ErrNoMessage) {
		t.Errorf("a message that is gone: %v", err)
	}
	if err := replace("Sent", 3); err != nil {
		t.Fatal(err)
	}
	if got := uids(m); !slices.Equal(got, []goimap.UID{1}) {
		t.Errorf("INBOX has %v", got)
	}
	if info, err := s.Mailbox(a, "Sent"); err != nil || info.Messages != 1 {
		t.Errorf("Sent: %+v, %v", info, err)
	}
	reopened := crash(t, s)
	if got := uids(open(t, reopened, a, "INBOX")); !slices.Equal(got, []goimap.UID{1}) {
		t.Errorf("INBOX has %v after a crash", got)
	}
}
