package web

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// answerPolicy gives the MTA-STS policy of a domain, at the one host that it is good from (RFC 8461 section 3.3).
func (s *Server) answerPolicy(w http.ResponseWriter, r *http.Request) {
	of, ok := strings.CutPrefix(hostOf(r), "mta-sts.")
	if _, ours := s.domain(of); !ok || !ours || s.o.Policy == "" {
		http.NotFound(w, r)
		return
	}
	writeText(w, s.o.Policy)
}

// securityAge is for how long a contact is good that is told (RFC 9116 section 2.5.5: less than a year).
const securityAge = 30 * 24 * time.Hour

// answerSecurity says whom to tell of a hole that was found (RFC 9116).
func (s *Server) answerSecurity(w http.ResponseWriter, r *http.Request) {
	if s.o.Contact == "" {
		http.NotFound(w, r)
		return
	}
	until := time.Now().Add(securityAge).UTC().Truncate(24 * time.Hour).Format(time.RFC3339)
	writeText(w, fmt.Sprintf("Contact: %s\r\nExpires: %s\r\nPreferred-Languages: en, de\r\n", s.o.Contact, until))
}

// answerHealth says that the server answers, which is all that a prober can hold against it.
func (s *Server) answerHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	writeText(w, "ok\n")
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, text)
}
