package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/xdg-go/scram"

	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp"
	"mailstead/smtp/queue"
	"mailstead/smtp/route"
)

// startSubmission runs a submission server of ours as a smarthost, with an account ann@here.test.
func startSubmission(t *testing.T, ca authority) func(*Options) {
	t.Helper()
	d, err := directory.Open(mailboxtest.NewStore(t), directory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddDomain(t.Context(), "here.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.AddAccount(t.Context(), "ann@here.test", "correct horse"); err != nil {
		t.Fatal(err)
	}
	server := smtp.New(smtp.Options{
		Role: smtp.Submission, Hostname: "smart.test", Directory: d,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{ca.issue(false, "smart.test")}},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Shutdown(context.Background())
		serving.Wait()
	})
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	return func(o *Options) {
		o.TLSConfig = &tls.Config{RootCAs: roots}
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
		}
	}
}

// TestLogin uses each mechanism against our own server, with the right password and with a wrong one.
func TestLogin(t *testing.T) {
	w := newWorld(t, smarthostZone)
	c := w.courier(startSubmission(t, newAuthority(t)))
	for _, m := range mechanisms {
		for password, want := range map[route.Secret]int{"correct horse": 235, "battery staple": 535} {
			r := route.Route{Name: "x", Hop: hop(route.StartTLS)}
			a := newAttempt(c, "smart.test", queue.Message{Route: r})
			h, v := a.findSmarthost(t.Context())
			if v != nil {
				t.Fatal(v)
			}
			first, _, _ := c.dialFirst(t.Context(), h.addrs, a.port())
			if first.err != nil {
				t.Fatal(first.err)
			}
			s := newSession(first.conn, c.hostname, c.timeouts)
			if err := a.introduceToSmarthost(t.Context(), s, &target{host: h.name, policy: a.smarthostPolicy(t.Context())}); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(s.ext.auth, m.name) {
				t.Errorf("%s is not offered: %q", m.name, s.ext.auth)
			}
			last, err := m.run(s, route.Login{User: "ann@here.test", Password: password})
			if err != nil || last.code != want {
				t.Errorf("%s with the password %q: %+v, %v; want %d", m.name, password.Reveal(), last, err, want)
			}
			s.quit()
			s.conn.Close()
		}
	}
}

// TestLoginTakesTheBest looks which mechanism is used of those that our server has.
func TestLoginTakesTheBest(t *testing.T) {
	w := newWorld(t, smarthostZone)
	c := w.courier(startSubmission(t, newAuthority(t)))
	var told []string
	r := route.Route{Name: "x", Hop: hop(route.StartTLS), Login: route.Login{User: "ann@here.test", Password: "correct horse"}}
	if err := c.Try(t.Context(), r, listen(&told)); err != nil {
		t.Errorf("%v\n%s", err, strings.Join(told, "\n"))
	}
	if !slices.Contains(told, "> AUTH SCRAM-SHA-256-PLUS (not shown)") {
		t.Errorf("told %q", told)
	}
}

// TestServerThatDoesNotKnowThePassword plays a server that lies: it asks for a proof, and says "welcome" without
// knowing the password.
func TestServerThatDoesNotKnowThePassword(t *testing.T) {
	for name, c := range map[string]struct{ end, want string }{
		"no proof of its own": {"S: 235 welcome\n", "4.7.8 the smarthost has not proved that it knows the password"},
		"a wrong proof":       {"S: 334 " + inBase64("v=AAAA") + "\nC: *\nS: 501 ended\n", "4.7.8 the smarthost does not know the password of ann: *"},
		"words in its place":  {"S: 334 ?\nC: *\nS: 501 ended\n", "4.7.8 the smarthost does not know the password of ann: *"},
		"goodbye":             {"S: 421 4.3.2 bye\n", "4.7.0 the smarthost cannot check the login as ann now: 421 bye"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.port = "587"
			// The nonce is chosen here, so that the script can go on with it.
			first := "C: AUTH SCRAM-SHA-256 " + inBase64("n,,n=ann,r=abc") + "\nS: 334 " + inBase64("r=abcdef,s=c2FsdA==,i=4096") + "\nC: *\n"
			w.scripts["192.0.2.1"] = []script{lines(first + c.end)}
			courier := w.courier()
			d := courier.dial(t.Context(), netip.MustParseAddr("192.0.2.1"), 587)
			if d.err != nil {
				t.Fatal(d.err)
			}
			defer d.conn.Close()
			s := newSession(d.conn, "us.test", courier.timeouts)
			l := route.Login{User: "ann", Password: "secret"}
			last, err := runSCRAM(s, l, "SCRAM-SHA-256", func(c *scram.Client) *scram.ClientConversation {
				return c.WithNonceGenerator(func() string { return "abc" }).NewConversation()
			})
			if err == nil {
				err = refusal(l, last)
			}
			if err == nil || !matches(asVerdict(err).Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestIterations(t *testing.T) {
	for challenge, want := range map[string]int{
		"r=x,s=c2FsdA==,i=4096": 4096, "i=99999999999999999999": mostIterations + 1, "r=i=7": 0, "": 0, "i=x": mostIterations + 1,
	} {
		if got := iterations(challenge); got != want {
			t.Errorf("iterations(%q) = %d, want %d", challenge, got, want)
		}
	}
}

// A login is never tried in the clear, whatever the server offers.
func TestNoLoginInTheClear(t *testing.T) {
	s := &session{ext: extensions{auth: []string{"PLAIN"}}}
	if err := s.login(route.Login{User: "ann", Password: "secret"}); err == nil || errors.Is(err, errMechanism) {
		t.Errorf("got %v", err)
	}
}
