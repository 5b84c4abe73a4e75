package serve

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/tls"
)

// once is a listener with one connection, open until it is closed.
type once struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *once) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *once) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *once) Addr() net.Addr { return &net.TCPAddr{} }

// TestStalledHandshake: a client that says nothing, or half a handshake, where one is due is given up after a minute, and hears no words.
func TestStalledHandshake(t *testing.T) {
	ca, err := tls.LocalCA(t.TempDir(), tls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Leaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	config := tls.Config(leaf, tls.IMAP)
	for _, implicit := range []bool{true, false} {
		for name, said := range map[string]string{"nothing": "", "the beginning of a record": "\x16\x03\x01\x02\x00\x01"} {
			synctest.Test(t, func(t *testing.T) {
				result := make(chan error, 1)
				s := New(Options{Name: "test"}, func(c *Conn) {
					if implicit {
						result <- c.Handshake()
						return
					}
					result <- c.StartTLS(Remember(config))
				})
				plain := &once{make(chan net.Conn, 1), make(chan struct{})}
				var l net.Listener = plain
				if implicit {
					l = ListenTLS(plain, config)
				}
				go s.Serve(l)
				client, server := net.Pipe()
				began := time.Now()
				plain.conns <- server
				if said != "" {
					if _, err := io.WriteString(client, said); err != nil {
						t.Fatal(err)
					}
				}
				got, _ := io.ReadAll(client)
				if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s, implicit %v: %v", name, implicit, err)
				}
				if took := time.Since(began); took != handshakeTimeout || len(got) > 0 {
					t.Errorf("%s, implicit %v: given up after %v, with %q", name, implicit, took, got)
				}
				if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
