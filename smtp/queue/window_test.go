package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A destination gets more attempts at once while it takes them (+), half as many when it does not (-).
func TestWindow(t *testing.T) {
	for _, tt := range []struct {
		limit  int
		events string
		want   string // the width at the start and after each
	}{
		{5, "", "2"},
		{5, "++", "2 2 3"},
		{5, "++" + "+++" + "++++" + "+++++" + "+++++", "2 2 3 3 3 4 4 4 4 5 5 5 5 5 5 5 5 5 5 5"},
		{5, "-", "2 1"},
		{5, "---+", "2 1 1 1 2"},
		{5, "+-++", "2 2 1 2 2"},
		{20, strings.Repeat("+", 2+3+4+5) + "--", "2 2 3 3 3 4 4 4 4 5 5 5 5 5 6 3 1"},
		{1, "++--+", "1 1 1 1 1 1"},
		{2, "+++-+", "2 2 2 2 1 2"},
	} {
		var w window
		got := fmt.Sprint(w.width(tt.limit))
		for _, e := range tt.events {
			if e == '+' {
				w.took(tt.limit)
			} else {
				w.balked(tt.limit)
			}
			got += fmt.Sprint(" ", w.width(tt.limit))
		}
		if got != tt.want {
			t.Errorf("limit %d, %q: %s, want %s", tt.limit, tt.events, got, tt.want)
		}
	}
}

func TestResponseOf(t *testing.T) {
	for name, tt := range map[string]struct {
		outcomes []Outcome
		want     response
	}{
		"nothing":                     {nil, silence},
		"delivered":                   {[]Outcome{done}, welcome},
		"no such mailbox":             {[]Outcome{{Status: Permanent, Code: 550}}, welcome},
		"put off":                     {[]Outcome{{Code: 451}}, tooMuch},
		"goodbye":                     {[]Outcome{done, {Code: 421}}, tooMuch},
		"one mailbox is full":         {[]Outcome{done, {Code: 452}}, welcome},
		"no answer":                   {[]Outcome{silent}, tooMuch},
		"connection lost":             {[]Outcome{{Enhanced: "4.4.2"}}, tooMuch},
		"our own trouble":             {[]Outcome{{Enhanced: "4.3.0"}}, silence},
		"a policy of ours":            {[]Outcome{{Status: Permanent, Enhanced: "5.6.7"}}, silence},
		"nothing is known of its TLS": {[]Outcome{{Enhanced: "4.4.3"}}, silence},
	} {
		if got := responseOf(tt.outcomes); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// A destination that takes what it is given gets more at once, up to the limit; one that does not, gets less.
func TestWindowOfADestination(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t, func(o *Options) { o.Limits = Limits{Attempts: 50, PerDestination: 8} })
		most := func() int {
			o.remote.mu.Lock()
			defer o.remote.mu.Unlock()
			most := o.remote.most
			o.remote.most = 0
			return most
		}
		o.remote.before = func(context.Context, string) { time.Sleep(time.Second) }
		fill(t, o.store, o.queue, 60, "far.test")
		o.run()
		synctest.Wait()
		if n := most(); n != firstWindow {
			t.Errorf("%d attempts at first, want %d", n, firstWindow)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := most(); n != 8 {
			t.Errorf("%d attempts when all went well, want 8", n)
		}
		o.want("left", o.entries())
	})
}

// While results are being written, others go on where one has been; but no more attempts are under way, or
// unwritten, than the limit of all, since those are what a crash makes twice.
func TestReleaseKeepsTheBound(t *testing.T) {
	b := newBoard(Limits{Attempts: 3, PerDestination: 1})
	now := time.Now()
	for id := range entryID(5) {
		b.add(id+1, &entry{Next: now}, "far.test")
	}
	b.lineUp(now, func(string) bool { return true })
	var started []*job
	for range 3 {
		j := b.start()
		if j == nil || b.start() != nil {
			t.Fatalf("after %d attempts: %v, or another beside it", len(started), j)
		}
		b.release(j)
		started = append(started, j)
	}
	if j := b.start(); j != nil {
		t.Errorf("a fourth attempt while three results are unwritten: %v", j.id)
	}
	b.finish(started[0])
	if j := b.start(); j == nil || j.id != 4 {
		t.Errorf("after a result is written: %v", j)
	}
}
