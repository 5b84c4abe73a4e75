package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// copyOf is the store's folder as a crash now would leave it.
func (o *office) copyOf() string {
	o.t.Helper()
	// The log makes its next segment ready meanwhile and gives it another name.
	for {
		dir := filepath.Join(o.t.TempDir(), "crashed")
		err := os.CopyFS(dir, os.DirFS(o.dir))
		if err == nil {
			return dir
		}
		if !errors.Is(err, fs.ErrNotExist) {
			o.t.Error(err)
			return dir
		}
	}
}

// A crash before the note is written repeats the attempt; a crash after it
// does not, and the notice is there. At no moment is anything lost.
func TestCrash(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", unknown)
		var during, between string
		o.remote.before = func(context.Context, string) { during = o.copyOf() }
		o.local.before = func(context.Context, string) { between = o.copyOf() }
		o.run()
		o.add("bob@far.test", "eve@far.test")
		synctest.Wait()
		o.want("left at the end", o.entries())
		for _, tt := range []struct {
			name, dir string
			want      string
		}{
			{"while the courier is out", during, "far.test bob@far.test,eve@far.test 0 waiting"},
			{"before the notice is delivered", between, "us.test ann@us.test 0 waiting"},
		} {
			q, err := Open(mailboxtest.OpenStore(t, tt.dir), o.o)
			if err != nil {
				t.Fatal(err)
			}
			crashed := &office{t: t, queue: q}
			crashed.want(tt.name, crashed.entries(), tt.want)
		}
	})
}

// What waits still waits after a restart, to the minute.
func TestRestart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy, done)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		before := o.list()
		o.reopen()
		after := o.list()
		if len(before) != 1 || len(after) != 1 || fmt.Sprint(before[0].NextAttempt) != fmt.Sprint(after[0].NextAttempt) || before[0].LastError != after[0].LastError {
			t.Errorf("was %+v, is %+v", before, after)
		}
		o.add("carl@far.test") // ids go on
		o.run()
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		o.want("calls", o.remote.seen(), "far.test: bob@far.test", "far.test: carl@far.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		o.want("calls", o.remote.seen(), "far.test: bob@far.test", "far.test: carl@far.test", "far.test: bob@far.test")
		o.want("left", o.entries())
	})
}

// Without a resolver mail to others waits as long as it takes, and mail for
// this server does not.
func TestDisabled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t, func(o *Options) { o.Disabled = true })
		o.run()
		o.add("bob@far.test", "ann@us.test")
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()
		o.want("local", o.local.seen(), "us.test: ann@us.test")
		o.want("entries", o.entries(), "far.test bob@far.test 0 disabled")
		if i := o.list()[0]; i.NextAttempt != nil {
			t.Errorf("next attempt at %v", i.NextAttempt)
		}
		if err := o.queue.Retry("all"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		o.o.Disabled = false
		o.remote.answer("bob@far.test", busy, done)
		o.reopen()
		o.run()
		time.Sleep(time.Hour)
		synctest.Wait()
		o.want("remote", o.remote.seen(), "far.test: bob@far.test", "far.test: bob@far.test")
		o.want("left", o.entries())
	})
}

// Mail that waits for want of a resolver goes home when its domain becomes one of
// this server.
func TestDisabledUntilTheDomainIsOurs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var ours atomic.Bool
		o := newOffice(t, func(o *Options) {
			o.Disabled = true
			o.IsLocal = func(string) bool { return ours.Load() }
		})
		o.run()
		o.add("bob@far.test")
		time.Sleep(time.Hour)
		o.want("local", o.local.seen())
		ours.Store(true)
		time.Sleep(lookAgain)
		synctest.Wait()
		o.want("local", o.local.seen(), "far.test: bob@far.test")
		o.want("left", o.entries())
	})
}

