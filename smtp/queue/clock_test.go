package queue

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const year = 365 * 24 * time.Hour

// wrongClock is a clock that can be set.
type wrongClock struct{ by atomic.Int64 }

func (c *wrongClock) now() time.Time         { return time.Now().Add(time.Duration(c.by.Load())) }
func (c *wrongClock) set(by time.Duration)   { c.by.Store(int64(by)) }
func (c *wrongClock) option() func(*Options) { return func(o *Options) { o.Now = c.now } }

// A clock that jumps ahead, and perhaps back again, does not make mail too old:
// it is given up after the days it was tried for.
func TestClockJumpsAhead(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var clock wrongClock
				o := newOffice(t, clock.option())
				o.remote.answer("bob@far.test", busy)
				o.run()
				o.add("bob@far.test")
				time.Sleep(24 * time.Hour) // more attempts than the fewest
				clock.set(10 * year)
				if restart {
					o.reopen()
					o.run()
				}
				o.queue.Wake()
				time.Sleep(24 * time.Hour)
				clock.set(0)
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if n := len(o.entries()); n != 1 || len(o.notices(ActionFailed)) != 0 {
					t.Fatalf("after three days %d entries, notices %q", n, o.local.seen())
				}
				time.Sleep(3 * 24 * time.Hour)
				synctest.Wait()
				o.want("left after six days", o.entries())
				if len(o.notices(ActionFailed)) != 1 || len(o.notices(ActionDelayed)) != 1 {
					t.Errorf("notices %q", o.local.seen())
				}
			})
		})
	}
}

// A clock that is set back stops nothing: what waited is tried about when it
// would have been.
func TestClockSetBack(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var clock wrongClock
				o := newOffice(t, clock.option())
				o.remote.answer("bob@far.test", busy)
				o.run()
				o.add("bob@far.test")
				time.Sleep(10 * time.Hour)
				synctest.Wait()
				before := o.remote.count()
				clock.set(-10 * year)
				if restart {
					o.reopen()
					o.run()
				}
				o.add("carl@far.test")
				time.Sleep(2 * longest)
				synctest.Wait()
				if n := o.remote.count(); n < before+2 { // carl's, and one more of bob's
					t.Errorf("%d attempts, %d before the clock was set back", n, before)
				}
				o.remote.answer("bob@far.test", done)
				time.Sleep(longest)
				synctest.Wait()
				o.want("left", o.entries())
				if len(o.notices(ActionFailed)) != 0 {
					t.Errorf("notices %q", o.local.seen())
				}
			})
		})
	}
}

// TestGrow: what an attempt adds to the time that mail is tried for.
func TestGrow(t *testing.T) {
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		e    entry
		now  time.Time
		want time.Duration
	}{
		"the first":        {entry{Received: at}, at.Add(time.Minute), time.Minute},
		"a later one":      {entry{Received: at.Add(-year), Tried: at, Waited: time.Hour}, at.Add(4 * time.Hour), 5 * time.Hour},
		"ten years later":  {entry{Received: at, Tried: at, Waited: time.Hour}, at.Add(10 * year), 7 * time.Hour},
		"ten years before": {entry{Received: at, Tried: at, Waited: time.Hour}, at.Add(-10 * year), time.Hour},
	} {
		c.e.grow(c.now)
		if c.e.Waited != c.want || !c.e.Tried.Equal(c.now) {
			t.Errorf("%s: waited %v, tried %v", name, c.e.Waited, c.e.Tried)
		}
	}
}
