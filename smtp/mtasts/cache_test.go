package mtasts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// web is a domain with a policy, and the time that passes for it.
type web struct {
	t     *testing.T
	zone  *dnstest.Server
	store *mailbox.Store
	own   bool // the address of its web server is ours
	https *httptest.Server
	cert  *x509.Certificate
	asked atomic.Int32

	mu     sync.Mutex
	answer http.HandlerFunc
	now    time.Time
}

const policyText = "version: STSv1\nmode: %s\nmx: %s\nmax_age: %d\n"

func newWeb(t *testing.T) *web {
	w := &web{t: t, store: mailboxtest.NewStore(t), now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	w.zone = dnstest.New(t, "")
	w.announce("1")
	w.serve("enforce", "mx.example.test", 14)
	w.https = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		if r.Host != "mta-sts.example.test" || r.URL.Path != "/.well-known/mta-sts.txt" || r.Method != http.MethodGet {
			t.Errorf("asked for %s %s of %s", r.Method, r.URL, r.Host)
		}
		w.mu.Lock()
		answer := w.answer
		w.mu.Unlock()
		answer(rw, r)
	}))
	w.https.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.certify("mta-sts.example.test", w.now.AddDate(20, 0, 0))
	return w
}

// announce publishes the id of a policy; "" publishes none.
func (w *web) announce(id string) {
	zone := "example.test. 0 SOA ns. root. 1 3600 600 86400 0\nmta-sts.example.test. A 192.0.2.80\n"
	if id != "" {
		zone += `_mta-sts.example.test. 0 TXT "v=STSv1; id=` + id + `"` + "\n"
	}
	if err := w.zone.SetZone(zone); err != nil {
		w.t.Fatal(err)
	}
}

// serve gives out a policy that holds for some days.
func (w *web) serve(mode, mx string, days int) {
	w.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(rw, policyText, mode, mx, days*24*3600)
	})
}

func (w *web) answers(f http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func (w *web) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// certify starts the web server with a certificate for a name.
func (w *web) certify(name string, until time.Time) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.AddDate(-30, 0, 0), NotAfter: until, DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.cert, err = x509.ParseCertificate(der); err != nil {
		w.t.Fatal(err)
	}
	w.https.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	w.https.StartTLS()
	w.t.Cleanup(w.https.Close)
}

