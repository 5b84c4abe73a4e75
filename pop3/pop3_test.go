package pop3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"go.uber.org/goleak"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
	ourtls "mailstead/tls"
	"mailstead/tls/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testUser = "ann@example.test"
	testPass = "secret"
)

// letters are what INBOX holds in the dialogues.
var letters = []string{
	"From: ann@example.test\r\nSubject: dots\r\n\r\n.\r\n..two\r\nlast. line\r\n.end\r\n",
	"Subject: cut\r\n\r\nno end",
	"From: Jörg <ann@example.test>\r\nSubject: grün\r\n\r\nbody ü\r\n",
}

// fixture is a server with one account.
type fixture struct {
	store   *mailbox.Store
	account mailbox.AccountID
	address string
	server  *Server
	ca      *x509.CertPool
}

func newFixture(t testing.TB, o Options, letters ...string) *fixture {
	t.Helper()
	return newFixtureOn(t, mailboxtest.NewStore(t), o, letters...)
}

func newFixtureOn(t testing.TB, store *mailbox.Store, o Options, letters ...string) *fixture {
	t.Helper()
	f := &fixture{store: store}
	d, err := directory.Open(f.store, directory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	a, err := d.AddAccount(t.Context(), testUser, testPass)
	if err != nil {
		t.Fatal(err)
	}
	f.account = a.ID
	f.deliver(t, letters...)
	ca, err := ourtls.LocalCA(t.TempDir(), ourtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Leaf(ourtls.LoopbackNames()...)
	if err != nil {
		t.Fatal(err)
	}
	f.ca = ca.Pool()
	o.Store, o.Directory, o.TLSConfig = f.store, d, ourtls.Config(leaf, ourtls.POP3)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = l.Addr().String()
	s := New(o)
	f.server = s
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; !errors.Is(err, serve.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return f
}

func (f *fixture) deliver(t testing.TB, letters ...string) {
	t.Helper()
	for _, l := range letters {
		b := f.store.NewBody()
		if _, err := io.WriteString(b, l); err != nil {
			t.Fatal(err)
		}
		placed, err := f.store.Deliver(t.Context(), b, []mailbox.Target{{Account: f.account, Name: "INBOX"}}, nil)
		if err != nil || placed[0].Err != nil {
			t.Fatal(err, placed)
		}
	}
}

func (f *fixture) dial() (net.Conn, error) { return net.Dial("tcp", f.address) }

func TestDialogues(t *testing.T) {
	mailboxtest.PlayDir(t, "testdata/*.dialog", func(t *testing.T) mailboxtest.Player {
		f := newFixture(t, Options{AllowInsecureAuth: !strings.Contains(t.Name(), "tls-needed")}, letters...)
		return mailboxtest.Player{
			Dial: func(int) (net.Conn, error) { return f.dial() },
			Vars: map[string]string{"user": testUser, "pass": testPass},
			TLS:  &tls.Config{RootCAs: f.ca, ServerName: "localhost"},
		}
	})
}

// client is a small one for what dialogues do not show.
type client struct {
	t *testing.T
	net.Conn
	*bufio.Reader
}

func (f *fixture) login(t *testing.T) *client {
	t.Helper()
	conn, err := f.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := &client{t: t, Conn: conn, Reader: bufio.NewReader(conn)}
	c.expect("+OK")
	c.say("USER " + testUser)
	c.say("PASS " + testPass)
	return c
}

func (c *client) say(line string) string {
	c.t.Helper()
	fmt.Fprintf(c.Conn, "%s\r\n", line)
	return c.expect("+OK")
}

func (c *client) expect(prefix string) string {
	c.t.Helper()
	line, err := c.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("read %q, %v; want %s", line, err, prefix)
	}
	return line
}

// multiline reads up to the dot and takes the stuffing out.
func (c *client) multiline() []byte {
	c.t.Helper()
	var out []byte
	for {
		line, err := c.ReadBytes('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if string(line) == ".\r\n" {
			return out
		}
		out = append(out, bytes.TrimPrefix(line, []byte("."))...)
	}
}

func TestLargeMessagesComeBackAsTheyWere(t *testing.T) {
	// Lines of dots whose starts fall on every place around the ends of the chunks
	// in which a message is read and written.
	var b strings.Builder
	b.WriteString("Subject: large\r\n\r\n")
	for n := 0; b.Len() < 3*chunkSize; n++ {
		b.WriteString(strings.Repeat(".", n%7) + strings.Repeat("x", n%11) + "\r\n")
	}
	want := b.String()
	f := newFixture(t, Options{AllowInsecureAuth: true}, want)
	c := f.login(t)
	c.say("RETR 1")
	if got := c.multiline(); string(got) != want {
		t.Errorf("%d octets came back as %d", len(want), len(got))
	}
	lines := strings.SplitAfter(want, "\r\n")
	for _, n := range []int{0, 1, 5000, len(lines) + 5} {
		c.say(fmt.Sprintf("TOP 1 %d", n))
		if got, want := string(c.multiline()), strings.Join(lines[:min(2+n, len(lines))], ""); got != want {
			t.Errorf("TOP 1 %d: %d octets, want %d", n, len(got), len(want))
		}
	}
}

func TestSessionKeepsItsNumbersWhileOthersDelete(t *testing.T) {
	f := newFixture(t, Options{AllowInsecureAuth: true}, letters...)
	c := f.login(t)
	box, err := f.store.OpenMailbox(t.Context(), f.account, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	gone := box.View(false).UIDs()[0]
	if _, err := box.Expunge(t.Context(), []goimap.UID{gone}, false); err != nil {
		t.Fatal(err)
	}
	f.deliver(t, letters[0])
	if got := c.say("STAT"); !strings.HasPrefix(got, "+OK 3 ") {
		t.Errorf("STAT: %s", got)
	}
	c.say("RETR 3")
	if got := c.multiline(); string(got) != letters[2] && !strings.Contains(string(got), "body ü") {
		t.Errorf("message 3 became %q", got)
	}
	c.say("DELE 1")
	c.say("DELE 2")
	c.say("QUIT")
	d := f.login(t)
	if got := d.say("STAT"); !strings.HasPrefix(got, "+OK 2 ") {
		t.Errorf("after both deleted, and one came: %s", got)
	}
}

func TestShutdownSaysGoodbyeAndDeletesNothing(t *testing.T) {
	f := newFixture(t, Options{AllowInsecureAuth: true}, letters...)
	c := f.login(t)
	c.say("DELE 1")
	if err := f.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.expect("-ERR [SYS/TEMP] the server is shutting down")
	if _, err := c.ReadByte(); err != io.EOF {
		t.Errorf("after goodbye: %v", err)
	}
	if info, err := f.store.Mailbox(f.account, "INBOX"); err != nil || info.Messages != 3 {
		t.Errorf("INBOX has %d messages, %v; want 3", info.Messages, err)
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("USER a\r\nPASS b\n\r\n.\r\n"), 3)
	f.Add(bytes.Repeat([]byte("x"), 5000), 7)
	f.Fuzz(func(t *testing.T, input []byte, step int) {
		r := newLineReader(&stepReader{input, max(step, 1)}, func() error { return nil })
		total := 0
		for {
			line, err := r.line(maxLine)
			if err != nil && !errors.Is(err, errLineTooLong) {
				break
			}
			if len(line) > maxLine || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("line of %d octets", len(line))
			}
			if total++; total > len(input) {
				t.Fatal("more lines than octets")
			}
		}
	})
}

// stepReader gives a few octets at a time.
type stepReader struct {
	rest []byte
	step int
}

func (r *stepReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.step)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func FuzzStuffed(f *testing.F) {
	f.Add([]byte(".\r\n..\r\n"), 2)
	f.Add([]byte("\n.\n.\n\n..x"), 1)
	f.Fuzz(func(t *testing.T, body []byte, step int) {
		var wire bytes.Buffer
		out := newOutput(&wire)
		atStart := true
		for rest := body; len(rest) > 0; {
			n := min(max(step, 1), len(rest))
			atStart, _ = out.stuffed(rest[:n], atStart)
			rest = rest[n:]
		}
		out.flush()
		var back []byte
		for line := range bytes.SplitAfterSeq(wire.Bytes(), []byte("\n")) {
			if string(bytes.TrimRight(line, "\r\n")) == "." {
				t.Fatalf("%q has an end in its midst: %q", body, wire.Bytes())
			}
			back = append(back, bytes.TrimPrefix(line, []byte("."))...)
		}
		if !bytes.Equal(back, body) {
			t.Fatalf("%q came back as %q", body, back)
		}
	})
}

func BenchmarkRetr(b *testing.B) {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1<<20/78)
	f := newFixture(b, Options{AllowInsecureAuth: true}, "Subject: big\r\n\r\n"+body)
	conn, in := f.benchLogin(b)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		io.WriteString(conn, "RETR 1\r\n")
		readMessage(b, in)
	}
}

