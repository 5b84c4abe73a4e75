package tls

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// ErrNoChallenge is what a source answers to an authority that asks for a challenge which nobody expects. Chain passes it on.
var ErrNoChallenge = errors.New("no challenge is expected for that name")

// challengeProtocol is the ALPN name of TLS-ALPN-01 (RFC 8737 section 6.2).
const challengeProtocol = acmez.ACMETLS1Protocol

// isChallenge tells whether a client wants nothing but the answer to a challenge (RFC 8737 section 3).
func isChallenge(hello *tls.ClientHelloInfo) bool {
	return slices.Equal(hello.SupportedProtos, []string{challengeProtocol})
}

// defaultDelay is what secondary servers of a zone need to hear of a change (RFC 1996) and fetch it.
const defaultDelay = 10 * time.Second

// challengeTTL is of the records of DNS-01, in the DNS's caches.
const challengeTTL = time.Minute

// challenges are the answers that are expected at present.
type challenges struct {
	mu    sync.RWMutex
	texts map[[2]string]string        // by name and token
	certs map[string]*tls.Certificate // by name
}

// solvers are those of the challenges that can be answered, by their names.
func (a *ACME) solvers() map[string]acmez.Solver {
	a.challenges.texts, a.challenges.certs = map[[2]string]string{}, map[string]*tls.Certificate{}
	all := map[string]acmez.Solver{}
	if a.o.HTTP {
		all[acme.ChallengeTypeHTTP01] = httpSolver{&a.challenges}
	}
	if a.o.TLSALPN {
		all[acme.ChallengeTypeTLSALPN01] = tlsSolver{&a.challenges}
	}
	if d := a.o.DNS; d != nil {
		delay := d.Delay
		if delay <= 0 {
			delay = defaultDelay
		}
		// What a resolver says right after a change may be what it has said before, so it is not asked whether the record is there.
		return map[string]acmez.Solver{acme.ChallengeTypeDNS01: &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
			DNSProvider: d.Provider, Resolvers: d.Resolvers, TTL: challengeTTL, PropagationDelay: delay, PropagationTimeout: -1, Logger: quiet,
		}}}
	}
	return all
}

func (c *challenges) text(name, token string) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	text, ok := c.texts[[2]string{strings.ToLower(name), token}]
	return text, ok
}

func (c *challenges) certificate(name string) (*tls.Certificate, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if cert := c.certs[name]; cert != nil {
		return cert, nil
	}
	return nil, ErrNoChallenge
}

// httpSolver answers HTTP-01 (RFC 8555 section 8.3).
type httpSolver struct{ *challenges }

// Present begins to answer.
func (s httpSolver) Present(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[[2]string{strings.ToLower(c.Identifier.Value), c.Token}] = c.KeyAuthorization
	return nil
}

// CleanUp ends that.
func (s httpSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.texts, [2]string{strings.ToLower(c.Identifier.Value), c.Token})
	return nil
}

// tlsSolver answers TLS-ALPN-01 (RFC 8737).
type tlsSolver struct{ *challenges }

// Present begins to answer.
func (s tlsSolver) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.certs[strings.ToLower(c.Identifier.Value)] = cert
	return nil
}

// CleanUp ends that.
func (s tlsSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.certs, strings.ToLower(c.Identifier.Value))
	return nil
}
