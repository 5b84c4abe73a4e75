// Package web is the HTTP front: what browsers, mail programs and certificate
// authorities ask this server for on ports 80 and 443.
//
// Plain connections get the answers to ACME challenges and otherwise a redirect
// to HTTPS; what is served is a table, Server.routes. Requests are read within
// limits of time and size, and only for names that are the server's own.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"mailstead/tls/serve"
)

// Options are what a Server works with. The zero value answers 404 to everything.
type Options struct {
	// Ours reports whether the host of a request, in lower case and without port, is a
	// name of this server. Requests for others get 421 over TLS and 404 without. nil: every name is.
	Ours func(host string) bool
	// Challenge gives what a certificate authority is to find under a token of a name
	// (RFC 8555 section 8.3); ok is false where none is expected. nil: none is.
	Challenge func(host, token string) (text string, ok bool)
	// Domain gives a mail domain of this server as the directory has it, from any spelling; ok is
	// false where it is not one. nil: there are none.
	Domain func(name string) (domain string, ok bool)
	// Access is what mail programs are told.
	Access Access
	// Policy is the MTA-STS policy of all domains (RFC 8461 section 3.2). "": there is none.
	Policy string
	// Contact is a URI by which the administrator is told of security problems (RFC 9116). "": nobody is named.
	Contact string
	// Certificate gives the certificate for a host if it is one that browsers and devices trust, else nil: with one, browsers are told to
	// stay with HTTPS, and profiles for devices are signed. nil: there is none.
	Certificate func(host string) *tls.Certificate
	// HTTPSPort is where plain requests are sent to; 0: there is no such port, and they get 404.
	HTTPSPort int
	// Logger hears of handlers that break. nil: nobody does.
	Logger *slog.Logger
}

const (
	// headerTime is for a request's header, and for the TLS handshake before it: two
	// round trips of a slow line.
	headerTime = 10 * time.Second
	// requestTime is for a whole request: its body is a few kilobytes of XML at most.
	requestTime = 20 * time.Second
	// answerTime is for the answer, from the end of the request's header on.
	answerTime = 30 * time.Second
	// idleTime is how long a connection may wait for its next request.
	idleTime = time.Minute
	// maxHeader bounds a request's header in octets; browsers send a tenth of it.
	maxHeader = 16 << 10
	// maxBody bounds a request's body in octets: Autodiscover's is below one kilobyte.
	maxBody = 64 << 10
	// maxStreams bounds the requests of one HTTP/2 connection that are answered at a time.
	maxStreams = 32
	// maxPerAddress bounds connections of one address: browsers open six to a host, and a
	// household is behind one address.
	maxPerAddress = 80
	// maxConnections bounds those of all together, as tls/serve does for mail.
	maxConnections = 500
)

// Server serves HTTP on any number of listeners.
type Server struct {
	o       Options
	answers atomic.Pointer[http.Handler] // by what Reconfigure was told last
	http    *http.Server
	census  *serve.Census
}

// New returns a server that is not yet listening.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, census: serve.NewCensus(maxPerAddress, maxConnections)}
	s.Reconfigure(o)
	s.http = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.answers.Load()).ServeHTTP(w, r) }),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// What it tells is faults of clients, one line for each handshake that fails; panics of
		// handlers are told of by survive.
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		ConnState: s.count(),
	}
	return s
}

// Reconfigure has requests that come from now on answered by o.
func (s *Server) Reconfigure(o Options) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := (&Server{o: o}).handler()
	s.answers.Store(&h)
}

// ErrClosed is what Serve returns after Shutdown.
var ErrClosed = serve.ErrClosed

// Serve answers the requests of a listener, over TLS where it is one of
// serve.ListenTLS, until Shutdown, then returns ErrClosed; any other error is one of
// the listener. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return ErrClosed
	}
	return err
}

// Shutdown stops listening and lets requests that are under way finish. When ctx
// ends the rest is cut off, and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}

// count closes connections that are too many.
func (s *Server) count() func(net.Conn, http.ConnState) {
	var mu sync.Mutex
	counted := map[net.Conn]struct{}{}
	return func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateNew:
			if !s.census.Enter(c.RemoteAddr()) {
				c.Close()
				return
			}
			counted[c] = struct{}{}
		case http.StateClosed, http.StateHijacked:
			if _, ok := counted[c]; ok {
				delete(counted, c)
				s.census.Leave(c.RemoteAddr())
			}
		}
	}
}

