package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// LetsEncrypt is the directory of the authority that is asked by default.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// ErrNotHere is what ACMEOptions.Here answers for a name that leads elsewhere: no
// authority would find us under it.
var ErrNotHere = errors.New("the name does not lead here")

// ErrUnknownName is about a name that no certificate is kept for.
var ErrUnknownName = errors.New("no certificate is kept for that name")

// ACMEOptions are how certificates are fetched. Storage and Email are needed.
type ACMEOptions struct {
	Options
	// Storage keeps the account, keys, certificates and what is known of each name.
	Storage certmagic.Storage
	// Email is the contact that the authority is told; giving it agrees to the authority's terms.
	Email string
	// Directory is the URL of the authority's directory (RFC 8555 section 7.1.1). "" = LetsEncrypt.
	Directory string
	// Roots are who may have signed the authority's own server certificate. nil = the system's.
	Roots *x509.CertPool
	// EABKeyID and EABKey, base64url, are of an account with the authority from elsewhere
	// (RFC 8555 section 7.3.4). "" = none is needed.
	EABKeyID, EABKey string
	// HTTP and TLSALPN say which challenges our listeners answer: HTTP-01 on port 80,
	// TLS-ALPN-01 on port 443.
	HTTP, TLSALPN bool
	// DNS proves names by records in the DNS instead (DNS-01). nil = it does not.
	DNS *DNSChallenge
	// Here fails for a name that the authority would not find us under, with the reason in words; it is asked
	// before each attempt. nil: all names lead here.
	Here func(ctx context.Context, name string) error
	// HostKey is used for the first name when it has no key yet, so that it keeps the key that it had before
	// there was an authority. nil = a new one.
	HostKey *ecdsa.PrivateKey
	// Poll is how often the authority is asked how far it is where it does not say so itself. 0 = 1 s.
	Poll time.Duration
	// RequestTime bounds one request to the authority. 0 = 30 s.
	RequestTime time.Duration
}

// DNSChallenge is how records come into the DNS.
type DNSChallenge struct {
	// Provider changes records; any of libdns (https://github.com/libdns) is one.
	Provider certmagic.DNSProvider
	// Resolvers, HOST:PORT, find out which zone a name is in. None = the system's.
	Resolvers []string
	// Delay is waited after a change until all servers of the zone have it. 0 = 10 s.
	Delay time.Duration
}

// ACME fetches certificates from an authority (RFC 8555) and renews them, each name its own, so that one bad
// name holds up no other. Run does the work.
//
// A certificate that is out of date is still served until there is a better one: others keep the warning about a
// date apart from one about a stranger, mail servers go on as before, and a TLSA record of the key still holds,
// which does not look at dates (RFC 7672 section 3.1.1).
type ACME struct {
	o          ACMEOptions
	keeper     *keeper
	issuer     *issuer
	challenges challenges
	slots      chan struct{} // one for each attempt that is under way

	mu      sync.RWMutex
	names   []string // in their order; the first is shown to whoever asks for none
	entries map[string]*entry
	changed chan struct{} // has a token when names have changed; Run looks
}

// maxAttempts bounds the attempts that are under way at a time: an order is a dozen requests, and authorities
// limit those per second.
const maxAttempts = 10

// NewACME reads what is stored. Nothing is fetched before Run.
func NewACME(ctx context.Context, o ACMEOptions, names ...string) (*ACME, error) {
	o.Options = o.Options.withDefaults()
	if o.Storage == nil || o.Email == "" {
		return nil, errors.New("acme: storage and e-mail address are needed")
	}
	if o.Directory == "" {
		o.Directory = LetsEncrypt
	}
	if u, err := url.Parse(o.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("acme: %q is not the https URL of an authority's directory", o.Directory)
	}
	if !o.HTTP && !o.TLSALPN && o.DNS == nil {
		return nil, errors.New("acme: no challenge can be answered: listeners for HTTP or HTTPS, or a DNS server that takes updates, are needed")
	}
	a := &ACME{o: o, entries: map[string]*entry{}, slots: make(chan struct{}, maxAttempts), changed: make(chan struct{}, 1)}
	a.keeper = &keeper{storage: o.Storage, issuer: issuerKey(o.Directory)}
	a.issuer = newIssuer(&a.o, a.keeper, a.solvers())
	return a, a.SetNames(ctx, names...)
}

