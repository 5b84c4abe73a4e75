package tls

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

const (
	// attemptTime bounds an attempt: authorities answer within seconds, and look at DNS records within two minutes.
	attemptTime = 5 * time.Minute
	// longestRest is the longest a name is left without a look at the clock, which may have been set.
	longestRest = time.Hour
)

// quiet has certmagic say nothing: what matters is told in our words, once.
var quiet = zap.NewNop()

// work looks after a name until ctx ends.
func (a *ACME) work(ctx context.Context, e *entry, cache *certmagic.Cache) {
	looks := 0
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-e.orders:
			o.done <- a.obey(ctx, e, cache, o)
		case <-next.C:
		}
		pause := a.tend(ctx, e, cache, &looks)
		next.Reset(pause)
	}
}

// tend does the next thing that is to be done for a name, and says when to look again.
func (a *ACME) tend(ctx context.Context, e *entry, cache *certmagic.Cache, looks *int) time.Duration {
	now := a.o.Now()
	e.mu.Lock()
	what, until := nextStep(e.name, e.leaf(), e.record, now)
	e.mu.Unlock()
	switch what {
	case ask:
		a.ask(ctx, e)
	case fetch:
		if !a.leadsHere(ctx, e) {
			*looks++
			return lookPause(*looks - 1)
		}
		*looks = 0
		// The error is in the record, and the pause after it.
		_ = a.fetch(ctx, e, cache, false)
	case rest:
		return min(until.Sub(now), longestRest)
	}
	return 0
}

// leaf is that of the certificate that is served, nil without.
func (e *entry) leaf() *x509.Certificate {
	if cert := e.current.Load(); cert != nil {
		return cert.Leaf
	}
	return nil
}

// leadsHere tells whether the authority would find us under a name.
func (a *ACME) leadsHere(ctx context.Context, e *entry) bool {
	if a.o.Here == nil {
		return true
	}
	err := a.o.Here(ctx, e.name)
	if ctx.Err() != nil {
		return false
	}
	words := ""
	if err != nil {
		words = printable(err.Error())
	}
	e.mu.Lock()
	news := words != e.waiting
	e.waiting = words
	e.mu.Unlock()
	if news && words != "" {
		a.o.Logger.Info("no certificate is asked for yet", "name", e.name, "reason", words)
	}
	return err == nil
}

// obey renews a certificate because somebody wants it.
func (a *ACME) obey(ctx context.Context, e *entry, cache *certmagic.Cache, o order) error {
	now := a.o.Now()
	e.mu.Lock()
	asked, lacks := e.record.Asked, o.nextKey && e.next == nil
	e.mu.Unlock()
	if lacks {
		return ErrNoNextKey
	}
	if now.Before(asked) {
		return fmt.Errorf("the authority wants to be left alone until %s", asked.UTC().Format(time.RFC3339))
	}
	return a.fetch(ctx, e, cache, o.nextKey)
}

// fetch asks the authority for a certificate, with what is there already for it to be replaced, and serves it.
func (a *ACME) fetch(ctx context.Context, e *entry, cache *certmagic.Cache, next bool) error {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	attempt, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	conduct := &conduct{replaces: e.leaf()}
	err := a.obtain(attempt, e, cache, conduct, next)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // we stop: nobody has failed
	}
	if attempt.Err() != nil {
		err = errors.Join(attempt.Err(), err)
	}
	return a.conclude(ctx, e, err, conduct.asked)
}

// obtain has certmagic get and store a certificate, and serves it.
func (a *ACME) obtain(ctx context.Context, e *entry, cache *certmagic.Cache, c *conduct, next bool) error {
	key, err := a.signingKey(ctx, e, next)
	if err != nil {
		return err
	}
	// certmagic calls everything a renewal that replaces what is stored, and has no key of its own: ours is given to it each time.
	engine := certmagic.New(cache, certmagic.Config{
		Storage: a.o.Storage, Issuers: []certmagic.Issuer{a.issuer}, KeySource: givenKey{key},
		DisableStorageCheck: true, DisableARI: true, Logger: quiet,
	})
	if err := engine.RenewCertSync(c.with(ctx), e.name, true); err != nil {
		return err
	}
	before := e.leaf()
	if err := a.load(ctx, e); err != nil {
		return err
	}
	if now := e.leaf(); now == nil || before != nil && now.Equal(before) {
		return errors.New("the authority gave a certificate that cannot be used")
	}
	return nil
}

