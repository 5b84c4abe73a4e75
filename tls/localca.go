package tls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

const (
	caCert = "ca.pem"
	caKey  = "ca-key.pem"
	// caLifetime is long, since a CA is put into clients by hand.
	caLifetime = 10 * 365 * 24 * time.Hour
)

// CA is a certificate authority for one machine: a client that trusts its
// certificate can talk to a trial server as it would to a real one.
type CA struct {
	pair *ownPair
	opts Options
}

// LocalCA opens the authority in dir and makes it the first time: its certificate
// is dir/ca.pem, for everybody to read, its key dir/ca-key.pem, mode 0600; dir is
// made with mode 0700 if missing. Ten years later the certificate is made anew
// for the same key. One process at a time may use dir.
//
// Whoever has the key can pose as any server towards those who trust the
// certificate. That is why this authority is for trials and tests only.
func LocalCA(dir string, o Options) (*CA, error) {
	o = o.withDefaults()
	pair, err := openPair(dir, caCert, caKey)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	ca := &CA{pair: pair, opts: o}
	if now := o.Now(); pair.cert == nil || !pair.cert.IsCA || !inTime(pair.cert, now) {
		if err := ca.signSelf(now); err != nil {
			return nil, fmt.Errorf("local CA: %w", err)
		}
		o.Logger.Info("local CA made", "file", pair.certFile)
	}
	return ca, nil
}

func (ca *CA) signSelf(now time.Time) error {
	t, err := template(now, caLifetime)
	if err != nil {
		return err
	}
	// The end of the name tells one trial's authority from another's in a
	// client's list, and stays the same as long as the key does.
	public, err := x509.MarshalPKIXPublicKey(ca.pair.key.Public())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(public)
	t.Subject.CommonName = fmt.Sprintf("mailstead local CA %x", sum[:4])
	t.IsCA, t.MaxPathLenZero = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return ca.pair.sign(t, 0o644)
}

// Leaf is a source of a certificate for the names, signed by the authority. It is
// made anew at each start and kept in memory only: clients trust the authority,
// so nothing depends on its staying the same.
func (ca *CA) Leaf(names ...string) (*Issued, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	issue := func(names []string, now time.Time) (*tls.Certificate, error) {
		t, err := serverTemplate(names, now)
		if err != nil {
			return nil, err
		}
		if end := ca.pair.cert.NotAfter; t.NotAfter.After(end) {
			t.NotAfter = end
		}
		leaf, err := signCert(t, ca.pair.cert, key, ca.pair.key)
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
	}
	return newIssued(names, ca.opts, issue)
}

// Pool is the authority as a client's set of trusted roots.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.pair.cert)
	return pool
}
