package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/queue"
)

// enqueue queues a message of ann's as it was taken some time ago.
func (c *configured) enqueue(to string, ago time.Duration) {
	c.Helper()
	ann, err := c.directory.Account("ann@example.test")
	if err != nil {
		c.Fatal(err)
	}
	b := c.store.NewBody()
	defer b.Abort()
	if _, err := io.WriteString(b, "From: ann@example.test\r\nSubject: x\r\n\r\nx\r\n"); err != nil {
		c.Fatal(err)
	}
	e := queue.Envelope{From: "ann@example.test", Recipients: []string{to}, Account: ann.ID, Size: b.Size(), Received: time.Now().Add(-ago)}
	if _, err := c.store.Deliver(c.Context(), b, nil, c.queue.Add(e)); err != nil {
		c.Fatal(err)
	}
	c.queue.Wake()
}

// TestDelayNoticeIsTheQueues: after as many hours of trying as delay_notice says, and not before, the queue tells of a delay.
func TestDelayNoticeIsTheQueues(t *testing.T) {
	zone := dnstest.New(t, "late.test. MX 10 mx.test.\nrecent.test. MX 10 mx.test.\nmx.test. A 127.0.0.1\n")
	c := startConfigured(t, fmt.Sprintf("hostname = \"mail.example.test\"\nresolvers = [%q]\nmx_port = 1\ndelay_notice = 2\n", zone.Addr())+quietListeners())
	want := map[string]bool{"late.test": true, "recent.test": false}
	c.enqueue("x@late.test", 150*time.Minute)
	c.enqueue("x@recent.test", 90*time.Minute)
	tried := func() (list []queue.Info) {
		list, err := c.queue.List()
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(list, func(i queue.Info) bool {
			_, ours := want[i.Destination]
			return !ours || i.Attempts == 0
		})
	}
	eventually(t, "both have been tried", func() bool { return len(tried()) == len(want) })
	for _, i := range tried() {
		d, err := c.queue.Show(i.ID)
		if err != nil || d.DelayTold != want[i.Destination] {
			t.Errorf("mail for %s that was tried for %v: told %v, %v; last %s", i.Destination, d.Waited, d.DelayTold, err, i.LastError)
		}
	}
}

// TestRepliesGoWithTheirAccount: whom an account has answered is forgotten when it is removed or erased.
func TestRepliesGoWithTheirAccount(t *testing.T) {
	c := startConfigured(t, "hostname = \"mail.example.test\"\nresolvers = []\n"+quietListeners())
	var changes []mailbox.RoomChange
	of := map[string]mailbox.AccountID{}
	for _, name := range []string{"ann", "bob", "eve"} {
		if name != "ann" {
			if _, err := c.directory.AddAccount(t.Context(), name+"@example.test", "pass"); err != nil {
				t.Fatal(err)
			}
		}
		a, err := c.directory.Account(name + "@example.test")
		if err != nil {
			t.Fatal(err)
		}
		of[name] = a.ID
		changes = append(changes, mailbox.RoomChange{Room: "vacation", Key: fmt.Sprintf("told/%d/x", a.ID), Value: fmt.Append(nil, time.Now().Unix())})
	}
	if err := c.store.Change(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
	left := func(name string) (n int) {
		err := c.store.Room("vacation").Each("", func(key string, _ []byte) error {
			if strings.Contains(key, fmt.Sprintf("/%d/", of[name])) {
				n++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, args := range [][]string{{"account", "remove", "ann@example.test"}, {"account", "erase", "bob@example.test", "--yes", "--quiet"}} {
		if got := command(t, "", append(args, "--dir", c.settings.Dir)...); got.code != 0 {
			t.Errorf("%q: %+v", args, got)
		}
	}
	for name, want := range map[string]int{"ann": 0, "bob": 0, "eve": 1} {
		if n := left(name); n != want {
			t.Errorf("of the replies of %s %d entries are left, want %d", name, n, want)
		}
	}
}
