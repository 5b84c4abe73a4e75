// Package mailauth finds out who is responsible for a message, by SPF, DKIM
// (RFC 6376), DMARC, ARC (RFC 8617) and iprev, and writes what it found into one
// Authentication-Results field (RFC 8601). It also signs with DKIM what is sent.
//
// It reads messages and DNS answers, both written by strangers, so everything
// is bounded in number, length and time, and nothing is a reason to fail: a
// broken signature or record is a Result with a reason. It keeps no state,
// stores nothing and opens no connection; the DNS is asked through Resolver.
package mailauth

import (
	"context"
	"time"

	"mailstead/smtp/dns"
)

// Result is what a method says of a message, in the words of RFC 8601 section
// 2.7. The zero value is no result at all.
type Result string

// The results. No method has all of them; ARC has the first three only.
const (
	None      Result = "none"      // there was nothing to check
	Pass      Result = "pass"      // it is what it says
	Fail      Result = "fail"      // it is not
	SoftFail  Result = "softfail"  // SPF: probably not
	Neutral   Result = "neutral"   // nothing can be said
	TempError Result = "temperror" // nothing could be said now; trying again may help
	PermError Result = "permerror" // nothing can be said before somebody corrects a record or a field
	Policy    Result = "policy"    // it is right, but not acceptable to us
)

// Resolver looks up TXT records. A dns.Resolver is one.
type Resolver interface {
	// LookupTXT gives the texts at name, the strings of a record joined, bytes
	// as received. Name may be Unicode. Errors are of type *dns.Error.
	LookupTXT(ctx context.Context, name string) (dns.Answer[string], error)
}

// Offline reports whether a Resolver has nobody to ask: every check then finds None.
func Offline(r Resolver) bool {
	d, ok := r.(interface{ Disabled() bool })
	return ok && d.Disabled()
}

// AtOnce runs a check with what a Resolver knows without asking anybody, if it can do that. It is
// false where the check has to be run again, with ctx: it may have found another result then.
func AtOnce(ctx context.Context, r Resolver, check func(context.Context)) bool {
	known, ok := r.(interface {
		FromCache(context.Context) *dns.CacheContext
	})
	switch {
	case Offline(r):
		check(ctx)
		return true
	case !ok:
		return false
	}
	cached := known.FromCache(ctx)
	check(cached)
	return !cached.Missed()
}

// bounded is context.WithTimeout, but for a context that asks nobody anyway.
func bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if dns.OnlyFromCache(ctx) {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}
