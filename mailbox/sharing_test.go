package mailbox

import (
	"errors"
	"slices"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// share gives account to rights on a mailbox of account a; "" takes them.
func share(t testing.TB, s *Store, a AccountID, name string, to AccountID, letters string) {
	t.Helper()
	c := RightsChange{Grant: Grant{Account: to, Rights: rightsFrom(letters)}}
	if err := s.ChangeRights(t.Context(), a, name, c); err != nil {
		t.Fatal(err)
	}
}

// expectRights expects what user has on a mailbox.
func expectRights(t testing.TB, s *Store, user, a AccountID, name, letters string) {
	t.Helper()
	info, err := s.Access(user, a, name)
	if err != nil || info.Rights != rightsFrom(letters) {
		t.Errorf("account %d on %q of %d: %v, %v; want %q", user, name, a, info.Rights, err, letters)
	}
}

func sharedNames(s *Store, user AccountID) (names []string) {
	for _, info := range s.Shared(user) {
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names
}

// TestRightsAreKept: through restarts, RENAME, DELETE with a restore, and not beyond an
// account's removal.
func TestRightsAreKept(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			ann, bob, eve := newAccount(t, s), newAccount(t, s), newAccount(t, s)
			if _, err := s.Create(t.Context(), ann, "team", ""); err != nil {
				t.Fatal(err)
			}
			share(t, s, ann, "team", bob, "lrsk")
			share(t, s, ann, "team", eve, "lr")
			share(t, s, ann, "team", Anyone, "l")
			share(t, s, ann, "Archive", eve, "lr")
			if _, err := s.Create(t.Context(), ann, "team/a/b", ""); err != nil {
				t.Fatal(err)
			}
			s = restart(t, s)
			for _, name := range []string{"team", "team/a", "team/a/b"} {
				expectRights(t, s, bob, ann, name, "lrsk")
			}
			if err := s.Rename(t.Context(), ann, "team", "group/team"); err != nil {
				t.Fatal(err)
			}
			expectRights(t, s, bob, ann, "group/team/a/b", "lrsk")
			expectRights(t, s, bob, ann, "group", "")
			if err := s.Delete(t.Context(), ann, "group/team"); err != nil {
				t.Fatal(err)
			}
			if got := sharedNames(s, bob); !slices.Equal(got, []string{"group/team/a", "group/team/a/b"}) {
				t.Errorf("shared with bob: %q", got)
			}
			if err := s.DeleteAccount(t.Context(), eve); err != nil {
				t.Fatal(err)
			}
			s = restart(t, s)
			if _, err := s.RestoreMailbox(t.Context(), ann, "group/team"); err != nil {
				t.Fatal(err)
			}
			s = restart(t, s)
			expectRights(t, s, bob, ann, "group/team", "lrsk")
			want := []Grant{{Account: ann, Rights: AllRights}, {Rights: RightLookup}, {Account: bob, Rights: rightsFrom("lrsk")}}
			if got, err := s.Grants(ann, "group/team"); err != nil || !slices.Equal(got, want) {
				t.Errorf("rights on what was restored: %v, %v; want %v", got, err, want)
			}
			if got, err := s.Grants(ann, "Archive"); err != nil || len(got) != 1 {
				t.Errorf("rights of an account that is gone: %v, %v", got, err)
			}
			if _, err := s.RestoreAccount(t.Context(), eve); err != nil {
				t.Fatal(err)
			}
			expectRights(t, s, eve, ann, "Archive", "")
			verify(t, s, 0)
		})
	}
}

