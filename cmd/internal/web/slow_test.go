package web

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/mailbox/mailboxtest"
)

// pipes are connections within the process.
type pipes struct{ *mailboxtest.Pipes }

// dial connects from the n-th address.
func (l pipes) dial(n int) net.Conn {
	client, err := l.DialFrom(&net.TCPAddr{IP: net.IPv4(10, 0, byte(n>>8), byte(n)), Port: 1})
	if err != nil {
		panic(err) // the server has ended
	}
	return client
}

// servePipes runs a server within a bubble of synthetic time.
func servePipes(t *testing.T, o Options, do func(l pipes)) {
	synctest.Test(t, func(t *testing.T) {
		l, s, done := pipes{mailboxtest.NewPipes()}, New(o), make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		do(l)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// TestSlowClients: who takes its time for a header, a body or the next request is given up at the limit, however busy it looks.
func TestSlowClients(t *testing.T) {
	const whole = "GET /healthz HTTP/1.1\r\nHost: example.test\r\n\r\n"
	for _, c := range []struct {
		name  string
		first string // at once
		drip  string // then, again and again each second
		took  time.Duration
	}{
		{"nothing is said", "", "", headerTime},
		{"a header by the octet", "GET / HTTP/1.1\r\nX: ", "x", headerTime},
		{"a header by the line", "GET / HTTP/1.1\r\n", "X: y\r\n", headerTime},
		{"a body by the octet", "POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: example.test\r\nContent-Length: 8000\r\n\r\n", "x", requestTime},
		{"a body that never comes", "POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: example.test\r\nContent-Length: 8000\r\n\r\n", "", requestTime},
		{"no next request", whole, "", idleTime},
		{"a next request by the octet", whole + "GET /", "x", headerTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			servePipes(t, testOptions(), func(l pipes) {
				client := l.dial(1)
				began := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() {
					_, err := io.WriteString(client, c.first)
					for err == nil && c.drip != "" {
						time.Sleep(time.Second)
						_, err = io.WriteString(client, c.drip)
					}
				})
				io.ReadAll(client)
				// After its answer a server listens for a moment whether more comes, so that the answer is not lost.
				if took := time.Since(began); took < c.took || took > c.took+2*time.Second {
					t.Errorf("given up after %v, want %v", took, c.took)
				}
				client.Close()
				sending.Wait()
			})
		})
	}
}

// TestManyIdleConnections: all together are bounded, whoever they are from, and a place that is free again is given again.
func TestManyIdleConnections(t *testing.T) {
	servePipes(t, testOptions(), func(l pipes) {
		var held []net.Conn
		for i := range maxConnections {
			held = append(held, l.dial(i))
		}
		synctest.Wait()
		one := l.dial(maxConnections)
		if n, err := one.Read(make([]byte, 1)); n > 0 || err != io.EOF {
			t.Errorf("one too many: %d, %v", n, err)
		}
		held[0].Close()
		synctest.Wait()
		one = l.dial(maxConnections)
		io.WriteString(one, "GET /healthz HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n")
		if got, err := io.ReadAll(one); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200") {
			t.Errorf("answered %q, %v", got, err)
		}
		for _, c := range held {
			c.Close()
		}
	})
}
