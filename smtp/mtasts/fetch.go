package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"mailstead/smtp/dns"
)

const (
	fetchTime = time.Minute // for a policy in all, as RFC 8461 section 3.3 suggests
	maxHeader = 16 << 10    // octets of HTTP's header
)

// ErrStatus says that a web server answered with something else than a policy.
var ErrStatus = errors.New("mtasts: not answered with a policy")

// newClient makes the client that policies are fetched with: HTTP/1.1 with the certificates of the
// web, no redirects, no cache, nothing kept open (RFC 8461 section 3.3).
func newClient(o Options) *http.Client {
	dialer := dns.Dialer{Resolver: o.Resolver, Own: o.Own, Private: o.Private, Dial: o.Dial}
	return &http.Client{
		Timeout:       fetchTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
	}
}

// Fetch gets the policy of a domain, in lower case and A-labels, from its web server as it is now, and keeps nothing; of the
// options Store, Now and Logger are not needed. ErrPolicy, ErrStatus, or why it could not be asked.
func Fetch(ctx context.Context, o Options, domain string) (Policy, error) {
	return download(ctx, newClient(o), domain)
}

// download gets the policy of a domain from its web server.
func download(ctx context.Context, client *http.Client, domain string) (Policy, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return Policy{}, fmt.Errorf("mtasts: %w", err)
	}
	request.Header.Set("Accept", "text/plain")
	response, err := client.Do(request)
	if err != nil {
		return Policy{}, fmt.Errorf("mtasts: fetch: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Policy{}, fmt.Errorf("%w: %.80q", ErrStatus, response.Status)
	}
	// Web space where others may put pages and pictures must not make policies.
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return Policy{}, fmt.Errorf("%w: it has the type %.80q", ErrStatus, response.Header.Get("Content-Type"))
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxPolicy+1))
	if err != nil {
		return Policy{}, fmt.Errorf("mtasts: fetch: %w", err)
	}
	return Parse(string(text))
}

// resultOf names what was wrong as RFC 8460 section 4.3 does.
func resultOf(err error) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &certificate):
		return "sts-webpki-invalid"
	case errors.Is(err, ErrPolicy):
		return "sts-policy-invalid"
	}
	return "sts-policy-fetch-error"
}
