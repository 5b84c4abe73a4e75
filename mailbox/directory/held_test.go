package directory

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestHeldBack: who failed often is told of, until it is released or forgotten.
func TestHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := household()
		d.throttle = newThrottle(time.Now)
		guess := func(address, user string, n int) {
			for range n {
				d.throttle.failed(d.try(Attempt{Remote: netip.MustParseAddr(address)}, user).keys[:]...)
			}
		}
		guess("192.0.2.1", "lee@second.test", freeFailures)
		guess("2001:db8::1", "nobody", freeFailures+5)
		guess("192.0.2.9", "bob@example.test", freeFailures-1)
		who := func() (all string) {
			for _, h := range d.HeldBack() {
				if h.Until.Sub(h.Since) != failureWindow || h.Failures < freeFailures {
					t.Errorf("%+v", h)
				}
				all += h.Address + h.User + "; "
			}
			return all
		}
		has := func(want int) {
			t.Helper()
			if got := d.HeldBack(); len(got) != want {
				t.Errorf("%s, want %d", who(), want)
			}
		}
		has(4)
		if n := d.ReleaseUser("ANN@example.test"); n != 1 { // another address of the same account
			t.Errorf("released %d: %s", n, who())
		}
		if n := d.ReleaseAddress(netip.MustParsePrefix("2001:db8::77/128")); n != 1 { // within the /64
			t.Errorf("released %d: %s", n, who())
		}
		if n := d.ReleaseAddress(netip.MustParsePrefix("198.51.100.0/24")); n != 0 {
			t.Errorf("released %d: %s", n, who())
		}
		has(2)
		if n := d.ReleaseAddress(netip.MustParsePrefix("192.0.2.0/24")); n != 2 {
			t.Errorf("released %d: %s", n, who())
		}
		has(1)
		time.Sleep(failureWindow + time.Second)
		has(0)
		if n := d.ReleaseAll(); n != 2 { // what is remembered is forgotten, also what holds nobody back
			t.Errorf("released %d", n)
		}
	})
}
