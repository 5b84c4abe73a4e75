package queue_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	ourssmtp "mailstead/smtp"
	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/local"
	"mailstead/smtp/queue"
	"mailstead/smtp/remote"
)

// patience is for what happens at once on an idle machine.
const patience = time.Minute

// server is a mail server of ours with one domain, as the command wires it.
type server struct {
	t         *testing.T
	dir       string
	domain    string
	store     *mailbox.Store
	directory *directory.Directory
	courier   *local.Courier
	queue     *queue.Queue
	listener  net.Listener
	attempts  chan string // the log of the queue's attempts
	later     atomic.Int64
	stop      func() // at once, as far as the network can tell
}

// settings are what differs between the servers of a test.
type settings struct {
	resolver *dns.Resolver
	mxPort   int
	role     ourssmtp.Role
	deliver  func(*local.Courier) ourssmtp.Acceptor
	tls      *tls.Config
}

func startServer(t *testing.T, dir, domain string, set settings, accounts ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, domain: domain, attempts: make(chan string, 1000)}
	var err error
	// What is not in the databases is in the log: a copy of the folder at any
	// moment is what a crash would leave.
	s.store, err = mailbox.Open(dir, mailbox.Options{SegmentSize: 256 << 10, CommitEvery: time.Hour})
	must(t, err)
	s.directory, err = directory.Open(s.store, directory.Options{})
	must(t, err)
	if err := s.directory.AddDomain(t.Context(), domain); err != nil && !errors.Is(err, directory.ErrExists) {
		t.Fatal(err)
	}
	for _, a := range accounts {
		_, err := s.directory.AddAccount(t.Context(), a, "secret")
		must(t, err)
	}
	s.courier = local.New(local.Options{Store: s.store, Directory: s.directory})
	s.openQueue(set)
	running, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.queue.Run(running); close(ended) }()
	closeServer := s.listen(set)
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		closeServer()
		if err := s.store.Check(); err != nil {
			t.Errorf("the store of %s: %v", domain, err)
		}
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *server) openQueue(set settings) {
	s.t.Helper()
	o := queue.Options{
		Local: s.courier, Remote: s.courier, IsLocal: s.directory.IsLocal, Hostname: "mx." + s.domain, Disabled: set.resolver == nil,
		Now:    func() time.Time { return time.Now().Add(time.Duration(s.later.Load())) },
		Rand:   func() float64 { return 0 },
		Logger: slog.New(slog.NewTextHandler(lines{s.attempts}, nil)),
		Limits: queue.Limits{Grace: time.Millisecond},
	}
	var err error
	if set.resolver != nil {
		world, err := remote.New(remote.Options{Resolver: set.resolver, Hostname: "mx." + s.domain, MXPort: set.mxPort, Private: true})
		must(s.t, err)
		s.t.Cleanup(world.Close)
		o.Remote = world
	}
	s.queue, err = queue.Open(s.store, o)
	must(s.t, err)
	s.courier.UseQueue(s.queue)
}

func (s *server) listen(set settings) (closeServer func()) {
	s.t.Helper()
	var acceptor ourssmtp.Acceptor = s.courier
	if set.deliver != nil {
		acceptor = set.deliver(s.courier)
	}
	var err error
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	srv := ourssmtp.New(ourssmtp.Options{
		Role: set.role, Hostname: "mx." + s.domain, Directory: s.directory, Deliver: acceptor, TLSConfig: set.tls,
	})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.listener) }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		srv.Shutdown(ctx)
		<-served
	}
}

// lines is a log that can be waited for.
type lines struct{ c chan<- string }

func (l lines) Write(p []byte) (int, error) {
	l.c <- string(p)
	return len(p), nil
}

// attempt waits for the next attempt of the queue, and returns what the log says of it.
func (s *server) attempt() string {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line := <-s.attempts:
			if strings.Contains(line, `"queue: attempt"`) {
				return line
			}
		case <-deadline:
			s.t.Fatalf("%s made no attempt", s.domain)
		}
	}
}

