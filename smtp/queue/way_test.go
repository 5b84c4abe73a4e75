package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/smtp/route"
)

// signposts are routes that can be changed.
type signposts struct{ all atomic.Pointer[[]route.Route] }

func (s *signposts) set(all ...route.Route) { s.all.Store(&all) }

func (s *signposts) option() func(*Options) {
	return func(o *Options) {
		o.Routes = func(m route.Mail) route.Route { return route.Choose(*s.all.Load(), m) }
	}
}

var provider = route.Hop{Host: "smtp.provider.test", Port: 587, Security: route.StartTLS}

// ways are the calls so far, as "domain by smarthost".
func (c *fakeCourier) ways() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for _, call := range c.calls {
		list = append(list, call.destination+" by "+call.m.Route.Hop.String())
	}
	return list
}

// Mail for many domains that goes by one smarthost waits in one line: no more attempts are
// made at once than to any other server, and what is out of reach is so for all of it.
func TestOneLineForASmarthost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var signs signposts
		signs.set(route.Route{Name: "all", Hop: provider}, route.Route{Name: "near", To: []string{"near.test"}})
		o := newOffice(t, signs.option(), func(o *Options) { o.Limits.PerDestination = 2 })
		o.remote.before = func(context.Context, string) { time.Sleep(time.Second) }
		for i := range 7 {
			address := fmt.Sprintf("bob@far%d.test", i)
			o.remote.answer(address, silent, done)
			o.add(address)
		}
		o.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		if o.remote.most != 2 {
			t.Errorf("%d attempts at once", o.remote.most)
		}
		// The two that were on their way have found out; the others need not ask.
		if n := o.remote.count(); n != 2 {
			t.Errorf("%d attempts while the smarthost is out of reach: %q", n, o.remote.ways())
		}
		o.add("ann@near.test")
		o.add("ann@us.test")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := o.remote.ways(); got[len(got)-1] != "near.test by direct" || len(o.entries()) != 7 {
			t.Errorf("what goes directly waits, too: %q", o.entries())
		}
		if i := o.list()[0]; i.Via != "smtp.provider.test:587" {
			t.Errorf("an entry is shown as %+v", i)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		o.want("left", o.entries())
	})
}

// A fall-back is taken after some failed attempts, at once where nobody was reached, and never where somebody
// refused.
func TestFallBack(t *testing.T) {
	for name, c := range map[string]struct {
		answer Outcome
		within time.Duration
		want   []string
	}{
		"later":   {busy, 20 * time.Minute, []string{"direct", "direct", "smtp.provider.test:587"}},
		"at once": {silent, time.Second, []string{"direct", "smtp.provider.test:587"}},
		"never":   {unknown, 6 * 24 * time.Hour, []string{"direct"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var signs signposts
				signs.set(route.Route{Name: "later", After: 2, Hop: provider})
				o := newOffice(t, signs.option())
				answers := slices.Repeat([]Outcome{c.answer}, len(c.want)-1)
				o.remote.answer("bob@far.test", append(answers, c.answer)...)
				if c.answer.Status == Temporary {
					o.remote.answer("bob@far.test", append(answers, done)...)
				}
				o.run()
				o.add("bob@far.test")
				time.Sleep(c.within)
				synctest.Wait()
				var want []string
				for _, w := range c.want {
					want = append(want, "far.test by "+w)
				}
				o.want("attempts", o.remote.ways(), want...)
				o.want("left", o.entries())
			})
		})
	}
}

// What has fallen back because nobody was reached does so after a restart, too, and is not sent
// to and fro.
func TestFallBackIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var signs signposts
		signs.set(route.Route{Name: "later", After: 9, Hop: provider})
		o := newOffice(t, signs.option())
		o.remote.answer("bob@far.test", silent, silent, done)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		o.want("attempts", o.remote.ways(), "far.test by direct", "far.test by smtp.provider.test:587")
		o.reopen()
		o.run()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := o.remote.ways(); len(got) != 3 || got[2] != got[1] {
			t.Errorf("attempts %q", got)
		}
	})
}