// BenchmarkDownload fetches 500 messages of 2 KB, each after the one before, or with
// up to 50 commands on their way (RFC 2449 section 6.6).
func BenchmarkDownload(b *testing.B) {
	const messages = 500
	letter := strings.Repeat("X-Trace: of a message that has come some way\r\n", 20) + "Subject: small\r\n\r\n" +
		strings.Repeat(strings.Repeat("x", 76)+"\r\n", 14)
	f := newFixture(b, Options{AllowInsecureAuth: true}, slices.Repeat([]string{letter}, messages)...)
	for name, pipelined := range map[string]int{"one by one": 1, "pipelined": 50} {
		b.Run(name, func(b *testing.B) {
			conn, in := f.benchLogin(b)
			b.ReportAllocs()
			b.SetBytes(int64(messages * len(letter)))
			for b.Loop() {
				for n := 0; n < messages; n += pipelined {
					var commands []byte
					for i := range pipelined {
						commands = fmt.Appendf(commands, "RETR %d\r\n", n+i+1)
					}
					conn.Write(commands)
					for range pipelined {
						readMessage(b, in)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
		})
	}
}

// benchLogin is a connection that is logged in.
func (f *fixture) benchLogin(b *testing.B) (net.Conn, *bufio.Reader) {
	b.Helper()
	conn, err := f.dial()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	in := bufio.NewReaderSize(conn, 1<<20)
	fmt.Fprintf(conn, "USER %s\r\nPASS %s\r\n", testUser, testPass)
	for range 3 {
		if _, err := in.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
	}
	return conn, in
}

// readMessage reads a reply up to its end.
func readMessage(b *testing.B, in *bufio.Reader) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			b.Fatal(err)
		}
		if string(line) == ".\r\n" {
			return
		}
	}
}
