package tls

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"mailstead/tls/acmetest"
)

// memory is a certmagic.Storage.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	locks  sync.Map
	refuse string // a part of the keys that cannot be stored
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

// refuseKeys has keys that have a part refused from now on; "" = none.
func (m *memory) refuseKeys(part string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = part
}

func (m *memory) Store(ctx context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != "" && strings.Contains(key, m.refuse) {
		return errors.New("the disk is full")
	}
	m.values[key] = bytes.Clone(value)
	return ctx.Err()
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok {
		return bytes.Clone(v), nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.values {
		if k == key || strings.HasPrefix(k, key+"/") {
			delete(m.values, k)
		}
	}
	return nil
}

func (m *memory) Exists(ctx context.Context, key string) bool {
	_, err := m.Load(ctx, key)
	return err == nil
}

func (m *memory) List(_ context.Context, folder string, _ bool) (keys []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.values {
		if rest, ok := strings.CutPrefix(k, folder+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			keys = append(keys, path.Join(folder, first))
		}
	}
	slices.Sort(keys)
	if keys = slices.Compact(keys); len(keys) == 0 {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

func (m *memory) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	_, err := m.Load(ctx, key)
	return certmagic.KeyInfo{Key: key, IsTerminal: true}, err
}

func (m *memory) Lock(_ context.Context, name string) error {
	l, _ := m.locks.LoadOrStore(name, new(sync.Mutex))
	l.(*sync.Mutex).Lock()
	return nil
}

func (m *memory) Unlock(_ context.Context, name string) error {
	l, _ := m.locks.Load(name)
	l.(*sync.Mutex).Unlock()
	return nil
}

// world is an authority with who asks it.
type world struct {
	*testing.T
	authority *acmetest.Authority
	storage   *memory
	options   ACMEOptions
	log       logLines
	acme      *ACME
	stop      func()
}

func newWorld(t *testing.T, o acmetest.Options) *world {
	w := &world{T: t, authority: acmetest.New(t, o), storage: newMemory()}
	w.options = ACMEOptions{
		Storage: w.storage, Email: "admin@example.test", Directory: w.authority.Directory(), Roots: w.authority.ServerRoots(),
		HTTP: true, TLSALPN: true, Poll: time.Millisecond, Options: Options{Logger: w.log.logger()},
	}
	return w
}

// start begins to look after the names; stop ends it.
func (w *world) start(names ...string) {
	w.Helper()
	var err error
	if w.acme, err = NewACME(w.Context(), w.options, names...); err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.acme.Run(ctx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	w.Cleanup(w.stop)
}

// until waits for something that is going to be.
func (w *world) until(what string, f func() bool) {
	w.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not seen: %s; %+v\n%s", what, w.acme.States(), strings.Join(w.log.lines, ""))
		}
	}
}

func hello(name string, protocols ...string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: name, SupportedProtos: protocols}
}

// served is the certificate that a client is shown; nil where there is none.
func (w *world) served(name string) *x509.Certificate {
	cert, err := w.acme.GetCertificate(hello(name))
	if err != nil {
		return nil
	}
	return cert.Leaf
}

func (w *world) has(name string) bool {
	leaf := w.served(name)
	return leaf != nil && leaf.VerifyHostname(name) == nil
}

func (w *world) state(name string) State {
	for _, s := range w.acme.States() {
		if s.Name == name {
			return s
		}
	}
	return State{}
}

// prove is an authority's validation: it holds what w.acme answers to each challenge.
func (w *world) prove(kind, name, token string) error {
	switch kind {
	case "http-01":
		if text, ok := w.acme.HTTPChallenge(strings.ToUpper(name), token); !ok || !strings.HasPrefix(text, token+".") {
			return fmt.Errorf("%q", text)
		}
		return nil
	default:
		_, err := w.acme.ByName().GetCertificate(hello(name, challengeProtocol))
		return err
	}
}

