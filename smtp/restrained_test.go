package smtp

import (
	"net/netip"
	"testing"
	"time"
)

// TestRestrained: who has done too much is told of with its network, until it was released, or time has passed.
func TestRestrained(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	l := newLedger(Limits{HourlyConnections: 10, HourlyMessages: 10, HourlyUnknown: 10, HourlyErrors: 10, NetworkShare: 2, ConnectionsPerNetwork: 100})
	has := func(when string, now time.Time, want ...Restrained) {
		t.Helper()
		got := l.restrained(now)
		if len(got) != len(want) {
			t.Fatalf("%s: %+v, want %+v", when, got, want)
		}
		for i := range got {
			if got[i].Who != want[i].Who || got[i].What != want[i].What || !got[i].Since.Equal(want[i].Since) || got[i].Until.Sub(want[i].Until).Abs() > time.Second {
				t.Errorf("%s: %+v, want %+v", when, got[i], want[i])
			}
		}
	}
	guesser, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 10 {
		l.note(guesser, guessing, start)
	}
	has("as much as it may", start)
	l.note(guesser, guessing, start)
	later := start.Add(time.Second)
	for range 10 {
		l.note(other, guessing, later)
	}
	address, site := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.0/24")
	has("too much", later,
		Restrained{address, "unknown recipients", start, start.Add(6 * time.Minute)},
		Restrained{site, "unknown recipients", later, start.Add(3 * time.Minute)})
	has("some of it is forgotten", start.Add(4*time.Minute), Restrained{address, "unknown recipients", start, start.Add(6 * time.Minute)})
	if n := l.release(netip.MustParsePrefix("198.51.100.0/24"), later); n != 0 {
		t.Errorf("released %d of another network", n)
	}
	l.note(other, erring, later)
	if n := l.release(address, later); n != 1 {
		t.Errorf("released %d", n)
	}
	has("released", later)
	if used := l.used(other, erring, later); used == 0 {
		t.Error("another address was released, too")
	}
}
