package mailbox

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// setQuota gives an account limits.
func setQuota(t testing.TB, s *Store, a AccountID, q Quota) {
	t.Helper()
	if err := s.SetQuota(t.Context(), a, q); err != nil {
		t.Fatal(err)
	}
}

// holds compares what an account holds.
func holds(t testing.TB, s *Store, a AccountID, want Usage) {
	t.Helper()
	if u, err := s.Usage(a); err != nil || u != want {
		t.Errorf("usage %+v, %v, want %+v", u, err, want)
	}
}

// offer delivers a message of n octets and returns what each target said.
func offer(t testing.TB, s *Store, n int, targets ...Target) []error {
	t.Helper()
	b := s.NewBody()
	defer b.Abort()
	io.WriteString(b, strings.Repeat("x", n))
	placed, err := s.Deliver(t.Context(), b, targets, nil)
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, p := range placed {
		if p.Err == nil && p.UID == 0 || p.Err != nil && p.UID != 0 {
			t.Errorf("placed %+v", p)
		}
		errs = append(errs, p.Err)
	}
	return errs
}

// expectErrors compares errors by what they are.
func expectErrors(t testing.TB, what string, got []error, want ...error) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(g, w error) bool { return errors.Is(g, w) && (g == nil) == (w == nil) }) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestQuotaOfOneDelivery fills an account to the octet and to the message; a
// target that is over is refused alone, and the record's own copies count.
func TestQuotaOfOneDelivery(t *testing.T) {
	s := newStore(t)
	full, other := newAccount(t, s), newAccount(t, s)
	inbox, junk, others := Target{Account: full, Name: "INBOX"}, Target{Account: full, Name: "Junk"}, Target{Account: other, Name: "INBOX"}
	setQuota(t, s, full, Quota{Storage: 1000, Messages: 3})
	expectErrors(t, "one more than fits", offer(t, s, 1001, inbox), ErrOverQuota)
	expectErrors(t, "two that fit alone", offer(t, s, 600, inbox, others, junk), nil, nil, ErrOverQuota)
	expectErrors(t, "to the octet", offer(t, s, 400, junk), nil)
	holds(t, s, full, Usage{Messages: 2, Size: 1000})
	for n, want := range map[int64]error{0: ErrOverQuota, 1: ErrOverQuota, 400: ErrOverQuota} {
		if err := s.HasQuota(full, n); !errors.Is(err, want) {
			t.Errorf("HasQuota(%d): %v", n, err)
		}
	}
	setQuota(t, s, full, Quota{Messages: 3})
	expectErrors(t, "without a limit of octets", offer(t, s, 5000, inbox, junk), nil, ErrOverQuota)
	setQuota(t, s, full, Quota{})
	if err := s.HasQuota(full, 1<<40); err != nil {
		t.Errorf("without a quota: %v", err)
	}
	expectErrors(t, "without a quota", offer(t, s, 5000, inbox), nil)
	holds(t, s, full, Usage{Messages: 4, Size: 11000})
	holds(t, s, other, Usage{Messages: 1, Size: 600})
}

