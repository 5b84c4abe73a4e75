package queue

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wish is what a test's sender wants to hear of bob.
func wish(n Notify) map[string]Wish { return map[string]Wish{"bob@far.test": {Notify: n}} }

// TestDelayIsToldOnce: who wants to hear of it hears after some hours that mail takes long, once, also over a restart.
func TestDelayIsToldOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    Envelope
		want int
	}{
		{"our user's", Envelope{From: "ann@us.test", Account: 1}, 1},
		{"our user's, asked for", Envelope{From: "ann@us.test", Account: 1, Wishes: wish(NotifyDelay)}, 1},
		{"our user's, not wanted", Envelope{From: "ann@us.test", Account: 1, Wishes: wish(NotifyFailure | NotifySuccess)}, 0},
		{"our user's receipt", Envelope{Account: 1}, 0},
		{"from outside", Envelope{From: "stranger@else.test"}, 0},
		{"from outside, asked for", Envelope{From: "stranger@else.test", Wishes: wish(NotifyDelay)}, 0},
		{"from outside, asked for and proven", Envelope{From: "stranger@else.test", Wishes: wish(NotifyDelay), Proven: true}, 1},
		{"from outside and proven", Envelope{From: "stranger@else.test", Proven: true}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				o := newOffice(t)
				o.remote.answer("bob@far.test", busy)
				o.run()
				tt.e.Recipients = []string{"bob@far.test"}
				o.addEnvelope(tt.e)
				time.Sleep(4 * time.Hour)
				synctest.Wait()
				if n := len(o.notices(ActionDelayed)); n != 0 {
					t.Errorf("%d notices within four hours", n)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := len(o.notices(ActionDelayed)); n != tt.want {
					t.Errorf("%d notices after five hours, want %d", n, tt.want)
				}
				o.reopen()
				o.run()
				time.Sleep(3 * 24 * time.Hour)
				synctest.Wait()
				if n := len(o.notices(ActionDelayed)); n != tt.want {
					t.Errorf("%d notices after three days, want %d", n, tt.want)
				}
			})
		})
	}
}

// TestDelayOfSome: the notice names those who wait and may be named, and says until when they are tried.
func TestDelayOfSome(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		for _, r := range []string{"bob@far.test", "eve@far.test"} {
			o.remote.answer(r, busy)
		}
		o.run()
		o.addEnvelope(Envelope{
			From: "ann@us.test", Account: 1, Recipients: []string{"kim@far.test", "bob@far.test", "eve@far.test"}, EnvelopeID: "QQ+2B1",
			Wishes: map[string]Wish{"eve@far.test": {Notify: NotifyFailure}, "bob@far.test": {Original: "rfc822;Bob@far.test"}},
		})
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		texts := o.notices(ActionDelayed)
		if len(texts) != 1 {
			t.Fatalf("%d notices", len(texts))
		}
		for _, part := range []string{
			"Subject: Delayed: Lunch?\r\n", "Original-Envelope-Id: QQ+1\r\n", "Original-Recipient: rfc822; Bob@far.test\r\nFinal-Recipient: rfc822; bob@far.test\r\nAction: delayed\r\nStatus: 4.2.1\r\n",
			"Will-Retry-Until: Thu, 6 Jan 2000 00:00:00 +0000\r\n", "should not send it again",
		} {
			if !strings.Contains(texts[0], part) {
				t.Errorf("no %q in\n%s", part, texts[0])
			}
		}
		for _, not := range []string{"eve@", "kim@", "At one."} {
			if strings.Contains(texts[0], not) {
				t.Errorf("%q is in\n%s", not, texts[0])
			}
		}
	})
}

// TestSuccessIsTold: who wants to hears that a server has taken the message which tells nothing itself, and of others nothing.
func TestSuccessIsTold(t *testing.T) {
	relayed, dsn := done, done
	relayed.Told, relayed.Host = ActionRelayed, "mx.far.test [192.0.2.1]"
	for _, tt := range []struct {
		name    string
		answer  Outcome
		wishes  map[string]Wish
		account bool
		want    int
	}{
		{"asked for", relayed, wish(NotifySuccess), true, 1},
		{"asked for, the server tells", dsn, wish(NotifySuccess), true, 0},
		{"not asked for", relayed, wish(NotifyFailure | NotifyDelay), true, 0},
		{"nothing said", relayed, nil, true, 0},
		{"asked for from outside", relayed, wish(NotifySuccess), false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				o := newOffice(t)
				o.remote.answer("bob@far.test", tt.answer)
				o.run()
				e := Envelope{From: "ann@us.test", Recipients: []string{"bob@far.test", "kim@far.test"}, Wishes: tt.wishes, Return: ReturnFull}
				if tt.account {
					e.Account = 1
				}
				o.addEnvelope(e)
				synctest.Wait()
				o.want("left", o.entries())
				texts := o.notices(ActionRelayed)
				if len(texts) != tt.want || o.local.count() != tt.want {
					t.Fatalf("%d notices, want %d; local %q", len(texts), tt.want, o.local.seen())
				}
				// RET is about failures (RFC 3461 section 4.3).
				if tt.want > 0 && (!strings.Contains(texts[0], "Status: 2.0.0\r\nRemote-MTA: dns; mx.far.test\r\n") || strings.Contains(texts[0], "kim@") || strings.Contains(texts[0], "At one.")) {
					t.Errorf("the notice is\n%s", texts[0])
				}
			})
		})
	}
}