// givenKey is a certmagic.KeyGenerator that makes nothing.
type givenKey struct{ key *ecdsa.PrivateKey }

// GenerateKey returns the key.
func (g givenKey) GenerateKey() (crypto.PrivateKey, error) { return g.key, nil }

// signingKey is the key that a certificate is asked for; it is stored before.
func (a *ACME) signingKey(ctx context.Context, e *entry, next bool) (*ecdsa.PrivateKey, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if next {
		return e.next, nil
	}
	if e.key != nil {
		return e.key, nil
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := a.keeper.storeKey(ctx, e.name, currentKey, key); err != nil {
		return nil, err
	}
	e.key = key
	return key, nil
}

// conclude notes how an attempt ended, and returns its error in words.
func (a *ACME) conclude(ctx context.Context, e *entry, failure error, asked time.Duration) error {
	now := a.o.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	r := record{Tried: now}
	if failure != nil {
		r = e.record
		r.Tried, r.Error = now, inWords(failure)
		r.Failures++
		pause := pauseAfter(r.Failures, asked)
		r.NextTry, r.Asked = now.Add(pause), now.Add(min(asked, mostPatience))
		a.o.Logger.Warn("no certificate", "name", e.name, "reason", r.Error, "failures", r.Failures, "next_try", r.NextTry)
	} else {
		leaf := e.leaf()
		r.NextTry = now.Add(leastBetween)
		a.o.Logger.Info("certificate fetched", "name", e.name, "issuer", issuerName(leaf), "not_after", leaf.NotAfter)
	}
	a.note(ctx, e, r)
	if failure != nil {
		return errors.New(r.Error)
	}
	return nil
}

// note keeps what is known of a name. The caller holds e.mu.
func (a *ACME) note(ctx context.Context, e *entry, r record) {
	e.record = r
	if err := a.keeper.storeRecord(ctx, e.name, r); err != nil && ctx.Err() == nil {
		a.o.Logger.Error("what is known of a certificate could not be kept", "name", e.name, "error", err)
	}
}

// ask asks the authority when it wants the certificate renewed (RFC 9773). Where it does not say, two thirds of a certificate's life hold.
func (a *ACME) ask(ctx context.Context, e *entry) {
	leaf := e.leaf()
	attempt, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	info, err := a.issuer.client.GetRenewalInfo(attempt, leaf)
	if ctx.Err() != nil {
		return
	}
	now := a.o.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.record
	if r.Serial != leaf.SerialNumber.String() {
		r.Serial, r.RenewAt, r.Window, r.Reason = leaf.SerialNumber.String(), time.Time{}, "", ""
	}
	r.AskAgain = now.Add(mostAsk)
	if err != nil {
		a.o.Logger.Debug("the authority does not say when to renew", "name", e.name, "error", err)
		a.note(ctx, e, r)
		return
	}
	if info.RetryAfter != nil {
		r.AskAgain = now.Add(min(max(info.RetryAfter.Sub(now), leastAsk), mostAsk))
	}
	// The time within the window is chosen once for each window (RFC 9773 section 4.2).
	if window := windowText(info.SuggestedWindow.Start, info.SuggestedWindow.End); window != r.Window {
		r.Window, r.RenewAt, r.Reason = window, info.SelectedTime, printable(info.ExplanationURL)
		a.o.Logger.Info("the authority says when to renew", "name", e.name, "renew_at", r.RenewAt, "explanation", r.Reason)
	}
	a.note(ctx, e, r)
}

func windowText(start, end time.Time) string {
	return start.UTC().Format(time.RFC3339) + "/" + end.UTC().Format(time.RFC3339)
}
