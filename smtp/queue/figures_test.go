package queue

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestFigures follows one entry through its states.
func TestFigures(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy, done)
		o.run()
		came := time.Now().UTC()
		o.add("bob@far.test")
		synctest.Wait()
		want := func(when string, want Figures) {
			t.Helper()
			if got := o.queue.Figures(); got != want {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		want("put off", Figures{Waiting: 1, Oldest: came})
		o.must(doing(ActHold)(o.queue, o.only()))
		want("held", Figures{Held: 1, Oldest: came})
		o.must(doing(ActRelease)(o.queue, o.only()))
		o.must(o.queue.Retry("all"))
		synctest.Wait()
		want("gone", Figures{})
	})
}
