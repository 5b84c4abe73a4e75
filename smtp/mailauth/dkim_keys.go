package mailauth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"mailstead/smtp/dns"
)

const (
	maxLookups     = 8                // key records looked up at once for one message
	lookupsTimeout = 20 * time.Second // for all of a message's keys together
)

// keyring has the keys that a message needs, each looked up once, beside the
// arrival of its body.
type keyring struct {
	resolver Resolver
	records  *Records
	keys     []keyAnswer
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// keyAnswer is what a look-up came to.
type keyAnswer struct {
	name      string
	records   []string
	authentic bool
	key       *publicKey
	verdict   verdict // why there is none that can be used
}

// want adds a key to those to be looked up.
func (r *keyring) want(name string) {
	if r.find(name) == nil {
		r.keys = append(r.keys, keyAnswer{name: name})
	}
}

func (r *keyring) find(name string) *keyAnswer {
	for i := range r.keys {
		if r.keys[i].name == name {
			return &r.keys[i]
		}
	}
	return nil
}

// start begins to look up what is wanted. It ends by itself, with ctx, or what waiting gives in its place,
// or when stop is called; wait is called before the answers are read.
func (r *keyring) start(ctx context.Context, waiting func() context.Context) {
	if len(r.keys) == 0 {
		return
	}
	if Offline(r.resolver) {
		for i := range r.keys {
			r.keys[i].verdict = notLookedUp
		}
		return
	}
	open := r.lookUpCached(ctx)
	if len(open) == 0 {
		return
	}
	if waiting != nil {
		ctx = waiting()
	}
	ctx, r.cancel = context.WithTimeout(ctx, lookupsTimeout)
	var next atomic.Int32
	for range min(len(open), maxLookups) {
		r.running.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(open); i = int(next.Add(1)) - 1 {
				open[i].lookUp(ctx, r.resolver)
			}
		})
	}
}

// lookUpCached looks up what is in the resolver's cache, and gives the rest.
func (r *keyring) lookUpCached(ctx context.Context) (open []*keyAnswer) {
	for i := range r.keys {
		if !AtOnce(ctx, r.resolver, func(ctx context.Context) { r.keys[i].lookUp(ctx, r.resolver) }) {
			open = append(open, &r.keys[i])
		}
	}
	return open
}

// wait waits for the answers and reads them. That is done by the caller because
// the stack of a new goroutine would have to grow for it.
func (r *keyring) wait() {
	r.running.Wait()
	if r.cancel != nil {
		r.cancel()
	}
	for i := range r.keys {
		r.keys[i].read(r.records)
	}
}

// stop ends the look-ups.
func (r *keyring) stop() {
	if r.cancel != nil {
		r.cancel()
	}
	r.running.Wait()
}

// lookUp asks for a key record.
func (a *keyAnswer) lookUp(ctx context.Context, resolver Resolver) {
	answer, err := resolver.LookupTXT(ctx, a.name)
	a.verdict = verdict{}
	switch {
	case errors.Is(err, dns.ErrDisabled):
		a.verdict = notLookedUp
	case dns.IsNotFound(err):
		a.verdict = noKey
	case err != nil:
		a.verdict = noKeyNow
	}
	a.records, a.authentic = answer.Records, answer.Authentic
}

// read reads the records. Of several the first that can be used is taken: RFC
// 6376 section 3.6.2.2 leaves it open.
func (a *keyAnswer) read(known *Records) {
	if a.verdict != (verdict{}) {
		return
	}
	a.verdict = noKey
	for _, record := range a.records[:min(len(a.records), maxKeyRecords)] {
		if a.key, a.verdict = known.key(record); a.verdict == (verdict{}) {
			return
		}
	}
}

// maxKeyRecords bounds the records of one name that are read.
const maxKeyRecords = 10