func TestACMEFetches(t *testing.T) {
	for _, kind := range []string{"http-01", "tls-alpn-01"} {
		var w *world
		w = newWorld(t, acmetest.Options{
			Challenges: []string{kind}, Validate: func(kind, name, token string) error { return w.prove(kind, name, token) },
			EABKeyID: "eab-1", Window: func(leaf *x509.Certificate) (time.Time, time.Time) {
				return leaf.NotAfter.Add(-48 * time.Hour), leaf.NotAfter.Add(-47 * time.Hour)
			},
		})
		w.options.EABKeyID, w.options.EABKey = "eab-1", "c2VjcmV0"
		key, err := newKey()
		if err != nil {
			t.Fatal(err)
		}
		w.options.HostKey = key
		w.start("Mail.Example.Test.", "mta-sts.example.test", "127.0.0.1", "localhost")
		for _, name := range []string{"mail.example.test", "mta-sts.example.test"} {
			w.until(name, func() bool { return w.has(name) })
			w.until("when to renew "+name, func() bool { return w.state(name).Reason != "" })
		}
		if leaf := w.served("mail.example.test"); !key.PublicKey.Equal(leaf.PublicKey) || w.state("mail.example.test").TLSA[0] != TLSA(key.Public()) {
			t.Error("the host's key is not used")
		}
		for name, want := range map[string]string{"": "mail.example.test", "other.test": "mail.example.test", "MTA-STS.example.test": "mta-sts.example.test"} {
			if leaf := w.served(name); leaf == nil || leaf.VerifyHostname(want) != nil {
				t.Errorf("%q is shown another certificate than that of %s", name, want)
			}
		}
		if _, err := w.acme.ByName().GetCertificate(hello("other.test")); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("ByName of another: %v", err)
		}
		if _, err := Chain(w.acme.ByName(), w.acme, fixed{}).GetCertificate(hello("mail.example.test", challengeProtocol)); !errors.Is(err, ErrNoChallenge) {
			t.Errorf("a challenge that nobody expects: %v", err)
		}
		s := w.state("mail.example.test")
		if s.Issuer != "ACME Tests Root of Tests" || s.Error != "" || s.Reason != "https://authority.test/why" {
			t.Errorf("%+v", s)
		}
		if early, late := s.NotAfter.Add(-48*time.Hour), s.NotAfter.Add(-47*time.Hour); s.RenewAt.Before(early) || s.RenewAt.After(late) {
			t.Errorf("renewed at %v, not when the authority wants it", s.RenewAt)
		}
		if n := w.authority.Asked("new-account"); n != 1 {
			t.Errorf("%d accounts", n)
		}
		w.noKeysInLog()
	}
}

// noKeysInLog fails when a private key is in the log.
func (w *world) noKeysInLog() {
	w.Helper()
	if w.log.count("PRIVATE") > 0 || w.log.count("secret") > 0 {
		w.Error("a key is in the log")
	}
}

// TestACMERestarts: what is stored is served without asking the authority.
func TestACMERestarts(t *testing.T) {
	w := newWorld(t, acmetest.Options{Window: func(leaf *x509.Certificate) (time.Time, time.Time) {
		return leaf.NotAfter.Add(-time.Hour), leaf.NotAfter.Add(-time.Minute)
	}})
	w.start("mail.example.test")
	w.until("the certificate", func() bool { return w.has("mail.example.test") && w.state("mail.example.test").Reason != "" })
	w.stop()
	before := w.served("mail.example.test")
	w.authority.Fail("new-order", func(http.ResponseWriter, *http.Request) { t.Error("an order after the restart") })
	w.authority.Fail("renewal", func(http.ResponseWriter, *http.Request) { t.Error("asked when to renew after the restart") })
	w.start("mail.example.test")
	if leaf := w.served("mail.example.test"); leaf == nil || !leaf.Equal(before) {
		t.Fatal("the stored certificate is not served at once")
	}
	w.stop()
	states, err := Stored(t.Context(), w.storage)
	if err != nil || len(states) != 1 || states[0].Name != "mail.example.test" || !states[0].NotAfter.Equal(before.NotAfter) {
		t.Errorf("%+v, %v", states, err)
	}
}