// Who is told of a failure, and that nobody is answered who may not have written.
func TestWhomToTell(t *testing.T) {
	for _, tt := range []struct {
		name   string
		e      entry
		notify Notify
		failed string
		kind   noticeKind
		other  string // who hears of a delay or a success
	}{
		{"a user's message", entry{From: "ann@us.test", Account: 1}, 0, "ann@us.test", toSender, "ann@us.test"},
		{"a user's message that only success is asked of", entry{From: "ann@us.test", Account: 1}, NotifySuccess, "", ordinary, "ann@us.test"},
		{"a user's message that nothing is asked of", entry{From: "ann@us.test", Account: 1}, NotifyNever, "", ordinary, "ann@us.test"},
		{"a user's read receipt", entry{Account: 1}, 0, "", ordinary, ""},
		{"mail from outside", entry{From: "stranger@else.test"}, 0, "postmaster", toPostmaster, ""},
		{"mail from outside that failure is asked of", entry{From: "stranger@else.test"}, NotifyFailure, "postmaster", toPostmaster, ""},
		{"mail from outside that nothing is asked of", entry{From: "stranger@else.test"}, NotifyNever, "", ordinary, ""},
		{"mail from outside that is proven", entry{From: "stranger@else.test", Proven: true}, 0, "stranger@else.test", toSender, "stranger@else.test"},
		{"a notice from outside, proven", entry{Proven: true}, 0, "postmaster", toPostmaster, ""},
		{"mail from outside in a user's name", entry{From: "ann@us.test"}, 0, "postmaster", toPostmaster, ""},
		{"a notice from outside", entry{}, 0, "postmaster", toPostmaster, ""},
		{"our notice to a sender", entry{Notice: toSender}, 0, "postmaster", toPostmaster, ""},
		{"our notice to the postmaster", entry{Notice: toPostmaster}, 0, "", ordinary, ""},
		{"our report to another domain", entry{Report: true}, 0, "", ordinary, ""},
	} {
		about := []recipient{{Wish: Wish{Notify: tt.notify}}}
		if to, kind := tt.e.whomToTell(ActionFailed, about); to != tt.failed || kind != tt.kind {
			t.Errorf("%s: %q, %d", tt.name, to, kind)
		}
		for _, news := range []Action{ActionDelayed, ActionDelivered} {
			if to, _ := tt.e.whomToTell(news, about); to != tt.other {
				t.Errorf("%s: %s is told %q", tt.name, news, to)
			}
		}
	}
}

// A notice that fails goes to the postmaster with what it returned, and if that
// fails, too, it ends there.
func TestFailedNotice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", unknown)
		o.local.answer("ann@us.test", unknown)
		o.local.answer("postmaster", unknown)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		o.want("local", o.local.seen(), "us.test: ann@us.test", ": postmaster")
		if text := o.local.calls[1].text; !strings.Contains(text, o.local.calls[0].text) || o.local.calls[1].m.From != "" {
			t.Errorf("the postmaster got\n%s", text)
		}
		o.want("left", o.entries())
	})
}

// Mail from outside that cannot be forwarded is the postmaster's, whole, and
// its alleged sender hears nothing.
func TestNoBackscatter(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", unknown)
		o.run()
		o.addEnvelope(Envelope{From: "victim@else.test", Recipients: []string{"bob@far.test"}})
		synctest.Wait()
		o.want("remote", o.remote.seen(), "far.test: bob@far.test")
		o.want("local", o.local.seen(), ": postmaster")
		if text := o.local.calls[0].text; !strings.Contains(text, letter) {
			t.Errorf("the postmaster got\n%s", text)
		}
		o.want("left", o.entries())
	})
}

