package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func openSelfSigned(t *testing.T, dir string, o Options, names ...string) *tls.Certificate {
	t.Helper()
	s, err := SelfSigned(dir, names, o)
	if err != nil {
		t.Fatal(err)
	}
	return certificate(t, s)
}

func sameKey(a, b *tls.Certificate) bool {
	return a.PrivateKey.(*ecdsa.PrivateKey).Equal(b.PrivateKey)
}

func TestSelfSignedStaysTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	c := newClock()
	o := Options{Now: c.Now}
	first := openSelfSigned(t, dir, o, "mail.example.test", "127.0.0.1")
	if got := modeOf(t, dir); got != 0o700 {
		t.Errorf("folder has mode %v", got)
	}
	mustNotBeReadable(t, filepath.Join(dir, selfSignedCert))
	mustNotBeReadable(t, filepath.Join(dir, selfSignedKey))
	for _, c := range []struct {
		name    string
		names   []string
		keep    bool
		advance time.Duration
	}{
		{"restart", []string{"mail.example.test", "127.0.0.1"}, true, 0},
		{"fewer names", []string{"127.0.0.1"}, true, 0},
		{"other spelling", []string{"MAIL.Example.test."}, true, 0},
		{"another name", []string{"mail.example.test", "other.example"}, false, 0},
		{"near its end", []string{"mail.example.test"}, false, leafLifetime - renewBefore},
		{"a clock before its time", []string{"mail.example.test"}, false, -10 * leafLifetime},
	} {
		newNow := Options{Now: func() time.Time { return o.Now().Add(c.advance) }}
		before := openSelfSigned(t, dir, o, "mail.example.test")
		got := openSelfSigned(t, dir, newNow, c.names...)
		if !sameKey(got, first) {
			t.Errorf("%s: another key", c.name)
		}
		if kept := bytes.Equal(got.Certificate[0], before.Certificate[0]); kept != c.keep {
			t.Errorf("%s: same certificate %v, want %v", c.name, kept, c.keep)
		}
		if !inTime(got.Leaf, newNow.Now()) {
			t.Errorf("%s: from %v to %v", c.name, got.Leaf.NotBefore, got.Leaf.NotAfter)
		}
	}
}

// TestSelfSignedAfterACrash: whatever is missing or torn is made anew, but never
// a key that is there and cannot be read.
func TestSelfSignedAfterACrash(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(t *testing.T, cert, key string)
		newKey bool
		fails  bool
	}{
		{"no certificate", func(t *testing.T, cert, _ string) { os.Remove(cert) }, false, false},
		{"torn certificate", func(t *testing.T, cert, _ string) { os.Truncate(cert, 50) }, false, false},
		{"left-over file", func(t *testing.T, cert, _ string) { os.WriteFile(cert+".tmp", []byte("x"), 0o666); os.Remove(cert) }, false, false},
		{"no key", func(t *testing.T, _, key string) { os.Remove(key) }, true, false},
		{"torn key", func(t *testing.T, _, key string) { os.Truncate(key, 50) }, false, true},
		{"no key in the key file", func(t *testing.T, cert, key string) { b, _ := os.ReadFile(cert); os.WriteFile(key, b, 0o600) }, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			before := openSelfSigned(t, dir, Options{}, "a.example")
			c.spoil(t, filepath.Join(dir, selfSignedCert), filepath.Join(dir, selfSignedKey))
			s, err := SelfSigned(dir, []string{"a.example"}, Options{})
			if (err != nil) != c.fails {
				t.Fatalf("error %v", err)
			}
			if c.fails {
				return
			}
			got := certificate(t, s)
			if sameKey(got, before) == c.newKey {
				t.Errorf("new key %v, want %v", !sameKey(got, before), c.newKey)
			}
			if bytes.Equal(got.Certificate[0], before.Certificate[0]) {
				t.Error("the certificate was not made anew")
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			mustNotBeReadable(t, filepath.Join(dir, selfSignedCert))
		})
	}
}

