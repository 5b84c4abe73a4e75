package smtp

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"mailstead/mailbox/mailboxtest"
)

// TestConductDialogues plays what strangers can do too much of.
func TestConductDialogues(t *testing.T) {
	h := newHouse(t)
	c := newChecks(t)
	own := *c
	own.Own = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for folder, checks := range map[string]*Checks{"receiver-conduct": c, "receiver-own": &own} {
		t.Run(folder, func(t *testing.T) {
			mailboxtest.PlayDir(t, "testdata/"+folder+"/*.dialog", func(t *testing.T) mailboxtest.Player {
				o := h.options(Receiver)
				o.Checks, o.Now = checks, atNoon
				o.Limits = Limits{
					GreetDelay: 50 * time.Millisecond, ErrorDelay: time.Millisecond, UnknownRecipients: 10,
					ConnectionsPerNetwork: 2, HourlyConnections: 3, HourlyMessages: 2, HourlyUnknown: 2, HourlyErrors: 9,
				}
				o.Journal = watchOutcome(t, folder)
				address, _ := listen(t, o, false)
				return mailboxtest.Player{TLS: clientTLS(), Dial: func(int) (net.Conn, error) { return net.Dial("tcp", address) }}
			})
		})
	}
}

// TestEarlyTalker: what it sends is judged with that in mind, and it has to wait
// the next time, too; who was polite does not.
func TestEarlyTalker(t *testing.T) {
	h := newHouse(t)
	o := h.options(Receiver)
	o.Checks, o.Limits.GreetDelay = newChecks(t), 10*time.Second // ends with the first octet
	address, s := listen(t, o, false)
	c := dial(t, address)
	c.say("EHLO mx.example.test", "220") // a name of ours
	c.reply("250")
	c.send("a@nobody2.example", []string{"ann@example.test"}, "From: a@nobody2.example\r\n\r\n", "250")
	if n := len(h.messages(t, h.ann, "Junk")); n != 1 {
		t.Errorf("%d messages in Junk", n)
	}
	here := netip.MustParseAddr("127.0.0.1")
	if s.ledger.isPolite(here) {
		t.Error("it counts as polite")
	}
	s.ledger.greeted(here, true, time.Now())
	dial(t, address).reply("220")
}

func TestLedger(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ip := netip.MustParseAddr
	newOne := func() *ledger {
		return newLedger(Limits{ConnectionsPerNetwork: 3, HourlyConnections: 2, HourlyMessages: 10, HourlyUnknown: 4, HourlyErrors: 4, NetworkShare: 4})
	}
	t.Run("forgets evenly", func(t *testing.T) {
		l := newOne()
		for range 5 {
			l.note(ip("192.0.2.1"), guessing, start)
		}
		for _, tc := range []struct {
			after time.Duration
			want  float64
		}{{0, 1.25}, {15 * time.Minute, 1}, {45 * time.Minute, 0.5}, {2 * time.Hour, 0}, {time.Hour, 0}} {
			if got := l.used(ip("192.0.2.1"), guessing, start.Add(tc.after)); got != tc.want {
				t.Errorf("after %v: %v, want %v", tc.after, got, tc.want)
			}
		}
	})
	t.Run("addresses of a network", func(t *testing.T) {
		for _, tc := range []struct {
			format string
			near   string // the same host
			far    string // another network
		}{
			{"192.0.2.%d", "::ffff:192.0.2.1", "192.0.3.1"},
			{"2001:db8:1:%d::1", "2001:db8:1:1::ffff", "2001:db8:2::1"},
		} {
			l := newOne()
			for i := range 16 {
				if got := l.note(ip(fmt.Sprintf(tc.format, i)), erring, start); got > 1 {
					t.Errorf(tc.format+": %v", i, got)
				}
			}
			if got := l.note(ip(fmt.Sprintf(tc.format, 20)), erring, start); got <= 1 {
				t.Errorf("the network has %v", got)
			}
			if got := l.used(ip(tc.near), erring, start); got <= 1 {
				t.Errorf("%s has %v", tc.near, got)
			}
			if got := l.used(ip(tc.far), erring, start); got != 0 {
				t.Errorf("%s has %v", tc.far, got)
			}
		}
	})
	t.Run("connections", func(t *testing.T) {
		l := newOne()
		for i, want := range []string{"", "", "connections"} {
			if got := l.enter(ip("192.0.2.1"), start); got != want {
				t.Errorf("connection %d: %q, want %q", i, got, want)
			}
		}
		for i, want := range []string{"", "connections"} { // three of the network are open then
			if got := l.enter(ip(fmt.Sprintf("192.0.2.%d", 10+i)), start); got != want {
				t.Errorf("neighbour %d: %q, want %q", i, got, want)
			}
		}
		l.leave(ip("192.0.2.1"))
		if got := l.enter(ip("192.0.2.20"), start); got != "" {
			t.Errorf("after one left: %q", got)
		}
	})
	t.Run("memory", func(t *testing.T) {
		l := newOne()
		if got := l.enter(ip("192.0.2.1"), start); got != "" {
			t.Fatal(got)
		}
		for i := range 3 * maxTallies {
			l.note(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), sending, start)
			if n := len(l.tallies); n > maxTallies {
				t.Fatalf("%d tallies", n)
			}
		}
		_, network := circles(ip("192.0.2.1"))
		if l.tallies[network] == nil || l.tallies[network].open != 1 {
			t.Error("an open connection was forgotten")
		}
	})
}

// TestNobodyIsWatched where nothing is judged.
func TestNobodyIsWatched(t *testing.T) {
	h := newHouse(t)
	for name, change := range map[string]func(*Options){
		"no checks": func(o *Options) { o.Checks = nil },
		"no DNS":    func(o *Options) { o.Checks.RecordOnly = true },
		"a relay": func(o *Options) {
			o.Checks.TrustedRelays = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := h.options(Receiver)
			o.Checks, o.Limits = newChecks(t), Limits{GreetDelay: time.Hour, HourlyConnections: 1, HourlyMessages: 1}
			change(&o)
			address, _ := listen(t, o, false)
			for range 2 {
				c := dial(t, address)
				c.reply("220")
				c.say("EHLO mx.pass.example", "250")
				for range 2 {
					c.send("a@pass.example", []string{"ann@example.test"}, "From: a@pass.example\r\n\r\n", "250")
				}
			}
		})
	}
}
