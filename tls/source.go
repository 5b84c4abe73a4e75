// Package tls holds the certificates of the server: one Source serves every
// listener, and Config makes a listener's standard configuration from it.
//
// The chain that cmd builds asks, in this order,
//
//	ACME.ByName               certificates that the server fetches and renews itself, for
//	                          clients that ask by name, and answers to its authority
//	Files                     the operator's own pair, read again when it changes
//	ACME                      the certificate of the server's own name, for the others
//	SelfSigned or CA.Leaf     made at once, so that port 25 has STARTTLS from the
//	                          first second
//
// Mail servers send no server name (SNI) when they deliver, and clients send
// names that nobody thought of. No source here refuses a handshake for its name:
// no SNI and an unknown SNI get the main certificate, and the peer judges it.
package tls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrNoCertificate is what a source answers that has no certificate for a
// handshake. Chain asks the next source then.
var ErrNoCertificate = errors.New("no certificate")

// Source gives the certificate for a handshake. It is called for every one, from
// many goroutines, and answers from memory.
type Source interface {
	// GetCertificate has the shape of the field of that name in the standard
	// library's Config. hello.ServerName may be empty, and any name at all.
	GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Options are what the sources of this package have in common. The zero value
// is ready for use.
type Options struct {
	// Logger hears of certificates that are loaded, made, or cannot be used.
	// Nil discards it.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Chain asks the sources one after another; the first certificate wins. Nil
// sources are left out, so that an optional one needs no case of its own. A
// source that fails only passes the question on: a weaker
// certificate is better than a mail server without TLS. (But an authority that asks for a
// challenge is not to get something else: ErrNoChallenge.) When all fail the error
// holds each reason and is ErrNoCertificate.
func Chain(sources ...Source) Source {
	var c chain
	for _, s := range sources {
		if s != nil {
			c = append(c, s)
		}
	}
	return c
}

type chain []Source

func (c chain) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	failures := []error{ErrNoCertificate}
	for _, s := range c {
		cert, err := s.GetCertificate(hello)
		if err == nil {
			return cert, nil
		}
		if errors.Is(err, ErrNoChallenge) {
			return nil, err
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("certificate for %q: %w", hello.ServerName, errors.Join(failures...))
}
