package dns

import (
	"context"
	"errors"
	"sync/atomic"
)

// errNotCached is the cause of look-ups that would have had to ask.
var errNotCached = errors.New("not in the cache")

type fromCacheKey struct{}

// FromCache gives a context in which the Resolver answers from its cache alone; other look-ups fail
// temporarily, at once. Who needs several answers, most of which are there, saves the
// goroutines.
func (*Resolver) FromCache(ctx context.Context) *CacheContext { return &CacheContext{Context: ctx} }

// CacheContext is a context of FromCache. It gives itself for fromCacheKey.
type CacheContext struct {
	context.Context
	missed atomic.Bool
}

// Missed tells whether any look-up would have had to ask: if not, all is as it would have been
// without FromCache.
func (c *CacheContext) Missed() bool { return c.missed.Load() }

// Value is that of context.Context.
func (c *CacheContext) Value(key any) any {
	if key == (fromCacheKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// OnlyFromCache reports whether ctx is one of FromCache.
func OnlyFromCache(ctx context.Context) bool { return ctx.Value(fromCacheKey{}) != nil }

// mustNotAsk reports whether ctx is one of FromCache, and notes that something is missing.
func mustNotAsk(ctx context.Context) bool {
	c, ok := ctx.Value(fromCacheKey{}).(*CacheContext)
	if ok {
		c.missed.Store(true)
	}
	return ok
}
