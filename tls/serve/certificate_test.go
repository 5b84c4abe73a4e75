package serve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"
)

// TestCertificateIsRemembered: a session knows which certificate its client was shown, with
// implicit TLS and after STARTTLS, chosen by name, and when a session is resumed.
func TestCertificateIsRemembered(t *testing.T) {
	web := httptest.NewTLSServer(nil) // it has a certificate
	web.Close()
	first := web.TLS.Certificates[0]
	other := httptest.NewTLSServer(nil)
	other.Close()
	bare := tls.Certificate{Certificate: first.Certificate, PrivateKey: first.PrivateKey} // not parsed yet
	byName := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "" {
			return nil, errors.New("no name")
		}
		return &first, nil
	}
	for _, c := range []struct {
		name   string
		config *tls.Config
	}{
		{"one certificate", &tls.Config{Certificates: []tls.Certificate{first}}},
		{"one that is not parsed", &tls.Config{Certificates: []tls.Certificate{bare}}},
		{"a source", &tls.Config{GetCertificate: byName}},
		{"a configuration for each client", &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{GetCertificate: byName}, nil
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			shown := make(chan *x509.Certificate, 1)
			config := Remember(c.config)
			s, address := start(t, Options{}, func(_ *Server, c *Conn) {
				c.SetWaiting(true, time.Minute)
				if c.TLS() == nil {
					if c.Certificate() != nil {
						t.Error("a certificate without TLS")
					}
					if c.StartTLS(config) != nil {
						return
					}
				} else if c.Handshake() != nil {
					return
				}
				shown <- c.Certificate()
				io.WriteString(c, "hello\n")
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(ListenTLS(l, c.config)) }()
			t.Cleanup(func() {
				l.Close()
				<-served
			})
			cache := tls.NewLRUClientSessionCache(1)
			for i, address := range []string{address, l.Addr().String(), l.Addr().String()} {
				nc, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: "example.com", ClientSessionCache: cache})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(nc); err != nil { // the ticket comes behind the handshake
					t.Fatal(err)
				}
				state := nc.ConnectionState()
				nc.Close()
				if got := <-shown; got == nil || !got.Equal(state.PeerCertificates[0]) {
					t.Errorf("connection %d: another certificate than the client saw", i)
				}
				if resumed := state.DidResume; resumed != (i == 2) && c.name != "a configuration for each client" {
					t.Errorf("connection %d: resumed %v", i, resumed)
				}
			}
		})
	}
	if Remember(nil) != nil {
		t.Error("nothing became something")
	}
}
