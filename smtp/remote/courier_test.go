package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/queue"
)

const oneMX = "example.test. MX 10 mx.example.test.\nmx.example.test. A 192.0.2.1\n"

func (w *world) letter(recipients ...string) queue.Message {
	return queue.Message{From: "sender@us.test", Recipients: recipients, Open: w.open}
}

func lines(s string) script { return strings.Split(strings.TrimSpace(s), "\n") }

func TestNewRefuses(t *testing.T) {
	good := newWorld(t, "").options()
	for name, change := range map[string]func(*Options){
		"no resolver":          func(o *Options) { o.Resolver = nil },
		"no host name":         func(o *Options) { o.Hostname = "" },
		"injection in EHLO":    func(o *Options) { o.Hostname = "a\r\nRSET" },
		"port out of range":    func(o *Options) { o.MXPort = 65536 },
		"negative port":        func(o *Options) { o.MXPort = -1 },
		"malformed literal":    func(o *Options) { o.Hostname = "[300.1.1.1]" },
		"host name with space": func(o *Options) { o.Hostname = "a b" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, hostname := range []string{"[192.0.2.1]", "[IPv6:2001:db8::1]", "localhost"} {
		o := Options{Resolver: good.Resolver, Hostname: hostname}
		if _, err := New(o); err != nil {
			t.Errorf("%s: %v", hostname, err)
		}
	}
}

func TestTimeoutsDefault(t *testing.T) {
	if got := (Timeouts{}).or(defaultTimeouts); got != defaultTimeouts {
		t.Errorf("got %+v", got)
	}
	got := Timeouts{Mail: time.Second}.or(defaultTimeouts)
	if got.Mail != time.Second || got.DataEnd != 10*time.Minute {
		t.Errorf("got %+v", got)
	}
}

// A server that falls silent costs the time of that step, no more, and the mail
// waits.
func TestSilence(t *testing.T) {
	const hello = "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250 PIPELINING\n"
	const envelope = hello + "C: MAIL*\nC: RCPT*\nC: DATA\n"
	for _, tt := range []struct {
		name   string
		short  func(*Timeouts) *time.Duration
		script string
		text   string
	}{
		{"greeting", func(t *Timeouts) *time.Duration { return &t.Greeting }, "hang", "the connection"},
		{"half a greeting", func(t *Timeouts) *time.Duration { return &t.Greeting }, "S: 220-x\nhang", "the connection"},
		{"hello", func(t *Timeouts) *time.Duration { return &t.Hello }, "S: 220 x\nhang", "EHLO"},
		{"mail", func(t *Timeouts) *time.Duration { return &t.Mail }, envelope + "hang", "MAIL"},
		{"recipient", func(t *Timeouts) *time.Duration { return &t.Recipient }, envelope + "S: 250 ok\nhang", "RCPT"},
		{"data", func(t *Timeouts) *time.Duration { return &t.DataInit }, envelope + "S: 250 ok\nS: 250 ok\nhang", "DATA"},
		{"end", func(t *Timeouts) *time.Duration { return &t.DataEnd }, envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nbody\nhang", "the end of the message"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, oneMX)
			w.scripts["192.0.2.1"] = []script{lines(tt.script)}
			c := w.courier(func(o *Options) { *tt.short(&o.Timeouts) = 30 * time.Millisecond })
			o := c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
			want := "timed out while waiting for the reply to " + tt.text
			if o.Status != queue.Temporary || o.Enhanced != "4.4.2" || o.Text != want {
				t.Errorf("got %s", describe(o))
			}
		})
	}
}

// A server that stops reading costs the time of one block.
func TestSilenceWhileSending(t *testing.T) {
	w := newWorld(t, oneMX)
	w.message = strings.Repeat("x\r\n", 4<<20) // more than any socket buffers
	w.scripts["192.0.2.1"] = []script{lines("S: 220 x\nC: EHLO*\nS: 250 x\nC: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nS: 354 go\nwait")}
	c := w.courier(func(o *Options) { o.Timeouts.DataBlock, o.Timeouts.Quit = 50*time.Millisecond, 50*time.Millisecond })
	o := c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
	close(w.release)
	if o.Status != queue.Temporary || o.Enhanced != "4.4.2" || o.Text != "timed out while sending the message" {
		t.Errorf("got %s", describe(o))
	}
}

// A server that has seen enough answers in the middle of the message and hangs
// up; its reason counts, not the broken connection.
func TestRefusedWhileSending(t *testing.T) {
	w := newWorld(t, oneMX)
	w.message = strings.Repeat("x\r\n", 4<<20)
	w.scripts["192.0.2.1"] = []script{lines("S: 220 x\nC: EHLO*\nS: 250 x\nC: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nS: 354 go\nread 100000\nS: 552 5.3.4 too large")}
	o := w.courier().Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
	if o.Status != queue.Permanent || o.Code != 552 || o.Enhanced != "5.3.4" {
		t.Errorf("got %s", describe(o))
	}
}

// Ending the context ends the attempt wherever it is.
func TestContextEnds(t *testing.T) {
	w := newWorld(t, oneMX)
	w.scripts["192.0.2.1"] = []script{lines("hang")}
	ctx, cancel := context.WithCancelCause(t.Context())
	c := w.courier(func(o *Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := w.dial(ctx, network, address)
			cancel(errors.New("shutting down"))
			return conn, err
		}
	})
	o := c.Deliver(ctx, "example.test", w.letter("a@example.test"))[0]
	if o.Status != queue.Temporary || o.Enhanced != "4.4.7" || o.Text != "attempt ended: shutting down" {
		t.Errorf("got %s", describe(o))
	}
}