// Where a notice finds no room, it is known who has to be told, and they are
// as soon as there is.
func TestNoticeFindsNoRoom(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.stop()
		if err := o.store.Close(); err != nil {
			t.Fatal(err)
		}
		small, err := mailbox.Open(o.dir, mailbox.Options{SegmentSize: 256 << 10, MaxMessageSize: 300})
		if err != nil {
			t.Fatal(err)
		}
		if o.queue, err = Open(small, o.o); err != nil {
			t.Fatal(err)
		}
		o.store, o.stop = small, o.queue.Close
		o.remote.answer("bob@far.test", unknown)
		o.run()
		o.addEnvelope(Envelope{From: "victim@else.test", Recipients: []string{"bob@far.test", "eve@far.test"}})
		synctest.Wait()
		d, err := o.queue.Show(o.list()[0].ID)
		if err != nil || len(d.Recipients) != 1 || len(d.Errors) != 1 || !d.Errors[0].Permanent || d.Errors[0].Status != "5.1.1" {
			t.Errorf("shown as %+v, %v", d, err)
		}
		o.reopen()
		o.run()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		o.want("remote", o.remote.seen(), "far.test: bob@far.test eve@far.test")
		o.want("local", o.local.seen(), ": postmaster")
		o.want("left", o.entries())
	})
}

// A courier that forgets a recipient, or breaks, loses nothing.
func TestBadCouriers(t *testing.T) {
	for name, c := range map[string]courierFunc{
		"no outcomes":      func() []Outcome { return nil },
		"a zero outcome":   func() []Outcome { return []Outcome{{Recipient: "bob@far.test"}} },
		"another's":        func() []Outcome { return []Outcome{{Recipient: "eve@far.test", Status: Delivered}} },
		"a broken courier": func() []Outcome { panic("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				o := newOffice(t, func(o *Options) { o.Remote = c })
				o.run()
				o.add("bob@far.test")
				synctest.Wait()
				o.want("entries", o.entries(), "far.test bob@far.test 1 waiting")
			})
		})
	}
}

type courierFunc func() []Outcome

func (f courierFunc) Deliver(context.Context, string, Message) []Outcome { return f() }

// While the queue stops, an attempt may end; one that takes too long is broken
// off, and does not count.
func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		want  []string
	}{
		{"in time", 19 * time.Second, nil},
		{"too long", time.Hour, []string{"far.test bob@far.test 0 waiting"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				o := newOffice(t)
				o.remote.before = func(ctx context.Context, _ string) {
					select {
					case <-time.After(tt.takes):
					case <-ctx.Done():
						if !errors.Is(context.Cause(ctx), errStopping) {
							t.Errorf("broken off because of %v", context.Cause(ctx))
						}
						o.remote.answer("bob@far.test", silent)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					o.queue.Run(ctx)
					close(ended)
				}()
				o.add("bob@far.test")
				synctest.Wait()
				began := time.Now()
				cancel()
				<-ended
				if took := time.Since(began); took != min(tt.takes, 20*time.Second) {
					t.Errorf("took %v", took)
				}
				o.want("entries", o.entries(), tt.want...)
			})
		})
	}
}

func TestOpenNeedsCouriers(t *testing.T) {
	if _, err := Open(mailboxtest.NewStore(t), Options{}); err == nil {
		t.Error("opened")
	}
}

// An entry that cannot be read is passed over, and stays.
func TestUnreadableEntry(t *testing.T) {
	o := newOffice(t)
	err := o.store.Change(t.Context(), mailbox.RoomChange{Room: roomName, Key: entryID(1).String(), Value: []byte("{")})
	if err != nil {
		t.Fatal(err)
	}
	o.reopen()
	if _, ok, err := o.store.Room(roomName).Get(entryID(1).String()); !ok || err != nil {
		t.Error("is gone")
	}
	o.want("entries", o.entries())
}