// TestNewsOfEachKind: one failed, one was relayed: two notices, and nothing left of either.
func TestNewsOfEachKind(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		relayed := done
		relayed.Told = ActionRelayed
		o.remote.answer("bob@far.test", relayed)
		o.remote.answer("eve@far.test", unknown)
		o.remote.answer("kim@far.test", unknown)
		o.run()
		w := wish(NotifySuccess)
		w["kim@far.test"] = Wish{Notify: NotifySuccess}
		o.addEnvelope(Envelope{From: "ann@us.test", Account: 1, Recipients: []string{"bob@far.test", "eve@far.test", "kim@far.test"}, Wishes: w})
		synctest.Wait()
		o.want("left", o.entries())
		failed, good := o.notices(ActionFailed), o.notices(ActionRelayed)
		if len(failed) != 1 || len(good) != 1 || o.local.count() != 2 {
			t.Fatalf("local: %q", o.local.seen())
		}
		if strings.Contains(failed[0], "kim@") || !strings.Contains(failed[0], "eve@") || strings.Contains(good[0], "eve@") {
			t.Errorf("the notices are\n%s\n%s", failed[0], good[0])
		}
	})
}

// TestNothingIsToldOfNever: a failure that nobody wants to hear of ends in the log.
func TestNothingIsToldOfNever(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", unknown)
		o.run()
		o.addEnvelope(Envelope{From: "ann@us.test", Account: 1, Recipients: []string{"bob@far.test"}, Wishes: wish(NotifyNever)})
		synctest.Wait()
		o.want("left", o.entries())
		o.want("local", o.local.seen())
	})
}

// TestReturnFull: the whole message comes back that failed, if it is asked for and not too large, and was no secret on its way.
func TestReturnFull(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    Envelope
		want bool
	}{
		{"full", Envelope{Return: ReturnFull}, true},
		{"header", Envelope{Return: ReturnHeader}, false},
		{"nothing said", Envelope{}, false},
		{"demanded safe connections", Envelope{Return: ReturnFull, TLS: TLSRequired}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				o := newOffice(t)
				o.remote.answer("bob@far.test", unknown)
				o.run()
				tt.e.From, tt.e.Account, tt.e.Recipients = "ann@us.test", 1, []string{"bob@far.test"}
				o.addEnvelope(tt.e)
				synctest.Wait()
				texts := o.notices(ActionFailed)
				if len(texts) != 1 || strings.Contains(texts[0], letter) != tt.want {
					t.Errorf("the notices are %q", texts)
				}
			})
		})
	}
	if e := (entry{Return: ReturnFull, Size: maxReturned}); !e.returnsWhole() {
		t.Error("one of the allowed size is not returned")
	}
	if e := (entry{Return: ReturnFull, Size: maxReturned + 1}); e.returnsWhole() {
		t.Error("a larger one is returned")
	}
}

// TestSettled: what was delivered before it came to the queue is told, also after a crash in between, and nobody delivers it again.
func TestSettled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.addEnvelope(Envelope{From: "ann@us.test", Account: 1, Settled: []Settled{
			{"kim@us.test", ActionDelivered, Wish{Notify: NotifySuccess}}, {"all@us.test", ActionExpanded, Wish{Notify: NotifySuccess}},
		}})
		o.want("kept", o.entries(), " kim@us.test 0 waiting", " all@us.test 0 waiting")
		o.reopen()
		o.run()
		synctest.Wait()
		o.want("left", o.entries())
		o.want("local", o.local.seen(), "us.test: ann@us.test", "us.test: ann@us.test")
		if len(o.notices(ActionDelivered)) != 1 || len(o.notices(ActionExpanded)) != 1 {
			t.Errorf("local: %q", o.local.seen())
		}
	})
}