func TestACMERenews(t *testing.T) {
	w := newWorld(t, acmetest.Options{})
	const name = "mail.example.test"
	w.start(name)
	w.until("the certificate", func() bool { return w.has(name) })
	first := w.served(name)
	if err := w.acme.Renew(t.Context(), "Mail.example.test", false); err != nil {
		t.Fatal(err)
	}
	second := w.served(name)
	if second.Equal(first) || TLSA(second.PublicKey) != TLSA(first.PublicKey) || !w.authority.Replaced(first) {
		t.Error("the renewal is not another certificate for the same key, or the authority does not know which it replaces")
	}
	if err := w.acme.Renew(t.Context(), name, true); !errors.Is(err, ErrNoNextKey) {
		t.Errorf("to a key that is not there: %v", err)
	}
	if err := w.acme.Renew(t.Context(), "other.test", false); !errors.Is(err, ErrUnknownName) {
		t.Errorf("of another: %v", err)
	}
	for range 2 { // the second makes no other key
		if err := w.acme.NewKey(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	both := w.state(name).TLSA
	if len(both) != 2 || both[0] != TLSA(first.PublicKey) || both[0] == both[1] {
		t.Fatalf("the records %q", both)
	}
	// The next key outlasts a restart and an ordinary renewal.
	w.stop()
	w.start(name)
	if err := w.acme.Renew(t.Context(), name, false); err != nil || TLSA(w.served(name).PublicKey) != both[0] {
		t.Errorf("an ordinary renewal: %v", err)
	}
	if err := w.acme.Renew(t.Context(), name, true); err != nil {
		t.Fatal(err)
	}
	if got := w.state(name).TLSA; !slices.Equal(got, both[1:]) || TLSA(w.served(name).PublicKey) != both[1] {
		t.Errorf("after the change: %q", got)
	}
	w.stop()
	w.start(name)
	if TLSA(w.served(name).PublicKey) != both[1] {
		t.Error("the change is lost at a restart")
	}
}

// TestACMEKeyChangeIsInterrupted: the certificate of the next key is stored, and then nothing more.
func TestACMEKeyChangeIsInterrupted(t *testing.T) {
	w := newWorld(t, acmetest.Options{})
	const name = "mail.example.test"
	w.start(name)
	w.until("the certificate", func() bool { return w.has(name) })
	if err := w.acme.NewKey(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	next := w.state(name).TLSA[1]
	w.storage.refuseKeys("keys/" + name + "/" + currentKey)
	if err := w.acme.Renew(t.Context(), name, true); err == nil {
		t.Fatal("the full disk was not noticed")
	}
	if !w.has(name) {
		t.Fatal("the old certificate is not served any more")
	}
	w.stop()
	w.storage.refuseKeys("")
	w.start(name)
	if TLSA(w.served(name).PublicKey) != next || len(w.state(name).TLSA) != 1 {
		t.Errorf("after the restart: %+v", w.state(name))
	}
}

// TestACMEFullDisk: a renewal that cannot be stored costs neither the certificate nor its key.
func TestACMEFullDisk(t *testing.T) {
	w := newWorld(t, acmetest.Options{})
	const name = "mail.example.test"
	w.start(name)
	w.until("the certificate", func() bool { return w.has(name) })
	key := w.state(name).TLSA[0]
	w.storage.refuseKeys(".crt")
	if err := w.acme.Renew(t.Context(), name, false); err == nil {
		t.Fatal("the full disk was not noticed")
	}
	w.stop()
	w.storage.refuseKeys("")
	w.start(name)
	w.until("the certificate after a restart", func() bool { return w.has(name) })
	if got := w.state(name).TLSA; !slices.Equal(got, []string{key}) {
		t.Errorf("the key is another one: %q", got)
	}
}

// TestACMEFaults: whatever the authority does, what is served stays, and people are told.
func TestACMEFaults(t *testing.T) {
	const name, bad = "mail.example.test", "bad.example.test"
	for _, c := range []struct {
		fault, on, want string
		h               http.HandlerFunc
	}{
		{"refuses", "new-order", "gives no certificates for this name: not you", func(w http.ResponseWriter, _ *http.Request) {
			acmetest.Problem(w, 403, "rejectedIdentifier", "not you")
		}},
		{"refuses the account", "new-account", "does not take the address in acme_email", func(w http.ResponseWriter, _ *http.Request) {
			acmetest.Problem(w, 400, "invalidContact", "no")
		}},
		{"limits", "new-order", "wants us to wait: too many", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7200")
			acmetest.Problem(w, 429, "rateLimited", "too many")
		}},
		{"nonsense", "new-order", "invalid character", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "<html>\x1b[31m", strings.Repeat("x", 1<<20))
		}},
		{"another page", "authz", "HTTP 200|Content-Type", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<html>hello</html>")
		}},
		{"an endless certificate", "cert", "certificate", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/pem-certificate-chain")
			for range 1000 {
				w.Write(bytes.Repeat([]byte("x"), 1<<10))
			}
		}},
		{"another's certificate", "cert", "another key", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/pem-certificate-chain")
			w.Write(strangersCertificate)
		}},
		{"hangs up", "finalize", "EOF|closed|reset", func(w http.ResponseWriter, _ *http.Request) {
			panic(http.ErrAbortHandler)
		}},
		{"an empty directory", "directory", "directory", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "{}")
		}},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, acmetest.Options{})
			if c.on == "new-account" || c.on == "directory" {
				w.authority.Fail(c.on, c.h)
				w.start(bad)
			} else {
				w.start(name)
				w.until("the first certificate", func() bool { return w.has(name) })
				w.authority.Fail(c.on, c.h)
				if err := w.acme.SetNames(t.Context(), name, bad); err != nil {
					t.Fatal(err)
				}
			}
			w.until("the error", func() bool { return w.state(bad).Error != "" })
			s := w.state(bad)
			if !slices.ContainsFunc(strings.Split(c.want, "|"), func(want string) bool { return strings.Contains(s.Error, want) }) {
				t.Errorf("told %q, want %q", s.Error, c.want)
			}
			if len([]rune(s.Error)) > maxWords+1 || strings.ContainsAny(s.Error, "\x1b\n") {
				t.Errorf("told %q", s.Error)
			}
			pause := s.NextTry.Sub(s.Tried)
			if want := map[string]time.Duration{"limits": 2 * time.Hour}[c.fault]; pause != max(want, retries[0]) {
				t.Errorf("tried again after %v", pause)
			}
			if c.fault == "limits" {
				if err := w.acme.Renew(t.Context(), bad, false); err == nil || !strings.Contains(err.Error(), "left alone until") {
					t.Errorf("a renewal by hand: %v", err)
				}
			}
			if c.on != "new-account" && c.on != "directory" && !w.has(name) {
				t.Error("the other name's certificate is gone")
			}
			w.authority.Fail(c.on, nil)
			if c.fault != "limits" {
				if err := w.acme.Renew(t.Context(), bad, false); err != nil || !w.has(bad) {
					t.Errorf("when it is over: %v", err)
				}
			}
			w.noKeysInLog()
		})
	}
}

