package tls

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

const (
	// requestTime bounds one request to an authority, where nothing else is asked for.
	requestTime = 30 * time.Second
	// maxAnswer bounds an answer of an authority in octets: a long chain is 20 KB.
	maxAnswer = 256 << 10
)

// issuer is the authority, as certmagic wants one. It is not certmagic's own, which opens listeners and asks on the
// terminal where it finds nothing configured, and does not tell how long an authority wants to be left alone.
type issuer struct {
	o      *ACMEOptions
	keeper *keeper
	client *acmez.Client
	http   *http.Transport

	mu      sync.Mutex
	account *acme.Account // nil until it is needed
}

var _ certmagic.Issuer = (*issuer)(nil)

func newIssuer(o *ACMEOptions, k *keeper, solvers map[string]acmez.Solver) *issuer {
	limit := cmp.Or(o.RequestTime, requestTime)
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   limit,
		ResponseHeaderTimeout: limit,
		ForceAttemptHTTP2:     true,
		IdleConnTimeout:       limit,
	}
	poll := o.Poll
	if poll <= 0 {
		poll = time.Second
	}
	return &issuer{o: o, keeper: k, http: transport, client: &acmez.Client{
		Client: &acme.Client{
			Directory: o.Directory, UserAgent: "mailstead", PollInterval: poll, PollTimeout: attemptTime,
			HTTPClient: &http.Client{Transport: hearing{transport}, Timeout: limit},
		},
		ChallengeSolvers: solvers,
	}}
}

func (i *issuer) close() { i.http.CloseIdleConnections() }

// issuerKey names an authority by its directory, as certmagic does.
func issuerKey(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return directory
	}
	key := u.Host
	if p := strings.Trim(strings.ReplaceAll(u.Path, "/", "-"), "-"); p != "" {
		key += "-" + p
	}
	return key
}

// IssuerKey names the authority.
func (i *issuer) IssuerKey() string { return issuerKey(i.o.Directory) }

// Issue gets a certificate.
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	got, err := i.issue(ctx, csr)
	if problem, ok := errors.AsType[acme.Problem](err); ok && problem.Type == acme.ProblemTypeAccountDoesNotExist {
		// The authority has forgotten it, as those for tests do.
		i.forget()
		got, err = i.issue(ctx, csr)
	}
	return got, err
}

func (i *issuer) issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	account, err := i.useAccount(ctx)
	if err != nil {
		return nil, err
	}
	order, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, err
	}
	order.Replaces = conductOf(ctx).replaces
	chains, err := i.client.ObtainCertificate(ctx, order)
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errNoChain
	}
	if err := isAnswerTo(chains[0].ChainPEM, csr); err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: chains[0].ChainPEM, Metadata: chains[0]}, nil
}

// isAnswerTo fails for a certificate that was not asked for.
func isAnswerTo(pem []byte, csr *x509.CertificateRequest) error {
	leaf, err := parseLeaf(parseChain(pem))
	if err != nil {
		return fmt.Errorf("the authority's certificate: %w", err)
	}
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || !key.Equal(leaf.PublicKey) {
		return errors.New("the authority's certificate is for another key")
	}
	for _, name := range csr.DNSNames {
		if err := leaf.VerifyHostname(name); err != nil {
			return fmt.Errorf("the authority's certificate: %w", err)
		}
	}
	return nil
}

func (i *issuer) at(file string) string { return path.Join("acme", i.IssuerKey(), file) }

// useAccount gives our account with the authority, and makes it the first time. Those who come meanwhile wait for it.
func (i *issuer) useAccount(ctx context.Context) (acme.Account, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account == nil {
		account, err := i.openAccount(ctx)
		if err != nil {
			return acme.Account{}, fmt.Errorf("account with the authority: %w", err)
		}
		i.account = &account
	}
	return *i.account, nil
}

func (i *issuer) openAccount(ctx context.Context) (acme.Account, error) {
	account, err := i.storedAccount(ctx)
	if err != nil {
		return account, err
	}
	contact := []string{"mailto:" + i.o.Email}
	switch {
	case account.Status == "":
		account.Contact, account.TermsOfServiceAgreed = contact, true
		if i.o.EABKeyID != "" {
			if err := account.SetExternalAccountBinding(ctx, i.client.Client, acme.EAB{KeyID: i.o.EABKeyID, MACKey: i.o.EABKey}); err != nil {
				return account, err
			}
		}
		account, err = i.client.NewAccount(ctx, account)
	case !slices.Equal(account.Contact, contact):
		account.Contact = contact
		account, err = i.client.UpdateAccount(ctx, account)
	default:
		return account, nil
	}
	if err != nil {
		return account, err
	}
	account.Contact = contact // some authorities do not tell it back
	data, err := json.Marshal(account)
	if err != nil {
		return account, err
	}
	return account, i.o.Storage.Store(ctx, i.at("account.json"), data)
}

// storedAccount reads the account, whose status is empty before it is made. Its key is on disk before the authority hears of it,
// so that a crash leaves an account that is found again by its key (RFC 8555 section 7.3).
func (i *issuer) storedAccount(ctx context.Context) (account acme.Account, err error) {
	data, err := i.o.Storage.Load(ctx, i.at("account.json"))
	if err == nil {
		err = json.Unmarshal(data, &account)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return account, err
	}
	key, err := i.keeper.readKey(ctx, i.at("account.key"))
	if err != nil {
		return account, err
	}
	if key == nil {
		account = acme.Account{}
		if key, err = newKey(); err != nil {
			return account, err
		}
		if err := i.keeper.writeKey(ctx, i.at("account.key"), key); err != nil {
			return account, err
		}
	}
	account.PrivateKey = key
	return account, nil
}

// forget has the account made anew, with its key.
func (i *issuer) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account != nil {
		i.o.Logger.Warn("the authority does not know our account any more, another is made")
		i.account = nil
	}
	// What cannot be deleted is found again, and forgotten again.
	_ = i.o.Storage.Delete(context.Background(), i.at("account.json"))
}

// conduct is what an attempt and the requests of it tell each other, through their context.
type conduct struct {
	replaces *x509.Certificate // of which the order tells (RFC 9773 section 5); may be nil

	mu    sync.Mutex
	asked time.Duration // for how long the authority wants to be left alone
}

type conductKey struct{}

func (c *conduct) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, conductKey{}, c)
}

func conductOf(ctx context.Context) *conduct {
	if c, ok := ctx.Value(conductKey{}).(*conduct); ok {
		return c
	}
	return &conduct{}
}

// hearing is a transport that bounds answers, and hears for how long the authority wants to be left alone.
type hearing struct{ http.RoundTripper }

// RoundTrip sends a request.
func (h hearing) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := h.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	// RFC 8555 section 6.6: with an error of rateLimited. 503 is said by whoever is overloaded.
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable {
		c := conductOf(r.Context())
		c.mu.Lock()
		c.asked = max(c.asked, askedPause(answer.Header.Get("Retry-After"), time.Now()))
		c.mu.Unlock()
	}
	return answer, nil
}

// askedPause reads the field of that name (RFC 9110 section 10.2.3): seconds or a date. 0 for nothing that can be read.
func askedPause(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}
