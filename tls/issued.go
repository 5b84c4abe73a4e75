package tls

import (
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// leafLifetime is the time a certificate of ours is good for. Apple's systems
	// refuse server certificates of more than 825 days whoever signed them, and
	// give the user no way around it.
	leafLifetime = 820 * 24 * time.Hour
	// renewBefore is how long before its end a certificate gets a successor.
	renewBefore = 30 * 24 * time.Hour
	// backdate lets peers whose clock is slow accept a new certificate.
	backdate = time.Hour
	// retryAfter is the pause after a renewal that did not help.
	retryAfter = time.Hour
)

// Issued is a Source of a certificate that the server makes itself. It renews
// it while the server runs.
type Issued struct {
	issue func(names []string, now time.Time) (*tls.Certificate, error)
	opts  Options

	mu      sync.Mutex
	names   []string
	current *tls.Certificate
	tried   time.Time // when the last renewal was tried
}

// newIssued makes the first certificate.
func newIssued(names []string, o Options, issue func([]string, time.Time) (*tls.Certificate, error)) (*Issued, error) {
	s := &Issued{issue: issue, opts: o}
	if err := s.SetNames(names...); err != nil {
		return nil, err
	}
	return s, nil
}

// SetNames gives the certificate other names: domain names (also with letters
// beyond ASCII) and IP addresses, the main one first. A certificate that has
// them all stays as it is, also when it has more: who has accepted it by hand
// is not asked again without need. With an error the old certificate stays.
//
// What can be in no certificate is left out and logged, since one odd domain must
// not take TLS from the others; an error when nothing is left. So are names beyond
// the first thousand: the certificate must fit into a handshake.
func (s *Issued) SetNames(names ...string) error {
	names, bad := canonicalNames(names)
	if len(names) == 0 {
		return errors.Join(append(bad, errNoName)...)
	}
	for _, err := range bad {
		s.opts.Logger.Warn("a name is left out of the certificate", "error", err)
	}
	if len(names) > maxNames {
		s.opts.Logger.Warn("too many names for one certificate", "left_out", len(names)-maxNames)
		names = names[:maxNames]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && covers(s.current.Leaf, names) {
		s.names = names
		return nil
	}
	cert, err := s.issue(names, s.opts.Now())
	if err != nil {
		return fmt.Errorf("make a certificate for %s: %w", names[0], err)
	}
	s.names = names
	s.use(cert)
	return nil
}

// GetCertificate returns the certificate for every name.
func (s *Issued) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	if inTime(s.current.Leaf, now) || now.Sub(s.tried).Abs() < retryAfter {
		return s.current, nil
	}
	s.tried = now
	cert, err := s.issue(s.names, now)
	if err != nil {
		s.opts.Logger.Error("the certificate cannot be renewed", "name", s.names[0], "error", err)
		return s.current, nil
	}
	s.use(cert)
	return s.current, nil
}

// Key is the key of the certificate.
func (s *Issued) Key() *ecdsa.PrivateKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.PrivateKey.(*ecdsa.PrivateKey) // nothing else is made here
}

// State tells of the certificate.
func (s *Issued) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	leaf := s.current.Leaf
	return State{Name: s.names[0], Issuer: "this server", NotAfter: leaf.NotAfter, RenewAt: leaf.NotAfter.Add(-renewBefore), TLSA: []string{TLSA(leaf.PublicKey)}}
}

func (s *Issued) use(cert *tls.Certificate) {
	s.current = cert
	s.opts.Logger.Info("own certificate in use",
		slog.String("name", s.names[0]), slog.String("issuer", cert.Leaf.Issuer.CommonName), slog.Time("not_after", cert.Leaf.NotAfter))
}
