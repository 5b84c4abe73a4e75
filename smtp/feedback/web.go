package feedback

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"mailstead/smtp/dns"
)

const (
	postTime  = time.Minute // for a report in all
	maxHeader = 16 << 10    // octets of HTTP's header
	maxAnswer = 64 << 10    // octets of an answer that are read, for nothing
)

var errStatus = errors.New("feedback: the report was not taken")

// newClient makes the client that reports are posted with: no redirects, nothing kept open. Whose certificate it is
// does not count: a report about certificates that are wrong has to arrive where they are wrong, and holds
// nothing but numbers (RFC 8460 sections 3 and 7).
func newClient(o Options) *http.Client {
	dialer := dns.Dialer{Resolver: o.Resolver, Own: o.Own, Private: o.Private, Dial: o.Dial}
	return &http.Client{
		Timeout:       postTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
	}
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