func TestNothingToDeliver(t *testing.T) {
	w := newWorld(t, "")
	if got := w.courier().Deliver(t.Context(), "example.test", w.letter()); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// Without a DNS server mail waits.
func TestNoResolver(t *testing.T) {
	w := newWorld(t, "")
	r, err := dns.New(dns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := w.courier(func(o *Options) { o.Resolver = r })
	o := c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
	if o.Status != queue.Temporary || o.Enhanced != "4.4.3" || !strings.Contains(o.Text, "no DNS server is configured") {
		t.Errorf("got %s", describe(o))
	}
}

// What we cannot read is nobody else's fault and nobody else is asked.
func TestUnreadableMessage(t *testing.T) {
	w := newWorld(t, oneMX+"example.test. MX 20 backup.example.test.\nbackup.example.test. A 192.0.2.2")
	w.scripts["192.0.2.1"] = []script{lines("S: 220 x\nC: EHLO*\nS: 250 x\neof")}
	m := w.letter("a@example.test")
	m.Open = func() (io.ReadCloser, error) { return nil, errors.New("disk on fire") }
	o := w.courier().Deliver(t.Context(), "example.test", m)[0]
	if o.Status != queue.Temporary || o.Enhanced != "4.3.0" || o.Text != "open the message: disk on fire" {
		t.Errorf("got %s", describe(o))
	}
	if len(w.dialed) != 1 {
		t.Errorf("dialed %v", w.dialed)
	}
}

// Each conversation is one line of the log, with remote text quoted.
func TestLog(t *testing.T) {
	w := newWorld(t, oneMX)
	w.scripts["192.0.2.1"] = []script{lines("S: 220 x\nC: EHLO*\nS: 550 no\nC: HELO*\nS: 550 5.7.1 no \x1b[2J\nC: QUIT\nS: 221 bye")}
	var log bytes.Buffer
	c := w.courier(func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))
	for _, want := range []string{
		"level=WARN", "domain=example.test", `host="mx.example.test [192.0.2.1]"`, "tls=false",
		"delivered=0 temporary=0 permanent=1", `error="550 5.7.1 no ?[2J"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log has no %s:\n%s", want, log.String())
		}
	}
}

// fakeConn is a connection that tells when it is closed.
type fakeConn struct {
	net.Conn
	closed chan<- string
	name   string
}

func (c fakeConn) Close() error { c.closed <- c.name; return nil }

// Addresses get a head start of 250 ms each; the first to answer is kept, a
// late one is closed, and those that have not failed remain for later.
func TestDialFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		closed := make(chan string, 10)
		var mu sync.Mutex
		started := make(map[string]time.Duration)
		c := &Courier{port: 25, timeouts: defaultTimeouts, source: noWay, dialer: func(ctx context.Context, _, address string) (net.Conn, error) {
			mu.Lock()
			started[address] = time.Since(began)
			mu.Unlock()
			switch address {
			case "192.0.2.1:25": // silent
				<-ctx.Done()
				return nil, ctx.Err()
			case "192.0.2.2:25": // answers when it is too late
				<-ctx.Done()
				return fakeConn{closed: closed, name: address}, nil
			case "192.0.2.3:25": // fails at once
				return nil, errRefused
			}
			time.Sleep(100 * time.Millisecond)
			return fakeConn{closed: closed, name: address}, nil
		}}
		var addrs []netip.Addr
		for i := range 5 {
			addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}))
		}
		first, rest, tried := c.dialFirst(t.Context(), addrs, c.port)
		if first.err != nil || first.addr != addrs[3] || tried != 4 {
			t.Errorf("got %v after %d tries, %v", first.addr, tried, first.err)
		}
		if got := fmt.Sprint(rest); got != "[192.0.2.1 192.0.2.2 192.0.2.5]" {
			t.Errorf("rest is %s", got)
		}
		want := "map[192.0.2.1:25:0s 192.0.2.2:25:250ms 192.0.2.3:25:500ms 192.0.2.4:25:500ms]"
		if got := fmt.Sprint(started); got != want {
			t.Errorf("started %s, want %s", got, want)
		}
		if len(closed) != 1 || <-closed != "192.0.2.2:25" {
			t.Error("the late connection was not closed, or the first one was")
		}
	})
}

func TestDialFirstFails(t *testing.T) {
	c := &Courier{port: 25, timeouts: defaultTimeouts, source: noWay, dialer: func(context.Context, string, string) (net.Conn, error) {
		return nil, errRefused
	}}
	addrs := []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("192.0.2.1")}
	if first, rest, tried := c.dialFirst(t.Context(), addrs, c.port); !errors.Is(first.err, errRefused) || len(rest) != 0 || tried != 2 {
		t.Errorf("got %v, %v, %d", first, rest, tried)
	}
}

// The last line of defence: no command leaves with another one in it.
func TestSendRefusesLineEnds(t *testing.T) {
	for _, line := range []string{"NOOP\r\nQUIT", "NOOP\nQUIT", "NOOP\r", "NOOP\x00"} {
		s := newSession(fakeConn{}, "us.test", defaultTimeouts)
		if err := s.send(line); err == nil || s.w.Buffered() != 0 {
			t.Errorf("%q: error %v, %d bytes in the buffer", line, err, s.w.Buffered())
		}
	}
}
