package smtp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/local"
	"mailstead/smtp/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a store with people in it: ann and bob of example.test with the
// password "secret", an alias team for both and somebody elsewhere, and
// catch.example, where all that is nobody's is bob's.
type house struct {
	store     *mailbox.Store
	directory *directory.Directory
	courier   *local.Courier
	queue     *fakeQueue
	ann, bob  mailbox.AccountID
}

func newHouse(t testing.TB) *house {
	t.Helper()
	s := mailboxtest.NewStore(t)
	d, err := directory.Open(s, directory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{store: s, directory: d, queue: &fakeQueue{}}
	h.courier = local.New(local.Options{Store: s, Directory: d})
	h.courier.UseQueue(h.queue)
	ctx := context.Background()
	must(t, d.AddDomain(ctx, "example.test"))
	must(t, d.AddDomain(ctx, "catch.example"))
	h.ann, h.bob = addAccount(t, d, "ann@example.test"), addAccount(t, d, "bob@example.test")
	must(t, d.AddAlias(ctx, "team@example.test", "ann@example.test", "bob@example.test", "far@elsewhere.example"))
	must(t, d.SetCatchAll(ctx, "catch.example", "bob@example.test"))
	return h
}

func addAccount(t testing.TB, d *directory.Directory, name string) mailbox.AccountID {
	t.Helper()
	a, err := d.AddAccount(context.Background(), name, "secret")
	must(t, err)
	return a.ID
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inbox returns the messages of an account's INBOX, oldest first.
func (h *house) inbox(t testing.TB, a mailbox.AccountID) []string { return h.messages(t, a, "INBOX") }

func (h *house) messages(t testing.TB, a mailbox.AccountID, name string) []string {
	t.Helper()
	m, err := h.store.OpenMailbox(t.Context(), a, name)
	must(t, err)
	defer m.Close()
	v := m.View(false)
	var all []string
	for _, r := range v.Rows(nil, 1, v.Len()) {
		b, err := h.store.OpenBody(r.Body)
		must(t, err)
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		must(t, err)
		must(t, b.Close())
		all = append(all, string(text))
	}
	return all
}

// fakeQueue keeps envelopes in memory, and their bodies in the store.
type fakeQueue struct {
	mu        sync.Mutex
	envelopes []queue.Envelope
	bodies    []mailbox.BodyID
	woken     int
}

func (q *fakeQueue) Add(e queue.Envelope) func(mailbox.BodyID) []mailbox.RoomChange {
	return func(id mailbox.BodyID) []mailbox.RoomChange {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.envelopes, q.bodies = append(q.envelopes, e), append(q.bodies, id)
		return []mailbox.RoomChange{{Room: "queue", Key: strconv.Itoa(len(q.bodies)), Value: []byte("x"), Body: id}}
	}
}

func (q *fakeQueue) Wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.woken++
}

func (q *fakeQueue) all() []queue.Envelope {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.envelopes)
}

// options are those of a server of the house.
func (h *house) options(role Role) Options {
	return Options{Role: role, Hostname: "mx.example.test", Directory: h.directory, Deliver: h.courier, TLSConfig: serverTLS()}
}

// listen serves o on a loopback port until the test ends.
func listen(t testing.TB, o Options, implicit bool) (string, *Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	if implicit {
		l = tls.NewListener(l, o.TLSConfig)
	}
	return address, serveUntilTheEnd(t, o, l)
}

// serveUntilTheEnd serves o on l until the test ends.
func serveUntilTheEnd(t testing.TB, o Options, l net.Listener) *Server {
	t.Helper()
	s := New(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// serverTLS is a certificate for the tests, made once.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// clientTLS trusts the tests' certificate.
func clientTLS() *tls.Config {
	pool := x509.NewCertPool()
	c, err := x509.ParseCertificate(serverTLS().Certificates[0].Certificate[0])
	if err != nil {
		panic(err)
	}
	pool.AddCert(c)
	return &tls.Config{RootCAs: pool, ServerName: "mx.example.test"}
}

// smallLimits are reached by short dialogues.
func smallLimits() Limits {
	return Limits{
		MessageSize: 4000, CommandLine: 200, HeaderSize: 1000, HeaderFields: 10, Received: 3, Recipients: 2, UserRecipients: 3,
		UnknownRecipients: 3, Errors: 2, MaxErrors: 4, ErrorDelay: time.Millisecond, IdleCommands: 4, AuthFailures: 2,
	}
}

// TestDialogues plays the files of each folder against a server of its kind; those of limits of time are TestDialoguesOfTime's.
// There is also full@example.test, who may hold 1000 octets, and half-full, an
// alias that leads there and to ann.
func TestDialogues(t *testing.T) {
	h := newHouse(t)
	must(t, h.store.SetQuota(t.Context(), addAccount(t, h.directory, "full@example.test"), mailbox.Quota{Storage: 1000}))
	must(t, h.directory.AddAlias(t.Context(), "half-full@example.test", "full@example.test", "ann@example.test"))
	for _, kind := range []struct {
		folder   string
		role     Role
		implicit bool
		change   func(*Options)
	}{
		{folder: "receiver"},
		{folder: "receiver-limits", change: func(o *Options) { o.Limits = smallLimits() }},
		{folder: "submission", role: Submission},
		{folder: "submission-clear", role: Submission, change: func(o *Options) { o.CleartextAuth = true }},
		{folder: "submission-limits", role: Submission, change: func(o *Options) { o.CleartextAuth, o.Limits = true, smallLimits() }},
		{folder: "submissions", role: Submission, implicit: true},
	} {
		t.Run(kind.folder, func(t *testing.T) {
			mailboxtest.PlayDir(t, "testdata/"+kind.folder+"/*.dialog", func(t *testing.T) mailboxtest.Player {
				t.Parallel()
				o := h.options(kind.role)
				if kind.change != nil {
					kind.change(&o)
				}
				address, _ := listen(t, o, kind.implicit)
				return mailboxtest.Player{TLS: clientTLS(), Dial: func(int) (net.Conn, error) {
					if kind.implicit {
						return tls.Dial("tcp", address, clientTLS())
					}
					return net.Dial("tcp", address)
				}}
			})
		})
	}
}
