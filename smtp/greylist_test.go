package smtp

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

func newGreylist(t testing.TB, h *house) *Greylist {
	t.Helper()
	g, err := OpenGreylist(h.store, nil)
	must(t, err)
	return g
}

func TestGreylistDialogues(t *testing.T) {
	h := newHouse(t)
	withSenders(t, h)
	c := newChecks(t)
	mailboxtest.PlayDir(t, "testdata/receiver-greylist/*.dialog", func(t *testing.T) mailboxtest.Player {
		checks := *c
		checks.Senders, checks.Greylist = h.directory, &Greylist{store: h.store, waiting: greyTimes{}, passed: greyTimes{}}
		o := h.options(Receiver)
		o.Checks, o.Limits.GreetDelay = &checks, time.Millisecond
		o.Journal = watchOutcome(t, "receiver-greylist")
		address, _ := listen(t, o, false)
		return mailboxtest.Player{TLS: clientTLS(), Dial: func(int) (net.Conn, error) { return net.Dial("tcp", address) }}
	})
}

// TestGreylistedSenderPasses in time, then for all recipients, and also after a start.
func TestGreylistedSenderPasses(t *testing.T) {
	h := newHouse(t)
	now := atNoon()
	session := func(g *Greylist) *client {
		o := h.options(Receiver)
		o.Now, o.Checks, o.Limits.GreetDelay = func() time.Time { return now }, newChecks(t), time.Millisecond
		o.Checks.Greylist = g
		address, _ := listen(t, o, false)
		return dial(t, address).hello()
	}
	g := newGreylist(t, h)
	send := func(c *client, to, want string) {
		t.Helper()
		c.send("a@unproven.example", []string{to + "@example.test"}, "From: a@unproven.example\r\n\r\n", want)
	}
	c := session(g)
	send(c, "ann", "451 4.7.1")
	must(t, g.Save(t.Context()))
	now = now.Add(greyWait - time.Minute)
	send(c, "ann", "451 4.7.1")
	g = newGreylist(t, h) // which knows that somebody waits
	c = session(g)
	now = now.Add(time.Minute)
	send(c, "bob", "451 4.7.1")
	send(c, "ann", "250")
	send(c, "bob", "250")
	must(t, g.Save(t.Context()))
	now = now.Add(greyPassed - time.Hour)
	g = newGreylist(t, h)
	c = session(g)
	send(c, "ann", "250")
	now = now.Add(greyPassed)
	send(c, "ann", "451 4.7.1")
}

// TestGreylistKnown: who is known to the recipient does not wait, and is not
// remembered for that.
func TestGreylistKnown(t *testing.T) {
	h := newHouse(t)
	g := newGreylist(t, h)
	c, _ := judged(t, h, func(c *Checks) {
		c.Greylist, c.Filter = g, &fakeFilter{opinions: map[mailbox.AccountID]Opinion{h.ann: {Known: true}}}
	})
	c.send("a@unproven.example", []string{"ann@example.test"}, "From: a@unproven.example\r\n\r\n", "250")
	c.send("a@unproven.example", []string{"bob@example.test"}, "From: a@unproven.example\r\n\r\n", "451 4.7.1")
}

func TestGreylist(t *testing.T) {
	h := newHouse(t)
	g := newGreylist(t, h)
	start := atNoon()
	for i, step := range []struct {
		client  string
		from    string
		account mailbox.AccountID
		after   time.Duration
		fresh   bool
	}{
		{"192.0.2.1", "a@x.example", 1, 0, true},
		{"192.0.2.1", "a@x.example", 1, greyWait - time.Minute, true},
		{"192.0.3.1", "a@x.example", 1, greyWait, true}, // another network
		{"192.0.2.1", "b@x.example", 1, greyWait, true}, // another message
		{"192.0.2.1", "a@x.example", 2, greyWait, true},
		{"192.0.2.99", "a@x.example", 1, greyWait, false}, // a host beside it
		{"192.0.2.1", "b@X.example", 2, greyWait, false},
		{"192.0.2.1", "", 1, greyWait, true},
		{"192.0.2.1", "a@y.example", 1, greyWait, true},
		{"192.0.2.1", "a@y.example", 1, greyRetry + 2*greyWait, true}, // too late
		{"192.0.2.1", "a@y.example", 1, greyRetry + 3*greyWait, false},
		{"192.0.2.1", "a@x.example", 3, greyPassed, false},
		{"192.0.2.1", "a@x.example", 3, 2*greyPassed - time.Minute, false}, // the time goes on from the last mail
		{"192.0.2.1", "a@x.example", 3, 3*greyPassed + time.Minute, true},
	} {
		if got := g.Fresh(netip.MustParseAddr(step.client), step.from, step.account, start.Add(step.after)); got != step.fresh {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// TestGreylistIsBounded in memory and on disk, and reads nothing that is not its own.
func TestGreylistIsBounded(t *testing.T) {
	h := newHouse(t)
	g := newGreylist(t, h)
	for i := range 3 * maxGrey {
		g.Fresh(netip.MustParseAddr("192.0.2.1"), fmt.Sprintf("%d@x.example", i), 1, atNoon())
		if len(g.waiting) > maxGrey {
			t.Fatalf("%d wait", len(g.waiting))
		}
	}
	if n := len(g.waiting.encode()); n > 1+maxGrey*greyEntry {
		t.Errorf("%d octets", n)
	}
	for value, want := range map[string]bool{
		"": true, "\x01": true, "\x01123456789012": true, "\x02": false, "\x0112345678901": false,
		"\x01" + string(make([]byte, (maxGrey+1)*greyEntry)): false,
	} {
		if got := (greyTimes{}).read([]byte(value)); got != want {
			t.Errorf("%.20q: %v", value, got)
		}
	}
	must(t, h.store.Change(t.Context(), mailbox.RoomChange{Room: greyRoom, Key: greyKnown, Value: []byte("nonsense")}))
	if g = newGreylist(t, h); len(g.passed) != 0 {
		t.Errorf("%d were read from nonsense", len(g.passed))
	}
}
