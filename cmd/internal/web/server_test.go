package web

import (
	"bufio"
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailstead/tls"
	"mailstead/tls/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// front is a running server with its two addresses.
type front struct {
	t             *testing.T
	server        *Server
	plain, secure string
	roots         *x509.CertPool
}

func start(t *testing.T, o Options) *front {
	t.Helper()
	ca, err := tls.LocalCA(t.TempDir(), tls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Leaf("mail.example.test", "mta-sts.example.test")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{t: t, server: New(o), roots: ca.Pool()}
	ended := make(chan error, 2)
	listen := func() net.Listener {
		l, err := tls.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	plain, secure := listen(), listen()
	f.plain, f.secure = plain.Addr().String(), secure.Addr().String()
	go func() { ended <- f.server.Serve(plain) }()
	go func() { ended <- f.server.Serve(serve.ListenTLS(secure, tls.Config(leaf, tls.HTTP))) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-ended; !errors.Is(err, ErrClosed) {
				t.Errorf("Serve: %v", err)
			}
		}
	})
	return f
}

// client asks the server whatever host a URL names, and follows no redirect.
func (f *front) client(h2 bool) *http.Client {
	transport := &http.Transport{
		ForceAttemptHTTP2: h2, DisableKeepAlives: true,
		TLSClientConfig: &cryptotls.Config{RootCAs: f.roots, ServerName: "mail.example.test"},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			to := f.plain
			if strings.HasSuffix(address, ":443") {
				to = f.secure
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func TestRequests(t *testing.T) {
	f := start(t, Options{
		Ours:      func(host string) bool { return strings.HasSuffix(host, "example.test") },
		HTTPSPort: 8443,
		Challenge: func(host, token string) (string, bool) {
			return token + " of " + host, token == "known" && host == "mta-sts.example.test"
		},
	})
	for _, c := range []struct {
		method, url string
		status      int
		want        string // the body, or where to
	}{
		{"GET", "http://mta-sts.example.test/.well-known/acme-challenge/known", 200, "known of mta-sts.example.test"},
		{"GET", "http://MTA-STS.example.test.:80/.well-known/acme-challenge/known", 200, "known of mta-sts.example.test"},
		{"GET", "https://mta-sts.example.test/.well-known/acme-challenge/known", 200, "known of mta-sts.example.test"},
		{"GET", "http://mail.example.test/.well-known/acme-challenge/known", 404, ""},
		{"GET", "http://mta-sts.example.test/.well-known/acme-challenge/other", 404, ""},
		{"GET", "http://mta-sts.example.test/.well-known/acme-challenge/../known", 307, "/.well-known/known"},
		{"GET", "http://mail.example.test/a%2Fb?c=d", 308, "https://mail.example.test:8443/a%2Fb?c=d"},
		{"GET", "http://mail.example.test//evil.test/x", 307, "/evil.test/x"},
		{"HEAD", "http://mail.example.test/", 308, "https://mail.example.test:8443/"},
		{"POST", "http://mail.example.test/", 405, ""},
		{"GET", "http://other.test/", 404, ""},
		{"GET", "http://192.0.2.1/", 404, ""},
		{"GET", "https://other.test/", 421, ""},
		{"GET", "https://mail.example.test/none", 404, ""},
		{"POST", "https://mail.example.test/.well-known/acme-challenge/known", 405, ""},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s %v", c.method, c.url, h2), func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := f.client(h2).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				body, err := io.ReadAll(answer.Body)
				if err != nil || answer.StatusCode != c.status {
					t.Fatalf("%s, %v; want %d", answer.Status, err, c.status)
				}
				if secure := strings.HasPrefix(c.url, "https:"); secure && (answer.ProtoMajor == 2) != h2 {
					t.Errorf("%s, want HTTP/2: %v", answer.Proto, h2)
				}
				if to := answer.Header.Get("Location"); c.status/100 == 3 && to != c.want || c.status == 200 && string(body) != c.want {
					t.Errorf("to %q, body %q; want %q", to, body, c.want)
				}
				if h := answer.Header; h.Get("Server") != "" || h.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("header %v", h)
				}
			})
		}
	}
}

// TestRawInput has connections that say no proper request.
func TestRawInput(t *testing.T) {
	f := start(t, Options{HTTPSPort: 443})
	long := strings.Repeat("x", 2*maxHeader)
	for _, c := range []struct{ name, said, want string }{
		{"mail commands", "EHLO mail.example.test\r\nMAIL FROM:<>\r\n", "HTTP/1.1 400"},
		{"IMAP", "a LOGIN u p\r\n", "HTTP/1.1 400"},
		{"a long header", "GET / HTTP/1.1\r\nHost: mail.example.test\r\nX: " + long + "\r\n\r\n", "HTTP/1.1 431"},
		{"no host", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 404"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", "HTTP/1.1 400"},
		{"a host that ends the line", "GET / HTTP/1.1\r\nHost: a\x00.test\r\n\r\n", "HTTP/1.1 400"},
		{"another's URL", "GET http://other.test/ HTTP/1.1\r\nHost: mail.example.test\r\n\r\n", "HTTP/1.1 308"},
		{"TLS to the plain port", "\x16\x03\x01\x00\x05hello\r\n\r\n", "HTTP/1.1 400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", f.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			if _, err := io.WriteString(conn, c.said); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, c.want) {
				t.Errorf("%q, %v; want %s", line, err, c.want)
			}
		})
	}
}

// TestMailAtHTTPS: whoever talks mail to port 443 gets an alert or nothing, and the connection ends.
func TestMailAtHTTPS(t *testing.T) {
	f := start(t, Options{})
	for _, said := range []string{"EHLO mail.example.test\r\n", "a LOGIN u p\r\n", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"} {
		conn, err := net.Dial("tcp", f.secure)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(conn, said); err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(conn); strings.Contains(string(got), "220") || strings.Contains(string(got), "OK") {
			t.Errorf("%q was answered by %q", said, got)
		}
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	f := start(t, Options{})
	var held []net.Conn
	for range maxPerAddress {
		c, err := net.Dial("tcp", f.plain)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	one, err := net.Dial("tcp", f.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	one.SetDeadline(time.Now().Add(time.Minute))
	// Connections are accepted in their order, so this one is one too many: it is
	// closed, while the first is answered.
	if n, err := one.Read(make([]byte, 1)); n > 0 || errors.Is(err, context.DeadlineExceeded) || err == nil {
		t.Errorf("one too many: %d, %v", n, err)
	}
	first := held[0]
	first.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(first, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
	if line, err := bufio.NewReader(first).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 404") {
		t.Errorf("the first: %q, %v", line, err)
	}
}

func TestHandlersThatBreak(t *testing.T) {
	var log strings.Builder
	s := New(Options{})
	s.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	broken := s.survive(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") }))
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("panic %v", p)
			}
		}()
		broken.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
	}()
	if !strings.Contains(log.String(), "path=/x panic=broken") {
		t.Errorf("log %q", log.String())
	}
}
