package mailbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name, canonical string
		err             error
	}{
		{"a", "a", nil},
		{"a/b c/d.e", "a/b c/d.e", nil},
		{"inbox", "INBOX", nil},
		{"InBox/x", "INBOX/x", nil},
		{"a/inbox", "a/inbox", nil},
		{"inboxes", "inboxes", nil},
		{"Entwu\u0308rfe", "Entw\u00fcrfe", nil}, // composed: the same from every client
		{"100% *", "100% *", nil},
		{"", "", ErrName},
		{"/a", "/a", ErrName},
		{"a/", "a/", ErrName},
		{"a//b", "a//b", ErrName},
		{"#news", "#news", ErrName},
		{"a\x00b", "a\x00b", ErrName},
		{"a\r\nb", "a\r\nb", ErrName},
		{"a\u0085b", "a\u0085b", ErrName},
		{"a\u2028b", "a\u2028b", ErrName},
		{"a\xffb", "a\xffb", ErrName},
		{OtherUsers, OtherUsers, ErrName},
		{OtherUsers + "/a@b.test", OtherUsers + "/a@b.test", ErrName},
		{"Other users", "Other users", nil},
		{strings.Repeat("x", maxNameBytes), strings.Repeat("x", maxNameBytes), nil},
		{strings.Repeat("x", maxNameBytes+1), strings.Repeat("x", maxNameBytes+1), ErrLimit},
		{strings.Repeat("a/", maxNameDepth-1) + "a", strings.Repeat("a/", maxNameDepth-1) + "a", nil},
		{strings.Repeat("a/", maxNameDepth) + "a", strings.Repeat("a/", maxNameDepth) + "a", ErrLimit},
	} {
		got := canonicalName(c.name)
		if err := checkOwnName(got); got != c.canonical || !errors.Is(err, c.err) {
			t.Errorf("%.40q: %.40q, %v; want %.40q, %v", c.name, got, err, c.canonical, c.err)
		}
	}
}

// FuzzName holds names against what LIST and the databases rely on.
func FuzzName(f *testing.F) {
	for _, name := range []string{"a", "inbox/x", "a//b", "\xff", "e\u0301", strings.Repeat("a/", 40)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		c := canonicalName(name)
		if again := canonicalName(c); again != c {
			t.Errorf("%q, then %q", c, again)
		}
		if checkOwnName(c) != nil {
			return
		}
		if len(parents(c)) != strings.Count(c, "/") || strings.HasPrefix(c, "/") || strings.Contains(c, "//") || strings.ContainsAny(c, "\r\n\x00") {
			t.Errorf("%q was accepted", c)
		}
	})
}

func names(t *testing.T, s *Store, a AccountID) (list []string) {
	t.Helper()
	infos, err := s.Mailboxes(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		list = append(list, i.Name)
	}
	return list
}

