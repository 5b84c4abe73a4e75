package figures

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mailstead/tls/serve"
)

// TestServerAnswersWhoMayAsk: who asks from elsewhere, or over a name of somebody's choice, is told nothing.
func TestServerAnswersWhoMayAsk(t *testing.T) {
	s := NewServer(ServerOptions{Collect: busy, From: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}})
	for name, c := range map[string]struct {
		method, path, from, host string
		code                     int
		body                     string
	}{
		"metrics":           {"GET", "/metrics", "127.0.0.1:1", "127.0.0.1:9125", 200, "# HELP mailstead_build_info"},
		"health":            {"GET", "/healthz", "[::1]:1", "localhost:9125", 200, "ok\n"},
		"head":              {"HEAD", "/metrics", "127.0.0.1:1", "[::1]:9125", 200, ""},
		"a network":         {"GET", "/healthz", "10.1.2.3:1", "10.1.2.1:9125", 200, "ok\n"},
		"mapped":            {"GET", "/healthz", "[::ffff:10.1.2.3]:1", "10.1.2.1", 200, "ok\n"},
		"another network":   {"GET", "/metrics", "10.1.3.3:1", "10.1.2.1:9125", 403, "not from there\n"},
		"a page's request":  {"GET", "/metrics", "127.0.0.1:1", "rebound.test:9125", 403, "not from there\n"},
		"no host":           {"GET", "/metrics", "127.0.0.1:1", "", 403, "not from there\n"},
		"another method":    {"POST", "/metrics", "127.0.0.1:1", "127.0.0.1:9125", 405, ""},
		"another path":      {"GET", "/debug/pprof/", "127.0.0.1:1", "127.0.0.1:9125", 404, ""},
		"a path with dots":  {"GET", "/metrics/../etc/passwd", "127.0.0.1:1", "127.0.0.1:9125", 404, ""},
		"no address at all": {"GET", "/metrics", "@", "127.0.0.1:9125", 403, "not from there\n"},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.RemoteAddr, r.Host = c.from, c.host
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, r)
		body := w.Body.String()
		if w.Code != c.code && !(c.code == 404 && w.Code/100 == 3) || c.body != "" && !strings.HasPrefix(body, c.body) {
			t.Errorf("%s: %d %.80q", name, w.Code, body)
		}
		if name == "metrics" {
			if _, err := readExposition(body); err != nil || w.Header().Get("Content-Type") != ContentType {
				t.Errorf("%v, %v", err, w.Header())
			}
		}
	}
}

// TestServerIsBounded: connections that are too many are closed, and get their place when others go.
func TestServerIsBounded(t *testing.T) {
	s := NewServer(ServerOptions{Collect: busy})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	asks := func(c net.Conn) bool {
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}
	var all []net.Conn
	for range maxConnections {
		c := dial()
		defer c.Close()
		if !asks(c) {
			t.Fatal("no answer")
		}
		all = append(all, c)
	}
	one := dial()
	defer one.Close()
	if asks(one) {
		t.Error("one more is answered")
	}
	all[0].Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // the server hears of it in its own time
		c := dial()
		ok := asks(c)
		c.Close()
		if ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the place is not given back")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, serve.ErrClosed) {
		t.Error(err)
	}
}