// An entry that cannot be read for now is not taken for one that is gone: it
// stays on the board and is tried again.
func TestEntryThatCannotBeReadNow(t *testing.T) {
	o := newOffice(t)
	o.add("bob@far.test")
	o.queue.adopt()
	job := o.queue.all()[0]
	o.add("eve@far.test") // is to be adopted when it can be read
	if err := o.store.Close(); err != nil {
		t.Fatal(err)
	}
	o.queue.o.Now = func() time.Time { return time.Now().Add(2 * freshFor) }
	o.queue.adopt()
	o.queue.attempt(t.Context(), job)
	if jobs := o.queue.all(); len(jobs) != 1 || jobs[0] != job {
		t.Errorf("the board has %d entries", len(jobs))
	}
	if n := len(o.queue.fresh); n != 1 {
		t.Errorf("%d entries wait to be adopted", n)
	}
	if n := o.remote.count(); n != 0 {
		t.Errorf("the courier was called %d times", n)
	}
	_, listed := o.queue.List()
	_, shown := o.queue.Show(job.id.String())
	for what, err := range map[string]error{"List": listed, "Show": shown, "Retry": o.queue.Retry("all"), "Hold": doing(ActHold)(o.queue, job.id.String())} {
		if err == nil || errors.Is(err, ErrNoSuch) {
			t.Errorf("%s: %v", what, err)
		}
	}
	o.stop()
	o.open()
	o.want("entries", o.entries(), "far.test bob@far.test 0 waiting", "far.test eve@far.test 0 waiting")
}

// A record that is durable late is found late; one that never is, is forgotten.
func TestFreshEntries(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.run()
		lost := o.queue.Add(Envelope{Recipients: []string{"bob@far.test"}})(7)
		late := o.queue.Add(Envelope{Recipients: []string{"eve@far.test"}})
		b := o.store.NewBody()
		if _, err := b.Write([]byte(letter)); err != nil {
			t.Fatal(err)
		}
		_, err := o.store.Deliver(t.Context(), b, nil, func(id mailbox.BodyID) []mailbox.RoomChange {
			changes := late(id)
			o.queue.Wake() // another's: too early
			synctest.Wait()
			return changes
		})
		if err != nil || len(lost) != 1 {
			t.Fatal(err)
		}
		o.want("calls", o.remote.seen())
		o.queue.Wake()
		synctest.Wait()
		o.want("calls", o.remote.seen(), "far.test: eve@far.test")
		time.Sleep(time.Hour)
		o.queue.Wake()
		synctest.Wait()
		if n := len(o.queue.fresh); n > 0 {
			t.Errorf("%d entries are still looked for", n)
		}
	})
}

// An entry from a time when the clock was wrong waits no longer than others.
func TestClockWasWrong(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		wrong := 50 * 365 * 24 * time.Hour
		o := newOffice(t, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(wrong) } })
		o.remote.answer("bob@far.test", busy, done)
		o.run()
		o.add("bob@far.test")
		synctest.Wait()
		wrong = 0
		o.reopen()
		o.run()
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		o.want("left", o.entries())
	})
}

// While the disk is full a result waits, for as long as the server runs.
func TestUntilRoom(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		full := fmt.Errorf("wrapped: %w", mailbox.ErrNoSpace)
		answers := []error{full, full, nil}
		began := time.Now()
		err := o.queue.untilRoom(t.Context(), func() error {
			err := answers[0]
			answers = answers[1:]
			return err
		})
		if err != nil || len(answers) > 0 || time.Since(began) != 2*writeAgain {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = o.queue.untilRoom(ctx, func() error { cancel(); return full })
		if err != full {
			t.Errorf("at the end: %v", err)
		}
		if err = o.queue.untilRoom(ctx, func() error { return mailbox.ErrClosed }); err != mailbox.ErrClosed {
			t.Errorf("another error: %v", err)
		}
	})
}

// A message that cannot be read is no reason to tell nobody.
func TestNoticeOfUnreadableMessage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", unknown)
		e := split(Envelope{From: "ann@us.test", Account: 1, Recipients: []string{"bob@far.test"}}, ordinary, 4711, time.Now())[0]
		o.must(o.store.Change(t.Context(), mailbox.RoomChange{Room: roomName, Key: entryID(1).String(), Value: e.change(1).Value}))
		o.reopen()
		o.run()
		o.queue.Wake()
		synctest.Wait()
		o.want("local", o.local.seen(), "us.test: ann@us.test")
		if text := o.local.calls[0].text; !strings.Contains(text, "Nothing of the message could be attached.") {
			t.Errorf("the notice is\n%s", text)
		}
	})
}
