package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
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
				o.Source = func(_ context.Context, _, to netip.Addr) (netip.Addr, error) {
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

// The system's choice is found without a packet, and so is whether a way leads on from another address.
func TestSourceFor(t *testing.T) {
	here := netip.MustParseAddr("127.0.0.1")
	if from, err := sourceFor(t.Context(), netip.Addr{}, here); err != nil || !from.IsLoopback() {
		t.Errorf("from %v, %v", from, err)
	}
	other := netip.MustParseAddr("127.0.0.5")
	if from, err := sourceFor(t.Context(), other, here); err != nil || from != other {
		t.Errorf("from %v, %v", from, err)
	}
	if from, err := sourceFor(t.Context(), four1, here); err == nil {
		t.Errorf("from %v, which is not ours", from)
	}
}

// A connection comes from the address that was chosen for it.
func TestDialFrom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := netip.MustParseAddr("127.0.0.5")
	conn, err := dialFrom(t.Context(), from, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != from {
		t.Errorf("from %v", got)
	}
}

// reverse is the record that gives an address of 2001:db8::/120 a name.
func reverse(last byte, name string) string {
	return fmt.Sprintf("%x.%x.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR %s.\n%s. AAAA 2001:db8::%x\n", last&15, last>>4, name, name, last)
}

// TestOrigin holds the choice among the addresses of a machine: the system prefers the one of privacy extensions, ::da.
func TestOrigin(t *testing.T) {
	const system = "2001:db8::da"
	for _, tt := range []struct {
		name   string
		zone   string
		own    []string // besides ::da
		cut    string   // from where no way leads on
		want   string
		naming naming
		bound  bool
	}{
		{"a stable one with our name", "", []string{"192.0.2.99", "fe80::1", "2001:db8::99"}, "", "2001:db8::99", ourName, true},
		{"the system's has our name", reverse(0xda, "us.test"), []string{"2001:db8::99"}, "", system, ourName, false},
		{"the system's has another name, the stable one ours", reverse(0xda, "x.test"), []string{"2001:db8::99"}, "", "2001:db8::99", ourName, true},
		{"both have names that are not ours", reverse(0xda, "x.test") + reverse(0x98, "y.test"), []string{"2001:db8::98"}, "", system, someName, false},
		{"a stable one with another name", reverse(0x98, "y.test"), []string{"2001:db8::98"}, "", "2001:db8::98", someName, true},
		{"ours goes before another name", reverse(0x98, "y.test"), []string{"2001:db8::98", "2001:db8::99"}, "", "2001:db8::99", ourName, true},
		{"a name that leads elsewhere", "", []string{"2001:db8::66"}, "", system, nameless, false},
		{"no way from the better one", reverse(0x98, "y.test"), []string{"2001:db8::99", "2001:db8::98"}, "2001:db8::99", "2001:db8::98", someName, true},
		{"nobody has a name", "", []string{"2001:db8::97"}, "", system, nameless, false},
		{"only one address", "", nil, "", system, nameless, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.zone+"6.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR us.test.\n")
			c := w.courier(func(o *Options) { o.Addresses, o.Source = machine(system, tt.cut, tt.own...) })
			want := origin{netip.MustParseAddr(tt.want), tt.naming, tt.bound}
			asked := 0
			for round := range 2 {
				if got, err := c.originOf(t.Context(), six1); err != nil || got != want {
					t.Errorf("got %+v, %v, want %+v", got, err, want)
				}
				if n := len(w.zone.Queries()); round == 0 {
					asked = n
				} else if n != asked {
					t.Errorf("%d questions the second time, which is to be by heart", n-asked)
				}
			}
		})
	}
}

// machine is one whose system sends from an IPv6 address of several; from cut no way leads on.
func machine(system, cut string, others ...string) (func() []netip.Addr, func(context.Context, netip.Addr, netip.Addr) (netip.Addr, error)) {
	own := []netip.Addr{netip.MustParseAddr(system)}
	for _, o := range others {
		own = append(own, netip.MustParseAddr(o))
	}
	source := func(_ context.Context, from, to netip.Addr) (netip.Addr, error) {
		switch {
		case to.Is4():
			return netip.MustParseAddr("192.0.2.99"), nil
		case !from.IsValid():
			return own[0], nil
		case from.String() == cut || !slices.Contains(own, from):
			return netip.Addr{}, errors.New("network is unreachable")
		}
		return from, nil
	}
	return func() []netip.Addr { return slices.Clone(own) }, source
}

// Mail goes from the address that has our name, and its story says so; a server that does not like it all the same is asked
// over IPv4.
func TestMailGoesFromTheNamedAddress(t *testing.T) {
	for name, tt := range map[string]struct {
		six, four string
		want      string
	}{
		"taken":   {helloAs + oneTaken + goodbye, "", "[2001:db8::1 from 2001:db8::99]"},
		"refused": {"S: 554 5.7.25 no PTR\nC: QUIT\nS: 221 bye", helloAs + oneTaken + goodbye, "[2001:db8::1 from 2001:db8::99 192.0.2.1]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, bothMX)
			w.scripts["2001:db8::1"] = []script{lines(tt.six)}
			if tt.four != "" {
				w.scripts["192.0.2.1"] = []script{lines(tt.four)}
			}
			c := w.courier(func(o *Options) {
				o.Addresses, o.Source = machine("2001:db8::da", "", "2001:db8::99")
				o.DialFrom = func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
					conn, err := w.dial(ctx, network, address)
					w.mu.Lock()
					defer w.mu.Unlock()
					w.dialed[len(w.dialed)-1] += " from " + from.String()
					return conn, err
				}
			})
			var told []string
			m := w.letter("a@example.test")
			m.Tell = listen(&told)
			w.wantDelivered(c, m)
			if got := fmt.Sprint(w.dialed); got != tt.want {
				t.Errorf("dialed %s, want %s", got, tt.want)
			}
			if note := "* over IPv6 from 2001:db8::99, as its name leads back to it"; !slices.Contains(told, note) {
				t.Errorf("not told: %q", told)
			}
		})
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

// noWay is Options.Source of a machine without a network.
func noWay(context.Context, netip.Addr, netip.Addr) (netip.Addr, error) {
	return netip.Addr{}, errors.New("network is unreachable")
}
