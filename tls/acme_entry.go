package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoNextKey says that a name has no next key to change to.
var ErrNoNextKey = errors.New("there is no next key: it has to be made, and its TLSA record published, some days before")

// entry is a name with its certificate.
type entry struct {
	name    string
	current atomic.Pointer[tls.Certificate] // that is served; nil as long as there was none
	orders  chan order

	mu        sync.Mutex
	key, next *ecdsa.PrivateKey // next is nil but while a change of the key is prepared
	record    record
	waiting   string // why nothing is tried now, in words
}

// order is a renewal that somebody has asked for.
type order struct {
	nextKey bool
	done    chan error // has room for the answer
}

// record is what is kept of a name beside its certificate, in JSON. The back-off outlasts restarts, so that a server
// that is started over and over again does not use up the authority's limits.
type record struct {
	Tried    time.Time `json:"tried,omitzero"`    // when a certificate was asked for last
	Failures int       `json:"failures,omitzero"` // since one was got
	Error    string    `json:"error,omitzero"`    // of the last attempt, in words
	NextTry  time.Time `json:"next_try,omitzero"` // not before, after a failure or a certificate
	Asked    time.Time `json:"asked,omitzero"`    // until when the authority wants to be left alone

	// What the authority says of when to renew (RFC 9773), of the certificate with this serial number.
	Serial   string    `json:"serial,omitzero"`
	RenewAt  time.Time `json:"renew_at,omitzero"`  // a time in its window
	Window   string    `json:"window,omitzero"`    // begin and end
	AskAgain time.Time `json:"ask_again,omitzero"` // when to ask anew
	Reason   string    `json:"reason,omitzero"`    // the URL of an explanation
}

// State is what is known of a name and its certificate.
type State struct {
	Name      string    `json:"name"`
	Issuer    string    `json:"issuer"`              // "" = there is no certificate
	NotAfter  time.Time `json:"not_after,omitzero"`  // when it ends
	RenewAt   time.Time `json:"renew_at,omitzero"`   // when the next one is asked for
	Tried     time.Time `json:"tried,omitzero"`      // when one was asked for last
	NextTry   time.Time `json:"next_try,omitzero"`   // after a failure
	Error     string    `json:"error,omitempty"`     // why there is none, or no newer one, in words
	TLSA      []string  `json:"tlsa,omitempty"`      // of its key, and the next one
	Reason    string    `json:"reason,omitempty"`    // the URL where the authority explains when it wants to be asked
	Addresses string    `json:"addresses,omitempty"` // why the name does not lead here
}

// openEntry reads what is stored of a name.
func (a *ACME) openEntry(ctx context.Context, name string, host bool) (*entry, error) {
	e := &entry{name: name, orders: make(chan order)}
	var err error
	if e.key, err = a.keeper.key(ctx, name, currentKey); err != nil {
		return nil, err
	}
	if e.key == nil && host && a.o.HostKey != nil {
		e.key = a.o.HostKey
		if err := a.keeper.storeKey(ctx, name, currentKey, e.key); err != nil {
			return nil, err
		}
	}
	if e.next, err = a.keeper.key(ctx, name, nextKey); err != nil {
		return nil, err
	}
	if e.record, err = a.keeper.record(ctx, name); err != nil {
		return nil, err
	}
	return e, a.load(ctx, e)
}

// load takes the stored certificate into use. One that does not fit a key of the name counts as none.
func (a *ACME) load(ctx context.Context, e *entry) error {
	chain, err := a.keeper.chain(ctx, e.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	cert, key := e.pair(chain)
	if cert == nil {
		a.o.Logger.Warn("the stored certificate cannot be used, another will be fetched", "name", e.name)
		return nil
	}
	if key == e.next && key != e.key {
		// The change to the next key is done, but for the last step.
		if err := a.keeper.promote(ctx, e.name, key); err != nil {
			return err
		}
		e.key, e.next = key, nil
	}
	e.current.Store(cert)
	return nil
}

// pair puts a chain together with the key it is for. The caller holds mu.
func (e *entry) pair(chain [][]byte) (*tls.Certificate, *ecdsa.PrivateKey) {
	leaf, err := parseLeaf(chain)
	if err != nil || leaf.VerifyHostname(e.name) != nil {
		return nil, nil
	}
	for _, key := range []*ecdsa.PrivateKey{e.key, e.next} {
		if key != nil && key.PublicKey.Equal(leaf.PublicKey) {
			return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, key
		}
	}
	return nil, nil
}

func (e *entry) state() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := stateOf(e.name, e.current.Load(), e.record)
	s.Addresses = e.waiting
	for _, key := range []*ecdsa.PrivateKey{e.key, e.next} {
		if key != nil {
			s.TLSA = append(s.TLSA, TLSA(&key.PublicKey))
		}
	}
	return s
}

// stateOf tells what is known of a name.
func stateOf(name string, cert *tls.Certificate, r record) State {
	s := State{Name: name, Tried: r.Tried, Error: r.Error, Reason: r.Reason}
	if r.Failures > 0 {
		s.NextTry = r.NextTry
	}
	if cert != nil {
		s.Issuer, s.NotAfter, s.RenewAt = issuerName(cert.Leaf), cert.Leaf.NotAfter, renewAt(name, cert.Leaf, r)
	}
	return s
}
