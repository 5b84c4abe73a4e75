package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/junk/training"
)

const (
	// keepRejected is how long copies of refused mail stay where their recipient sees them. Retention comes on top.
	keepRejected = 5 * 24 * time.Hour
	// maxRejected bounds the copies in one account: who sends much that is refused pushes out copies, not mail.
	maxRejected = 200
)

// rejectedMark is the keyword of copies that we put there, and take away: what else somebody keeps in a mailbox of that name stays.
const rejectedMark = "$Rejected"

// Keep stores a copy of a refused message in the mailbox Rejects of each account, which is made if it is not there. mailbox.ErrOverQuota and
// other errors of the store: then some have none.
func (c *Courier) Keep(ctx context.Context, accounts []mailbox.AccountID, came time.Time, write func(io.Writer) error) error {
	b := c.store.NewBody()
	defer b.Abort()
	if err := write(b); err != nil {
		return fmt.Errorf("local: copying a refused message: %w", err)
	}
	var targets []mailbox.Target
	for _, a := range accounts {
		if _, err := c.store.Create(ctx, a, training.Rejects, ""); err != nil && !errors.Is(err, mailbox.ErrExists) {
			return fmt.Errorf("local: making the mailbox for refused mail: %w", err)
		}
		targets = append(targets, mailbox.Target{Account: a, Name: training.Rejects, Date: came, Flags: []goimap.Flag{rejectedMark}})
	}
	if err := c.deliverSome(ctx, b, targets); err != nil {
		return fmt.Errorf("local: keeping a refused message: %w", err)
	}
	for _, a := range accounts {
		if err := c.SweepRejected(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// SweepRejected expunges the copies of refused mail of an account that have been there for days, and the oldest where there are too
// many.
func (c *Courier) SweepRejected(ctx context.Context, a mailbox.AccountID) error {
	box, err := c.store.OpenMailbox(ctx, a, training.Rejects)
	if errors.Is(err, mailbox.ErrNoMailbox) || errors.Is(err, mailbox.ErrNoAccount) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("local: opening the refused mail: %w", err)
	}
	defer box.Close()
	old, err := c.oldRejected(box)
	if err != nil || len(old) == 0 {
		return err
	}
	if _, err := box.Expunge(ctx, old, false); err != nil {
		return fmt.Errorf("local: expunging refused mail: %w", err)
	}
	return nil
}

// oldRejected are the copies of a mailbox that have had their time.
func (c *Courier) oldRejected(box *mailbox.Mailbox) (old []goimap.UID, err error) {
	mark, err := box.Bits([]goimap.Flag{rejectedMark}, false)
	if err != nil || mark == (mailbox.FlagSet{}) {
		return nil, err
	}
	v := box.View(false)
	before := c.now().Add(-keepRejected).Unix()
	kept := 0
	for _, r := range slices.Backward(v.Rows(nil, 1, v.Len())) {
		if r.Flags[0]&mark[0] == 0 && r.Flags[1]&mark[1] == 0 {
			continue
		}
		if kept++; kept > maxRejected || r.Saved < before {
			old = append(old, r.UID)
		}
	}
	slices.Sort(old)
	return old, nil
}