func TestNewAccount(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			var told AccountID
			a, err := s.CreateAccount(t.Context(), func(id AccountID) []RoomChange {
				told = id
				return []RoomChange{{Room: "accounts", Key: "x", Value: []byte{byte(id)}}}
			})
			if err != nil || a == 0 || told != a {
				t.Fatal(a, told, err)
			}
			s = restart(t, s)
			if got, want := names(t, s, a), []string{"Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"}; !slices.Equal(got, want) {
				t.Errorf("mailboxes %q", got)
			}
			for use, name := range map[goimap.MailboxAttr]string{`\Sent`: "Sent", `\trash`: "Trash", `\Junk`: "Junk"} {
				if i, err := s.SpecialUse(a, use); err != nil || i.Name != name || !i.Subscribed {
					t.Errorf("%s is %+v, %v", use, i, err)
				}
			}
			if _, err := s.SpecialUse(a, `\All`); !errors.Is(err, ErrNoMailbox) {
				t.Errorf(`\All: %v`, err)
			}
			if v, ok, _ := s.Room("accounts").Get("x"); !ok || v[0] != byte(a) {
				t.Errorf("the changes are not there: %v, %v", v, ok)
			}
			if i, err := s.Mailbox(a, "iNbOx"); err != nil || i.UIDNext != 1 || i.HighestModSeq == 0 || i.UIDValidity == 0 {
				t.Errorf("INBOX is %+v, %v", i, err)
			}
			if err := s.DeleteAccount(t.Context(), a, RoomChange{Room: "accounts", Key: "x"}); err != nil {
				t.Error(err)
			}
			if _, ok, err := s.Room("accounts").Get("x"); ok || err != nil {
				t.Error("the account's change is still there")
			}
			if err := s.DeleteAccount(t.Context(), a); !errors.Is(err, ErrNoAccount) {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

func TestMailboxRefusals(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	ctx := t.Context()
	create := func(name string, use goimap.MailboxAttr) error {
		_, err := s.Create(ctx, a, name, use)
		return err
	}
	for _, c := range []struct {
		what string
		err  error
		want error
	}{
		{"create", create("Work/2026/May", ""), nil},
		{"create a level that was made", create("Work/2026", ""), ErrExists},
		{"create INBOX", create("inbox", ""), ErrExists},
		{"create a bad name", create("a//b", ""), ErrName},
		{"create with a use that is taken", create("Sent2", `\Sent`), ErrSpecialUse},
		{"create with a use that is no folder's", create("All", `\All`), ErrSpecialUse},
		{"create in no account", func() error { _, err := s.Create(ctx, 99, "x", ""); return err }(), ErrNoAccount},
		{"delete INBOX", s.Delete(ctx, a, "INBOX"), ErrInbox},
		{"delete nothing", s.Delete(ctx, a, "nothing"), ErrNoMailbox},
		{"delete Sent", s.Delete(ctx, a, "Sent"), nil},
		{"its use is free", create("Gesendet", `\sent`), nil},
		{"rename nothing", s.Rename(ctx, a, "nothing", "x"), ErrNoMailbox},
		{"rename to one that is", s.Rename(ctx, a, "Work", "Junk"), ErrExists},
		{"rename to itself", s.Rename(ctx, a, "Work", "Work"), ErrExists},
		{"rename below itself", s.Rename(ctx, a, "Work", "Work/Old"), ErrName},
		{"rename to a bad name", s.Rename(ctx, a, "Work", "#x"), ErrName},
		{"rename to INBOX", s.Rename(ctx, a, "Work", "inbox"), ErrExists},
		{"rename INBOX to one that is", s.Rename(ctx, a, "INBOX", "Junk"), ErrExists},
		{"rename too deep", s.Rename(ctx, a, "Work", strings.Repeat("a/", maxNameDepth-2)+"a"), ErrLimit},
		{"rename", s.Rename(ctx, a, "Work", "Old/Jobs"), nil},
		{"subscribe a bad name", s.Subscribe(ctx, a, "a\nb", true), ErrName},
		{"subscribe", s.Subscribe(ctx, a, "not/there", true), nil},
	} {
		if !errors.Is(c.err, c.want) || c.want == nil && c.err != nil {
			t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
		}
	}
	want := []string{"Archive", "Drafts", "Gesendet", "INBOX", "Junk", "Old", "Old/Jobs", "Old/Jobs/2026", "Old/Jobs/2026/May", "Trash"}
	if got := names(t, s, a); !slices.Equal(got, want) {
		t.Errorf("mailboxes %q", got)
	}
}

// TestDeletedParent deletes a mailbox above others, and renames what is left.
func TestDeletedParent(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	if _, err := s.Create(t.Context(), a, "a/b", ""); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.Delete(t.Context(), a, "a"), s.Rename(t.Context(), a, "a", "z")} {
		if err != nil {
			t.Error(err)
		}
	}
	if i, err := s.Mailbox(a, "z/b"); err != nil {
		t.Errorf("%+v, %v", i, err)
	}
}

func TestMailboxLimit(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	// Straight into the pending catalogue: 5000 records would prove no more.
	s.seq.Lock()
	acc := s.pending.accounts[a]
	filler := make(map[string]*listing)
	for n := len(acc.names); n < maxMailboxes-1; n++ {
		filler[fmt.Sprint(n)] = &listing{}
		acc.names[fmt.Sprint(n)] = filler[fmt.Sprint(n)]
	}
	s.seq.Unlock()
	if _, err := s.Create(t.Context(), a, "x/y", ""); !errors.Is(err, ErrLimit) {
		t.Errorf("two more than there may be: %v", err)
	}
	if _, err := s.Create(t.Context(), a, "x", ""); err != nil {
		t.Errorf("the last one: %v", err)
	}
	s.seq.Lock()
	for name := range filler {
		delete(acc.names, name)
	}
	s.seq.Unlock()
}

func TestKeywords(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			a := newAccount(t, s)
			deliver(t, s, a, "INBOX", letter(1), "One", `\Recent`, `\nonsense`)
			m := open(t, s, a, "INBOX")
			set, err := m.Bits([]goimap.Flag{"ONE", "two", `\ANSWERED`}, false)
			if want := (FlagSet{}).With(KeywordBit).With(FlagAnswered); err != nil || set != want {
				t.Errorf("bits %x, %v; want %x", set, err, want)
			}
			if set, err = m.Bits([]goimap.Flag{"two"}, true); err != nil || set != (FlagSet{}).With(KeywordBit+1) {
				t.Errorf("bits %x, %v", set, err)
			}
			if got := m.Keywords(); !slices.Equal(got, []string{"One"}) {
				t.Errorf("keywords %q before one is used", got)
			}
			var many []goimap.Flag
			for n := range MaxKeywords - 2 {
				many = append(many, goimap.Flag(fmt.Sprintf("k%d", n)))
			}
			if _, err := m.Store(t.Context(), StoreChange{UIDs: uids(m), Op: FlagsAdd, Flags: many}); err != nil {
				t.Error(err)
			}
			c := StoreChange{UIDs: uids(m), Op: FlagsAdd, Flags: []goimap.Flag{"more"}}
			if _, err := m.Store(t.Context(), c); !errors.Is(err, ErrLimit) {
				t.Errorf("one keyword too many: %v", err)
			}
			if _, err := s.Create(t.Context(), a, "other", ""); err != nil {
				t.Error(err)
			}
			deliver(t, s, a, "other", letter(2), "more", `\Seen`, "TWO")
			if _, err := open(t, s, a, "other").Copy(t.Context(), []goimap.UID{1}, "INBOX"); err != nil {
				t.Errorf("copying a message with one keyword too many: %v", err)
			}
			if r := rows(m); r[1].Flags != (FlagSet{}).With(FlagSeen).With(KeywordBit+1) {
				t.Errorf("flags of the copy %x", r[1].Flags)
			}
			c = StoreChange{UIDs: uids(m), Op: FlagsRemove, Flags: []goimap.Flag{"more", "k3"}}
			if _, err := m.Store(t.Context(), c); err != nil {
				t.Errorf("removing an unknown keyword: %v", err)
			}
			s = restart(t, s)
			m = open(t, s, a, "INBOX")
			if got := m.Keywords(); len(got) != MaxKeywords || got[0] != "One" || got[1] != "two" || got[2] != "k0" {
				t.Errorf("keywords %q", got)
			}
			if r := rows(m); r[0].Flags.Has(KeywordBit+5) || !r[0].Flags.Has(KeywordBit+6) {
				t.Errorf("flags %x", r[0].Flags)
			}
		})
	}
}