// SetNames has certificates kept for these names, the server's own first. Stored ones are served at once. What
// can be in no certificate, or is an address, is left out. A name that is not among them any more is not renewed.
func (a *ACME) SetNames(ctx context.Context, names ...string) error {
	names, _ = canonicalNames(names)
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, ".") || isAddress(name) })
	a.mu.RLock()
	fresh := map[string]*entry{}
	for _, name := range names {
		fresh[name] = a.entries[name]
	}
	a.mu.RUnlock()
	for i, name := range names {
		if fresh[name] != nil {
			continue
		}
		e, err := a.openEntry(ctx, name, i == 0)
		if err != nil {
			return fmt.Errorf("certificate of %s: %w", name, err)
		}
		fresh[name] = e
	}
	a.mu.Lock()
	a.names, a.entries = names, fresh
	a.mu.Unlock()
	select {
	case a.changed <- struct{}{}:
	default:
	}
	return nil
}

// Run fetches and renews certificates until ctx ends.
func (a *ACME) Run(ctx context.Context) {
	defer a.issuer.close()
	cache := certmagic.NewCache(certmagic.CacheOptions{
		Logger: quiet,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			return nil, errors.New("nothing is in this cache")
		},
	})
	defer cache.Stop()
	var working sync.WaitGroup
	defer working.Wait()
	workers := map[*entry]context.CancelFunc{}
	for {
		a.mu.RLock()
		entries := a.entries
		a.mu.RUnlock()
		for e, stop := range workers {
			if entries[e.name] != e {
				stop()
				delete(workers, e)
			}
		}
		for _, e := range entries {
			if workers[e] != nil {
				continue
			}
			own, stop := context.WithCancel(ctx)
			workers[e] = stop
			working.Go(func() {
				defer stop()
				a.work(own, e, cache)
			})
		}
		select {
		case <-a.changed:
		case <-ctx.Done():
			return
		}
	}
}

// GetCertificate returns the certificate of the name that the client asks for, otherwise that of the first name.
// ErrNoCertificate as long as it has none; ErrNoChallenge as Source of ByName.
func (a *ACME) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := a.byName(hello)
	if !errors.Is(err, ErrNoCertificate) {
		return cert, err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	if len(a.names) > 0 {
		if cert := a.entries[a.names[0]].current.Load(); cert != nil {
			return cert, nil
		}
	}
	return nil, ErrNoCertificate
}

// ByName is the source of the certificates for clients that ask for their very name, and of the answers to
// challenges by TLS: what comes before the operator's files in a chain.
func (a *ACME) ByName() Source { return byName{a} }

type byName struct{ a *ACME }

func (b byName) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return b.a.byName(hello)
}

func (a *ACME) byName(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if isChallenge(hello) {
		return a.challenges.certificate(name)
	}
	a.mu.RLock()
	e := a.entries[name]
	a.mu.RUnlock()
	if e != nil {
		if cert := e.current.Load(); cert != nil {
			return cert, nil
		}
	}
	return nil, ErrNoCertificate
}

// HTTPChallenge gives what the authority is to find under a token of a name (RFC 8555 section 8.3).
func (a *ACME) HTTPChallenge(name, token string) (text string, ok bool) {
	return a.challenges.text(name, token)
}

// Renew fetches a certificate now, whatever its date, and returns when it is served. Where nextKey is set it is for the
// key that NewKey has made, which is the name's from then on. ErrUnknownName, ErrNoNextKey.
func (a *ACME) Renew(ctx context.Context, name string, nextKey bool) error {
	e, err := a.entry(name)
	if err != nil {
		return err
	}
	order := order{nextKey: nextKey, done: make(chan error, 1)}
	select {
	case e.orders <- order:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-order.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// NewKey makes the next key of a name, unless there is one, so that its TLSA record can be published some days before
// Renew changes to it. ErrUnknownName.
func (a *ACME) NewKey(ctx context.Context, name string) error {
	e, err := a.entry(name)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.next != nil {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	if err := a.keeper.storeKey(ctx, e.name, nextKey, key); err != nil {
		return err
	}
	e.next = key
	a.o.Logger.Info("next key made", "name", e.name)
	return nil
}

func (a *ACME) entry(name string) (*entry, error) {
	name, err := canonicalName(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownName, err)
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	if e := a.entries[name]; e != nil {
		return e, nil
	}
	return nil, ErrUnknownName
}

// States are what is known of the names, in their order.
func (a *ACME) States() []State {
	a.mu.RLock()
	names, entries := a.names, a.entries
	a.mu.RUnlock()
	states := make([]State, 0, len(names))
	for _, name := range names {
		states = append(states, entries[name].state())
	}
	return states
}
