package local

import (
	"fmt"
	"io"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/junk/training"
)

// TestRejects keeps copies of refused mail for some days, and not too many.
func TestRejects(t *testing.T) {
	o := newOffice(t)
	a := o.accounts[1].Account
	now := time.Now()
	o.Courier.now = func() time.Time { return now }
	keep := func(n int) {
		must(t, o.Keep(t.Context(), []mailbox.AccountID{a}, time.Unix(1e9, 0), func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "copy %d", n)
			return err
		}))
	}
	for n := range maxRejected + 2 {
		keep(n)
	}
	if got := o.messages(t, 1, training.Rejects); len(got) != maxRejected || got[0] != "copy 2" {
		t.Errorf("%d copies, the first %q", len(got), got[0])
	}
	now = now.Add(keepRejected - time.Hour)
	must(t, o.SweepRejected(t.Context(), a))
	if got := o.messages(t, 1, training.Rejects); len(got) != maxRejected {
		t.Errorf("%d copies before their time", len(got))
	}
	now = now.Add(2 * time.Hour)
	b := o.NewBody()
	defer b.Abort()
	_, err := io.WriteString(b, "my own")
	must(t, err)
	must(t, o.deliverSome(t.Context(), b, []mailbox.Target{{Account: a, Name: training.Rejects, Date: time.Unix(1e9, 0)}}))
	now = now.Add(100 * keepRejected)
	must(t, o.SweepRejected(t.Context(), a))
	if got := o.messages(t, 1, training.Rejects); len(got) != 1 || got[0] != "my own" {
		t.Errorf("%q after it: what is not a copy stays", got)
	}
	must(t, o.SweepRejected(t.Context(), o.accounts[2].Account)) // who has none
}
