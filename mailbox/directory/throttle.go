package directory

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// How password guessing is slowed down. Failures are judged at a bounded rate
// and answered late; nobody is ever locked out, since a lock-out is a gift to
// whoever wants the owner out.
const (
	judgedPerSecond = 5                // failures judged for one address, and for one user name, a second
	failureDelay    = time.Second      // from question to answer of a wrong password
	failureWindow   = 10 * time.Minute // over which failures are counted
	freeFailures    = 30               // in the window, before the delay grows
	maxFailureDelay = 15 * time.Second // what a client still waits for
	maxTracked      = 10000            // addresses and names remembered, about 1 MB
)

// throttle remembers failed logins by key: an address, or a user name.
type throttle struct {
	now  func() time.Time
	mu   sync.Mutex
	keys map[string]*failures
}

// failures are those of one key.
type failures struct {
	next  time.Time // when the next failure may be judged
	since time.Time // start of the window
	count int
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, keys: map[string]*failures{}}
}

// addressKey groups what one customer of a provider holds: an IPv4 address, or
// an IPv6 /64. Loopback is an address like others: behind a proxy, or with a
// program gone wrong, it is where guesses come from.
func addressKey(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return addressMark + p.String()
		}
	}
	return addressMark + a.String()
}

// wait holds an attempt until its keys may be judged. Attempts that turn out
// right cost the next one nothing: only failed moves the time.
func (t *throttle) wait(ctx context.Context, keys ...string) error {
	for {
		pause := t.reserve(keys)
		if pause <= 0 {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// reserve books one judgement for all keys, or says how long to wait for it.
func (t *throttle) reserve(keys []string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var pause time.Duration
	for _, k := range keys {
		if f := t.keys[k]; f != nil {
			pause = max(pause, f.next.Sub(now))
		}
	}
	if pause > 0 {
		return pause
	}
	for _, k := range keys {
		f := t.at(k, now)
		// A second's worth may be judged at once after a quiet time.
		const step = time.Second / judgedPerSecond
		if earliest := now.Add(step - time.Second); f.next.Before(earliest) {
			f.next = earliest
		}
		f.next = f.next.Add(step)
	}
	return 0
}

// at returns the failures of key, within the present window.
func (t *throttle) at(key string, now time.Time) *failures {
	f := t.keys[key]
	if f == nil {
		if len(t.keys) >= maxTracked {
			t.forget(now)
		}
		f = &failures{since: now}
		t.keys[key] = f
	}
	if now.Sub(f.since) > failureWindow {
		f.since, f.count = now, 0
	}
	return f
}

// forget makes room for a quarter of the table at once, so that a flood of new
// keys does not pay a walk each: what is past its window goes, then any.
func (t *throttle) forget(now time.Time) {
	for k, f := range t.keys {
		if now.Sub(f.since) > failureWindow {
			delete(t.keys, k)
		}
	}
	for k := range t.keys {
		if len(t.keys) <= maxTracked*3/4 {
			return
		}
		delete(t.keys, k)
	}
}

// failed counts a failure and returns how late it is to be answered, from the
// moment it was asked.
func (t *throttle) failed(keys ...string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	worst := 0
	for _, k := range keys {
		f := t.at(k, t.now())
		f.count++
		worst = max(worst, f.count)
	}
	return failureAnswer(worst)
}

// failureAnswer is the delay of the n-th failure in the window.
func failureAnswer(n int) time.Duration {
	if n < freeFailures {
		return failureDelay
	}
	return min(failureDelay+time.Duration(n-freeFailures+1)*failureDelay/2, maxFailureDelay)
}

// passed forgets the failures of an address that knows a right password.
func (t *throttle) passed(addressKey string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.keys, addressKey)
}

// refund gives back a judgement that was booked and turned out right.
func (t *throttle) refund(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.keys[key]; f != nil {
		f.next = f.next.Add(-time.Second / judgedPerSecond)
	}
}
