package queue

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"
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

func TestHoldAndRelease(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy, done)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		id := o.only()
		o.must(o.queue.Hold(t.Context(), id))
		o.must(o.queue.Retry("all"))
		o.reopen() // it is held on disk
		o.run()
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()
		o.want("held", o.entries(), "far.test bob@far.test 1 held")
		if i := o.list()[0]; i.NextAttempt != nil {
			t.Errorf("next attempt at %v", i.NextAttempt)
		}
		o.must(o.queue.Release(t.Context(), id))
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
		{"hold", func(q *Queue, id string) error { return q.Hold(context.Background(), id) }, busy, []string{"far.test bob@far.test 1 held"}, 1},
		{"hold, delivered", func(q *Queue, id string) error { return q.Hold(context.Background(), id) }, done, nil, 1},
		{"retry", (*Queue).Retry, busy, []string{"far.test bob@far.test 2 waiting"}, 2},
		{"remove", func(q *Queue, id string) error { return q.Remove(context.Background(), id) }, unknown, nil, 1},
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

func TestRemove(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		id := o.only()
		o.must(o.queue.Remove(t.Context(), id))
		o.want("left", o.entries())
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := o.remote.count(); n != 1 {
			t.Errorf("%d attempts", n)
		}
		if err := o.queue.Remove(t.Context(), id); !errors.Is(err, ErrNoSuch) {
			t.Errorf("removed again: %v", err)
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
		for _, err := range []error{err, o.queue.Retry(id), o.queue.Hold(t.Context(), id), o.queue.Release(t.Context(), id), o.queue.Remove(t.Context(), id)} {
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
			`"errors":[{"recipient":"bob@far.test","at":"2000-01-01T00:00:00Z","code":450,"status":"4.2.1",` +
			`"text":"try later","host":"mx.far.test [192.0.2.1]","tls":false,"permanent":false}]}`
		if string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}
