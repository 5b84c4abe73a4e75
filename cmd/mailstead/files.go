package main

import (
	cryptotls "crypto/tls"
	"sync/atomic"

	"mailstead/tls"
)

// operatorFiles is the source of the operator's certificate, whose files a reload may change. The zero value has none.
type operatorFiles struct{ now atomic.Pointer[tls.Files] }

// use takes the certificate from these files, or from none.
func (f *operatorFiles) use(certificate, key string, o tls.Options) {
	if certificate == "" {
		f.now.Store(nil)
		return
	}
	f.now.Store(tls.NewFiles(certificate, key, o))
}

// GetCertificate is tls.Source's.
func (f *operatorFiles) GetCertificate(hello *cryptotls.ClientHelloInfo) (*cryptotls.Certificate, error) {
	if files := f.now.Load(); files != nil {
		return files.GetCertificate(hello)
	}
	return nil, tls.ErrNoCertificate
}

// Covers reports whether there is a certificate for a name.
func (f *operatorFiles) Covers(name string) bool {
	files := f.now.Load()
	return files != nil && files.Covers(name)
}

// States tell of the certificate, by its names.
func (f *operatorFiles) States() []tls.State {
	if files := f.now.Load(); files != nil {
		return files.States()
	}
	return nil
}

// TLSA is the text of the TLSA record of its key; none without.
func (f *operatorFiles) TLSA() []string {
	if files := f.now.Load(); files != nil {
		return files.TLSA()
	}
	return nil
}
