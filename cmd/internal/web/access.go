package web

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Access is how mail programs reach their mail here. A port of 0 is not offered.
type Access struct {
	// Host is the name that all of the ports are of.
	Host string
	// The ports with implicit TLS (RFC 8314).
	IMAPS, POP3S, Submissions int
	// The ports where TLS begins with STARTTLS or STLS.
	IMAP, POP3, Submission int
}

// service is a port as settings name it.
type service struct {
	kind     string // imap, pop3 or smtp
	port     int
	implicit bool // TLS from the first octet on
}

// incoming are the services to read mail by, the best first: IMAP before POP3, and implicit TLS, which
// cannot be talked away by somebody on the line, before STARTTLS (RFC 8314 section 3).
func (a *Access) incoming() []service {
	return offered(service{"imap", a.IMAPS, true}, service{"imap", a.IMAP, false}, service{"pop3", a.POP3S, true}, service{"pop3", a.POP3, false})
}

// outgoing are those to send it by.
func (a *Access) outgoing() []service {
	return offered(service{"smtp", a.Submissions, true}, service{"smtp", a.Submission, false})
}

func offered(all ...service) (list []service) {
	for _, s := range all {
		if s.port != 0 {
			list = append(list, s)
		}
	}
	return list
}

// best is the first of some services that is of a kind.
func best(list []service, kind string) (service, bool) {
	for _, s := range list {
		if s.kind == kind {
			return s, true
		}
	}
	return service{}, false
}

// roles are what stands before a domain in the names that mail programs and other servers ask for.
var roles = []string{"autoconfig.", "autodiscover.", PACCHost + ".", "mta-sts.", "mail."}

// domainOfHost gives the mail domain of ours that a request is for: its host, or what the host
// stands before. "" where it is none.
func (s *Server) domainOfHost(r *http.Request) string {
	host := hostOf(r)
	if d, ok := s.domain(host); ok {
		return d
	}
	for _, role := range roles {
		rest, ok := strings.CutPrefix(host, role)
		if !ok {
			continue
		}
		if d, ok := s.domain(rest); ok {
			return d
		}
	}
	return ""
}

// domainOf gives the mail domain of an address; ok is false where it is not one of ours. The
// account is not looked for: who asks has not logged in, and would learn by it who has mail here.
func (s *Server) domainOf(address string) (domain string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || len(address) > maxAddress {
		return "", false
	}
	return s.domain(address[at+1:])
}

// maxAddress bounds an address in octets (RFC 5321 section 4.5.3.1.3: a path of 256 with its angle brackets).
const maxAddress = 254

func (s *Server) domain(name string) (string, bool) {
	if s.o.Domain == nil || name == "" {
		return "", false
	}
	if d, ok := s.o.Domain(name); ok {
		return d, true
	}
	return "", false
}

// url is that of a page over TLS; "" where there is no HTTPS.
func (s *Server) url(host, path string) string {
	if s.o.HTTPSPort == 0 {
		return ""
	}
	return httpsURL(host, path, s.o.HTTPSPort)
}

func httpsURL(host, path string, port int) string { return "https://" + authority(host, port) + path }

// authority is a host with the port of HTTPS, which goes without saying where it is 443.
func authority(host string, port int) string {
	if port == 443 {
		return bracketed(host)
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
