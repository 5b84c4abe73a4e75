package remote

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/queue"
)

var (
	four1 = netip.MustParseAddr("192.0.2.1")
	six1  = netip.MustParseAddr("2001:db8::1")
	six2  = netip.MustParseAddr("2001:db8::2")
)

// Which addresses of a host mail goes to depends on what this machine has.
func TestReachable(t *testing.T) {
	noRoute := errors.New("network is unreachable")
	for _, tt := range []struct {
		name      string
		four, six string // ours; "" = none
		addrs     []netip.Addr
		want      string
	}{
		{"both, with a name", "192.0.2.99", "2001:db8::99", []netip.Addr{six1, four1, six2}, "[2001:db8::1 192.0.2.1 2001:db8::2]"},
		{"no name", "192.0.2.99", "2001:db8::77", []netip.Addr{six1, four1, six2}, "[192.0.2.1]"},
		{"a name that leads elsewhere", "192.0.2.99", "2001:db8::66", []netip.Addr{six1, four1}, "[192.0.2.1]"},
		{"no name, and no other way to them", "192.0.2.99", "2001:db8::77", []netip.Addr{six1, six2}, "[2001:db8::1 2001:db8::2]"},
		{"IPv4 only", "192.0.2.99", "", []netip.Addr{six1, four1}, "[192.0.2.1]"},
		{"IPv6 only", "", "2001:db8::99", []netip.Addr{six1, four1}, "[2001:db8::1]"},
		{"IPv6 only, without a name", "", "2001:db8::77", []netip.Addr{six1, four1}, "[2001:db8::1]"},
		{"no network", "", "", []netip.Addr{six1, four1}, "[2001:db8::1 192.0.2.1]"},
		{"neighbours need no name", "192.0.2.99", "2001:db8::77", []netip.Addr{netip.IPv6Loopback(), four1}, "[::1 192.0.2.1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "6.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR us.test.")
			c := w.courier(func(o *Options) {
				o.Source = func(_ context.Context, to netip.Addr) (netip.Addr, error) {
					from := tt.six
					if to.Is4() {
						from = tt.four
					}
					if from == "" {
						return netip.Addr{}, noRoute
					}
					return netip.MustParseAddr(from), nil
				}
			})
			a := newAttempt(c, "example.test", w.letter("a@example.test"))
			for range 2 { // the second time by heart
				if got := fmt.Sprint(a.reachable(t.Context(), tt.addrs)); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				w.zone.SetFault("us.test", dnstest.Fault{ServFail: true})
			}
		})
	}
}

// The system's choice is found without a packet.
func TestSourceFor(t *testing.T) {
	if from, err := sourceFor(t.Context(), netip.MustParseAddr("127.0.0.1")); err != nil || !from.IsLoopback() {
		t.Errorf("from %v, %v", from, err)
	}
}

const bothMX = "example.test. MX 10 mx.example.test.\nmx.example.test. A 192.0.2.1\nmx.example.test. AAAA 2001:db8::1\nmx.example.test. AAAA 2001:db8::2\n"

// A server that does not like the name of our IPv6 address is asked over IPv4 before the mail is returned, and
// so are others from then on.
func TestReverseNameRefused(t *testing.T) {
	const pipelined = helloAs + "C: MAIL*\nC: RCPT*\nC: DATA\n"
	for name, refusal := range map[string]string{
		"at the greeting": "S: 554 5.7.1 no PTR record for your address\nC: QUIT\nS: 221 bye",
		"at MAIL":         pipelined + "S: 550 5.7.25 fix it\nS: 503 no\nS: 503 no\n" + goodbye,
		"at RCPT":         pipelined + "S: 250 ok\nS: 550 5.7.1 Cannot find your reverse hostname\nS: 503 no\n" + goodbye,
		"after the dot":   pipelined + "S: 250 ok\nS: 250 ok\nS: 354 go\nbody\nS: 550 5.7.1 does not meet IPv6 sending guidelines\n" + goodbye,
		"for now":         pipelined + "S: 250 ok\nS: 450 4.7.25 no reverse name\nS: 503 no\n" + goodbye,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, bothMX)
			w.scripts["2001:db8::1"] = []script{lines(refusal)}
			w.scripts["192.0.2.1"] = []script{lines(helloAs + oneTaken + oneTaken + goodbye)}
			c := w.courier()
			w.wantDelivered(c, w.letter("a@example.test"))
			w.wantDelivered(c, w.letter("a@example.test"))
			if got := fmt.Sprint(w.dialed); got != "[2001:db8::1 192.0.2.1]" {
				t.Errorf("dialed %s", got)
			}
		})
	}
}

