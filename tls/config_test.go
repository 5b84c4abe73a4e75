package tls

import (
	"crypto/tls"
	"strings"
	"testing"
)

func TestALPN(t *testing.T) {
	ca := newCA(t, Options{})
	leaf := newLeaf(t, ca, LoopbackNames()...)
	for _, c := range []struct {
		name    string
		proto   Protocol
		offered []string
		want    string
		refused bool
	}{
		{"smtp", SMTP, []string{"smtp"}, "smtp", false},
		{"submission", Submission, []string{"smtp"}, "smtp", false},
		{"imap", IMAP, []string{"imap"}, "imap", false},
		{"pop3", POP3, []string{"pop3"}, "pop3", false},
		{"browser", HTTP, []string{"h2", "http/1.1"}, "h2", false},
		{"curl", HTTP, []string{"http/1.1"}, "http/1.1", false},
		{"one of several", IMAP, []string{"x", "imap"}, "imap", false},
		{"smtp without ALPN", SMTP, nil, "", false},
		{"submission without ALPN", Submission, nil, "", false},
		{"imap without ALPN", IMAP, nil, "", false},
		{"pop3 without ALPN", POP3, nil, "", false},
		{"http without ALPN", HTTP, nil, "", false},
		{"browser at smtp", SMTP, []string{"h2", "http/1.1"}, "", true},
		{"browser at submission", Submission, []string{"h2", "http/1.1"}, "", true},
		{"browser at imap", IMAP, []string{"h2", "http/1.1"}, "", true},
		{"browser at pop3", POP3, []string{"h2", "http/1.1"}, "", true},
		{"imap at http", HTTP, []string{"imap"}, "", true},
		{"pop3 at imap", IMAP, []string{"pop3"}, "", true},
		{"imap at smtp", SMTP, []string{"imap"}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", NextProtos: c.offered}
			state, clientErr, serverErr := shake(t, Config(leaf, c.proto), client)
			if c.refused {
				if clientErr == nil || serverErr == nil || !strings.Contains(clientErr.Error(), "no application protocol") {
					t.Errorf("not refused: client %v, server %v", clientErr, serverErr)
				}
				return
			}
			if clientErr != nil || serverErr != nil || state.NegotiatedProtocol != c.want {
				t.Errorf("protocol %q, client %v, server %v; want %q", state.NegotiatedProtocol, clientErr, serverErr, c.want)
			}
		})
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	ca := newCA(t, Options{})
	leaf := newLeaf(t, ca, "localhost")
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: version, MaxVersion: version}
		_, err, _ := shake(t, Config(leaf, SMTP), client)
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// TestKeyExchange: nobody reads today's connections with tomorrow's computer.
func TestKeyExchange(t *testing.T) {
	ca := newCA(t, Options{})
	leaf := newLeaf(t, ca, "localhost")
	for p := range alpn {
		client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
		state, clientErr, serverErr := shake(t, Config(leaf, p), client)
		if clientErr != nil || serverErr != nil || state.CurveID != tls.X25519MLKEM768 {
			t.Errorf("protocol %d: %v; client %v, server %v", p, state.CurveID, clientErr, serverErr)
		}
	}
}

func TestSessionTickets(t *testing.T) {
	ca := newCA(t, Options{})
	leaf := newLeaf(t, ca, "localhost")
	imap, pop3, smtp := Config(leaf, IMAP), Config(leaf, POP3), Config(leaf, SMTP)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, c := range []struct {
			name          string
			first, second *tls.Config
			resumes       bool
		}{
			{"imap again", imap, imap, true},
			{"imap's ticket at pop3", imap, pop3, false},
			{"port 25 again", smtp, smtp, false},
		} {
			client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			for i, server := range []*tls.Config{c.first, c.second} {
				state, clientErr, serverErr := shake(t, server, client)
				if clientErr != nil || serverErr != nil {
					t.Fatalf("%s: client %v, server %v", c.name, clientErr, serverErr)
				}
				if want := i == 1 && c.resumes; state.DidResume != want {
					t.Errorf("%s, %s, connection %d: resumed %v, want %v", c.name, tls.VersionName(version), i+1, state.DidResume, want)
				}
			}
		}
	}
}

// TestAnyServerName: mail servers send no SNI, clients send surprising ones; all
// get the main certificate.
func TestAnyServerName(t *testing.T) {
	ca := newCA(t, Options{})
	leaf := newLeaf(t, ca, "mail.example.test")
	for _, sni := range []string{"", "mail.example.test", "other.example", "a.very.long.name.example"} {
		client := &tls.Config{ServerName: sni, InsecureSkipVerify: true}
		state, clientErr, serverErr := shake(t, Config(leaf, SMTP), client)
		if clientErr != nil || serverErr != nil {
			t.Errorf("%q: client %v, server %v", sni, clientErr, serverErr)
			continue
		}
		if err := state.PeerCertificates[0].VerifyHostname("mail.example.test"); err != nil {
			t.Errorf("%q: %v", sni, err)
		}
	}
}