// TestRestoredMailboxHasItsOwnRights, and not those of the level above it.
func TestRestoredMailboxHasItsOwnRights(t *testing.T) {
	s := newStore(t)
	ann, bob := newAccount(t, s), newAccount(t, s)
	if _, err := s.Create(t.Context(), ann, "team/private", ""); err != nil {
		t.Fatal(err)
	}
	share(t, s, ann, "team", bob, "lr")
	if err := s.Delete(t.Context(), ann, "team/private"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RestoreMailbox(t.Context(), ann, "team/private"); err != nil {
		t.Fatal(err)
	}
	expectRights(t, s, bob, ann, "team/private", "")
}

// TestPermits: each change of a mailbox that names permits is refused without one of the
// rights, and made with exactly them.
func TestPermits(t *testing.T) {
	for name, c := range map[string]struct {
		on, letters string // that have to be there
		do          func(s *Store, owner AccountID, p Permit) error
	}{
		"delete": {"team", "x", func(s *Store, owner AccountID, p Permit) error {
			return s.Delete(t.Context(), owner, "team", p)
		}},
		"create": {"team", "k", func(s *Store, owner AccountID, p Permit) error {
			_, err := s.Create(t.Context(), owner, "team/x/y", "", p)
			return err
		}},
		"rename": {"team", "kx", func(s *Store, owner AccountID, p Permit) error {
			return s.Rename(t.Context(), owner, "team/old", "team/new", p)
		}},
		"rights": {"team", "a", func(s *Store, owner AccountID, p Permit) error {
			return s.ChangeRights(t.Context(), owner, "team", RightsChange{Grant: Grant{Rights: RightLookup}}, p)
		}},
		"append": {"team", "i", func(s *Store, owner AccountID, p Permit) error {
			appending := s.StartAppending(owner, "team", p)
			defer appending.Abort()
			return appendLetter(t, s, appending)
		}},
		"copy": {"team", "i", func(s *Store, owner AccountID, p Permit) error {
			_, err := open(t, s, owner, "INBOX").CopyTo(t.Context(), []goimap.UID{1}, Destination{Account: owner, Name: "team", Permits: []Permit{p}})
			return err
		}},
		"copy from": {"INBOX", "r", func(s *Store, owner AccountID, p Permit) error {
			_, err := open(t, s, owner, "INBOX").CopyTo(t.Context(), []goimap.UID{1}, Destination{Account: owner, Name: "team/old"}, p)
			return err
		}},
		"move from": {"INBOX", "rte", func(s *Store, owner AccountID, p Permit) error {
			_, err := open(t, s, owner, "INBOX").MoveTo(t.Context(), []goimap.UID{1}, Destination{Account: owner, Name: "team/old"}, p)
			return err
		}},
		"expunge": {"INBOX", "re", func(s *Store, owner AccountID, p Permit) error {
			_, err := open(t, s, owner, "INBOX").Expunge(t.Context(), []goimap.UID{1}, false, p)
			return err
		}},
		"expunge all": {"INBOX", "re", func(s *Store, owner AccountID, p Permit) error {
			_, err := open(t, s, owner, "INBOX").ExpungeAll(t.Context(), true, p)
			return err
		}},
		"store": {"INBOX", "rs", func(s *Store, owner AccountID, p Permit) error {
			change := storeOf(1, FlagsAdd, `\Seen`, nil)
			change.Permits = []Permit{p}
			_, err := open(t, s, owner, "INBOX").Store(t.Context(), change)
			return err
		}},
		"replace": {"INBOX", "rte", func(s *Store, owner AccountID, p Permit) error {
			appending := s.StartAppending(owner, "team/old")
			defer appending.Abort()
			b := s.NewBody()
			if _, err := b.Write([]byte(letter(3))); err != nil {
				return err
			}
			if err := appending.Add(t.Context(), b, nil, s.now()); err != nil {
				b.Abort()
				return err
			}
			_, err := appending.Commit(t.Context(), open(t, s, owner, "INBOX"), 1, p)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			ann, bob := newAccount(t, s), newAccount(t, s)
			deliver(t, s, ann, "INBOX", letter(1))
			if _, err := s.Create(t.Context(), ann, "team/old", ""); err != nil { // and team with it
				t.Fatal(err)
			}
			need := rightsFrom(c.letters)
			p := Permit{Account: bob, Rights: need}
			for _, on := range []string{c.on, "team/old"} {
				share(t, s, ann, on, bob, (AllRights &^ need).String())
			}
			all := AllRights &^ need
			for _, on := range []string{c.on, "team/old"} { // without the virtual ones
				if err := s.ChangeRights(t.Context(), ann, on, RightsChange{Grant: Grant{Account: bob, Rights: all}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.do(s, ann, p); !errors.Is(err, ErrRights) {
				t.Errorf("without %s: %v", c.letters, err)
			}
			for _, on := range []string{c.on, "team/old"} {
				share(t, s, ann, on, bob, c.letters)
			}
			if err := c.do(s, ann, p); err != nil {
				t.Errorf("with %s: %v", c.letters, err)
			}
		})
	}
}

// TestPermittedChanges: STORE changes the flags that the permits allow, makes no keyword for
// others, and is refused where there is nothing that it may change (RFC 4314 section 4).
func TestPermittedChanges(t *testing.T) {
	for _, c := range []struct {
		letters string
		op      FlagOp
		flags   string
		want    string // of a message that has \Seen and \Answered
		err     error
	}{
		{"r", FlagsReplace, `\Deleted`, `\Answered \Seen`, ErrRights},
		{"rs", FlagsReplace, `\Deleted work`, `\Answered`, nil},
		{"rs", FlagsAdd, `\Deleted work`, `\Answered \Seen`, ErrRights},
		{"rs", FlagsAdd, "", `\Answered \Seen`, nil},
		{"rt", FlagsReplace, `\Deleted work`, `\Answered \Deleted \Seen`, nil},
		{"rt", FlagsRemove, `\Seen \Answered`, `\Answered \Seen`, ErrRights},
		{"rw", FlagsReplace, `\Deleted work`, `\Seen work`, nil},
		{"rw", FlagsRemove, `\Seen \Answered`, `\Seen`, nil},
		{"rswt", FlagsReplace, `\Deleted work`, `\Deleted work`, nil},
	} {
		s := newStore(t)
		ann, bob := newAccount(t, s), newAccount(t, s)
		share(t, s, ann, "INBOX", bob, c.letters)
		deliver(t, s, ann, "INBOX", letter(1), `\Seen`, `\Answered`)
		m := open(t, s, ann, "INBOX")
		_, err := m.Store(t.Context(), StoreChange{UIDs: []goimap.UID{1}, Op: c.op, Flags: splitFlags(c.flags), Permits: []Permit{{Account: bob, Rights: RightRead}}})
		if !errors.Is(err, c.err) {
			t.Errorf("%+v: %v", c, err)
		}
		if got := flagNames(rows(m)[0].Flags, m.Keywords()); got != c.want {
			t.Errorf("%+v: the message has %q", c, got)
		}
		if has := len(m.Keywords()) > 0; has != strings.Contains(c.want, "work") {
			t.Errorf("%+v: keywords %q", c, m.Keywords())
		}
	}
}

// appendLetter adds a letter with many flags, and commits.
func appendLetter(t testing.TB, s *Store, p *Appending) error {
	b := s.NewBody()
	if _, err := b.Write([]byte(letter(3))); err != nil {
		return err
	}
	if err := p.Add(t.Context(), b, []goimap.Flag{`\Seen`, `\Deleted`, `\Flagged`, "work"}, s.now()); err != nil {
		b.Abort()
		return err
	}
	_, err := p.Commit(t.Context(), nil, 0)
	return err
}

// TestPermittedFlags: what comes into a mailbox has only the flags that its bringer may set
// there, and no keyword is made for the others (RFC 4314 section 4).
func TestPermittedFlags(t *testing.T) {
	for letters, want := range map[string]string{"i": "", "is": `\Seen`, "it": `\Deleted`, "iw": `\Flagged work`, "iswt": `\Deleted \Flagged \Seen work`} {
		s := newStore(t)
		ann, bob := newAccount(t, s), newAccount(t, s)
		share(t, s, ann, "Archive", bob, letters)
		to := Destination{Account: ann, Name: "Archive", Permits: []Permit{{Account: bob, Rights: RightInsert}}}
		appending := s.StartAppending(to.Account, to.Name, to.Permits...)
		if err := appendLetter(t, s, appending); err != nil {
			t.Fatal(err)
		}
		deliver(t, s, bob, "INBOX", letter(4), `\Seen`, `\Deleted`, `\Flagged`, "work")
		if _, err := open(t, s, bob, "INBOX").CopyTo(t.Context(), []goimap.UID{1}, to); err != nil {
			t.Fatal(err)
		}
		m := open(t, s, ann, "Archive")
		for _, r := range rows(m) {
			if got := flagNames(r.Flags, m.Keywords()); got != want {
				t.Errorf("%s, UID %d: %q, want %q", letters, r.UID, got, want)
			}
		}
	}
}

// TestMoveToAnotherAccount: the quota of who gets the messages counts them, and who had
// them can have them back.
func TestMoveToAnotherAccount(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			ann, bob := newAccount(t, s), newAccount(t, s)
			for i := range 3 {
				deliver(t, s, ann, "INBOX", letter(i))
			}
			if err := s.SetQuota(t.Context(), bob, Quota{Messages: 2}); err != nil {
				t.Fatal(err)
			}
			to := Destination{Account: bob, Name: "INBOX"}
			if _, err := open(t, s, ann, "INBOX").MoveTo(t.Context(), []goimap.UID{1, 2, 3}, to); !errors.Is(err, ErrOverQuota) {
				t.Errorf("three messages into a mailbox for two: %v", err)
			}
			if _, err := open(t, s, ann, "INBOX").MoveTo(t.Context(), []goimap.UID{1, 2}, to); err != nil {
				t.Fatal(err)
			}
			s = restart(t, s)
			for a, want := range map[AccountID]int64{ann: 1, bob: 2} {
				if u, err := s.Usage(a); err != nil || u.Messages != want {
					t.Errorf("account %d has %+v, %v; want %d", a, u, err, want)
				}
			}
			if r, err := s.RestoreMessages(t.Context(), ann, DeletedFilter{}); err != nil || r.Messages != 2 {
				t.Errorf("restored %+v, %v", r, err)
			}
			if list := rows(open(t, s, ann, "Restored")); len(list) != 2 || text(t, s, list[1].Body) != letter(1) {
				t.Errorf("restored are %+v", list)
			}
		})
	}
}

// TestSharedMailboxIsWatched: whoever may see a mailbox hears of what happens in it, of
// being given rights and of losing them.
func TestSharedMailboxIsWatched(t *testing.T) {
	s := newStore(t)
	ann, bob, eve := newAccount(t, s), newAccount(t, s), newAccount(t, s)
	ofBob, ofEve := make(chan struct{}, 1), make(chan struct{}, 1)
	defer s.WatchAccount(bob, ofBob)()
	defer s.WatchAccount(eve, ofEve)()
	heard := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	expect := func(what string, bob, eve bool) {
		t.Helper()
		if b, e := heard(ofBob), heard(ofEve); b != bob || e != eve {
			t.Errorf("%s: bob %v, eve %v", what, b, e)
		}
	}
	deliver(t, s, ann, "INBOX", letter(1))
	expect("not shared", false, false)
	share(t, s, ann, "INBOX", bob, "lr")
	expect("shared", true, false)
	deliver(t, s, ann, "INBOX", letter(1))
	expect("shared mailbox", true, false)
	deliver(t, s, ann, "Archive", letter(1))
	expect("another one", false, false)
	share(t, s, ann, "INBOX", bob, "")
	expect("shared no more", true, false)
	share(t, s, ann, "Archive", Anyone, "lr")
	expect("shared with all", true, true)
	if err := s.Rename(t.Context(), ann, "Archive", "old"); err != nil {
		t.Fatal(err)
	}
	expect("renamed", true, true)
	if err := s.Delete(t.Context(), ann, "old"); err != nil {
		t.Fatal(err)
	}
	expect("deleted", true, true)
}

// TestRightsOfNobody: an account that is not there gets no rights, and a mailbox that is
// not there has none.
func TestRightsOfNobody(t *testing.T) {
	s := newStore(t)
	ann := newAccount(t, s)
	if err := s.ChangeRights(t.Context(), ann, "INBOX", RightsChange{Grant: Grant{Account: 99, Rights: RightRead}}); !errors.Is(err, ErrNoAccount) {
		t.Errorf("an unknown account: %v", err)
	}
	if err := s.ChangeRights(t.Context(), ann, "nothing", RightsChange{Grant: Grant{Rights: RightRead}}); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("an unknown mailbox: %v", err)
	}
	if err := s.Subscribe(t.Context(), ann, OtherUsers+"/a@b.test/INBOX", true); err != nil {
		t.Errorf("subscribing to what may be shared: %v", err)
	}
	if _, err := s.Create(t.Context(), ann, OtherUsers+"/a", ""); !errors.Is(err, ErrName) {
		t.Errorf("a mailbox among those of others: %v", err)
	}
}
