package smtp

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Restrained is a stranger who has done too much of something, and is held back for it.
type Restrained struct {
	Who   netip.Prefix // an address, or a network
	What  string       // of what: connections, messages, unknown recipients, errors
	Since time.Time
	Until time.Time // when it is little enough again, if no more comes
}

// Restrained lists them, the first first. It is in memory only: who comes after a start is new.
func (s *Server) Restrained() []Restrained {
	if s.ledger == nil {
		return nil
	}
	return s.ledger.restrained(s.manner.Load().o.Now())
}

// Release forgets what strangers of a network, or of one address, have done, and what the networks around have. It returns how
// many of them had done too much.
func (s *Server) Release(network netip.Prefix) int {
	if s.ledger == nil {
		return 0
	}
	return s.ledger.release(network, s.manner.Load().o.Now())
}

func (l *ledger) restrained(now time.Time) (list []Restrained) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for circle, t := range l.tallies {
		for a := range acts {
			limit := l.limit(circle, a)
			if over := l.level(circle, a, now) - limit; over > 0 {
				until := now.Add(time.Duration(over / limit * float64(memory)))
				list = append(list, Restrained{Who: circle, What: excess[a], Since: t.over[a].UTC(), Until: until.UTC()})
			}
		}
	}
	slices.SortFunc(list, func(a, b Restrained) int {
		return cmp.Or(a.Since.Compare(b.Since), a.Who.Addr().Compare(b.Who.Addr()), cmp.Compare(a.Who.Bits(), b.Who.Bits()))
	})
	return list
}

// limit is how much of an act a circle may do within memory.
func (l *ledger) limit(circle netip.Prefix, a act) float64 {
	if isNetwork(circle) {
		return l.limits[a] * l.wide
	}
	return l.limits[a]
}

func (l *ledger) release(network netip.Prefix, now time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for circle, t := range l.tallies {
		if !circle.Overlaps(network) {
			continue
		}
		for a := range acts {
			if l.level(circle, a, now) > l.limit(circle, a) {
				n++
				break
			}
		}
		t.levels = [acts]float64{}
	}
	return n
}
