package main

import (
	"bufio"
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailstead/mailbox"
)

// TestMain: the test binary is also the command itself, and the child that
// checks a database, and when all is done nothing of any server goes on.
func TestMain(m *testing.M) {
	runAsCommand()
	mailbox.RunChildCheck()
	goleak.VerifyTestMain(m)
}

// serveToTheEnd has a server take connections until the test ends.
func serveToTheEnd(t *testing.T, s interface {
	Serve(net.Listener) error
	Close() error
}, l net.Listener) {
	t.Helper()
	ended := make(chan struct{})
	go func() { // ends with Close
		defer close(ended)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-ended
	})
}

// lockedBuffer is written by a server and read by its test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// trial is `mailstead local` in this process.
type trial struct {
	t        *testing.T
	dir      string
	offset   int
	out, err lockedBuffer
	cancel   context.CancelFunc
	code     chan int
}

// trialDir is a folder for a server, with a short name: those of sockets are bounded.
func trialDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "s")
}

// startTrial runs the server in dir until it is ready.
func startTrial(t *testing.T, dir string, args ...string) *trial {
	t.Helper()
	s := launch(t, dir, args...)
	s.waitReady()
	return s
}

// launch begins a server in dir; the test's end stops it.
func launch(t *testing.T, dir string, args ...string) *trial {
	t.Helper()
	s := &trial{t: t, dir: dir, offset: freeOffset(t), code: make(chan int, 1)}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	args = append([]string{"local", "--dir", dir, "--port-offset", strconv.Itoa(s.offset)}, args...)
	go func() { s.code <- run(ctx, args, streams{strings.NewReader(""), &s.out, &s.err}) }()
	t.Cleanup(func() { s.stop() })
	return s
}

// patienceOfTests is far above what anything here takes, on a busy machine, too.
const patienceOfTests = time.Minute

func (s *trial) waitReady() {
	s.t.Helper()
	for end := time.Now().Add(patienceOfTests); !strings.Contains(s.out.String(), "mailstead is ready\n"); {
		select {
		case code := <-s.code:
			s.code <- code
			s.t.Fatalf("exit %d before the server was ready: %s", code, s.err.String())
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(end) {
			s.t.Fatalf("not ready: %s", s.err.String())
		}
	}
}

// stop ends the server, once, and returns its exit status.
func (s *trial) stop() int {
	s.t.Helper()
	s.cancel()
	select {
	case code := <-s.code:
		s.code <- code
		return code
	case <-time.After(patienceOfTests):
		s.t.Fatal("the server did not stop")
		return -1
	}
}

func (s *trial) address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.offset+port))
}

// talk is a connection to a line protocol.
type talk struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dial connects and reads the greeting.
func (s *trial) dial(port int, greeting string) *talk {
	s.t.Helper()
	return dialTalk(s.t, s.address(port), greeting)
}

// dialTLS is dial for a port with implicit TLS.
func (s *trial) dialTLS(port int, greeting string) *talk {
	s.t.Helper()
	conn, err := cryptotls.Dial("tcp", s.address(port), &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost"})
	if err != nil {
		s.t.Fatal(err)
	}
	return newTalk(s.t, conn, greeting)
}

// authority is who the server's certificates are from.
func (s *trial) authority() *x509.CertPool {
	s.t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.dir, "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return roots
}

func dialTalk(t *testing.T, address, greeting string) *talk {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newTalk(t, conn, greeting)
}

func newTalk(t *testing.T, conn net.Conn, greeting string) *talk {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patienceOfTests))
	c := &talk{t, conn, bufio.NewReader(conn)}
	c.expect(greeting)
	return c
}

// expect reads up to a line that begins so.
func (c *talk) expect(start string) string {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("waiting for %q: %v", start, err)
		}
		if strings.HasPrefix(line, start) {
			return line
		}
	}
}

func (c *talk) say(line, reply string) string {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.expect(reply)
}

// submit sends a message by submission.
func (s *trial) submit(user, password, to string) {
	s.t.Helper()
	c := s.dial(587, "220 ")
	c.say("EHLO client.test", "250 ")
	c.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)), "235 ")
	c.say("MAIL FROM:<"+user+">", "250 ")
	c.say("RCPT TO:<"+to+">", "250 ")
	c.say("DATA", "354 ")
	c.say("From: <"+user+">\r\nSubject: out\r\n\r\nhello\r\n.", "250 ")
	c.say("QUIT", "221 ")
}

// outcome is what a command came to.
type outcome struct {
	code     int
	out, err string
}

// command runs a command in this process.
func command(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	var out, errs bytes.Buffer
	code := run(ctx, args, streams{strings.NewReader(stdin), &out, &errs})
	return outcome{code, out.String(), errs.String()}
}
