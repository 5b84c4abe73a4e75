package imap

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// pipes are connections without buffers.
type pipes struct{ *mailboxtest.Pipes }

// dial returns the client's side of a connection.
func (p pipes) dial(t testing.TB) *lineConn {
	ours, err := p.Dial()
	must(t, err)
	c := newLineConn(t, ours)
	c.expect("* OK")
	return c
}

// servePipes has ts serve connections without buffers.
func (ts *testServer) servePipes(t testing.TB) pipes {
	p := pipes{mailboxtest.NewPipes()}
	ts.serve(t, p)
	return p
}

// noops are commands of n octets in all, at least a few hundred.
func noops(n int) string {
	var b strings.Builder
	for i := 0; n-b.Len() > 200; i++ {
		fmt.Fprintf(&b, "n%d NOOP\r\n", i)
	}
	fmt.Fprintf(&b, "%s NOOP\r\n", strings.Repeat("m", n-b.Len()-len(" NOOP\r\n")))
	return b.String()
}

// TestInputIsReadWhileOutputWaits has a client that writes commands before it reads the
// answers: so much is taken, and no more, while the first answer waits to be read; and
// all of them are answered in order.
func TestInputIsReadWhileOutputWaits(t *testing.T) {
	ts := newTestServer(t)
	deliver(t, ts.store, ts.account, bytes.Repeat([]byte("a line of text\r\n"), 4096), mailbox.Target{})
	p := ts.servePipes(t)
	c := p.dial(t).login()
	c.send("f FETCH 1 BODY.PEEK[]\r\n")
	c.expect("* 1 FETCH") // the rest of it waits
	c.writesAhead(maxReadAhead, "f OK")
	stranger := p.dial(t)
	stranger.send("f NOOP\r\n")
	stranger.writesAhead(maxStrangersReadAhead, "f OK")
}

// writesAhead writes commands of n octets while an answer waits to be read, and then reads
// all answers.
func (c *lineConn) writesAhead(n int, first string) {
	c.t.Helper()
	commands := noops(n)
	c.send(commands)
	c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := io.WriteString(c, "z"); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("beyond %d octets: %v", n, err)
	}
	c.expect(first)
	for line := range strings.Lines(commands) {
		tag, _, _ := strings.Cut(line, " ")
		if got, err := c.in.ReadString('\n'); err != nil || got != tag+" OK NOOP completed\r\n" {
			c.t.Fatalf("%s: %q, %v", tag, got, err)
		}
	}
	c.SetWriteDeadline(time.Now().Add(time.Minute))
	c.send("z NOOP\r\n")
	c.expect("z OK")
}

// TestReadAheadEndsWhereTheProtocolChanges has octets read ahead that were sent behind a
// command after which they mean something else.
func TestReadAheadEndsWhereTheProtocolChanges(t *testing.T) {
	ts := newTestServer(t)
	p := ts.servePipes(t)
	const firstRead = 512 // so much of what was read ahead comes with the command
	pad := func(command string) string { return noops(firstRead-len(command)) + command + noops(firstRead) }
	t.Run("STARTTLS", func(t *testing.T) {
		c := p.dial(t)
		c.send("a NOOP\r\n") // the answer waits, and the session reads on
		c.send(pad("b STARTTLS\r\n"))
		c.expect("b OK")
		secure := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
		if _, err := io.WriteString(secure, "c NOOP\r\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(secure).ReadString('\n'); line != "c OK NOOP completed\r\n" {
			t.Errorf("after what came in the clear: %q, %v", line, err)
		}
	})
	t.Run("COMPRESS", func(t *testing.T) {
		c := p.dial(t).login()
		c.send("a NOOP\r\n")
		c.send(pad("b COMPRESS DEFLATE\r\n"))
		c.expect("b BAD")
		c.expect("m") // the command behind it
	})
}

// TestSlowReaderHoldsUpNobody has a client that does not read what it asked for, while
// others use the same mailbox, and the store is looked at as a whole.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	ts := newTestServer(t)
	for i := range 300 {
		deliver(t, ts.store, ts.account, fmt.Appendf(nil, "Subject: s%d\r\n\r\n%s", i, strings.Repeat("text\r\n", 1000)), mailbox.Target{})
	}
	p := ts.servePipes(t)
	other := ts.connect(t).login()
	for i, command := range []string{
		"FETCH 1:* BODY.PEEK[]", "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)", "FETCH 1:* FLAGS", "FETCH 1:5 BODY[]", "SEARCH BODY ex",
		"SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "STORE 1:* +FLAGS (\\Answered)", "COPY 1:3 Drafts",
		"LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN))", "IDLE",
	} {
		slow := p.dial(t).login()
		slow.send("a " + command + "\r\n")
		other.send(fmt.Sprintf("s STORE %d +FLAGS.SILENT (\\Deleted)\r\n", i+1))
		other.expect("s OK")
		other.send("x EXPUNGE\r\na APPEND INBOX {3+}\r\nnew\r\nf FETCH 1:* BODY.PEEK[]\r\ni SELECT INBOX\r\n")
		other.expect("x OK")
		other.expect("a OK")
		other.expect("f OK")
		other.expect("i OK")
		if err := ts.store.Check(); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		if command == "IDLE" {
			slow.expect("+")
			slow.send("DONE\r\n")
		}
		if line := slow.expect("a "); !strings.HasPrefix(line, "a OK") {
			t.Errorf("%s: %s", command, line)
		}
		slow.send("z NOOP\r\n")
		slow.expect("z OK")
		slow.Close()
	}
}

