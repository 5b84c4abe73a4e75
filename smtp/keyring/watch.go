package keyring

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

const (
	minSleep = 100 * time.Millisecond // bounds what a clock that is set back and forth can cost
	maxSleep = 30 * time.Minute       // bounds the trust in the timer's clock, which knows nothing of a corrected time
	lookTime = 20 * time.Second       // for all records of one domain
	// settled is after which nothing comes into the queue any more that is signed with keys of before: a notice is signed first, and
	// has its time when it is queued. It is longer than the second that the time of an exchange is rounded down to, too.
	settled = time.Minute
)

// watch is how the records of a domain are looked at. It is not kept: a restart looks at once.
type watch struct {
	next  time.Time
	delay time.Duration
	seen  bool // all that wait were there at the last look
}

// wake makes Run look now.
func (r *Ring) wake() {
	select {
	case r.kick <- struct{}{}:
	default: // it will
	}
}

// Run looks for the records of keys that wait, exchanges keys, and retires old ones, until ctx ends.
func (r *Ring) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
			r.watched = map[string]*watch{} // whoever asks wants to see something happen
		case <-timer.C:
		}
		next := r.look(ctx)
		timer.Reset(min(max(next.Sub(r.o.Now()), minSleep), maxSleep))
	}
}

// look looks at each domain whose time has come, and returns when the next one is due.
func (r *Ring) look(ctx context.Context) time.Time {
	r.mu.RLock()
	domains := slices.Sorted(maps.Keys(r.all))
	r.mu.RUnlock()
	next := r.o.Now().Add(maxSleep)
	for _, domain := range domains {
		w := r.watched[domain]
		if w == nil {
			w = &watch{}
			r.watched[domain] = w
		}
		if !r.o.Now().Before(w.next) {
			if err := r.lookAt(ctx, domain, w); err != nil && !errors.Is(err, mailbox.ErrClosed) && ctx.Err() == nil {
				r.o.Logger.Warn("keyring: a step is tried again later", "domain", domain, "err", err)
				w.next = r.o.Now().Add(r.o.Times.LastLook)
			}
		}
		if w.next.Before(next) {
			next = w.next
		}
	}
	return next
}

// lookAt makes the steps of one domain whose time has come.
func (r *Ring) lookAt(ctx context.Context, domain string, w *watch) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	w.next = r.o.Now().Add(r.o.Times.RareLook)
	if waits(r.entries(domain)) {
		if err := r.lookFor(ctx, domain, w); err != nil {
			return err
		}
	}
	return r.retire(ctx, domain, w)
}

// lookFor looks for the records of keys that wait, and exchanges keys when they are there.
func (r *Ring) lookFor(ctx context.Context, domain string, w *watch) error {
	var missing []string
	for _, e := range r.entries(domain) {
		if e.State == Waiting && !r.published(ctx, e) {
			missing = append(missing, e.signer().RecordName())
		}
	}
	switch {
	case len(missing) > 0:
		w.seen, w.delay = false, min(max(2*w.delay, r.o.Times.FirstLook), r.o.Times.LastLook)
		w.next = r.o.Now().Add(w.delay)
		r.o.Logger.Info("keyring: records of new keys are not in the DNS yet", "missing", missing, "next", w.next)
		return nil
	case !w.seen:
		w.seen, w.delay = true, 0
		w.next = r.o.Now().Add(r.o.Times.Confirm)
		return nil
	}
	w.seen = false
	r.change.Lock()
	defer r.change.Unlock()
	if !waits(r.entries(domain)) { // told to meanwhile, or without the domain
		return nil
	}
	if err := r.write(ctx, domain, r.exchanged(r.entries(domain)), nil); err != nil {
		return err
	}
	r.o.Logger.Info("keyring: new keys sign, their records are in the DNS", "domain", domain)
	return nil
}

// published reports whether the record of a key is in the DNS, alone of its kind (RFC 6376 section 3.6.2.2).
func (r *Ring) published(ctx context.Context, e entry) bool {
	if r.o.Lookup == nil {
		return false
	}
	found, err := r.o.Lookup(ctx, e.signer().RecordName())
	return err == nil && len(found) == 1 && mailauth.SameKey(found[0], e.text())
}

// gone reports whether the record of a retired key is not there any more.
func (r *Ring) gone(ctx context.Context, e entry) bool {
	if r.o.Lookup == nil {
		return false
	}
	found, err := r.o.Lookup(ctx, e.selector+"._domainkey."+e.domain)
	return err != nil && dns.IsNotFound(err) || err == nil && !slices.ContainsFunc(found, func(text string) bool { return strings.Contains(text, "p=") })
}

// retire deletes old keys whose time is over, and forgets retired ones whose records are gone.
func (r *Ring) retire(ctx context.Context, domain string, w *watch) error {
	var dropped []string
	for _, e := range r.entries(domain) {
		if e.State == Retired && r.gone(ctx, e) {
			dropped = append(dropped, e.selector)
		}
	}
	r.change.Lock()
	defer r.change.Unlock()
	var left, gone []entry
	retired := 0
	for _, e := range r.entries(domain) {
		switch {
		case e.State == Retired && slices.Contains(dropped, e.selector):
			gone = append(gone, e)
			continue
		case e.State == Old && r.isOver(e):
			e = e.retired(r.today())
			retired++
		case e.State == Old && e.Until.After(r.o.Now()) && e.Until.Before(w.next):
			w.next = e.Until
		}
		left = append(left, e)
	}
	if len(gone) == 0 && retired == 0 {
		return nil
	}
	if retired > 0 {
		r.o.Logger.Info("keyring: old keys are deleted, their records can be removed", "domain", domain, "keys", retired)
	}
	return r.write(ctx, domain, left, gone)
}

// isOver reports whether no message that an old key has signed can be on its way.
func (r *Ring) isOver(e entry) bool {
	if r.o.Now().Before(e.Until) {
		return false
	}
	waiting, err := r.o.Waits(e.Since.Add(settled)) // held mail waits for as long as its administrator wants
	switch {
	case err != nil:
		r.o.Logger.Warn("keyring: nobody knows what is in the queue; an old key stays", "domain", e.domain, "selector", e.selector, "err", err)
	case waiting:
		r.o.Logger.Info("keyring: an old key stays, as mail that it may have signed is still queued", "domain", e.domain, "selector", e.selector)
	}
	return err == nil && !waiting
}

// retired is an entry without its key.
func (e entry) retired(now time.Time) entry {
	return entry{kept: kept{State: Retired, Since: now, Text: e.text()}, domain: e.domain, selector: e.selector}
}
