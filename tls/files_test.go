package tls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// operator plays the operator: it writes pairs of files whose time is the
// clock's.
type operator struct {
	t         *testing.T
	ca        *CA
	clock     *clock
	cert, key string
}

func newOperator(t *testing.T) *operator {
	c := newClock()
	dir := t.TempDir()
	return &operator{t: t, ca: newCA(t, Options{}), clock: c, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
}

// pair is a new certificate in PEM form.
func (o *operator) pair(name string) (cert, key []byte) {
	o.t.Helper()
	c := certificate(o.t, newLeaf(o.t, o.ca, name))
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		o.t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (o *operator) write(file string, data []byte) {
	o.t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Chtimes(file, o.clock.Now(), o.clock.Now()); err != nil {
		o.t.Fatal(err)
	}
}

func (o *operator) install(name string) {
	o.t.Helper()
	cert, key := o.pair(name)
	o.write(o.cert, cert)
	o.write(o.key, key)
}

func nameOf(cert *tls.Certificate) string { return cert.Leaf.DNSNames[0] }

// TestFilesThatHang: files on a disk that does not answer hold up the handshake
// that looks at them, and no other.
func TestFilesThatHang(t *testing.T) {
	o := newOperator(t)
	o.install("a.example")
	f := NewFiles(o.cert, o.key, Options{Now: o.clock.Now})
	if err := os.Remove(o.key); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(o.key, 0o600); err != nil { // reading it waits for a writer
		t.Fatal(err)
	}
	o.clock.add(time.Minute)
	var looks sync.WaitGroup
	looks.Go(func() { f.GetCertificate(nil) })
	key, err := os.OpenFile(o.key, os.O_WRONLY, 0) // returns when somebody reads
	if err != nil {
		t.Fatal(err)
	}
	if got := nameOf(certificate(t, f)); got != "a.example" {
		t.Errorf("certificate of %s", got)
	}
	key.Close()
	looks.Wait()
}

func TestFilesFollowTheOperator(t *testing.T) {
	o := newOperator(t)
	o.install("one.example")
	var log logLines
	f := NewFiles(o.cert, o.key, Options{Logger: log.logger(), Now: o.clock.Now})
	first := certificate(t, f)
	if nameOf(first) != "one.example" {
		t.Fatalf("first certificate is for %s", nameOf(first))
	}

	o.install("two.example")
	if certificate(t, f) != first {
		t.Error("the files were looked at again within a second")
	}
	o.clock.add(recheckAfter)
	if got := nameOf(certificate(t, f)); got != "two.example" {
		t.Errorf("after the change: %s", got)
	}
	second := certificate(t, f)
	for range 5 {
		o.clock.add(recheckAfter)
		certificate(t, f)
	}
	if got := certificate(t, f); got != second {
		t.Error("an unchanged pair was made current anew")
	}
	if n := log.count("certificate loaded"); n != 2 {
		t.Errorf("%d certificates loaded, want 2: %q", n, log.lines)
	}
	// A clock that is set back must not stop the looking.
	o.clock.add(-time.Hour)
	o.install("three.example")
	if got := nameOf(certificate(t, f)); got != "three.example" {
		t.Errorf("after the clock was set back: %s", got)
	}
}

// TestFilesSeeAWriteWithinTheSameTick: the second pair has the time and the size
// of the first, so nothing but the age of the files says that they may have
// changed.
func TestFilesSeeAWriteWithinTheSameTick(t *testing.T) {
	o := newOperator(t)
	cert, key := o.pair("one.example")
	o.write(o.cert, cert)
	o.write(o.key, key)
	f := NewFiles(o.cert, o.key, Options{Now: o.clock.Now})
	if got := nameOf(certificate(t, f)); got != "one.example" {
		t.Fatalf("first certificate is for %s", got)
	}
	next, nextKey := o.pair("two.example")
	for len(next) != len(cert) || len(nextKey) != len(key) {
		next, nextKey = o.pair("two.example") // signatures differ in length by an octet or two
	}
	o.write(o.cert, next)
	o.write(o.key, nextKey)
	o.clock.add(recheckAfter)
	if got := nameOf(certificate(t, f)); got != "two.example" {
		t.Errorf("after the change: %s", got)
	}
}

func TestFilesAreUnsettledWhileYoung(t *testing.T) {
	o := newOperator(t)
	o.install("one.example")
	f := NewFiles(o.cert, o.key, Options{Now: o.clock.Now})
	if f.loaded != nil {
		t.Error("a pair written in this moment is taken for settled")
	}
	o.clock.add(settleTime + time.Second)
	certificate(t, f)
	if f.loaded == nil {
		t.Error("an old pair is read for ever")
	}
}

func TestFilesKeepTheOldPair(t *testing.T) {
	o := newOperator(t)
	for _, c := range []struct {
		name  string
		spoil func()
	}{
		{"the certificate comes before its key", func() { cert, _ := o.pair("new.example"); o.write(o.cert, cert) }},
		{"half a file", func() { cert, _ := o.pair("new.example"); o.write(o.cert, cert[:100]) }},
		{"empty key", func() { o.write(o.key, nil) }},
		{"no certificate", func() { os.Remove(o.cert) }},
		{"no key", func() { os.Remove(o.key) }},
		{"a folder", func() { os.Remove(o.key); os.Mkdir(o.key, 0o700) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			os.Remove(o.key)
			o.install("old.example")
			var log logLines
			f := NewFiles(o.cert, o.key, Options{Logger: log.logger(), Now: o.clock.Now})
			old := certificate(t, f)
			c.spoil()
			for range 4 {
				o.clock.add(recheckAfter)
				if certificate(t, f) != old {
					t.Fatal("the old pair is gone")
				}
			}
			if n := log.count("cannot be used"); n != 1 {
				t.Errorf("%d complaints, want 1: %q", n, log.lines)
			}
			os.Remove(o.key)
			o.install("mended.example")
			o.clock.add(recheckAfter)
			if got := nameOf(certificate(t, f)); got != "mended.example" {
				t.Errorf("after mending: %s", got)
			}
		})
	}
}

func TestFilesThatComeLater(t *testing.T) {
	o := newOperator(t)
	f := NewFiles(o.cert, o.key, Options{Now: o.clock.Now})
	if _, err := f.GetCertificate(nil); !errors.Is(err, ErrNoCertificate) {
		t.Fatalf("without files: %v", err)
	}
	o.install("late.example")
	o.clock.add(recheckAfter)
	if got := nameOf(certificate(t, f)); got != "late.example" {
		t.Errorf("got %s", got)
	}
}

func TestFilesSayThatTheyAreOutOfDate(t *testing.T) {
	o := newOperator(t)
	o.install("old.example")
	o.clock.add(leafLifetime + time.Hour)
	var log logLines
	f := NewFiles(o.cert, o.key, Options{Logger: log.logger(), Now: o.clock.Now})
	certificate(t, f)
	if log.count("out of date") != 1 {
		t.Errorf("log: %q", log.lines)
	}
}

func BenchmarkFilesGetCertificate(b *testing.B) {
	dir := b.TempDir()
	if _, err := SelfSigned(dir, []string{"a.example"}, Options{}); err != nil {
		b.Fatal(err)
	}
	f := NewFiles(filepath.Join(dir, selfSignedCert), filepath.Join(dir, selfSignedKey), Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.GetCertificate(nil); err != nil {
			b.Fatal(err)
		}
	}
}
