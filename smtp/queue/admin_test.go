package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// only is the id of the only entry.
func (o *office) only() string {
	o.t.Helper()
	list := o.list()
	if len(list) != 1 {
		o.t.Fatalf("entries %+v", list)
	}
	return list[0].ID
}

// doing does something to one entry.
func doing(act Act) func(*Queue, string) error {
	return func(q *Queue, id string) error {
		n, err := q.Apply(context.Background(), Selection{IDs: []string{id}}, act)
		if err == nil && n != 1 {
			err = fmt.Errorf("it was done to %d entries", n)
		}
		return err
	}
}

func TestHoldAndRelease(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy, done)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		id := o.only()
		o.must(doing(ActHold)(o.queue, id))
		o.must(o.queue.Retry("all"))
		o.reopen() // it is held on disk
		o.run()
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()
		o.want("held", o.entries(), "far.test bob@far.test 1 held")
		if i := o.list()[0]; i.NextAttempt != nil {
			t.Errorf("next attempt at %v", i.NextAttempt)
		}
		o.must(doing(ActRelease)(o.queue, id))
		synctest.Wait()
		o.want("left", o.entries())
		if n := o.remote.count(); n != 2 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestRetry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", silent, busy, done)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		o.must(o.queue.Retry(o.only())) // the outage is forgotten, too
		synctest.Wait()
		if n := o.remote.count(); n != 2 {
			t.Errorf("%d attempts after one retry", n)
		}
		o.must(o.queue.Retry("all"))
		synctest.Wait()
		o.want("left", o.entries())
	})
}

// A retry without a running queue, by the folder's owner, is on disk.
func TestRetryBeforeRun(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy, done)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		o.reopen()
		o.must(o.queue.Retry("all"))
		o.reopen()
		o.run()
		synctest.Wait()
		o.want("left", o.entries())
	})
}

// What is done to an entry while a courier is out with it.
func TestAdministrationDuringAnAttempt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(*Queue, string) error
		status Outcome
		want   []string
		calls  int
	}{
		{"hold", doing(ActHold), busy, []string{"far.test bob@far.test 1 held"}, 1},
		{"hold, delivered", doing(ActHold), done, nil, 1},
		{"retry", (*Queue).Retry, busy, []string{"far.test bob@far.test 2 waiting"}, 2},
		{"drop", doing(ActDrop), unknown, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				o := newOffice(t)
				o.remote.answer("bob@far.test", tt.status)
				once := true
				o.remote.before = func(context.Context, string) {
					if !once {
						return
					}
					once = false
					if i := o.list()[0]; i.State != "trying" {
						t.Errorf("listed as %+v", i)
					}
					o.must(tt.do(o.queue, o.only()))
				}
				o.run()
				o.add("bob@far.test")
				synctest.Wait()
				o.want("entries", o.entries(), tt.want...)
				if n := o.remote.count(); n != tt.calls {
					t.Errorf("%d attempts, want %d", n, tt.calls)
				}
				o.want("nobody is told", o.local.seen())
			})
		})
	}
}

func TestDrop(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		id := o.only()
		o.must(doing(ActDrop)(o.queue, id))
		o.want("left", o.entries())
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := o.remote.count(); n != 1 {
			t.Errorf("%d attempts", n)
		}
		if err := doing(ActDrop)(o.queue, id); !errors.Is(err, ErrNoSuch) {
			t.Errorf("dropped again: %v", err)
		}
		if len(o.queue.board.jobs)+len(o.queue.board.destinations)+len(o.queue.board.heap) > 0 {
			t.Errorf("the board still has %+v", o.queue.board)
		}
	})
}

