package figures

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mailstead/tls/serve"
)

// ServerOptions are what a Server works with. Collect is needed.
type ServerOptions struct {
	// Collect gives the figures of now. One call at a time.
	Collect func() Figures
	// From are networks that may ask, beside this machine itself. Others get 403.
	From []netip.Prefix
	// Logger hears what goes wrong. nil: nobody does.
	Logger *slog.Logger
}

const (
	// requestTime is for a whole request, and answerTime for the answer: a few kilobytes.
	requestTime = 5 * time.Second
	answerTime  = 20 * time.Second
	// idleTime is longer than the usual pause between two questions of Prometheus, a minute.
	idleTime  = 2 * time.Minute
	maxHeader = 8 << 10 // octets; Prometheus sends some hundred
	// maxConnections bounds them, as everybody on the machine may ask: two of Prometheus, and a person's.
	maxConnections = 16
)

// Server answers Prometheus over HTTP, without TLS: GET /metrics, and GET /healthz.
type Server struct {
	o      ServerOptions
	http   *http.Server
	asking sync.Mutex // one collects at a time
	slots  chan struct{}
}

// NewServer returns a server that is not yet listening.
func NewServer(o ServerOptions) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, slots: make(chan struct{}, maxConnections)}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /metrics", s.answerMetrics)
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	s.http = &http.Server{
		Handler: s.guard(routes), ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
	return s
}

// guard lets only those ask who may. A page in a browser of this machine, whose name somebody lets lead to
// 127.0.0.1, is not one of them: its requests name that host.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !s.may(from.Addr().Unmap().WithZone("")) || !isAddress(r.Host) {
			http.Error(w, "not from there", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) may(from netip.Addr) bool {
	return from.IsLoopback() || slices.ContainsFunc(s.o.From, func(p netip.Prefix) bool { return p.Contains(from) })
}

// isAddress reports whether a request's host is an address, or a name that leads nowhere else.
func isAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || host == "[::1]"
}

func (s *Server) answerMetrics(w http.ResponseWriter, _ *http.Request) {
	s.asking.Lock()
	f := s.o.Collect()
	s.asking.Unlock()
	w.Header().Set("Content-Type", ContentType)
	w.Write(f.Exposition()) // whoever went away asks again
}

// Serve answers until Shutdown, then returns serve.ErrClosed; any other error is one of the listener, which it
// closes.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(&bounded{Listener: l, slots: s.slots})
	if errors.Is(err, http.ErrServerClosed) {
		return serve.ErrClosed
	}
	return err
}

// Shutdown stops listening and lets answers finish; when ctx ends the rest is cut off, and its error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}

// bounded closes connections that are too many.
type bounded struct {
	net.Listener
	slots chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.slots <- struct{}{}:
			return &counted{Conn: c, leave: sync.OnceFunc(func() { <-b.slots })}, nil
		default:
			c.Close()
		}
	}
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