// TestQuotaRefusesOnlyGrowth: who is over the quota can do all that adds
// nothing, and is let in again when there is room.
func TestQuotaRefusesOnlyGrowth(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	for i := range 4 {
		deliver(t, s, a, "INBOX", letter(i))
	}
	m := open(t, s, a, "INBOX")
	size := rows(m)[0].Size
	setQuota(t, s, a, Quota{Storage: 3*size - 1})
	if _, err := m.Copy(t.Context(), []goimap.UID{1, 2}, "Trash"); !errors.Is(err, ErrOverQuota) {
		t.Errorf("COPY: %v", err)
	}
	if i, err := s.Mailbox(a, "Trash"); err != nil || i.Messages != 0 || i.UIDNext != 1 {
		t.Errorf("a COPY that was refused left %+v, %v", i, err)
	}
	if _, err := m.Move(t.Context(), []goimap.UID{1}, "Trash"); err != nil {
		t.Errorf("MOVE: %v", err)
	}
	if _, err := m.Store(t.Context(), storeOf(2, FlagsAdd, `\Deleted`, nil)); err != nil {
		t.Errorf("STORE: %v", err)
	}
	if err := s.Rename(t.Context(), a, "Trash", "Bin"); err != nil {
		t.Errorf("RENAME: %v", err)
	}
	if _, err := m.ExpungeAll(t.Context(), true); err != nil {
		t.Errorf("EXPUNGE: %v", err)
	}
	if err := s.Delete(t.Context(), a, "Bin"); err != nil {
		t.Errorf("DELETE: %v", err)
	}
	holds(t, s, a, Usage{Messages: 2, Size: 2 * size})
	if _, err := m.Copy(t.Context(), []goimap.UID{3}, "Archive"); !errors.Is(err, ErrOverQuota) {
		t.Errorf("COPY of one octet too much: %v", err)
	}
	setQuota(t, s, a, Quota{Storage: 3 * size})
	if _, err := m.Copy(t.Context(), []goimap.UID{3}, "Archive"); err != nil {
		t.Errorf("COPY to the octet: %v", err)
	}
	if err := s.Rename(t.Context(), a, "INBOX", "Old"); err != nil {
		t.Errorf("RENAME of INBOX: %v", err)
	}
	holds(t, s, a, Usage{Messages: 3, Size: 3 * size})
}

// TestQuotaIsKept through every kind of restart, with what new accounts are given.
func TestQuotaIsKept(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			s.SetNewAccountQuota(Quota{Storage: 1 << 30})
			a, b := newAccount(t, s), newAccount(t, s)
			setQuota(t, s, a, Quota{Messages: 2})
			deliver(t, s, a, "INBOX", letter(1))
			s = restart(t, s)
			for account, want := range map[AccountID]Quota{a: {Messages: 2}, b: {Storage: 1 << 30}} {
				if q, err := s.Quota(account); err != nil || q != want {
					t.Errorf("account %d has %+v, %v", account, q, err)
				}
			}
			expectErrors(t, "the last one", offer(t, s, 1, Target{Account: a, Name: "INBOX"}), nil)
			expectErrors(t, "one more", offer(t, s, 1, Target{Account: a, Name: "INBOX"}), ErrOverQuota)
			if err := s.DeleteAccount(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			_, quota := s.Quota(a)
			_, usage := s.Usage(a)
			expectErrors(t, "of no account", []error{quota, usage, s.HasQuota(a, 1), s.SetQuota(t.Context(), a, Quota{})},
				ErrNoAccount, ErrNoAccount, ErrNoAccount, ErrNoAccount)
			if err := s.SetQuota(t.Context(), b, Quota{Storage: -1}); err == nil {
				t.Error("a negative quota was taken")
			}
		})
	}
}

// TestQuotaEdgeInOneGroup has deliveries and copies meet at the edge while
// nothing of them is durable: each is decided against those before it.
func TestQuotaEdgeInOneGroup(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	deliver(t, s, a, "INBOX", letter(0))
	m := open(t, s, a, "INBOX")
	size := rows(m)[0].Size
	setQuota(t, s, a, Quota{Storage: 3 * size, Messages: 10})
	release := holdPublish(t, s, a)
	next := s.nextLSN()
	var work sync.WaitGroup
	outcomes := make([]error, 8)
	for i := range outcomes {
		work.Go(func() {
			if i%2 == 0 {
				_, outcomes[i] = m.Copy(t.Context(), []goimap.UID{1}, "Archive")
				return
			}
			outcomes[i] = offer(t, s, int(size), Target{Account: a, Name: "INBOX"})[0]
		})
	}
	waitNumbered(s, next+1) // both that fit
	if err := s.HasQuota(a, size); err != nil {
		t.Errorf("what is not durable counts: %v", err)
	}
	release()
	work.Wait()
	fitted := 0
	for _, err := range outcomes {
		if err == nil {
			fitted++
		} else if !errors.Is(err, ErrOverQuota) {
			t.Error(err)
		}
	}
	if fitted != 2 {
		t.Errorf("%d fitted, there was room for 2", fitted)
	}
	holds(t, s, a, Usage{Messages: 3, Size: 3 * size})
}
