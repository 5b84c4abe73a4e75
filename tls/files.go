package tls

import (
	"crypto/tls"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// recheckAfter is how long a look at the operator's files counts.
	recheckAfter = time.Second
	// settleTime is how old a file must be for its modification time to tell it
	// from the next version: file systems round times, up to two seconds.
	settleTime = 2 * time.Second
)

// Files is a Source of the operator's own certificate, for instance one that
// certbot keeps. It notices a new pair by itself.
type Files struct {
	cert, key string
	opts      Options

	current atomic.Pointer[tls.Certificate] // the last good pair; nil as long as there was none

	mu      sync.Mutex // of looking at the files; nobody waits for it
	checked time.Time  // when the files were looked at last
	loaded  *pairState // the files' state as it was loaded; nil asks for another load
	problem string     // the last failure that was logged and not mended since
}

// pairState tells a pair of files from its successor.
type pairState struct {
	cert, key os.FileInfo
}

// NewFiles is the source of the PEM files cert (the certificate and then its
// intermediates) and key. Both are read now and again when either changes, which
// is looked for in a handshake and at most once a second. A pair that cannot be
// read or does not fit together is logged, once for each reason, and the one
// before it stays; as long as there has been no good one GetCertificate answers
// ErrNoCertificate, so the server can start before the operator's files exist.
func NewFiles(cert, key string, o Options) *Files {
	f := &Files{cert: cert, key: key, opts: o.withDefaults()}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f
}

// GetCertificate returns the newest good pair for every name. While one
// handshake reads the files, the others go on with what there is.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if f.mu.TryLock() {
		f.refresh()
		f.mu.Unlock()
	}
	if cert := f.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, ErrNoCertificate
}

// Covers reports whether the present pair is good for a name, whatever its date.
func (f *Files) Covers(name string) bool {
	cert := f.current.Load()
	return cert != nil && cert.Leaf.VerifyHostname(name) == nil
}

// TLSA is the text of the TLSA record of the present pair's key; none as long as there is none.
func (f *Files) TLSA() []string {
	if cert := f.current.Load(); cert != nil {
		return []string{TLSA(cert.Leaf.PublicKey)}
	}
	return nil
}

// States tell of the present pair, by its names.
func (f *Files) States() (states []State) {
	cert := f.current.Load()
	if cert == nil {
		return nil
	}
	for _, name := range cert.Leaf.DNSNames {
		states = append(states, State{Name: name, Issuer: issuerName(cert.Leaf), NotAfter: cert.Leaf.NotAfter, TLSA: f.TLSA()})
	}
	return states
}

// refresh loads the pair if it has changed and the last look is old enough.
func (f *Files) refresh() {
	now := f.opts.Now()
	// A clock that was set back makes the age negative: look then, too.
	if age := now.Sub(f.checked); age >= 0 && age < recheckAfter {
		return
	}
	f.checked = now
	state, err := f.state()
	if err != nil {
		f.report(err)
		return
	}
	if f.loaded != nil && f.loaded.same(state) {
		return
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		// The key may follow its certificate in a moment, so nothing is remembered.
		f.report(err)
		return
	}
	f.loaded = nil
	if state.settled(now) {
		f.loaded = state
	}
	f.use(&cert, now)
}

// use makes cert the current one and says so if it is another.
func (f *Files) use(cert *tls.Certificate, now time.Time) {
	f.problem = ""
	if old := f.current.Load(); old != nil && old.Leaf.Equal(cert.Leaf) {
		return
	}
	f.current.Store(cert)
	log := f.opts.Logger.With("file", f.cert, "names", cert.Leaf.DNSNames, "not_after", cert.Leaf.NotAfter)
	if now.After(cert.Leaf.NotAfter) {
		log.Warn("the certificate is out of date")
		return
	}
	log.Info("certificate loaded")
}

func (f *Files) report(err error) {
	if f.problem == err.Error() {
		return
	}
	f.problem = err.Error()
	f.opts.Logger.Error("the certificate files cannot be used", "error", err, "former_stays", f.current.Load() != nil)
}

func (f *Files) state() (*pairState, error) {
	cert, err := os.Stat(f.cert)
	if err != nil {
		return nil, err
	}
	key, err := os.Stat(f.key)
	if err != nil {
		return nil, err
	}
	return &pairState{cert: cert, key: key}, nil
}

func (s *pairState) same(o *pairState) bool {
	return sameFile(s.cert, o.cert) && sameFile(s.key, o.key)
}

// settled says that a later write would show in the modification times.
func (s *pairState) settled(now time.Time) bool {
	return now.Sub(s.cert.ModTime()) > settleTime && now.Sub(s.key.ModTime()) > settleTime
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
