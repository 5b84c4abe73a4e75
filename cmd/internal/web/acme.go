package web

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
)

// challengePath is where a certificate authority looks for what proves that a name
// is ours (RFC 8555 section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// answerChallenge answers a certificate authority.
func (s *Server) answerChallenge(w http.ResponseWriter, r *http.Request) {
	if s.o.Challenge == nil {
		http.NotFound(w, r)
		return
	}
	text, ok := s.o.Challenge(hostOf(r), r.PathValue("token"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	io.WriteString(w, text)
}

// hostOf is the name that a request is for, in lower case, without port and final dot. An IPv6
// address is without its brackets.
func hostOf(r *http.Request) string {
	host := strings.ToLower(r.Host)
	if at, err := netip.ParseAddrPort(host); err == nil {
		return at.Addr().String()
	}
	if rest, ok := strings.CutPrefix(host, "["); ok {
		host, _, _ = strings.Cut(rest, "]")
		return host
	}
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(host, ".")
}

// bracketed is a host as it stands in a URI (RFC 3986 section 3.2.2).
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