// routes is the table of what is served, by the patterns of http.ServeMux. Where
// plain is set a route answers without TLS, too; the others redirect there.
func (s *Server) routes() []route {
	return []route{
		{pattern: "GET " + challengePath + "{token}", handle: s.answerChallenge, plain: true},
		// Some programs ask without TLS, too; what they are told leads to TLS and holds no secret.
		{pattern: "GET " + autoconfigPath, handle: s.answerAutoconfig, plain: true},
		{pattern: "GET " + autoconfigWellKnownPath, handle: s.answerAutoconfig, plain: true},
		{pattern: "GET /{$}", handle: s.answerPage},
		{pattern: "GET " + applePath, handle: s.answerApple},
		{pattern: "GET " + applePath + "/{file}", handle: s.answerProfile},
		{pattern: "GET " + paccPath, handle: s.answerPACC},
		{pattern: "GET /.well-known/mta-sts.txt", handle: s.answerPolicy},
		{pattern: "GET /.well-known/security.txt", handle: s.answerSecurity},
		// Load balancers and probers of the machine itself do not speak TLS.
		{pattern: "GET /healthz", handle: s.answerHealth, plain: true},
		// Address books and calendars (RFC 6764): programs that have found mail look for them, and wait for an answer.
		{pattern: "/.well-known/carddav", handle: http.NotFound, plain: true},
		{pattern: "/.well-known/caldav", handle: http.NotFound, plain: true},
		{pattern: autodiscoverFolder, handle: s.answerAutodiscover, plain: true},
	}
}

// route is an entry of that table.
type route struct {
	pattern string
	handle  http.HandlerFunc
	plain   bool
}

// handler leads each request through the limits to its route.
func (s *Server) handler() http.Handler {
	plain, secure := http.NewServeMux(), http.NewServeMux()
	for _, r := range s.routes() {
		secure.HandleFunc(r.pattern, r.handle)
		if r.plain {
			plain.HandleFunc(r.pattern, r.handle)
		}
	}
	plain.HandleFunc("/", s.redirect)
	return s.survive(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		foldAutodiscover(r)
		host := hostOf(r)
		switch {
		case r.TLS == nil && !s.ours(host):
			http.NotFound(w, r)
		case r.TLS == nil:
			plain.ServeHTTP(w, r)
		case !s.ours(host):
			// RFC 9110 section 15.5.20: who came over a shared connection tries again on one of its own.
			http.Error(w, "not a name of this server", http.StatusMisdirectedRequest)
		default:
			if s.certificate(host) != nil {
				stayEncrypted(w.Header(), host)
			}
			secure.ServeHTTP(w, r)
		}
	}))
}

// setHeaders are those of every answer. What is served is for the program that asked for
// it: pages of others neither frame nor read it.
func setHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

// stayEncrypted has browsers use HTTPS for this host from now on (RFC 6797). For the machine that they
// run on that would be said for all its other servers, too.
func stayEncrypted(h http.Header, host string) {
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// certificate is the one that a host is trusted for; nil without.
func (s *Server) certificate(host string) *tls.Certificate {
	if s.o.Certificate == nil {
		return nil
	}
	return s.o.Certificate(host)
}

func (s *Server) ours(host string) bool { return s.o.Ours == nil || s.o.Ours(host) }

// redirect sends a plain request to the same page over TLS.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request) {
	host := hostOf(r)
	if s.o.HTTPSPort == 0 || host == "" {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		// What it sent, perhaps a password, was readable on the way: nothing is made of it.
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use https", http.StatusMethodNotAllowed)
		return
	}
	u := *r.URL
	u.Scheme, u.Host = "https", authority(host, s.o.HTTPSPort)
	http.Redirect(w, r, u.String(), http.StatusPermanentRedirect)
}

// survive has a handler that breaks cost its own request only, and tells of it.
func (s *Server) survive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.o.Logger.Error("web: panic in a request", "remote", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "panic", p)
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
