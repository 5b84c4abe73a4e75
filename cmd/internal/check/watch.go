package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
)

// Watch makes a round every day, and tells the postmaster what has changed.
type Watch struct {
	// Store remembers.
	Store *mailbox.Store
	// Round makes a round.
	Round func(context.Context) ([]Result, error)
	// Used is what the store takes, in octets.
	Used func() (int64, error)
	// Tell writes a letter to the postmaster, and makes a change of the store with it, both or none.
	Tell func(ctx context.Context, subject, text string, changes ...mailbox.RoomChange) error
	// Now is the clock. nil = time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// Times of daily rounds. They are spread, so that many servers do not ask lists and resolvers in the same minute, and a server
// that was started just now has fetched its certificates before it is judged.
const (
	roundEvery  = 24 * time.Hour
	roundSpread = time.Hour
	// The least that is waited.
	afterStart   = 10 * time.Minute
	afterFailure = time.Hour
)

// Run makes rounds until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	if w.Now == nil {
		w.Now = time.Now
	}
	least := afterStart
	for {
		timer := time.NewTimer(max(w.pause(), least))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		least = afterStart
		if err := w.Once(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("the daily check failed", "err", err)
			least = afterFailure
		}
	}
}

// pause is how long is waited until the next round.
func (w *Watch) pause() time.Duration {
	spread := rand.N(roundSpread)
	last, _, err := LastRound(w.Store)
	if err != nil {
		w.Logger.Warn("the daily check does not know when it was made last", "err", err)
		return roundEvery + spread
	}
	// A clock that was ahead when the last one was made does not put the next off.
	left := min(last.Time.Add(roundEvery).Sub(w.Now()), roundEvery)
	return left + spread
}

// Once makes a round, and tells what has changed since the last.
func (w *Watch) Once(ctx context.Context) error {
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	used, err := w.Used()
	if err != nil {
		return err
	}
	if err := addSample(ctx, w.Store, Sample{now().UTC(), used}); err != nil {
		return err
	}
	results, err := w.Round(ctx)
	if err == nil && len(results) == 0 {
		err = errNothingFound
	}
	if err != nil {
		return err
	}
	last, _, err := LastRound(w.Store)
	if err != nil {
		return err
	}
	news := compare(last.Told, results)
	c, err := change(roundKey, Round{Time: now().UTC(), Results: results, Told: news.told})
	if err != nil {
		return err
	}
	if len(news.wrong)+len(news.right)+len(news.gone) == 0 {
		return w.Store.Change(ctx, c)
	}
	if err := w.Tell(ctx, news.subject(), news.text(), c); err != nil {
		return errors.Join(err, w.keep(ctx, Round{now().UTC(), results, last.Told})) // it is told tomorrow
	}
	return nil
}

// keep writes a round down without telling of it.
func (w *Watch) keep(ctx context.Context, r Round) error {
	c, err := change(roundKey, r)
	if err != nil {
		return err
	}
	return w.Store.Change(ctx, c)
}

// news are what has changed between what was told and a round.
type news struct {
	wrong []Result // for the first time
	right []Result // again
	gone  []string // keys of what was wrong and is not looked at any more
	told  []string // what is known from now on
}

// compare finds what a round has that was not told. What nobody could find out stays as it was told.
func compare(told []string, results []Result) (n news) {
	seen, looked := make(map[string]bool), make(map[string]bool)
	for _, r := range results {
		key := r.key()
		if said, known := looked[r.kind()]; !known || said {
			looked[r.kind()] = r.State != Unknown
		}
		known := slices.Contains(told, key)
		first := !seen[key]
		seen[key] = true
		switch {
		case r.State == Wrong:
			if !slices.Contains(n.told, key) {
				n.told = append(n.told, key)
			}
			if !known {
				n.wrong = append(n.wrong, r)
			}
		case r.State == Unknown && known && first:
			n.told = append(n.told, key)
		case known && first:
			n.right = append(n.right, r)
		}
	}
	n.right = slices.DeleteFunc(n.right, func(r Result) bool { return slices.Contains(n.told, r.key()) })
	for _, key := range told {
		switch {
		case seen[key]:
		case looked[kindOf(key)]:
			n.gone = append(n.gone, key)
		default: // nobody could look
			n.told = append(n.told, key)
		}
	}
	return n
}

func (n *news) subject() string {
	switch {
	case len(n.wrong) == 1:
		return "Something is wrong: " + n.wrong[0].heading()
	case len(n.wrong) > 1:
		return fmt.Sprintf("%d things are wrong", len(n.wrong))
	}
	return "It is right again"
}

// heading names what a result is about, in a few words.
func (r *Result) heading() string {
	if r.Subject == "" || r.Subject == r.Domain {
		return strings.TrimSpace(r.ID + " " + r.Domain)
	}
	return r.ID + " " + r.Subject
}

// text is the letter: what became wrong, with its remedy, and what is right again.
func (n *news) text() string {
	var b strings.Builder
	b.WriteString("The daily check of this server has found a change.\n")
	if len(n.wrong) > 0 {
		b.WriteString("\nThis is wrong:\n")
		for _, r := range n.wrong {
			fmt.Fprintf(&b, "\n  %s\n    %s\n    Why it matters: %s.\n    What to do: %s\n", r.heading(), r.Found, r.Why, r.Remedy)
		}
	}
	if len(n.right)+len(n.gone) > 0 {
		b.WriteString("\nThis is right again, or is not there any more:\n\n")
		for _, r := range n.right {
			fmt.Fprintf(&b, "  %s\n", r.heading())
		}
		for _, key := range n.gone {
			fmt.Fprintf(&b, "  %s\n", strings.Join(strings.Fields(key), " "))
		}
	}
	b.WriteString("\nSee how it is now:  mailstead check\nYou are told of each change once.\n")
	return b.String()
}
