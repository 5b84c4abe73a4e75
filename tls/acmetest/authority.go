// Package acmetest is a certificate authority for tests: it speaks ACME (RFC 8555) on a loopback
// address, believes what it is told, and fails on demand.
package acmetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options are how an authority behaves. The zero value gives certificates of 90 days to everybody.
type Options struct {
	// Challenges are offered for every name. None = http-01 and tls-alpn-01.
	Challenges []string
	// Validate looks whether a name's challenge is answered; text is without the account's part. nil = it is.
	Validate func(kind, name, token string) error
	// Life of certificates. 0 = 90 days.
	Life time.Duration
	// EABKeyID that an account has to come with; "" = none.
	EABKeyID string
	// Window is in which certificates are to be renewed, as RFC 9773 tells; nil = that is not told.
	Window func(leaf *x509.Certificate) (start, end time.Time)
}

// Authority is a running one.
type Authority struct {
	o      Options
	server *httptest.Server
	key    *ecdsa.PrivateKey
	root   *x509.Certificate

	mu       sync.Mutex
	serial   int64
	asked    map[string]int // requests by the first part of their path
	orders   []*order
	accounts int
	faults   map[string]http.HandlerFunc
}

type order struct {
	name, status string
	replaces     string
	chain        []byte
	leaf         *x509.Certificate
}

// New starts an authority; the test's end stops it.
func New(tb testing.TB, o Options) *Authority {
	tb.Helper()
	if len(o.Challenges) == 0 {
		o.Challenges = []string{"http-01", "tls-alpn-01"}
	}
	if o.Life == 0 {
		o.Life = 90 * 24 * time.Hour
	}
	a := &Authority{o: o, asked: map[string]int{}, faults: map[string]http.HandlerFunc{}}
	if err := a.found(); err != nil {
		tb.Fatal(err)
	}
	a.server = httptest.NewUnstartedServer(a)
	a.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.server.StartTLS()
	tb.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
	})
	return a
}

// found makes the authority's own key and certificate.
func (a *Authority) found() (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root of Tests", Organization: []string{"ACME Tests"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, a.key.Public(), a.key)
	if err != nil {
		return err
	}
	a.root, err = x509.ParseCertificate(der)
	return err
}

// Directory is the URL to begin with.
func (a *Authority) Directory() string { return a.server.URL + "/directory" }

// ServerRoots trust the authority's own server.
func (a *Authority) ServerRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.server.Certificate())
	return pool
}

// ServerPEM is that certificate in PEM form.
func (a *Authority) ServerPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
}

// Roots trust what the authority signs.
func (a *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// Asked is how many requests came for a thing: directory, new-order, finalize …
func (a *Authority) Asked(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[what]
}

// Replaced reports whether an order said that it replaces a certificate (RFC 9773 section 5).
func (a *Authority) Replaced(leaf *x509.Certificate) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := base64.RawURLEncoding.EncodeToString(leaf.AuthorityKeyId) + "." + base64.RawURLEncoding.EncodeToString(leaf.SerialNumber.Bytes())
	return slices.ContainsFunc(a.orders, func(o *order) bool { return o.replaces == id })
}

// Fail has requests for a thing answered by h instead; nil ends that.
func (a *Authority) Fail(what string, h http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults[what] = h
}

// ForgetAccounts has no account known any more.
func (a *Authority) ForgetAccounts() {
	a.Fail("new-order", func(w http.ResponseWriter, r *http.Request) {
		a.Fail("new-order", nil)
		Problem(w, 400, "accountDoesNotExist", "who are you?")
	})
}

// Problem answers with one of RFC 8555 section 6.7.
func Problem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": status})
}

// ServeHTTP answers a request.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	a.mu.Lock()
	a.asked[what]++
	a.serial++
	fault := a.faults[what]
	w.Header().Set("Replay-Nonce", fmt.Sprint("nonce", a.serial))
	a.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	var payload []byte
	if r.Method == http.MethodPost {
		var err error
		if payload, err = readPayload(r.Body); err != nil {
			Problem(w, 400, "malformed", err.Error())
			return
		}
	}
	switch what {
	case "directory":
		a.answerDirectory(w)
	case "new-nonce":
	case "new-account":
		a.newAccount(w, payload)
	case "account":
		answer(w, 200, map[string]any{"status": "valid"})
	case "new-order":
		a.newOrder(w, payload)
	case "renewal":
		a.answerRenewal(w, rest)
	default:
		a.serveOrder(w, what, rest, payload)
	}
}