// open opens a cache with what is in the store.
func (w *web) open() *Cache {
	r, err := dns.New(dns.Options{Servers: []string{w.zone.Addr()}})
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.cert)
	c, err := Open(Options{
		Store: w.store, Resolver: r, Roots: roots,
		Own: func(a netip.Addr) bool { return w.own && a == netip.MustParseAddr("192.0.2.80") },
		Now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.now
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "192.0.2.80:443" {
				w.t.Errorf("dials %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, w.https.Listener.Addr().String())
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// holds checks what is found for the domain: "enforce mx.example.test", or "" for nothing.
func (w *web) holds(c *Cache, want string) {
	w.t.Helper()
	got := ""
	if f := c.For(w.t.Context(), "example.test"); f.Policy != nil {
		got = string(f.Policy.Mode) + " " + strings.Join(f.Policy.MX, " ")
	}
	if got != want {
		w.t.Errorf("found %q, want %q", got, want)
	}
}

const day = 24 * time.Hour

func TestPolicyIsFetchedOnce(t *testing.T) {
	w := newWeb(t)
	c := w.open()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { w.holds(c, "enforce mx.example.test") })
	}
	all.Wait()
	w.holds(c, "enforce mx.example.test")
	if n := w.asked.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestPolicySurvivesARestart(t *testing.T) {
	w := newWeb(t)
	w.holds(w.open(), "enforce mx.example.test")
	w.announce("")
	c := w.open()
	w.holds(c, "enforce mx.example.test")
	w.pass(14*day + time.Second)
	w.holds(c, "")
	if w.asked.Load() != 1 {
		t.Error("fetched without being announced")
	}
}

func TestPolicyFollowsItsID(t *testing.T) {
	w := newWeb(t)
	c := w.open()
	w.holds(c, "enforce mx.example.test")
	w.serve("testing", "*.example.test", 14)
	w.holds(c, "enforce mx.example.test")
	w.announce("2")
	w.holds(c, "testing *.example.test")
	w.serve("none", "*.example.test", 1)
	w.announce("3")
	w.holds(c, "")
	w.holds(w.open(), "")
}

// RFC 8461 section 3.3: a policy that holds is not put out of force by what keeps us from fetching.
func TestPolicyOutlastsFailures(t *testing.T) {
	w := newWeb(t)
	c := w.open()
	w.holds(c, "enforce mx.example.test")
	w.announce("2")
	w.answers(http.NotFound)
	w.holds(c, "enforce mx.example.test")
	w.zone.SetFault("_mta-sts.example.test", dnstest.Fault{ServFail: true})
	w.holds(c, "enforce mx.example.test")
}

func TestFetchThatFailedIsNotRepeatedAtOnce(t *testing.T) {
	w := newWeb(t)
	c := w.open()
	w.answers(http.NotFound)
	w.holds(c, "")
	w.serve("enforce", "mx.example.test", 14)
	w.holds(c, "")
	if n := w.asked.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	w.pass(pause)
	w.holds(c, "enforce mx.example.test")
}

func TestPolicyIsFetchedAnewEachDay(t *testing.T) {
	w := newWeb(t)
	c := w.open()
	w.holds(c, "enforce mx.example.test")
	w.pass(day - time.Second)
	c.sweep(t.Context())
	if n := w.asked.Load(); n != 1 {
		t.Fatalf("fetched %d times within a day", n)
	}
	w.pass(time.Second)
	w.announce("") // which is not what the policy says
	c.sweep(t.Context())
	w.pass(14*day - time.Second) // of the second one
	w.holds(c, "enforce mx.example.test")
	if n := w.asked.Load(); n != 2 {
		t.Errorf("fetched %d times", n)
	}
	w.answers(http.NotFound)
	c.sweep(t.Context())
	w.holds(c, "enforce mx.example.test")
	w.pass(2 * time.Second)
	c.sweep(t.Context())
	w.announce("1")
	w.holds(w.open(), "")
}

// Where no mail goes any more, nothing is asked for.
func TestPolicyThatIsNotUsedEnds(t *testing.T) {
	w := newWeb(t)
	w.serve("enforce", "mx.example.test", 300)
	c := w.open()
	w.holds(c, "enforce mx.example.test")
	w.pass(forget)
	c.sweep(t.Context())
	if n := w.asked.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	w.holds(c, "enforce mx.example.test")
	c.sweep(t.Context())
	if n := w.asked.Load(); n != 2 {
		t.Errorf("fetched %d times after mail", n)
	}
}

func TestFetchRefuses(t *testing.T) {
	text := func(kind, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", kind)
			fmt.Fprint(rw, body)
		}
	}
	good := fmt.Sprintf(policyText, "enforce", "mx.example.test", 1000)
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"not there":  {http.NotFound, "sts-policy-fetch-error"},
		"a redirect": {http.RedirectHandler("https://mta-sts.example.test/.well-known/mta-sts.txt?", http.StatusFound).ServeHTTP, "sts-policy-fetch-error"},
		"a web page": {text("text/html", good), "sts-policy-fetch-error"},
		"no type":    {text("", good), "sts-policy-fetch-error"},
		"hangs up":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "sts-policy-fetch-error"},
		"megabytes":  {text("text/plain", good+strings.Repeat("x: y\n", 1<<18)), "sts-policy-invalid"},
		"no policy":  {text("text/plain", "hello"), "sts-policy-invalid"},
		"a header of megabytes": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("X", strings.Repeat("y", 1<<20))
			text("text/plain", good)(rw, nil)
		}, "sts-policy-fetch-error"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t)
			w.answers(tt.answer)
			if f := w.open().For(t.Context(), "example.test"); f.Policy != nil || f.Result != tt.want || f.Err == nil {
				t.Errorf("found %+v", f)
			}
			if n := w.asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestFetchWantsACertificateForItsHost(t *testing.T) {
	for name, change := range map[string]func(*web){
		"another name":  func(w *web) { w.certify("example.test", w.now.AddDate(20, 0, 0)) },
		"past its time": func(w *web) { w.certify("mta-sts.example.test", time.Now().Add(-time.Hour)) },
		"no authority's": func(w *web) {
			cert := w.cert
			w.certify("mta-sts.example.test", w.now.AddDate(20, 0, 0))
			w.cert = cert
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t)
			w.https.Close()
			w.https = httptest.NewUnstartedServer(w.https.Config.Handler)
			w.https.Config.ErrorLog = log.New(io.Discard, "", 0)
			change(w)
			if f := w.open().For(t.Context(), "example.test"); f.Policy != nil || f.Result != "sts-webpki-invalid" {
				t.Errorf("found %+v", f)
			}
		})
	}
}

func TestFetchNotFromOurselves(t *testing.T) {
	w := newWeb(t)
	w.own = true
	if f := w.open().For(t.Context(), "example.test"); f.Policy != nil || f.Result != "sts-policy-fetch-error" || w.asked.Load() != 0 {
		t.Errorf("found %+v", f)
	}
}

// Without DNS nothing is looked for.
func TestNoResolver(t *testing.T) {
	r, err := dns.New(dns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(Options{Store: mailboxtest.NewStore(t), Resolver: r})
	if err != nil {
		t.Fatal(err)
	}
	if f := c.For(t.Context(), "example.test"); f != (Finding{}) {
		t.Errorf("found %+v", f)
	}
}

// The policy that ends first makes place.
func TestPlacesAreBounded(t *testing.T) {
	w := newWeb(t)
	c := w.open()
	for i := range maxKept {
		c.kept[fmt.Sprintf("d%d.test", i)] = kept{Policy: Policy{Mode: Enforce, MaxAge: time.Duration(i+1) * day}, Fetched: w.now}
	}
	w.holds(c, "enforce mx.example.test")
	if _, ok := c.kept["d0.test"]; ok || len(c.kept) != maxKept {
		t.Errorf("%d policies, the first is there: %v", len(c.kept), ok)
	}
}

// Run ends with its context.
func TestRunEnds(t *testing.T) {
	c := newWeb(t).open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Run(ctx)
}