// endings is told of the sessions that end.
type endings struct {
	slog.Handler
	reasons chan string
}

func (e endings) Enabled(context.Context, slog.Level) bool { return true }
func (e endings) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e endings) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "imap: session ended" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "reason" {
				e.reasons <- a.Value.String()
			}
			return true
		})
	}
	return nil
}

// longKeys take minutes to be looked for in the mailbox that longMailbox makes, one after
// the other in each message.
var longKeys = strings.Repeat("OR BODY zz ", maxTextKeys-1) + "BODY zz"

var longCommands = []string{
	"SEARCH " + longKeys, "SORT (SUBJECT) UTF-8 " + longKeys, "THREAD REFS UTF-8 " + longKeys, "ESEARCH IN (personal) " + longKeys,
}

// longMailbox fills INBOX with 32,768 times the same body, which takes no room, and which
// the index says nothing about where two letters are looked for: 2 GB to be searched for
// each of the keys.
func longMailbox(t *testing.T, ts *testServer) {
	deliver(t, ts.store, ts.account, bytes.Repeat([]byte("z a line of text\r\n"), 3640), mailbox.Target{})
	c := ts.connect(t).login()
	for i := range 12 + 7 { // a record of the small segments of tests holds some 4,096
		c.send(fmt.Sprintf("c COPY 1:%d INBOX\r\n", 1<<min(i, 12)))
		c.expect("c OK")
	}
	c.send("z LOGOUT\r\n")
	c.expect("z OK")
	c.expectEnd()
}

// TestLongCommandsEndWithTheirConnection closes connections, in every way there is, while
// commands run that would take minutes.
func TestLongCommandsEndWithTheirConnection(t *testing.T) {
	ended := endings{reasons: make(chan string, 100)}
	ts := newTestServer(t, func(o *Options) { o.Logger = slog.New(ended) })
	longMailbox(t, ts)
	<-ended.reasons // of the client that filled it
	overTLS := ts.serveTLS(t)
	ends := func(t *testing.T) {
		t.Helper()
		select {
		case reason := <-ended.reasons:
			t.Log("ended:", reason)
		case <-time.After(2 * time.Minute):
			t.Fatal("the session goes on")
		}
	}
	begin := func(t *testing.T, command string) *lineConn {
		c := ts.connect(t).login()
		c.send("x " + command + "\r\n")
		return c
	}
	for _, command := range append(longCommands, "FETCH 1:* BODY.PEEK[]") {
		name, _, _ := strings.Cut(command, " ")
		t.Run(name+"/closed", func(t *testing.T) {
			begin(t, command).Close()
			ends(t)
		})
	}
	search := longCommands[0]
	t.Run("reset", func(t *testing.T) {
		c := begin(t, search)
		c.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
		ends(t)
	})
	t.Run("TLS", func(t *testing.T) {
		nc, err := tls.Dial("tcp", overTLS, &tls.Config{InsecureSkipVerify: true})
		must(t, err)
		c := newLineConn(t, nc).login()
		c.send("x " + search + "\r\n")
		c.Close()
		ends(t)
	})
	t.Run("half-closed", func(t *testing.T) {
		c := begin(t, search)
		must(t, c.Conn.(*net.TCPConn).CloseWrite())
		for range 3 { // it still listens, so the search goes on
			c.expect(`* OK [INPROGRESS ("x"`)
		}
		c.Close()
		ends(t)
	})
}

// TestShutdownEndsLongCommands proves that a search does not keep the server from ending,
// and that its client is told.
func TestShutdownEndsLongCommands(t *testing.T) {
	ts := newTestServer(t)
	longMailbox(t, ts)
	c := ts.connect(t).login()
	c.send("x " + longCommands[0] + "\r\n")
	must(t, c.Conn.(*net.TCPConn).CloseWrite()) // or it would be told after seconds only
	c.expect(`* OK [INPROGRESS ("x"`)           // it runs
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- ts.Shutdown(ctx) }()
	c.expect("* BYE [UNAVAILABLE]")
	c.expectEnd()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