// Where there is no other way, what the server says stands.
func TestReverseNameRefusedForGood(t *testing.T) {
	w := newWorld(t, "example.test. MX 10 mx.example.test.\nmx.example.test. AAAA 2001:db8::1\nmx.example.test. AAAA 2001:db8::2")
	w.scripts["2001:db8::1"] = []script{lines(helloAs + "C: MAIL*\nC: RCPT*\nC: DATA\nS: 250 ok\nS: 550 5.7.25 no PTR\nS: 503 no\n" + goodbye)}
	o := w.courier().Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
	if o.Status != queue.Permanent || o.Enhanced != "5.7.25" || len(w.dialed) != 1 {
		t.Errorf("got %s after %v", describe(o), w.dialed)
	}
}

func TestAboutReverse(t *testing.T) {
	for _, tt := range []struct {
		addr netip.Addr
		v    verdict
		want bool
	}{
		{six1, verdict{code: 550, enhanced: "5.7.25", text: "no"}, true},
		{six1, verdict{code: 550, enhanced: "5.7.1", text: "Client host rejected: cannot find your reverse hostname, [2001:db8::99]"}, true},
		{six1, verdict{code: 550, enhanced: "5.7.1", text: "on a blocklist"}, false},
		{six1, verdict{code: 550, enhanced: "5.1.1", text: "no PTR here"}, false},
		{six1, verdict{enhanced: "5.7.1", text: "no PTR, we say"}, false},
		{four1, verdict{code: 550, enhanced: "5.7.25", text: "no PTR"}, false},
	} {
		if got := tt.v.aboutReverse(tt.addr); got != tt.want {
			t.Errorf("%v to %v: %v", tt.v, tt.addr, got)
		}
	}
}

// A domain whose servers are behind a firewall of ours gets no mail, whatever its MX says.
func TestPrivateServers(t *testing.T) {
	for domain, zone := range map[string]string{
		"example.test": "example.test. MX 10 mx.example.test.\nmx.example.test. A 10.0.0.1\nmx.example.test. AAAA fd00::1",
		"[127.0.0.2]":  "",
	} {
		for _, private := range []bool{false, true} {
			w := newWorld(t, zone)
			c := w.courier(func(o *Options) { o.Private = private })
			o := c.Deliver(t.Context(), domain, w.letter("a@"+domain))[0]
			if private && (o.Enhanced != "4.4.1" || len(w.dialed) == 0) || !private && (o.Enhanced != "5.4.4" || len(w.dialed) != 0) {
				t.Errorf("private %v: got %s after %v", private, describe(o), w.dialed)
			}
		}
	}
}

// Of a server with both kinds of addresses only those are used that the Internet leads to.
func TestPrivateAddressesAreLeftOut(t *testing.T) {
	w := newWorld(t, oneMX+"mx.example.test. A 192.168.0.1\n")
	w.scripts["192.0.2.1"] = []script{lines(helloAs + oneTaken + goodbye)}
	w.wantDelivered(w.courier(), w.letter("a@example.test"))
	if fmt.Sprint(w.dialed) != "[192.0.2.1]" {
		t.Errorf("dialed %v", w.dialed)
	}
}
