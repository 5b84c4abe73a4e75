package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"mailstead/smtp/dns"
)

const (
	fetchTime   = time.Minute      // for a policy in all, as RFC 8461 section 3.3 suggests
	connectTime = 15 * time.Second // for one address of it
	maxAddrs    = 4                // of a policy's host that are tried
	maxHeader   = 16 << 10         // octets of HTTP's header
)

var (
	errStatus  = errors.New("mtasts: not answered with a policy")
	errNoPlace = errors.New("mtasts: no address to ask")
)

// newClient makes the client that policies are fetched with: HTTP/1.1 with the certificates of the
// web, no redirects, no cache, nothing kept open (RFC 8461 section 3.3).
func newClient(o Options) *http.Client {
	return &http.Client{
		Timeout:       fetchTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            o.connect,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
	}
}

// connect connects to the host of a policy, by the addresses that our own resolver knows and that are not
// this server's or its neighbours': anybody may publish a name that leads here.
func (o Options) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	answer, err := o.Resolver.LookupAddrs(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs := slices.DeleteFunc(answer.Records, func(a netip.Addr) bool {
		return !o.Private && !dns.IsPublic(a) || o.Own != nil && o.Own(a)
	})
	last := fmt.Errorf("%w: %s", errNoPlace, host)
	for _, addr := range addrs[:min(len(addrs), maxAddrs)] {
		conn, err := o.dial(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

func (o Options) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if o.Dial != nil {
		return o.Dial(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// download gets the policy of a domain from its web server.
func (c *Cache) download(ctx context.Context, domain string) (Policy, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return Policy{}, fmt.Errorf("mtasts: %w", err)
	}
	request.Header.Set("Accept", "text/plain")
	response, err := c.client.Do(request)
	if err != nil {
		return Policy{}, fmt.Errorf("mtasts: fetch: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Policy{}, fmt.Errorf("%w: %.80q", errStatus, response.Status)
	}
	// Web space where others may put pages and pictures must not make policies.
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return Policy{}, fmt.Errorf("%w: it has the type %.80q", errStatus, response.Header.Get("Content-Type"))
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
