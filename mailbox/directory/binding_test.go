package directory

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"
)

// tlsConnection is what both ends know of a TLS connection.
func tlsConnection(t *testing.T, version uint16) (server, client *tls.ConnectionState) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // it has a certificate
	web.Close()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	s := tls.Server(near, &tls.Config{Certificates: web.TLS.Certificates, MaxVersion: version})
	c := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	shaken := make(chan error, 1)
	go func() { shaken <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	ss, cs := s.ConnectionState(), c.ConnectionState()
	return &ss, &cs
}

// TestChannelBinding: the proof is worth nothing on another connection than its
// own (RFC 5802 section 6), and a list of mechanisms that was shortened on the way is noticed.
func TestChannelBinding(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, own := tlsConnection(t, version)
		_, other := tlsConnection(t, version)
		synctest.Test(t, func(t *testing.T) {
			checkChannelBinding(t, server, own, other)
		})
	}
}

func checkChannelBinding(t *testing.T, server, own, other *tls.ConnectionState) {
	d := withPassword(t, "secret")
	type dialogue = *scram.ClientConversation
	with := func(b scram.ChannelBinding, err error) func(*scram.Client) dialogue {
		if err != nil {
			t.Fatal(err)
		}
		return func(c *scram.Client) dialogue { return c.NewConversationWithChannelBinding(b) }
	}
	bindTo := func(state *tls.ConnectionState) func(*scram.Client) dialogue {
		return with(scram.NewTLSExporterBinding(state))
	}
	unique, uniqueErr := scram.NewTLSUniqueBinding(own.TLSUnique), error(nil)
	if own.Version == tls.VersionTLS13 { // which has none
		unique, uniqueErr = scram.NewTLSUniqueBinding([]byte("x")), ErrBinding
	}
	wrong := bytes.Repeat([]byte{1}, sha256.Size)
	plain := (*scram.Client).NewConversation
	shown := (*scram.Client).NewConversationAdvertisingChannelBinding
	for _, c := range []struct {
		name, mechanism string
		hash            scram.HashGeneratorFcn
		begin           func(*scram.Client) dialogue
		err             error
	}{
		{"its own", "SCRAM-SHA-256-PLUS", scram.SHA256, bindTo(own), nil},
		{"its own", "SCRAM-SHA-1-PLUS", scram.SHA1, bindTo(own), nil},
		{"the certificate", "SCRAM-SHA-256-PLUS", scram.SHA256, with(scram.NewTLSServerEndpointBinding(own)), nil},
		{"the certificate", "SCRAM-SHA-1-PLUS", scram.SHA1, with(scram.NewTLSServerEndpointBinding(own)), nil},
		{"another certificate", "SCRAM-SHA-256-PLUS", scram.SHA256, with(scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: wrong}, nil), ErrCredentials},
		{"what only TLS 1.2 has", "SCRAM-SHA-256-PLUS", scram.SHA256, with(unique, nil), uniqueErr},
		{"what nobody has", "SCRAM-SHA-256-PLUS", scram.SHA256, with(scram.ChannelBinding{Type: "tls-none", Data: wrong}, nil), ErrBinding},
		{"somebody between", "SCRAM-SHA-256-PLUS", scram.SHA256, bindTo(other), ErrCredentials},
		{"-PLUS without binding", "SCRAM-SHA-256-PLUS", scram.SHA256, plain, ErrBinding},
		{"a client that cannot", "SCRAM-SHA-256", scram.SHA256, plain, nil},
		{"a client that was not shown -PLUS", "SCRAM-SHA-256", scram.SHA256, shown, ErrBinding},
	} {
		d.throttle = newThrottle(d.now)
		client, err := c.hash.NewClient("ann@example.test", "secret", "")
		if err != nil {
			t.Fatal(err)
		}
		e, err := d.Exchange(Attempt{TLS: server, Shown: shownBy(own)}, c.mechanism)
		if err != nil {
			t.Fatal(err)
		}
		conversation := c.begin(client)
		if err := prove(t.Context(), e, conversation); !errors.Is(err, c.err) || err == nil && !conversation.Valid() {
			t.Errorf("%s, %s: %v, want %v", c.name, c.mechanism, err, c.err)
		}
	}
}

// shownBy is the certificate that a client was shown.
func shownBy(state *tls.ConnectionState) *x509.Certificate { return state.PeerCertificates[0] }

// TestBindings: the best comes first, and without a certificate that is known there is one less.
func TestBindings(t *testing.T) {
	for version, want := range map[uint16]string{
		tls.VersionTLS12: "tls-exporter tls-server-end-point tls-unique", tls.VersionTLS13: "tls-exporter tls-server-end-point",
	} {
		server, client := tlsConnection(t, version)
		var types []string
		for _, b := range bindings(Attempt{TLS: server, Shown: shownBy(client)}) {
			types = append(types, string(b.Type))
		}
		if got := strings.Join(types, " "); got != want {
			t.Errorf("%s: %s, want %s", tls.VersionName(version), got, want)
		}
	}
	if list := bindings(Attempt{}); list != nil {
		t.Errorf("without TLS: %v", list)
	}
}

// TestScramDelayIsNotWaitedForInAdvance: an exchange that was begun long ago has
// its refusal as late as any.
func TestScramDelayIsNotWaitedForInAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := withPassword(t, "secret")
		e, err := d.Exchange(Attempt{}, "SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Next(t.Context(), []byte("n,,n=ann@example.test,r=nonce")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		asked := time.Now()
		if _, _, err := e.Next(t.Context(), []byte("c=biws,r=wrong,p=AAAA")); !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
		if waited := time.Since(asked); waited < failureDelay {
			t.Errorf("refused after %v", waited)
		}
	})
}