func TestNoSuchEntry(t *testing.T) {
	o := newOffice(t)
	for _, id := range []string{"", "x", "1", "00000000000001", "all ", "../../etc", "ffffffffffffffffffffffff"} {
		_, err := o.queue.Show(id)
		for _, err := range []error{err, o.queue.Retry(id), doing(ActHold)(o.queue, id), doing(ActRelease)(o.queue, id), doing(ActDrop)(o.queue, id)} {
			if !errors.Is(err, ErrNoSuch) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
}

// What the command line prints has these keys, and times in UTC.
func TestJSON(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		d, err := o.queue.Show(o.only())
		o.must(err)
		got, err := json.Marshal(d)
		o.must(err)
		const want = `{"id":"035d013b37e000","state":"waiting","from":"ann@us.test","destination":"far.test","via":"",` +
			`"recipients":["bob@far.test"],"size":72,"received":"2000-01-01T00:00:00Z","attempts":1,` +
			`"next_attempt":"2000-01-01T00:05:00Z","last_error":"mx.far.test [192.0.2.1] said: 450 4.2.1 try later",` +
			`"tls":"","envelope_id":"","return":"","waited":0,"give_up":"2000-01-06T00:00:00Z","delay_told":false,"wishes":[],` +
			`"errors":[{"recipient":"bob@far.test","at":"2000-01-01T00:00:00Z","code":450,"status":"4.2.1",` +
			`"text":"try later","host":"mx.far.test [192.0.2.1]","tls":false,"permanent":false}]}`
		if string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestSelection: entries are meant by id, or by where they go and whose they are, in any case and spelling.
func TestSelection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.addEnvelope(Envelope{From: "ann@us.test", Account: 1, Recipients: []string{"bob@far.test", "x@bücher.test"}})
		o.addEnvelope(Envelope{From: "Kim@Us.test", Account: 1, Recipients: []string{"Eve@far.test"}})
		o.addEnvelope(Envelope{Recipients: []string{"eve@other.test"}})
		all := o.list()
		o.must(doing(ActHold)(o.queue, all[2].ID))
		for _, tt := range []struct {
			s    Selection
			want string
		}{
			{Selection{}, "0123"}, {Selection{To: "far.test"}, "02"}, {Selection{To: "@FAR.test"}, "02"}, {Selection{To: "eve@far.test"}, "2"},
			{Selection{To: "Bücher.test"}, "1"}, {Selection{To: "xn--bcher-kva.test"}, "1"}, {Selection{To: "no.test"}, ""}, {Selection{To: "far"}, ""},
			{Selection{From: "us.test"}, "012"}, {Selection{From: "kim@us.test"}, "2"}, {Selection{From: "<>"}, "3"}, {Selection{From: "x@no.test"}, ""},
			{Selection{Held: true}, "2"}, {Selection{To: "other.test", Held: true}, ""}, {Selection{IDs: []string{all[3].ID, all[1].ID, all[3].ID}}, "13"},
		} {
			list, err := o.queue.Select(tt.s)
			got := ""
			for _, i := range list {
				got += fmt.Sprint(slices.IndexFunc(all, func(a Info) bool { return a.ID == i.ID }))
			}
			if err != nil || got != tt.want {
				t.Errorf("%+v: %s, %v; want %s", tt.s, got, err, tt.want)
			}
		}
		if _, err := o.queue.Apply(t.Context(), Selection{IDs: []string{all[0].ID, "00000000000001"}}, ActDrop); !errors.Is(err, ErrNoSuch) || len(o.list()) != 4 {
			t.Errorf("one that is not there: %v, %d left", err, len(o.list()))
		}
		if _, err := o.queue.Apply(t.Context(), Selection{}, "burn"); !errors.Is(err, ErrAct) {
			t.Errorf("an act that there is not: %v", err)
		}
		for _, tt := range []struct {
			s    Selection
			act  Act
			n    int
			left int
		}{
			{Selection{To: "far.test"}, ActHold, 2, 4}, {Selection{}, ActRetry, 4, 4}, {Selection{}, ActRelease, 2, 4}, {Selection{}, ActRelease, 0, 4},
			{Selection{From: "us.test", To: "far.test"}, ActDrop, 2, 2}, {Selection{To: "far.test"}, ActDrop, 0, 2}, {Selection{}, ActDrop, 2, 0},
		} {
			if n, err := o.queue.Apply(t.Context(), tt.s, tt.act); n != tt.n || err != nil || len(o.list()) != tt.left {
				t.Errorf("%s %+v: %d, %v; %d left", tt.act, tt.s, n, err, len(o.list()))
			}
		}
	})
}

// TestManyAtOnce: more entries than a record holds are done all.
func TestManyAtOnce(t *testing.T) {
	o := newOffice(t)
	const letters = 2*editTogether + 1
	fill(t, o.store, o.queue, letters, "a.test", "b.test")
	if n, err := o.queue.Apply(t.Context(), Selection{}, ActHold); n != letters || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if list, err := o.queue.Select(Selection{Held: true, To: "a.test"}); len(list) != editTogether+1 || err != nil {
		t.Errorf("%d are held, %v", len(list), err)
	}
	if n, err := o.queue.Apply(t.Context(), Selection{}, ActDrop); n != letters || err != nil || len(o.list()) > 0 {
		t.Errorf("%d, %v", n, err)
	}
}

// TestDestinations: what waits where, and why nobody is asked there.
func TestDestinations(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy)
		o.remote.answer("old@gone.test", silent)
		o.run()
		began := time.Now().UTC()
		o.add("bob@far.test", "old@gone.test", "ok@far.test")
		time.Sleep(time.Minute)
		o.remote.answer("eve@far.test", busy)
		o.add("eve@far.test")
		synctest.Wait()
		o.must(doing(ActHold)(o.queue, o.list()[0].ID))
		got, err := o.queue.Destinations()
		at := func(d time.Duration) *time.Time { t := began.Add(d); return &t }
		want := []DestinationInfo{
			{Destination: "far.test", Entries: 2, Held: 1, Recipients: 2, Size: 2 * int64(len(letter)), Oldest: began, NextAttempt: at(6 * time.Minute), LastError: "mx.far.test [192.0.2.1] said: 450 4.2.1 try later"},
			{Destination: "gone.test", Entries: 1, Recipients: 1, Size: int64(len(letter)), Oldest: began, NextAttempt: at(5 * time.Minute), OutUntil: at(outageTime), LastError: "4.4.1 connect to mx.far.test: timed out"},
		}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
	})
}
