package main

import (
	"context"
	cryptotls "crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"mailstead/tls"
	"mailstead/tls/serve"
)

// accepting is a front that tells of who comes.
type accepting struct{ who chan string }

func (a accepting) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return serve.ErrClosed
		}
		if s, ok := c.(*cryptotls.Conn); ok && s.Handshake() != nil {
			c.Close()
			continue
		}
		a.who <- c.RemoteAddr().String()
		c.Close()
	}
}

func (accepting) Shutdown(context.Context) error { return nil }

// TestProxyFrom: every listener takes the addresses of clients from the proxies that are named, before TLS, and from nobody else.
func TestProxyFrom(t *testing.T) {
	ca, err := tls.LocalCA(t.TempDir(), tls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Leaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range [][]string{{"127.0.0.0/8"}, {"192.0.2.1"}, nil} {
		accepts := accepting{make(chan string, 1)}
		any := []string{"127.0.0.1:0"}
		s := &server{settings: settings{ProxyFrom: from, Listen: listen{SMTP: any, Submissions: any, HTTP: any, HTTPS: any}}, log: slog.New(slog.DiscardHandler), source: leaf}
		s.fronts = []front{
			{name: "test", protocol: tls.SMTP, server: accepts, plain: "smtp", implicit: "submissions"},
			{name: "test", protocol: tls.HTTP, server: accepts, plain: "http", implicit: "https"},
		}
		all, err := s.listen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range all {
			go b.front.server.Serve(b.listener)
			c, err := net.Dial("tcp", b.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(patienceOfTests))
			want := c.LocalAddr().String()
			if from != nil && from[0] == "127.0.0.0/8" {
				want = "203.0.113.9:4660"
				io.WriteString(c, "PROXY TCP4 203.0.113.9 198.51.100.1 4660 25\r\n")
			}
			if i%2 == 1 { // implicit TLS
				if err := cryptotls.Client(c, &cryptotls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}).Handshake(); err != nil {
					t.Fatal(err)
				}
			}
			if got := <-accepts.who; got != want {
				t.Errorf("proxy_from %q, listener %d: %s, want %s", from, i, got, want)
			}
			c.Close()
		}
		closeAll(all)
	}
}
