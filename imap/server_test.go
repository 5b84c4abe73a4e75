package imap

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lineConn is a client that reads and writes lines.
type lineConn struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func (ts *testServer) connect(t testing.TB) *lineConn {
	t.Helper()
	nc, err := ts.dial(1)
	if err != nil {
		t.Fatal(err)
	}
	return newLineConn(t, nc)
}

func newLineConn(t testing.TB, nc net.Conn) *lineConn {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	return &lineConn{t: t, Conn: nc, in: bufio.NewReader(nc)}
}

// expect reads lines up to the first with that beginning and returns it.
func (c *lineConn) expect(prefix string) string {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("waiting for %q: %v", prefix, err)
		}
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
}

func (c *lineConn) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// login logs ann in and selects INBOX.
func (c *lineConn) login() *lineConn {
	c.send(fmt.Sprintf("l LOGIN %s %s\r\ns SELECT INBOX\r\n", testUser, testPassword))
	c.expect("l OK")
	c.expect("s OK")
	return c
}

func (c *lineConn) expectEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.t.Fatalf("read %q, %v; want the end", rest, err)
	}
}

// TestShutdownSaysBye proves that clients are told, wherever they are: before login,
// between commands, and in IDLE.
func TestShutdownSaysBye(t *testing.T) {
	ts := newTestServer(t)
	stranger := ts.connect(t)
	stranger.expect("* OK")
	silent := ts.connect(t).login()
	idling := ts.connect(t).login()
	idling.send("i IDLE\r\n")
	idling.expect("+ ")
	done := make(chan error, 1)
	go func() { done <- ts.Shutdown(t.Context()) }()
	for _, c := range []*lineConn{stranger, silent, idling} {
		c.expect("* BYE [UNAVAILABLE]")
		c.expectEnd()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestShutdownCutsOff proves that a client in the middle of a literal does not keep the
// server from ending.
func TestShutdownCutsOff(t *testing.T) {
	ts := newTestServer(t)
	c := ts.connect(t).login()
	c.send("a APPEND INBOX {10}\r\n")
	c.expect("+ ")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ts.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestAccountLimit proves that sessions of an account are counted, and given back.
func TestAccountLimit(t *testing.T) {
	ts := newTestServer(t, func(o *Options) { o.MaxPerAccount = 1 })
	first := ts.connect(t).login()
	second := ts.connect(t)
	login := fmt.Sprintf("a LOGIN %s %s\r\n", testUser, testPassword)
	second.send(login)
	second.expect("a NO [LIMIT]")
	first.send("q LOGOUT\r\n")
	first.expect("q OK")
	first.expectEnd()
	second.send(login)
	second.expect("a OK")
}

// TestImplicitTLS serves a TLS listener, and drops who does not speak TLS there.
func TestImplicitTLS(t *testing.T) {
	ts := newTestServer(t, func(o *Options) { o.AllowInsecureAuth = false })
	address := ts.serveTLS(t)
	nc, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := newLineConn(t, nc)
	if greeting := c.expect("* OK"); strings.Contains(greeting, "STARTTLS") || !strings.Contains(greeting, "AUTH=SCRAM-SHA-256-PLUS") {
		t.Errorf("greeting: %s", greeting)
	}
	c.login().send("i IDLE\r\n") // interrupts reads of TLS several times
	c.expect("+ ")
	other := ts.connect(t)
	other.send("a STARTTLS\r\n")
	other.expect("a OK")
	secure := newLineConn(t, tls.Client(other.Conn, &tls.Config{InsecureSkipVerify: true}))
	secure.login()
	for i := range 5 {
		secure.send("b APPEND INBOX {1+}\r\nx\r\n")
		secure.expect("b OK")
		c.expect(fmt.Sprintf("* %d EXISTS", i+1))
	}
	c.send("DONE\r\n")
	c.expect("i OK")
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := newLineConn(t, plain)
	p.send("a LOGIN x y\r\n")
	if text, _ := io.ReadAll(p); strings.Contains(string(text), "OK") {
		t.Errorf("answered %q in the clear", text)
	}
}

// TestBrokenHandshakeEndsTheConnection proves that nothing in the clear follows a
// failed STARTTLS.
func TestBrokenHandshakeEndsTheConnection(t *testing.T) {
	ts := newTestServer(t)
	c := ts.connect(t)
	c.send("a STARTTLS\r\n")
	c.expect("a OK")
	c.send("b LOGIN x y\r\n")
	if text, _ := io.ReadAll(c.in); strings.Contains(string(text), "b ") {
		t.Errorf("answered %q", text)
	}
}

// TestResponsesAreBatched proves that pipelined commands are answered in one write.
func TestResponsesAreBatched(t *testing.T) {
	ts := newTestServer(t)
	c := ts.connect(t).login()
	c.send(strings.Repeat("n NOOP\r\n", 20))
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if err != nil || strings.Count(string(buf[:n]), "n OK") != 20 {
		t.Fatalf("first read: %q, %v", buf[:n], err)
	}
}

// TestAppendStreams proves that a message is not held in memory while it is received.
func TestAppendStreams(t *testing.T) {
	const size = 40 << 20
	ts := newTestServer(t)
	c := ts.connect(t).login()
	chunk := []byte(strings.Repeat(strings.Repeat("x", 1022)+"\r\n", 64))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.send(fmt.Sprintf("a APPEND INBOX {%d+}\r\n", size))
	for sent := 0; sent < size; sent += len(chunk) {
		if _, err := c.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	c.send("\r\n")
	c.expect("a OK")
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > size/4 {
		t.Errorf("receiving %d octets allocated %d", size, used)
	}
	c.send("b STATUS INBOX (MESSAGES SIZE)\r\n")
	c.expect(fmt.Sprintf("* STATUS INBOX (MESSAGES 1 SIZE %d)", size))
}
