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
// temporarily, at once. missed tells whether there were any: if not, all is as it would have
// been with ctx. Who needs several answers, most of which are there, saves the goroutines.
func (*Resolver) FromCache(ctx context.Context) (cached context.Context, missed func() bool) {
	c := &fromCache{Context: ctx}
	return c, c.missed.Load
}

// fromCache is a context of FromCache. It gives itself for fromCacheKey.
type fromCache struct {
	context.Context
	missed atomic.Bool
}

// Value is that of context.Context.
func (c *fromCache) Value(key any) any {
	if key == (fromCacheKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// OnlyFromCache reports whether ctx is one of FromCache.
func OnlyFromCache(ctx context.Context) bool { return ctx.Value(fromCacheKey{}) != nil }

// mustNotAsk reports whether ctx is one of FromCache, and notes that something is missing.
func mustNotAsk(ctx context.Context) bool {
	c, ok := ctx.Value(fromCacheKey{}).(*fromCache)
	if ok {
		c.missed.Store(true)
	}
	return ok
}
