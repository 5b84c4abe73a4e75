package directory

import (
	"context"
	"errors"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory/loginlog"
)

const (
	// notesEvery is how often what nobody waits for is written down.
	notesEvery = time.Minute
	// tidyEvery is how often old notes are removed.
	tidyEvery = 24 * time.Hour
)

// Run writes down what was only noted, each minute and when ctx ends: logins, and what came to masked
// addresses.
func (d *Directory) Run(ctx context.Context) {
	write, tidy := time.NewTicker(notesEvery), time.NewTicker(tidyEvery)
	defer write.Stop()
	defer tidy.Stop()
	d.tidyNotes(ctx)
	for ctx.Err() == nil {
		select {
		case <-write.C:
			d.keepNotes(ctx)
		case <-tidy.C:
			d.tidyNotes(ctx)
		case <-ctx.Done():
		}
	}
	d.keepNotes(context.WithoutCancel(ctx))
}

// keepNotes writes down what there is. What cannot be written is tried again with the next.
func (d *Directory) keepNotes(ctx context.Context) {
	if err := errors.Join(d.keepArrived(ctx), d.logbook.Flush(ctx)); err != nil {
		d.log.Warn("directory: notes cannot be written; mail goes on", "err", err)
	}
}

// tidyNotes removes what is too old, and what is of accounts that are past retention.
func (d *Directory) tidyNotes(ctx context.Context) {
	removed, err := d.removed()
	if err == nil {
		known := map[mailbox.AccountID]bool{}
		for _, r := range removed {
			known[r.ID] = true
		}
		err = d.logbook.Tidy(ctx, func(id mailbox.AccountID) bool {
			_, here := d.NameOf(id)
			return here || known[id]
		})
	}
	if err != nil {
		d.log.Warn("directory: old notes cannot be removed", "err", err)
	}
}

// Logins are those of an account and attempts at it, the newest first; most of them at most, 0 for all. ErrNoSuch.
func (d *Directory) Logins(ctx context.Context, account string, most int) ([]loginlog.Line, error) {
	a, err := d.find(account)
	if err != nil {
		return nil, err
	}
	return d.logbook.Lines(ctx, a.ID, most)
}

// LastLogin is the last successful login of an account; ok is false where there was none.
func (d *Directory) LastLogin(id mailbox.AccountID) (line loginlog.Line, ok bool, err error) {
	return d.logbook.Last(id)
}

// Identify notes what the mail program of a session says of itself after its login.
func (d *Directory) Identify(at Attempt, a Account) {
	t := try{at: at, account: a}
	d.logbook.Identify(t.login(loginlog.OK))
}
