package smtp

import (
	"net/netip"
	"sync"
	"time"
)

// act is something of which a stranger can do too much.
type act uint8

const (
	connecting act = iota
	sending        // a MAIL command
	guessing       // a recipient that is not here
	erring         // a reply of 5xx
	acts
)

// excess is how an act is called in replies.
var excess = [acts]string{"connections", "messages", "unknown recipients", "errors"}

const (
	// memory is how long a stranger's acts count: they are forgotten evenly, so
	// that a limit is how many fit into an hour in the long run, and at once at most.
	memory = time.Hour
	// harvestShare is how many times the limit of unknown recipients is too much to
	// be answered at all; from the limit on answers are slow.
	harvestShare = 4
	// maxTallies bounds the memory of a flood from many addresses: 4 MB.
	maxTallies = 1 << 14
)

// ledger remembers how strangers behave, by their address and by their network:
// IPv4 addresses and /24, and of IPv6 the /64 that a host owns and the /48 that a site has
// (RFC 6177 section 2). It is in memory only: who comes after a start is new.
type ledger struct {
	mu      sync.Mutex
	limits  [acts]float64 // of one address within memory
	wide    float64       // how many times that a network may do
	most    int           // connections of a network at a time
	tallies map[netip.Prefix]*tally
}

// tally is what is remembered of an address or a network.
type tally struct {
	at     time.Time // of the levels
	levels [acts]float64
	over   [acts]time.Time // when each went beyond its limit the last time
	open   int             // connections now
	polite bool            // it has waited for its greeting
}

func newLedger(l Limits) *ledger {
	ledger := &ledger{tallies: map[netip.Prefix]*tally{}}
	ledger.setLimits(l)
	return ledger
}

// setLimits changes the limits. What is remembered counts on.
func (l *ledger) setLimits(limits Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits = [acts]float64{
		connecting: float64(limits.HourlyConnections), sending: float64(limits.HourlyMessages),
		guessing: float64(limits.HourlyUnknown), erring: float64(limits.HourlyErrors),
	}
	l.wide, l.most = float64(limits.NetworkShare), limits.ConnectionsPerNetwork
}

// circles are what an address is counted under.
func circles(ip netip.Addr) (address, network netip.Prefix) {
	ip = ip.Unmap().WithZone("")
	near, far := 64, 48
	if ip.Is4() {
		near, far = 32, 24
	}
	address, _ = ip.Prefix(near) // an address has so many bits
	network, _ = ip.Prefix(far)
	return address, network
}

// enter counts a connection. It says what there is too much of, and then the
// connection does not count as open; else leave has to follow.
func (l *ledger) enter(ip netip.Addr, now time.Time) (tooMany string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	address, network := circles(ip)
	for _, a := range []act{connecting, erring} {
		if a == connecting {
			l.count(address, a, now)
			l.count(network, a, now)
		}
		if l.share(ip, a, now) > 1 {
			return excess[a]
		}
	}
	site := l.tally(network, now)
	if site.open >= l.most {
		return excess[connecting]
	}
	site.open++
	return ""
}

// leave is the end of a connection.
func (l *ledger) leave(ip netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, network := circles(ip)
	if t := l.tallies[network]; t != nil && t.open > 0 {
		t.open--
	}
}

// note counts an act, and says how much of the limit is used up now: more than 1
// is too much.
func (l *ledger) note(ip netip.Addr, a act, now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	address, network := circles(ip)
	l.count(address, a, now)
	l.count(network, a, now)
	return l.share(ip, a, now)
}

// used is note without counting.
func (l *ledger) used(ip netip.Addr, a act, now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.share(ip, a, now)
}

// share is the larger share of what an address and its network may do.
func (l *ledger) share(ip netip.Addr, a act, now time.Time) float64 {
	address, network := circles(ip)
	return max(l.level(address, a, now)/l.limits[a], l.level(network, a, now)/(l.wide*l.limits[a]))
}

func (l *ledger) level(circle netip.Prefix, a act, now time.Time) float64 {
	t := l.tallies[circle]
	if t == nil {
		return 0
	}
	l.forget(t, circle, now)
	return t.levels[a]
}

func (l *ledger) count(circle netip.Prefix, a act, now time.Time) {
	t, limit := l.tally(circle, now), l.limit(circle, a)
	if t.levels[a]++; t.levels[a] > limit && t.levels[a]-1 <= limit {
		t.over[a] = now
	}
}

// isPolite reports whether an address has waited for a greeting of late.
func (l *ledger) isPolite(ip netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	address, _ := circles(ip)
	t := l.tallies[address]
	return t != nil && t.polite
}

// greeted notes how an address behaved before its greeting.
func (l *ledger) greeted(ip netip.Addr, polite bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	address, _ := circles(ip)
	l.tally(address, now).polite = polite
}

// tally gives the one of a circle, as of now. It does not go away as long as a
// connection is open.
func (l *ledger) tally(circle netip.Prefix, now time.Time) *tally {
	t := l.tallies[circle]
	if t == nil {
		if len(l.tallies) >= maxTallies {
			l.prune(now)
		}
		t = &tally{at: now}
		l.tallies[circle] = t
	}
	l.forget(t, circle, now)
	return t
}

// forget lowers the levels by what was to be forgotten since.
func (l *ledger) forget(t *tally, circle netip.Prefix, now time.Time) {
	passed := now.Sub(t.at)
	if passed <= 0 {
		return
	}
	t.at = now
	for a := range acts {
		t.levels[a] = max(0, t.levels[a]-l.limit(circle, a)*passed.Hours()/memory.Hours())
	}
}

func isNetwork(circle netip.Prefix) bool {
	return circle.Bits() == 24 || circle.Bits() == 48
}

// prune makes room: what says nothing any more goes, and if that is not a quarter,
// others by chance, so that no flood can choose who is forgotten.
func (l *ledger) prune(now time.Time) {
	for circle, t := range l.tallies {
		l.forget(t, circle, now)
		if t.open == 0 && t.levels == [acts]float64{} {
			delete(l.tallies, circle)
		}
	}
	for circle, t := range l.tallies { // the order is random
		if len(l.tallies) <= maxTallies*3/4 {
			return
		}
		if t.open == 0 {
			delete(l.tallies, circle)
		}
	}
}