// pass lets time pass for the queue.
func (s *server) pass(d time.Duration) {
	s.later.Add(int64(d))
	s.queue.Wake()
}

// submit sends a message as a user's program does.
func (s *server) submit(from, text string, to ...string) {
	s.t.Helper()
	c, err := smtp.Dial(s.listener.Addr().String())
	must(s.t, err)
	defer c.Close()
	must(s.t, c.StartTLS(&tls.Config{InsecureSkipVerify: true}))
	must(s.t, c.Auth(smtp.PlainAuth("", from, "secret", "127.0.0.1")))
	must(s.t, c.Mail(from))
	for _, r := range to {
		must(s.t, c.Rcpt(r))
	}
	w, err := c.Data()
	must(s.t, err)
	_, err = io.WriteString(w, text)
	must(s.t, err)
	must(s.t, w.Close())
	must(s.t, c.Quit())
}

// inbox waits until an account has n messages and returns them.
func (s *server) inbox(account string, n int) []string {
	s.t.Helper()
	route, err := s.directory.Resolve(account)
	must(s.t, err)
	id := route.Local[0].Account
	changed := make(chan struct{}, 1)
	defer s.store.WatchAccount(id, changed)()
	deadline := time.After(patience)
	for {
		all := s.messages(id)
		if len(all) >= n {
			if len(all) > n {
				s.t.Errorf("%s has %d messages, want %d", account, len(all), n)
			}
			return all
		}
		select {
		case <-changed:
		case <-deadline:
			s.t.Fatalf("%s has %d messages, want %d", account, len(all), n)
		}
	}
}

func (s *server) messages(id mailbox.AccountID) []string {
	s.t.Helper()
	m, err := s.store.OpenMailbox(s.t.Context(), id, "INBOX")
	must(s.t, err)
	defer m.Close()
	v := m.View(false)
	var all []string
	for _, r := range v.Rows(nil, 1, v.Len()) {
		b, err := s.store.OpenBody(r.Body)
		must(s.t, err)
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		must(s.t, errors.Join(err, b.Close()))
		all = append(all, string(text))
	}
	return all
}

// crash returns the folder as a crash now would leave it.
func (s *server) crash() string {
	s.t.Helper()
	// The log makes its next segment ready meanwhile and gives it another name.
	for {
		dir := filepath.Join(s.t.TempDir(), "crashed")
		err := os.CopyFS(dir, os.DirFS(s.dir))
		if err == nil {
			return dir
		}
		if !errors.Is(err, fs.ErrNotExist) {
			s.t.Error(err)
			return dir
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is us, whose ann submits, and far.test with bob and eve, found by DNS.
type world struct {
	us, far *server
	set     settings // of us
}

func newWorld(t *testing.T, far settings) *world {
	t.Helper()
	far.role = ourssmtp.Receiver
	w := &world{far: startServer(t, t.TempDir(), "far.test", far, "bob@far.test", "eve@far.test")}
	zone := dnstest.New(t, "far.test. MX 10 mx.far.test.\nmx.far.test. A 127.0.0.1\n")
	resolver, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	must(t, err)
	_, port, err := net.SplitHostPort(w.far.listener.Addr().String())
	must(t, err)
	mxPort, err := strconv.Atoi(port)
	must(t, err)
	w.set = settings{resolver: resolver, mxPort: mxPort, role: ourssmtp.Submission, tls: certificate()}
	w.us = startServer(t, t.TempDir(), "us.test", w.set, "ann@us.test")
	return w
}

// certificate proves nothing, like those of most mail servers.
var certificate = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// moody is an acceptor that is asked first.
type moody struct {
	ourssmtp.Acceptor
	ask func() error
}

func (m moody) Accept(ctx context.Context, t local.Transaction, b *mailbox.NewBody) error {
	if err := m.ask(); err != nil {
		return err
	}
	return m.Acceptor.Accept(ctx, t, b)
}

// asking makes an acceptor ask f before each message.
func asking(f func() error) func(*local.Courier) ourssmtp.Acceptor {
	return func(c *local.Courier) ourssmtp.Acceptor { return moody{c, f} }
}
