package local

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/queue"
)

var wantsSuccess = queue.Wish{Notify: queue.NotifySuccess | queue.NotifyFailure, Original: "rfc822;x"}

// TestNewsOfAPlan: of a mailbox the sender hears when the copy is there, of an alias with several members that it was expanded,
// and of an alias with one from whoever delivers to that.
func TestNewsOfAPlan(t *testing.T) {
	p := planFor([]Recipient{
		{Address: "u1@a.test", Route: directory.Route{Local: []directory.Delivery{to(1)}}, Wish: wantsSuccess},
		{Address: "u2@a.test", Route: directory.Route{Local: []directory.Delivery{to(2)}}},
		{Address: "all@a.test", Route: directory.Route{Local: []directory.Delivery{to(3)}, Remote: []string{"x@b.test"}}, Wish: wantsSuccess},
		{Address: "one@a.test", Route: directory.Route{Remote: []string{"y@b.test"}}, Wish: wantsSuccess},
		{Address: "never@a.test", Route: directory.Route{Local: []directory.Delivery{to(2)}}, Wish: queue.Wish{Notify: queue.NotifyNever}},
	})
	want := []news{
		{queue.Settled{Recipient: "u1@a.test", Action: queue.ActionDelivered, Wish: wantsSuccess}, 0},
		{queue.Settled{Recipient: "all@a.test", Action: queue.ActionExpanded, Wish: wantsSuccess}, -1},
	}
	if d := cmp.Diff(want, p.news, cmp.AllowUnexported(news{})); d != "" {
		t.Error(d)
	}
	failure := queue.Wish{Notify: queue.NotifyFailure, Original: "rfc822;x"}
	wishes := map[string]queue.Wish{to(1).Name: wantsSuccess, to(3).Name: failure, "x@b.test": failure, "y@b.test": wantsSuccess, to(2).Name: {Notify: queue.NotifyNever}}
	if d := cmp.Diff(wishes, p.wishes); d != "" {
		t.Error(d)
	}
}

// TestNewsOfACopy: only a sender who is known hears of a copy, and only of one that is there.
func TestNewsOfACopy(t *testing.T) {
	for _, tt := range []struct {
		name string
		tx   Transaction
		want string
	}{
		{"our user", Transaction{From: "s@a.test", Account: 1}, "delivered"},
		{"a proven sender", Transaction{From: "s@b.test", Proven: true}, "delivered"},
		{"anybody", Transaction{From: "s@b.test"}, ""},
		{"nobody", Transaction{Account: 1}, ""},
	} {
		o := newOffice(t)
		tt.tx.Recipients = o.recipients("", 1)
		tt.tx.Recipients[0].Wish = wantsSuccess
		must(t, o.accept(t, tt.tx, "text"))
		var got []string
		for _, e := range o.queue.envelopes {
			for _, s := range e.Settled {
				got = append(got, string(s.Action))
			}
		}
		if strings.Join(got, " ") != tt.want || o.queue.woken != len(got) {
			t.Errorf("%s hears %q, %d entries, woken %d times", tt.name, got, len(keysOf(t, o.store)), o.queue.woken)
		}
		if n := len(keysOf(t, o.store)); n != len(got) {
			t.Errorf("%s: %d entries", tt.name, n)
		}
	}
	o := newOffice(t)
	must(t, o.store.SetQuota(t.Context(), o.accounts[1].Account, mailbox.Quota{Storage: 1}))
	rs := o.recipients("", 1, 2)
	rs[0].Wish, rs[1].Wish = wantsSuccess, wantsSuccess
	if err := o.accept(t, Transaction{From: "s@a.test", Account: 1, Recipients: rs[:1]}, "text"); err == nil || len(keysOf(t, o.store)) != 0 {
		t.Errorf("a message that was refused (%v) has %d entries", err, len(keysOf(t, o.store)))
	}
	must(t, o.accept(t, Transaction{From: "s@a.test", Account: 1, Recipients: rs}, "text"))
	if got := keysOf(t, o.store); len(got) != 2 || !strings.HasSuffix(got[1], " 1") { // the copy that waits, and the news of the other
		t.Errorf("entries %q", got)
	}
	if last := o.queue.envelopes[len(o.queue.envelopes)-1]; last.Wishes[o.accounts[1].Name] != wantsSuccess || len(last.Settled) > 0 {
		t.Errorf("the copy that waits is %+v", last)
	}
}

// keysOf are the keys of the queue's room.
func keysOf(t *testing.T, s *mailbox.Store) (keys []string) {
	t.Helper()
	must(t, s.Room("queue").Each("", func(key string, _ []byte) error { keys = append(keys, key); return nil }))
	return keys
}
