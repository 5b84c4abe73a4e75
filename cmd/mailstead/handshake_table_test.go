package main

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// webDoor is that of browsers, where a request is the first command.
var webDoor = door{port: 443, command: "GET /healthz HTTP/1.0\r\nHost: localhost\r\n", commandOK: "HTTP/1.0 200"}

// handshakes does at a port what the versions, names, keys and tickets of clients differ in.
func handshakes(t *testing.T, s *trial, d door) {
	own := map[int]string{25: "smtp", 587: "smtp", 465: "smtp", 143: "imap", 993: "imap", 110: "pop3", 995: "pop3", 443: "http/1.1"}[d.port]
	for _, c := range []struct {
		name   string
		change func(*cryptotls.Config)
		check  func(cryptotls.ConnectionState) bool // nil = it has to fail with want
		want   string
	}{
		{"before TLS 1.2", func(c *cryptotls.Config) { c.MinVersion, c.MaxVersion = cryptotls.VersionTLS10, cryptotls.VersionTLS11 }, nil, "protocol version"},
		{"TLS 1.2", func(c *cryptotls.Config) { c.MaxVersion = cryptotls.VersionTLS12 },
			func(s cryptotls.ConnectionState) bool { return s.Version == cryptotls.VersionTLS12 }, ""},
		{"the best", func(*cryptotls.Config) {}, func(s cryptotls.ConnectionState) bool {
			return s.Version == cryptotls.VersionTLS13 && s.CurveID == cryptotls.X25519MLKEM768 && s.NegotiatedProtocol == ""
		}, ""},
		{"keys without the quantum", func(c *cryptotls.Config) { c.CurvePreferences = []cryptotls.CurveID{cryptotls.X25519} },
			func(s cryptotls.ConnectionState) bool { return s.CurveID == cryptotls.X25519 }, ""},
		{"our ALPN among others", func(c *cryptotls.Config) { c.NextProtos = []string{"xmpp-client", own} },
			func(s cryptotls.ConnectionState) bool { return s.NegotiatedProtocol == own }, ""},
		{"an ALPN of nobody's", func(c *cryptotls.Config) { c.NextProtos = []string{"xmpp-client"} }, nil, "no application protocol"},
		{"no name", anyName(s, ""), isForUs, ""},
		{"another's name", anyName(s, "other.test"), isForUs, ""},
		{"a name that is none", anyName(s, "..a_b.test"), isForUs, ""},
	} {
		conn := d.open(t, s, "")
		config := &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost"}
		c.change(config)
		secure := cryptotls.Client(conn, config)
		err := secure.Handshake()
		switch {
		case c.check == nil && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		case c.check != nil && (err != nil || !c.check(secure.ConnectionState())):
			t.Errorf("%s: %v, %+v", c.name, err, secure.ConnectionState())
		}
		conn.Close()
	}
	tickets(t, s, d)
}

// anyName has a client ask for a name, none where it is empty, and take the certificate that it gets if it is ours.
func anyName(s *trial, name string) func(*cryptotls.Config) {
	return func(c *cryptotls.Config) {
		c.ServerName, c.InsecureSkipVerify = name, true
		c.VerifyConnection = func(state cryptotls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: s.authority()})
			return err
		}
	}
}

func isForUs(s cryptotls.ConnectionState) bool {
	return s.PeerCertificates[0].VerifyHostname("localhost") == nil
}

// tickets comes a second time, with what it got the first time.
func tickets(t *testing.T, s *trial, d door) {
	for _, version := range []uint16{cryptotls.VersionTLS12, cryptotls.VersionTLS13} {
		config := &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost", MaxVersion: version, ClientSessionCache: cryptotls.NewLRUClientSessionCache(1)}
		for i := range 2 {
			secure := cryptotls.Client(d.open(t, s, ""), config)
			// With TLS 1.3 tickets come behind the handshake, in front of the first answer.
			if _, err := io.WriteString(secure, d.command+"\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAtLeast(secure, make([]byte, 512), 1); err != nil {
				t.Fatal(err)
			}
			if want := i > 0 && d.port != 25; secure.ConnectionState().DidResume != want {
				t.Errorf("version %x, connection %d: resumed %v, want %v", version, i+1, !want, want)
			}
			secure.Close()
		}
	}
}

// mailAtWeb talks mail to the port of browsers, in the clear and under TLS.
func mailAtWeb(t *testing.T, s *trial) {
	for _, said := range []string{"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n", "a LOGIN user@example.test pass\r\n", "USER user@example.test\r\nPASS pass\r\n"} {
		for _, secure := range []bool{false, true} {
			conn, err := net.Dial("tcp", s.address(webDoor.port))
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(patienceOfTests))
			if secure {
				conn = cryptotls.Client(conn, &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost"})
			}
			io.WriteString(conn, said) // the server may hang up in its midst
			got, _ := io.ReadAll(conn)
			if !secure && strings.HasPrefix(string(got), "HTTP/1.0 400") {
				got = nil // crypto/tls's words for who forgot TLS
			}
			if len(got) > 0 && got[0] != 0x15 && !strings.HasPrefix(string(got), "HTTP/1.1 400") {
				t.Errorf("%q, TLS %v: answered %q", said, secure, got)
			}
			conn.Close()
		}
	}
}