// An administrator decides about one message or all of them, for good, and takes it back.
func TestReroute(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var signs signposts
		signs.set()
		o := newOffice(t, signs.option())
		o.remote.answer("bob@far.test", busy, busy, busy, busy, done)
		o.run()
		o.add("bob@far.test", "ann@us.test")
		synctest.Wait()
		id := o.only()
		o.must(o.queue.Reroute(t.Context(), id, &provider))
		synctest.Wait()
		o.reopen()
		o.run()
		o.must(o.queue.Retry(id))
		synctest.Wait()
		signs.set(route.Route{Name: "all", Hop: route.Hop{Host: "other.test", Port: 25, Security: route.StartTLS}})
		o.must(o.queue.Reroute(t.Context(), "all", &route.Hop{}))
		synctest.Wait()
		o.must(o.queue.Reroute(t.Context(), id, nil))
		synctest.Wait()
		o.want("attempts", o.remote.ways(), "far.test by direct", "far.test by smtp.provider.test:587",
			"far.test by smtp.provider.test:587", "far.test by direct", "far.test by other.test:25")
		o.want("left", o.entries())
		if err := o.queue.Reroute(t.Context(), id, nil); err == nil {
			t.Error("what is gone was sent elsewhere")
		}
	})
}

// TestRerouted changes the routes under waiting mail: it goes at once where they lead now, also what waited because
// there was no way at all, and what a wrong password kept; what goes directly before and after waits its time.
func TestRerouted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var signs signposts
		signs.set(route.Route{Name: "large", To: []string{"large.test"}, Hop: provider})
		o := newOffice(t, signs.option(), func(o *Options) { o.Disabled = true })
		o.remote.answer("bob@large.test", busy, done)
		o.run()
		o.add("bob@large.test")
		o.add("bob@far.test")
		o.add("bob@held.test")
		synctest.Wait()
		o.must(doing(ActHold)(o.queue, o.list()[2].ID))
		o.want("attempts", o.remote.ways(), "large.test by smtp.provider.test:587")
		if i := o.list()[1]; i.State != "disabled" {
			t.Errorf("without any way an entry is %s", i.State)
		}
		o.must(o.queue.Rerouted())
		synctest.Wait()
		o.want("attempts", o.remote.ways(), "large.test by smtp.provider.test:587", "large.test by smtp.provider.test:587")
		signs.set(route.Route{Name: "all", Hop: provider})
		o.must(o.queue.Rerouted())
		synctest.Wait()
		if got := o.remote.ways(); len(got) != 3 || !strings.HasPrefix(got[2], "far.test by smtp") {
			t.Errorf("attempts %q", got)
		}
		o.want("left", o.entries(), "held.test bob@held.test 0 held")
		if n := len(o.queue.board.destinations); n != 1 {
			t.Errorf("%d destinations for one entry", n)
		}
	})
}

// TestReroutedInLine moves what is due and waits for its turn: it is tried once, by the new way.
func TestReroutedInLine(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var signs signposts
		signs.set()
		o := newOffice(t, signs.option(), func(o *Options) { o.Limits.PerDestination = 1 })
		release := make(chan struct{})
		o.remote.before = func(context.Context, string) { <-release }
		o.run()
		for range 3 {
			o.add("bob@far.test")
		}
		synctest.Wait()
		for _, all := range [][]route.Route{{{Name: "all", Hop: provider}}, nil, {{Name: "all", Hop: provider}}} {
			signs.set(all...)
			o.must(o.queue.Rerouted())
			synctest.Wait() // one of those that were in line is being tried now
		}
		close(release)
		synctest.Wait()
		got := o.remote.ways()
		slices.Sort(got)
		o.want("attempts", got, "far.test by direct", "far.test by smtp.provider.test:587", "far.test by smtp.provider.test:587")
		o.want("left", o.entries())
		if n := len(o.queue.board.destinations); n != 0 {
			t.Errorf("%d destinations are left", n)
		}
	})
}