// strangersCertificate is for a key that nobody here has.
var strangersCertificate = func() []byte {
	key, err := newKey()
	if err != nil {
		panic(err)
	}
	template, err := serverTemplate([]string{"bad.example.test"}, time.Now())
	if err != nil {
		panic(err)
	}
	cert, err := signCert(template, template, key, key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}()

// TestACMEStalls: an authority that does not answer holds nothing up, neither other names nor the server's end.
func TestACMEStalls(t *testing.T) {
	w := newWorld(t, acmetest.Options{})
	w.options.RequestTime = time.Hour // who waits for the answer is not there in time
	stalled, release := make(chan struct{}, 10), make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.start("mail.example.test")
	w.until("the first certificate", func() bool { return w.has("mail.example.test") })
	w.authority.Fail("authz", func(http.ResponseWriter, *http.Request) {
		stalled <- struct{}{}
		<-release
	})
	if err := w.acme.SetNames(t.Context(), "mail.example.test", "stalls.example.test"); err != nil {
		t.Fatal(err)
	}
	<-stalled
	w.authority.Fail("authz", nil)
	if err := w.acme.SetNames(t.Context(), "mail.example.test", "stalls.example.test", "goes.example.test"); err != nil {
		t.Fatal(err)
	}
	w.until("the other name's certificate", func() bool { return w.has("goes.example.test") })
	stopped := make(chan struct{})
	go func() {
		w.stop()
		close(stopped)
	}()
	w.until("the server's end", func() bool {
		select {
		case <-stopped:
			return true
		default:
			return false
		}
	})
	if s := w.state("stalls.example.test"); s.Error != "" {
		t.Errorf("the server's own end counts as a failure: %q", s.Error)
	}
}

// TestACMEAsksOnlyForNamesThatLeadHere, and for those at once that do.
func TestACMEAsksOnlyForNamesThatLeadHere(t *testing.T) {
	w := newWorld(t, acmetest.Options{})
	w.options.Here = func(_ context.Context, name string) error {
		if name == "away.example.test" {
			return fmt.Errorf("%w: it is far\x00 away", ErrNotHere)
		}
		return nil
	}
	w.start("away.example.test", "here.example.test")
	w.until("the certificate", func() bool { return w.has("here.example.test") })
	w.until("the reason", func() bool { return w.state("away.example.test").Addresses != "" })
	if s := w.state("away.example.test"); s.Addresses != "the name does not lead here: it is far away" || s.Error != "" || s.Issuer != "" {
		t.Errorf("%+v", s)
	}
	if n := w.authority.Asked("new-order"); n != 1 {
		t.Errorf("%d orders", n)
	}
	if w.served("") != nil {
		t.Error("the first name has no certificate, but one is shown for it")
	}
}

// TestACMEOutOfDate: a certificate that has expired is served until there is a better one, and an authority that gives nothing else
// is not asked over and over again.
func TestACMEOutOfDate(t *testing.T) {
	w := newWorld(t, acmetest.Options{Life: -time.Second})
	const name = "mail.example.test"
	w.start(name)
	w.until("the certificate", func() bool { return w.has(name) })
	if leaf := w.served(name); leaf.NotAfter.After(time.Now()) {
		t.Fatalf("it is good until %v", leaf.NotAfter)
	}
	if err := w.acme.Renew(t.Context(), name, false); err != nil || !w.has(name) {
		t.Error(err)
	}
	if err := w.acme.Renew(t.Context(), name, false); err != nil { // takes its turn after what the worker wanted to do
		t.Error(err)
	}
	if n := w.authority.Asked("new-order"); n != 3 {
		t.Errorf("%d orders", n)
	}
}

func TestACMEForgottenAccount(t *testing.T) {
	w := newWorld(t, acmetest.Options{})
	w.start("mail.example.test")
	w.until("the certificate", func() bool { return w.has("mail.example.test") })
	w.authority.ForgetAccounts()
	if err := w.acme.Renew(t.Context(), "mail.example.test", false); err != nil || w.authority.Asked("new-account") != 2 {
		t.Errorf("%v, %d accounts", err, w.authority.Asked("new-account"))
	}
	w.stop()
	w.options.Email = "other@example.test"
	w.start("mail.example.test")
	if err := w.acme.Renew(t.Context(), "mail.example.test", false); err != nil || w.authority.Asked("account") != 1 {
		t.Errorf("the new contact: %v, %d", err, w.authority.Asked("account"))
	}
}

// TestACMEBackOffOutlastsRestarts: a server that is started over and over again does not use up the authority's patience.
func TestACMEBackOffOutlastsRestarts(t *testing.T) {
	w := newWorld(t, acmetest.Options{Validate: func(string, string, string) error { return errors.New("wrong answer") }, Challenges: []string{"http-01"}})
	w.start("mail.example.test")
	w.until("the error", func() bool { return w.state("mail.example.test").Error != "" })
	if got := w.state("mail.example.test").Error; !strings.Contains(got, "did not give our answer") || !strings.Contains(got, "wrong answer") {
		t.Errorf("told %q", got)
	}
	orders := w.authority.Asked("new-order")
	before := w.state("mail.example.test")
	for range 3 {
		w.stop()
		w.start("mail.example.test")
	}
	if after := w.state("mail.example.test"); !after.NextTry.Equal(before.NextTry) || after.Error != before.Error {
		t.Errorf("%+v, before %+v", after, before)
	}
	w.stop()
	if n := w.authority.Asked("new-order"); n != orders {
		t.Errorf("%d orders after %d", n, orders)
	}
}

func TestNewACMERefuses(t *testing.T) {
	good := ACMEOptions{Storage: newMemory(), Email: "a@b.test", HTTP: true}
	for _, c := range []struct {
		name   string
		change func(*ACMEOptions)
		want   string
	}{
		{"no contact", func(o *ACMEOptions) { o.Email = "" }, "e-mail"},
		{"no storage", func(o *ACMEOptions) { o.Storage = nil }, "storage"},
		{"no https", func(o *ACMEOptions) { o.Directory = "http://ca.test/dir" }, "https URL"},
		{"no challenge", func(o *ACMEOptions) { o.HTTP = false }, "no challenge"},
	} {
		o := good
		c.change(&o)
		if _, err := NewACME(t.Context(), o, "a.test"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := NewACME(t.Context(), good); err != nil {
		t.Error(err)
	}
}
