package mailbox

import (
	"errors"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// TestAnswersRestOnDurableState has decisions find that another session, whose
// record is numbered and not yet durable, left them nothing to do. Their answer
// must wait for that record: a crash before it would take back what was told.
func TestAnswersRestOnDurableState(t *testing.T) {
	seen := []goimap.Flag{goimap.FlagSeen}
	for name, c := range map[string]struct {
		first, second func(*Store, *Mailbox) error
		want          error
	}{
		"flags that are set": {
			first: func(_ *Store, m *Mailbox) error {
				_, err := m.Store(t.Context(), StoreChange{UIDs: []goimap.UID{1}, Op: FlagsAdd, Flags: seen})
				return err
			},
			second: func(_ *Store, m *Mailbox) error {
				_, err := m.Store(t.Context(), StoreChange{UIDs: []goimap.UID{1}, Op: FlagsAdd, Flags: seen})
				return err
			},
		},
		"messages that are gone": {
			first:  func(_ *Store, m *Mailbox) error { _, err := m.Expunge(t.Context(), []goimap.UID{1}, false); return err },
			second: func(_ *Store, m *Mailbox) error { _, err := m.ExpungeAll(t.Context(), false); return err },
		},
		"a name that is taken": {
			first:  func(s *Store, m *Mailbox) error { _, err := s.Create(t.Context(), m.box.account, "x", ""); return err },
			second: func(s *Store, m *Mailbox) error { _, err := s.Create(t.Context(), m.box.account, "x", ""); return err },
			want:   ErrExists,
		},
		"a target that is gone": {
			first: func(s *Store, m *Mailbox) error { return s.Delete(t.Context(), m.box.account, "Junk") },
			second: func(s *Store, m *Mailbox) error {
				b := s.NewBody()
				defer b.Abort()
				placed, err := s.Deliver(t.Context(), b, []Target{{Account: m.box.account, Name: "Junk"}}, nil)
				return errors.Join(err, placed[0].Err)
			},
			want: ErrNoMailbox,
		},
		"rights that are gone": {
			first: func(s *Store, m *Mailbox) error {
				own := Grant{Account: m.box.account, Rights: RightExpunge}
				return s.ChangeRights(t.Context(), m.box.account, "INBOX", RightsChange{Grant: own, Op: RightsRemove})
			},
			second: func(_ *Store, m *Mailbox) error {
				_, err := m.Expunge(t.Context(), []goimap.UID{1}, false, Permit{Account: m.box.account, Rights: RightExpunge})
				return err
			},
			want: ErrRights,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, m, _ := viewOf(t, 1)
			release := holdPublish(t, s, m.box.account)
			first := make(chan error, 1)
			next := s.nextLSN()
			go func() { first <- c.first(s, m) }()
			waitNumbered(s, next)
			second := make(chan error, 1)
			go func() { second <- c.second(s, m) }()
			select {
			case err := <-second:
				t.Errorf("answered (%v) before what it rests on was durable", err)
				second <- err
			case <-time.After(50 * time.Millisecond):
			}
			release()
			if err := <-first; err != nil {
				t.Error(err)
			}
			if err := <-second; !errors.Is(err, c.want) {
				t.Errorf("answer %v, want %v", err, c.want)
			}
		})
	}
}

// TestUIDNamedTwice changes and copies a message once, however often it is named.
func TestUIDNamedTwice(t *testing.T) {
	s, m, _ := viewOf(t, 3)
	twice := []goimap.UID{2, 2, 3, 3}
	setFlag(t, m, `\Seen`, twice...)
	if c, err := m.Copy(t.Context(), twice, "Trash"); err != nil || len(c.Source) != 2 {
		t.Errorf("copied %+v, %v", c, err)
	}
	if gone, err := m.Expunge(t.Context(), twice, false); err != nil || len(gone) != 2 {
		t.Errorf("expunged %v, %v", gone, err)
	}
	if info, err := m.Info(); err != nil || info.Messages != 1 || info.Unseen != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	if info, err := s.Mailbox(m.box.account, "Trash"); err != nil || info.Messages != 2 || info.Unseen != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}
