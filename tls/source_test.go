package tls

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fixed is a source that always answers the same.
type fixed struct {
	cert *tls.Certificate
	err  error
}

func (f fixed) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert, f.err }

func TestChainTakesTheFirstCertificate(t *testing.T) {
	one, two := &tls.Certificate{}, &tls.Certificate{}
	broken := errors.New("broken")
	for _, c := range []struct {
		name    string
		sources []Source
		want    *tls.Certificate
	}{
		{"first", []Source{fixed{cert: one}, fixed{cert: two}}, one},
		{"none for the name", []Source{fixed{err: ErrNoCertificate}, fixed{cert: two}}, two},
		{"a broken source", []Source{fixed{err: broken}, fixed{cert: two}}, two},
		{"nil source", []Source{nil, fixed{cert: two}}, two},
	} {
		got, err := Chain(c.sources...).GetCertificate(&tls.ClientHelloInfo{})
		if got != c.want || err != nil {
			t.Errorf("%s: %p, %v; want %p", c.name, got, err, c.want)
		}
	}
	_, err := Chain(nil, fixed{err: broken}).GetCertificate(&tls.ClientHelloInfo{ServerName: "a.example"})
	if !errors.Is(err, ErrNoCertificate) || !errors.Is(err, broken) || !strings.Contains(err.Error(), "a.example") {
		t.Errorf("all fail: %v", err)
	}
}

// clock is a clock that is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// logLines collects a log.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

// count is the number of lines with these words.
func (l *logLines) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// certificate is what the source answers to an empty hello.
func certificate(t testing.TB, s Source) *tls.Certificate {
	t.Helper()
	cert, err := s.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newCA(t testing.TB, o Options) *CA {
	t.Helper()
	ca, err := LocalCA(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func newLeaf(t testing.TB, ca *CA, names ...string) *Issued {
	t.Helper()
	leaf, err := ca.Leaf(names...)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// shake does one handshake over loopback and returns both sides' errors and the
// client's view.
func shake(t testing.TB, server, client *tls.Config) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	l, err := Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		s := tls.Server(c, server)
		if err := s.Handshake(); err != nil {
			done <- err
			return
		}
		// The byte makes the client read, and with it any session ticket.
		_, err = s.Write([]byte{1})
		done <- err
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	c := tls.Client(nc, client)
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	return c.ConnectionState(), clientErr, <-done
}

func mustNotBeReadable(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%s has mode %v", filepath.Base(file), info.Mode())
	}
}

func modeOf(t *testing.T, file string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
