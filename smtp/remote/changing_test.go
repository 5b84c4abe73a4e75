package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

// turncoat shows its certificates one after the other, a new one on each connection.
type turncoat struct {
	certs []tls.Certificate
	shown int
}

func (c *turncoat) config() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert := &c.certs[min(c.shown, len(c.certs)-1)]
		c.shown++
		return cert, nil
	}}
}

// TestCertificateChanges holds that what a server has shown on one connection says nothing of the next: each is judged by its
// own certificate, and a session that the client's memory could resume is not.
func TestCertificateChanges(t *testing.T) {
	ca, strangers := newAuthority(t), newAuthority(t)
	good, alien := ca.issue(false, "mx.example.test"), strangers.issue(false, "mx.example.test")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	enforce := sts(mtasts.Enforce, "mx.example.test")
	wrongSTS, wrongDANE := stsFails+untrusted, daneFails+notTheOne
	for _, tt := range []struct {
		name    string
		zone    string
		mtasts  mtasts.Finding
		certs   []tls.Certificate
		scripts []string
		want    []string // one for each message
	}{
		{"MTA-STS, good, then an alien", "", enforce, []tls.Certificate{good, alien}, []string{encrypted, brokenOff}, []string{delivered, wrongSTS}},
		{"MTA-STS, an alien, then good", "", enforce, []tls.Certificate{alien, good}, []string{brokenOff, encrypted}, []string{wrongSTS, delivered}},
		{"MTA-STS, to and fro", "", enforce, []tls.Certificate{good, alien, good}, []string{encrypted, brokenOff, encrypted}, []string{delivered, wrongSTS, delivered}},
		{"DANE, the published one, then another", tlsa(good.Leaf, 3, 1, 1), mtasts.Finding{}, []tls.Certificate{good, alien}, []string{encrypted, brokenOff}, []string{delivered, wrongDANE}},
		{"DANE, another, then the published one", tlsa(good.Leaf, 3, 1, 1), mtasts.Finding{}, []tls.Certificate{alien, good}, []string{brokenOff, encrypted}, []string{wrongDANE, delivered}},
		{"nothing published: any certificate", "", mtasts.Finding{}, []tls.Certificate{good, alien}, []string{encrypted, encrypted}, []string{delivered, delivered}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, oneMX+tt.zone)
			w.zone.SetAuthentic(true)
			server := &turncoat{certs: tt.certs}
			w.tls = server.config()
			for _, s := range tt.scripts {
				w.scripts["192.0.2.1"] = append(w.scripts["192.0.2.1"], lines(s))
			}
			c := w.courier(func(o *Options) {
				o.TLSConfig = &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
				o.MTASTS = func(context.Context, string) mtasts.Finding { return tt.mtasts }
				o.Timeouts.Keep = time.Millisecond // each message has a connection of its own
			})
			for i, want := range tt.want {
				o := c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
				w.playing.Wait() // that connection is over
				if got := describe(o); !matches(got, want) {
					t.Errorf("message %d: got  %s\nwant %s", i+1, got, want)
				}
				if o.TLS != (o.Status == queue.Delivered) {
					t.Errorf("message %d: TLS %v for %s", i+1, o.TLS, describe(o))
				}
			}
			if server.shown != len(tt.want) {
				t.Errorf("%d certificates were shown for %d messages", server.shown, len(tt.want))
			}
		})
	}
}

// TestCertificateEndsUnderAConnection holds that a connection which is kept is judged by its certificate as of now: past its
// time, the message goes over a new one, and what the server shows there counts.
func TestCertificateEndsUnderAConnection(t *testing.T) {
	ca := newAuthority(t)
	old, renewed := ca.issue(true, "mx.example.test"), ca.issue(false, "mx.example.test")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	w := newWorld(t, oneMX)
	server := &turncoat{certs: []tls.Certificate{old, renewed}}
	w.tls = server.config()
	w.scripts["192.0.2.1"] = []script{lines(encrypted), lines(encrypted)}
	now := old.Leaf.NotAfter.Add(-time.Minute)
	c := w.courier(func(o *Options) {
		o.TLSConfig = &tls.Config{RootCAs: roots, Time: func() time.Time { return now }}
		o.MTASTS = func(context.Context, string) mtasts.Finding { return sts(mtasts.Enforce, "mx.example.test") }
	})
	w.wantDelivered(c, w.letter("a@example.test"))
	if c.kept.count() != 1 {
		t.Fatal("the connection is not kept")
	}
	now = now.Add(2 * time.Minute)
	w.wantDelivered(c, w.letter("a@example.test"))
	if server.shown != 2 {
		t.Errorf("%d certificates were shown", server.shown)
	}
}
