package serve

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxKnown bounds the addresses that are remembered: some hundred KB.
	maxKnown = 4096
	// knownFor is how long an address is known after a login from there.
	knownFor = 7 * 24 * time.Hour
	// reservePart is which part of the strangers' number is kept beside it for who comes from known addresses.
	reservePart = 4
)

// Known are the addresses from which somebody has logged in of late. When strangers take all connections that are allowed without login, who comes
// from there still gets one. The servers of several protocols can have one together, as who reads mail sends some, too.
type Known struct {
	mu    sync.Mutex
	until map[netip.Prefix]time.Time
}

// NewKnown knows nobody yet.
func NewKnown() *Known { return &Known{until: map[netip.Prefix]time.Time{}} }

// remember notes a login.
func (k *Known) remember(address netip.Prefix, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.until[address]; !ok && len(k.until) >= maxKnown {
		k.forget(now)
	}
	k.until[address] = now.Add(knownFor)
}

// forget makes room for a quarter at once: what is past its time goes, then any. The caller holds mu.
func (k *Known) forget(now time.Time) {
	for a, until := range k.until {
		if !now.Before(until) {
			delete(k.until, a)
		}
	}
	for a := range k.until {
		if len(k.until) <= maxKnown*3/4 {
			return
		}
		delete(k.until, a)
	}
}

// has reports whether somebody has logged in from an address.
func (k *Known) has(address netip.Prefix, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	until, ok := k.until[address]
	return ok && now.Before(until)
}
