package serve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves session on a loopback port until the test ends.
func start(t *testing.T, o Options, session func(*Server, *Conn)) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var s *Server
	s = New(o, func(c *Conn) { session(s, c) })
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func dial(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c, bufio.NewReader(c)
}

// echo answers each line with itself, until the server shuts down; "login X" logs
// in as X, "panic" panics.
func echo(s *Server, c *Conn) {
	c.SetWaiting(true, time.Minute)
	io.WriteString(c, "hello\n")
	for in := bufio.NewReader(c); !s.Closing(); {
		line, err := in.ReadString('\n')
		if errors.Is(err, ErrInterrupted) {
			break
		}
		if err != nil {
			return
		}
		if line == "panic\n" {
			panic("as asked")
		}
		if account, ok := strings.CutPrefix(line, "login "); ok && !c.LoggedIn(account) {
			line = "too many\n"
		}
		io.WriteString(c, line)
	}
	io.WriteString(c, "bye\n")
}

func expect(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	got, err := r.ReadString('\n')
	if got != want || want == "" && err != io.EOF {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func TestStrangersAreCountedUntilTheyLogIn(t *testing.T) {
	s, address := start(t, Options{MaxPerAddress: 2, MaxPerAccount: 1, Busy: "busy\n"}, echo)
	a, ra := dial(t, address)
	expect(t, ra, "hello\n")
	_, rb := dial(t, address)
	expect(t, rb, "hello\n")
	_, rc := dial(t, address)
	expect(t, rc, "busy\n")
	expect(t, rc, "")
	io.WriteString(a, "login ann\n")
	expect(t, ra, "login ann\n")
	d, rd := dial(t, address)
	expect(t, rd, "hello\n")
	io.WriteString(d, "login ann\n")
	expect(t, rd, "too many\n")
	want := Figures{Open: 3, LoggedIn: 1, Accepted: 3, RefusedAddress: 1, RefusedAccount: 1}
	if got := s.Figures(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// All strangers together are bounded, too: they have as many addresses as they like.
func TestStrangersAreCountedTogether(t *testing.T) {
	c := newCounter(2)
	c.most = 3
	for i, step := range []struct {
		key    string
		remove bool
		want   bool
	}{
		{key: "a", want: true}, {key: "a", want: true}, {key: "a"},
		{key: "b", want: true}, {key: "c"},
		{key: "a", remove: true}, {key: "c", want: true}, {key: "b"},
	} {
		if step.remove {
			c.remove(step.key)
		} else if got := c.add(step.key) == noLimit; got != step.want {
			t.Errorf("step %d, %s: %v", i, step.key, got)
		}
	}
	server, address := start(t, Options{MaxStrangers: 1, Busy: "busy\n"}, echo)
	a, ra := dial(t, address)
	expect(t, ra, "hello\n")
	_, rb := dial(t, address)
	expect(t, rb, "busy\n")
	if got := server.Figures(); got != (Figures{Open: 1, Accepted: 1, RefusedStrangers: 1}) {
		t.Errorf("%+v", got)
	}
	io.WriteString(a, "login ann\n")
	expect(t, ra, "login ann\n")
	_, rc := dial(t, address)
	expect(t, rc, "hello\n")
}

func TestPanicEndsOneSession(t *testing.T) {
	_, address := start(t, Options{}, echo)
	a, ra := dial(t, address)
	b, rb := dial(t, address)
	expect(t, ra, "hello\n")
	expect(t, rb, "hello\n")
	io.WriteString(a, "panic\n")
	expect(t, ra, "")
	io.WriteString(b, "still here\n")
	expect(t, rb, "still here\n")
}

func TestShutdownInterruptsWaiting(t *testing.T) {
	s, address := start(t, Options{}, echo)
	_, r := dial(t, address)
	expect(t, r, "hello\n")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, r, "bye\n")
	expect(t, r, "")
}

func TestShutdownCutsWhoDoesNotEnd(t *testing.T) {
	busy := make(chan struct{})
	s, address := start(t, Options{}, func(_ *Server, c *Conn) {
		close(busy)
		<-c.Context().Done()
	})
	dial(t, address)
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestDeadlineEndsASlowClient(t *testing.T) {
	ended := make(chan error, 1)
	_, address := start(t, Options{}, func(_ *Server, c *Conn) {
		c.SetWaiting(true, time.Minute)
		c.SetDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		ended <- err
	})
	dial(t, address)
	var timeout net.Error
	if err := <-ended; !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Read: %v, want a time-out", err)
	}
}

func TestAddressKey(t *testing.T) {
	key := func(ip string) any { return addressKey(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1}) }
	if key("2001:db8::1") != key("2001:db8::2") || key("2001:db8::1") == key("2001:db8:1::1") {
		t.Error("IPv6 is not counted by /64")
	}
	if key("192.0.2.1") == key("192.0.2.2") || key("192.0.2.1") != key("::ffff:192.0.2.1") {
		t.Error("IPv4 is not counted by address")
	}
}
