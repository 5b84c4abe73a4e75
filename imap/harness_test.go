package imap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
	"mailstead/tls/serve"
)

// The accounts of every test server.
const (
	testUser, testPassword   = "ann@example.test", "secret-a"
	testUser2, testPassword2 = "bob@example.test", "secret-b"
)

// testServer is a server on loopback over a store of its own.
type testServer struct {
	*Server
	address   string
	store     *mailbox.Store
	directory *directory.Directory
	account   mailbox.AccountID // of testUser
}

// newTestServer starts a server with two accounts, ann and bob, that accepts
// passwords in the clear. change may alter its options. When the test ends it is
// shut down and its store checked.
func newTestServer(t testing.TB, change ...func(*Options)) *testServer {
	t.Helper()
	ts := newDeafServer(t, change...)
	ts.listen(t)
	return ts
}

// newDeafServer is newTestServer without a port.
func newDeafServer(t testing.TB, change ...func(*Options)) *testServer {
	t.Helper()
	ts := &testServer{}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	if ts.store, err = mailbox.Open(t.TempDir(), mailbox.Options{SegmentSize: 256 << 10, Logger: log, Fatal: func(err error) { panic(err) }}); err != nil {
		t.Fatal(err)
	}
	if ts.directory, err = directory.Open(ts.store, directory.Options{Logger: log}); err != nil {
		t.Fatal(err)
	}
	if err := ts.directory.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	ann, err := ts.directory.AddAccount(t.Context(), testUser, testPassword)
	if err != nil {
		t.Fatal(err)
	}
	ts.account = ann.ID
	if _, err := ts.directory.AddAccount(t.Context(), testUser2, testPassword2); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Store: ts.store, Directory: ts.directory, AllowInsecureAuth: true,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate()}},
		Admin:     "mailto:postmaster@example.test",
		Logger:    log,
	}
	for _, f := range change {
		f(&o)
	}
	ts.Server = New(o)
	t.Cleanup(func() {
		if err := ts.store.Check(); err != nil {
			t.Errorf("Check: %v", err)
		}
		if err := ts.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return ts
}

// listen serves on a free port until the test ends.
func (ts *testServer) listen(t testing.TB) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts.address = l.Addr().String()
	ts.serve(t, l)
}

// serveTLS serves one more port, with implicit TLS, and returns its address.
func (ts *testServer) serveTLS(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts.serve(t, serve.ListenTLS(l, ts.options.Load().TLSConfig))
	return l.Addr().String()
}

// serve serves l until the test ends.
func (ts *testServer) serve(t testing.TB, l net.Listener) {
	served := make(chan error, 1)
	go func() { served <- ts.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := ts.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// dial connects without TLS.
func (ts *testServer) dial(int) (net.Conn, error) { return net.Dial("tcp", ts.address) }

// player plays dialogues against the server; they know $user and $pass, $user2 and
// $pass2.
func (ts *testServer) player() mailboxtest.Player {
	return mailboxtest.Player{
		Dial: ts.dial,
		Vars: map[string]string{"user": testUser, "pass": testPassword, "user2": testUser2, "pass2": testPassword2},
		TLS:  &tls.Config{InsecureSkipVerify: true}, // what the certificate says is not what is tested
		// Hashing a password takes seconds under the race detector on a busy machine.
		Timeout: time.Minute,
	}
}

// testCertificate is one self-signed certificate for all tests.
var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})