// readPayload takes the payload out of a JWS, whose signature is nobody's business here.
func readPayload(r io.Reader) ([]byte, error) {
	var jws struct{ Payload string }
	if err := json.NewDecoder(r).Decode(&jws); err != nil {
		return nil, err
	}
	return base64.RawURLEncoding.DecodeString(jws.Payload)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (a *Authority) url(what string) string { return a.server.URL + "/" + what }

func (a *Authority) answerDirectory(w http.ResponseWriter) {
	d := map[string]any{"newNonce": a.url("new-nonce"), "newAccount": a.url("new-account"), "newOrder": a.url("new-order")}
	if a.o.Window != nil {
		d["renewalInfo"] = a.url("renewal")
	}
	answer(w, 200, d)
}

func (a *Authority) newAccount(w http.ResponseWriter, payload []byte) {
	var p struct {
		TermsOfServiceAgreed   bool
		Contact                []string
		ExternalAccountBinding struct{ Protected string }
	}
	if json.Unmarshal(payload, &p) != nil || !p.TermsOfServiceAgreed || len(p.Contact) != 1 {
		Problem(w, 400, "userActionRequired", "the terms are not agreed to, or there is no contact")
		return
	}
	if a.o.EABKeyID != "" {
		protected, err := base64.RawURLEncoding.DecodeString(p.ExternalAccountBinding.Protected)
		if err != nil || !strings.Contains(string(protected), `"`+a.o.EABKeyID+`"`) {
			Problem(w, 403, "externalAccountRequired", "come with an account")
			return
		}
	}
	a.mu.Lock()
	a.accounts++
	w.Header().Set("Location", a.server.URL+fmt.Sprintf("/account/%d", a.accounts))
	a.mu.Unlock()
	answer(w, 201, map[string]any{"status": "valid", "contact": p.Contact})
}

func (a *Authority) newOrder(w http.ResponseWriter, payload []byte) {
	var p struct {
		Identifiers []struct{ Value string }
		Replaces    string
	}
	if json.Unmarshal(payload, &p) != nil || len(p.Identifiers) != 1 {
		Problem(w, 400, "malformed", "one name, please")
		return
	}
	a.mu.Lock()
	a.orders = append(a.orders, &order{name: p.Identifiers[0].Value, status: "pending", replaces: p.Replaces})
	n := len(a.orders) - 1
	o := *a.orders[n]
	a.mu.Unlock()
	w.Header().Set("Location", a.orderURL("order", n))
	answer(w, 201, a.describe(n, o))
}

func (a *Authority) orderURL(what string, n int) string {
	return fmt.Sprintf("%s/%s/%d", a.server.URL, what, n)
}

func (a *Authority) describe(n int, o order) map[string]any {
	d := map[string]any{
		"status": o.status, "identifiers": []any{map[string]string{"type": "dns", "value": o.name}},
		"authorizations": []string{a.orderURL("authz", n)}, "finalize": a.orderURL("finalize", n),
	}
	if o.status == "valid" {
		d["certificate"] = a.orderURL("cert", n)
	}
	return d
}

// serveOrder answers what is about one order.
func (a *Authority) serveOrder(w http.ResponseWriter, what, rest string, payload []byte) {
	var n int
	kind := path.Base(rest)
	if _, err := fmt.Sscan(strings.SplitN(rest, "/", 2)[0], &n); err != nil {
		Problem(w, 404, "malformed", "no such thing")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n < 0 || n >= len(a.orders) {
		Problem(w, 404, "malformed", "no such order")
		return
	}
	o := a.orders[n]
	switch what {
	case "order":
		answer(w, 200, a.describe(n, *o))
	case "authz":
		answer(w, 200, a.authorization(n, o))
	case "challenge":
		a.validate(n, o, kind)
		answer(w, 200, map[string]any{"type": kind, "status": "processing", "token": token(n), "url": a.orderURL("challenge", n) + "/" + kind})
	case "finalize":
		if err := a.sign(o, payload); err != nil {
			Problem(w, 400, "badCSR", err.Error())
			return
		}
		w.Header().Set("Location", a.orderURL("order", n))
		answer(w, 200, a.describe(n, *o))
	case "cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(o.chain)
	}
}

func token(n int) string { return fmt.Sprintf("token-%d", n) }

// authorization describes how a name is proven. The caller holds mu.
func (a *Authority) authorization(n int, o *order) map[string]any {
	status := map[string]string{"pending": "pending", "ready": "valid", "valid": "valid", "invalid": "invalid"}[o.status]
	var challenges []any
	for _, kind := range a.o.Challenges {
		c := map[string]any{"type": kind, "status": status, "token": token(n), "url": a.orderURL("challenge", n) + "/" + kind}
		if o.status == "invalid" {
			c["error"] = map[string]any{"type": "urn:ietf:params:acme:error:unauthorized", "detail": o.replaces, "status": 403}
		}
		challenges = append(challenges, c)
	}
	return map[string]any{"status": status, "identifier": map[string]string{"type": "dns", "value": o.name}, "challenges": challenges}
}

// validate looks whether a challenge is answered. The caller holds mu.
func (a *Authority) validate(n int, o *order, kind string) {
	o.status = "ready"
	if a.o.Validate == nil {
		return
	}
	if err := a.o.Validate(kind, o.name, token(n)); err != nil {
		o.status, o.replaces = "invalid", err.Error()
	}
}

// sign makes the certificate. The caller holds mu.
func (a *Authority) sign(o *order, payload []byte) error {
	var p struct{ CSR string }
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(p.CSR)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || o.status != "ready" {
		return errors.Join(err, errors.New(o.status))
	}
	a.serial++
	t := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial + 1000), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(a.o.Life),
		DNSNames: csr.DNSNames, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	sum := sha1.Sum(a.root.RawSubjectPublicKeyInfo)
	t.AuthorityKeyId = sum[:]
	leaf, err := x509.CreateCertificate(rand.Reader, t, a.root, csr.PublicKey, a.key)
	if err != nil {
		return err
	}
	if o.leaf, err = x509.ParseCertificate(leaf); err != nil {
		return err
	}
	o.status = "valid"
	o.chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})...)
	return nil
}

// answerRenewal tells when a certificate is to be renewed (RFC 9773 section 4.2).
func (a *Authority) answerRenewal(w http.ResponseWriter, id string) {
	_, serial, _ := strings.Cut(id, ".")
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.orders {
		if o.leaf == nil || base64.RawURLEncoding.EncodeToString(o.leaf.SerialNumber.Bytes()) != serial {
			continue
		}
		start, end := a.o.Window(o.leaf)
		w.Header().Set("Retry-After", "21600")
		answer(w, 200, map[string]any{"suggestedWindow": map[string]any{"start": start, "end": end}, "explanationURL": "https://authority.test/why"})
		return
	}
	Problem(w, 404, "malformed", "no such certificate")
}