func TestSelfSignedServes(t *testing.T) {
	s, err := SelfSigned(t.TempDir(), append(LoopbackNames(), DomainNames("example.test")...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, s).Leaf)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "example.test", "mail.example.test", "mta-sts.example.test"} {
		if _, err, _ := shake(t, Config(s, IMAP), &tls.Config{RootCAs: roots, ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLocalCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "local")
	ca, err := LocalCA(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := modeOf(t, dir); got != 0o700 {
		t.Errorf("folder has mode %v", got)
	}
	mustNotBeReadable(t, filepath.Join(dir, caKey))
	if got := modeOf(t, filepath.Join(dir, caCert)); got != 0o644 {
		t.Errorf("ca.pem has mode %v", got)
	}
	made, err := os.ReadFile(filepath.Join(dir, caCert))
	if err != nil {
		t.Fatal(err)
	}
	// What a client has from ca.pem must verify the leaf of a later start.
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(made) {
		t.Fatal("ca.pem holds no certificate")
	}
	again, err := LocalCA(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := os.ReadFile(filepath.Join(dir, caCert)); !bytes.Equal(made, now) {
		t.Error("ca.pem was made twice")
	}
	for _, ca := range []*CA{ca, again} {
		leaf := newLeaf(t, ca, append(LoopbackNames(), DomainNames("example.test")...)...)
		for _, name := range append(LoopbackNames(), "example.test", "mail.example.test", "autoconfig.example.test", "autodiscover.example.test", "ua-auto-config.example.test", "mta-sts.example.test") {
			if _, err, _ := shake(t, Config(leaf, SMTP), &tls.Config{RootCAs: roots, ServerName: name}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err, _ := shake(t, Config(leaf, SMTP), &tls.Config{RootCAs: roots, ServerName: "other.example"}); err == nil {
			t.Error("a certificate for a name that nobody gave")
		}
	}
}

func TestLocalCAIsRenewedForItsKey(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	old, err := LocalCA(dir, Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	c.add(caLifetime - renewBefore)
	ca, err := LocalCA(dir, Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	leaf := certificate(t, newLeaf(t, ca, "a.example")).Leaf
	if ca.pair.cert.Equal(old.pair.cert) {
		t.Error("the authority was not renewed")
	}
	for _, roots := range []*x509.CertPool{old.Pool(), ca.Pool()} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "a.example", CurrentTime: c.Now()}); err != nil {
			t.Error(err)
		}
	}
}

// TestLeafEndsWithItsCA: a client would refuse a leaf beyond the authority's end,
// and a renewal that cannot last longer is not tried at each handshake.
func TestLeafEndsWithItsCA(t *testing.T) {
	c := newClock()
	ca := newCA(t, Options{Now: c.Now})
	leaf := newLeaf(t, ca, "a.example")
	c.add(caLifetime - renewBefore)
	first := certificate(t, leaf)
	if !first.Leaf.NotAfter.Equal(ca.pair.cert.NotAfter) {
		t.Errorf("the leaf ends %v, its CA %v", first.Leaf.NotAfter, ca.pair.cert.NotAfter)
	}
	if certificate(t, leaf) != first {
		t.Error("tried again at once")
	}
	c.add(retryAfter)
	if certificate(t, leaf) == first {
		t.Error("not tried again after an hour")
	}
}

func TestLeafIsRenewedWhileServing(t *testing.T) {
	c := newClock()
	leaf := newLeaf(t, newCA(t, Options{Now: c.Now}), "a.example")
	first := certificate(t, leaf)
	c.add(leafLifetime - renewBefore - 2*time.Hour)
	if certificate(t, leaf) != first {
		t.Error("renewed too early")
	}
	c.add(2 * time.Hour)
	second := certificate(t, leaf)
	if second == first || !inTime(second.Leaf, c.Now()) {
		t.Errorf("not renewed: ends %v, now %v", second.Leaf.NotAfter, c.Now())
	}
}

func TestRenewalThatFailsKeepsTheOld(t *testing.T) {
	c := newClock()
	var log logLines
	ca := newCA(t, Options{Now: c.Now, Logger: log.logger()})
	leaf := newLeaf(t, ca, "a.example")
	first := certificate(t, leaf)
	works := leaf.issue
	leaf.issue = func([]string, time.Time) (*tls.Certificate, error) { return nil, errors.New("disk full") }
	if err := leaf.SetNames("b.example"); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("SetNames: %v", err)
	}
	c.add(leafLifetime)
	for range 3 {
		if certificate(t, leaf) != first {
			t.Error("the old certificate is gone")
		}
	}
	if n := log.count("disk full"); n != 1 {
		t.Errorf("%d complaints within an hour, want 1", n)
	}
	leaf.issue = works
	c.add(retryAfter)
	if got := certificate(t, leaf); got == first || nameOf(got) != "a.example" {
		t.Error("not renewed after the failure was gone")
	}
}

func TestSetNames(t *testing.T) {
	var log logLines
	leaf := newLeaf(t, newCA(t, Options{Logger: log.logger()}), "b\u00fccher.example", "B\u00dcCHER.example.", "::0001", "127.0.0.1")
	first := certificate(t, leaf)
	if got := first.Leaf.DNSNames; !slices.Equal(got, []string{"xn--bcher-kva.example"}) {
		t.Errorf("names: %q", got)
	}
	if got := fmt.Sprint(first.Leaf.IPAddresses); got != "[::1 127.0.0.1]" {
		t.Errorf("addresses: %s", got)
	}
	if err := leaf.SetNames("127.0.0.1", "xn--bcher-kva.example"); err != nil || certificate(t, leaf) != first {
		t.Errorf("the same names made another certificate (error %v)", err)
	}
	for _, bad := range [][]string{nil, {""}, {"."}, {"a b.example"}, {"*.example\r\n", "-a.example", "a_b.example"}} {
		if err := leaf.SetNames(bad...); err == nil {
			t.Errorf("%q accepted", bad)
		}
		if certificate(t, leaf) != first {
			t.Errorf("%q changed the certificate", bad)
		}
	}
	// One domain that is odd takes nothing from the others; one that IDNA does not
	// like is none.
	long := strings.Repeat("a.", 125) + "example"
	if err := leaf.SetNames("a b.example", "AB--CD.example", "xn--zzzzzz.example", long); err != nil {
		t.Error(err)
	}
	if got := certificate(t, leaf).Leaf.DNSNames; !slices.Equal(got, []string{"ab--cd.example", "xn--zzzzzz.example"}) || log.count("left out of") != 2 {
		t.Errorf("names %q, log %q", got, log.lines)
	}
	many := make([]string, maxNames+7)
	for i := range many {
		many[i] = fmt.Sprintf("n%d.example", i)
	}
	if err := leaf.SetNames(many...); err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, leaf)
	if len(cert.Leaf.DNSNames) != maxNames || log.count("left_out=7") != 1 {
		t.Errorf("%d names, log %q", len(cert.Leaf.DNSNames), log.lines)
	}
	if _, err, _ := shake(t, Config(leaf, SMTP), &tls.Config{ServerName: "n0.example", InsecureSkipVerify: true}); err != nil {
		t.Errorf("handshake with %d names: %v", maxNames, err)
	}
	long = strings.Repeat("a", 60) + ".example"
	if err := leaf.SetNames(long); err != nil || certificate(t, leaf).Leaf.Subject.CommonName != "" {
		t.Errorf("a name too long for a common name: %v", err)
	}
}

// TestTermOfCertificates: Apple refuses server certificates of more than 825 days.
func TestTermOfCertificates(t *testing.T) {
	leaf := certificate(t, newLeaf(t, newCA(t, Options{}), "a.example")).Leaf
	if term := leaf.NotAfter.Sub(leaf.NotBefore); term > 825*24*time.Hour {
		t.Errorf("good for %v", term)
	}
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("CA %v, usage %v", leaf.IsCA, leaf.KeyUsage)
	}
}

func BenchmarkIssuedGetCertificate(b *testing.B) {
	leaf := newLeaf(b, newCA(b, Options{}), "a.example")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := leaf.GetCertificate(nil); err != nil {
			b.Fatal(err)
		}
	}
}
