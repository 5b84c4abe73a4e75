package queue_test

import (
	"io"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/local"
)

// TestCopyGoesWhereItWouldHaveGone: copies that one mailbox had no room for come, after a
// restart, to Junk and to the mailbox of the detail, as they would have at first.
func TestCopyGoesWhereItWouldHaveGone(t *testing.T) {
	us := startServer(t, t.TempDir(), "us.test", settings{}, "ann@us.test", "bob@us.test")
	address := func(a string) local.Recipient {
		route, err := us.directory.Resolve(a)
		must(t, err)
		return local.Recipient{Address: a, Route: route}
	}
	must(t, us.directory.AddAlias(t.Context(), "list@us.test", "bob+lists@us.test"))
	ann, bob := address("ann@us.test"), address("bob@us.test").Route.Local[0].Account
	_, err := us.store.Create(t.Context(), bob, "lists", "")
	must(t, err)
	accept := func(text string, junk []mailbox.AccountID, to ...local.Recipient) {
		b := us.courier.NewBody()
		defer b.Abort()
		_, err := io.WriteString(b, text)
		must(t, err)
		must(t, us.courier.Accept(t.Context(), local.Transaction{From: "s@far.test", Recipients: to, Junk: junk, Received: time.Now()}, b))
	}
	accept("fills bob's INBOX", nil, address("bob@us.test"))
	must(t, us.store.SetQuota(t.Context(), bob, mailbox.Quota{Messages: 1}))
	accept("junk for bob", []mailbox.AccountID{bob}, ann, address("bob@us.test"))
	expect(t, us.attempt(), "waiting=1", "Mailbox is full")
	accept("for the lists", nil, ann, address("bob+lists@us.test"))
	expect(t, us.attempt(), "waiting=1", "Mailbox is full")
	accept("by an alias", nil, ann, address("list@us.test"))
	expect(t, us.attempt(), "waiting=1", "Mailbox is full")
	if left, err := us.queue.List(); err != nil || len(left) != 3 || left[0].Recipients[0] != "bob@us.test" {
		t.Fatalf("waiting is %+v, %v", left, err)
	}
	crashed := us.crash()
	us.stop()

	again := startServer(t, crashed, "us.test", settings{})
	must(t, again.store.SetQuota(t.Context(), bob, mailbox.Quota{}))
	must(t, again.queue.Retry("all"))
	for again.queueLength() > 0 {
		again.attempt()
	}
	for name, want := range map[string]int{"INBOX": 1, "Junk": 1, "lists": 2} {
		if m, err := again.store.Mailbox(bob, name); err != nil || int(m.Messages) != want {
			t.Errorf("%s has %d messages, want %d; %v", name, m.Messages, want, err)
		}
	}
}

// queueLength is how many entries there are.
func (s *server) queueLength() int {
	s.t.Helper()
	list, err := s.queue.List()
	must(s.t, err)
	return len(list)
}
