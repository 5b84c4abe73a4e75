package feedback

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

const (
	postTime    = time.Minute      // for a report in all
	connectTime = 15 * time.Second // for one address
	maxAddrs    = 4                // of a web server that are tried
	maxHeader   = 16 << 10         // octets of HTTP's header
	maxAnswer   = 64 << 10         // octets of an answer that are read, for nothing
)

var (
	errStatus  = errors.New("feedback: the report was not taken")
	errNoPlace = errors.New("feedback: no address to post to")
)

// newClient makes the client that reports are posted with: no redirects, nothing kept open. Whose certificate it is
// does not count: a report about certificates that are wrong has to arrive where they are wrong, and holds
// nothing but numbers (RFC 8460 sections 3 and 7).
func newClient(o Options) *http.Client {
	return &http.Client{
		Timeout:       postTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            o.connect,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
	}
}

// connect connects to a web server by the addresses that our own resolver knows. Not to this server, nor into
// private networks: anybody may publish a URL that leads here, and posting is doing something.
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
		return !public(a) && o.Dial == nil || o.Own != nil && o.Own(a)
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

// public tells whether an address is one of the internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}

func (o Options) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if o.Dial != nil {
		return o.Dial(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// post posts a TLS report (RFC 8460 section 5.4).
func (r *Reporter) post(ctx context.Context, url string, packed []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("feedback: post: %w", err)
	}
	request.Header.Set("Content-Type", "application/tlsrpt+gzip")
	response, err := r.client.Do(request)
	if err != nil {
		return fmt.Errorf("feedback: post: %w", err)
	}
	defer response.Body.Close()
	if _, err := io.CopyN(io.Discard, response.Body, maxAnswer); err != nil && err != io.EOF {
		return fmt.Errorf("feedback: post: %w", err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%w: %.80q", errStatus, response.Status)
	}
	return nil
}
