package remote

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"

	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
	"mailstead/smtp/route"
)

const smarthostZone = "smart.test. A 192.0.2.1\n"

func hop(security route.Security) route.Hop {
	return route.Hop{Host: "smart.test", Port: 587, Security: security}
}

func inBase64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// The steps of conversations with a smarthost.
const (
	smartClear  = "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250-AUTH PLAIN LOGIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
	smartTLS    = smartClear + "starttls\nC: EHLO us.test\nS: 250-x\n"
	smartBroken = smartClear + "badtls"
	goodPlain   = "C: AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 235 2.7.0 welcome\n"
	oneMail     = "C: MAIL FROM:<sender@us.test>\nS: 250 ok\nC: RCPT TO:<a@example.test>\nS: 250 ok\nC: DATA\nS: 354 go\nbody\nS: 250 2.0.0 taken\n"
	leaves      = "C: QUIT\nS: 221 bye\neof"
)

// TestSmarthost plays what can become of a message on the way to a smarthost. The DNS knows nothing of the recipient's
// domain, so any look-up would return it.
func TestSmarthost(t *testing.T) {
	ca := newAuthority(t)
	good, other := ca.issue(false, "smart.test"), ca.issue(false, "other.test")
	inPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}))
	sum := sha256.Sum256(other.Leaf.Raw)
	fingerprint := hex.EncodeToString(sum[:])
	login := route.Login{User: "ann", Password: "secret"}
	const (
		on      = `smart.test [192.0.2.1] | `
		demands = "a@example.test temporary 0 4.7.5 | the route to smart.test:587 demands a secure connection to smart.test [192.0.2.1]: "
	)
	for _, c := range []struct {
		name   string
		route  route.Route
		cert   tls.Certificate
		roots  bool // the system trusts the authority
		demand queue.TLSDemand
		mtasts mtasts.Finding // what the smarthost has published
		found  string         // of that, by the names of reports
		zone   string
		script string // "" = nobody is to be called
		want   string
	}{
		{name: "PLAIN within STARTTLS", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: smartTLS + "S: 250 AUTH PLAIN LOGIN\n" + goodPlain + oneMail + goodbye, want: "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "LOGIN where there is nothing else", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: smartTLS + "S: 250 AUTH LOGIN CRAM-MD5\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YW5u\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 ok\n" + oneMail + goodbye,
			want:   "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "implicit TLS", route: route.Route{Hop: hop(route.ImplicitTLS), Login: login}, roots: true,
			script: "starttls\nS: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250 AUTH PLAIN\n" + goodPlain + oneMail + goodbye,
			want:   "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "no login", route: route.Route{Hop: hop(route.StartTLS)}, roots: true,
			script: smartTLS + "S: 250 AUTH PLAIN\n" + oneMail + goodbye, want: "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "an authority of one's own", route: route.Route{Hop: hop(route.StartTLS), Trust: route.Trust{CA: inPEM}},
			script: smartTLS + "S: 250 x\n" + oneMail + goodbye, want: "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "a fingerprint, whatever the name", route: route.Route{Hop: hop(route.StartTLS), Trust: route.Trust{Pin: fingerprint}}, cert: other,
			script: smartTLS + "S: 250 x\n" + oneMail + goodbye, want: "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "another certificate than that of the fingerprint", route: route.Route{Hop: hop(route.StartTLS), Login: login, Trust: route.Trust{Pin: fingerprint}}, roots: true,
			script: smartBroken, want: demands + "its certificate is not the one of the fingerprint*"},
		{name: "an authority that nobody knows", route: route.Route{Hop: hop(route.StartTLS), Login: login},
			script: smartBroken, want: demands + "its certificate is not of an authority that counts; its SHA-256 is *"},
		{name: "a certificate for other names", route: route.Route{Hop: hop(route.StartTLS), Login: login}, cert: other, roots: true,
			script: smartBroken, want: demands + "its certificate is for other names; its SHA-256 is " + fingerprint},
		{name: "the same with implicit TLS", route: route.Route{Hop: hop(route.ImplicitTLS), Login: login}, cert: other, roots: true,
			script: "badtls", want: demands + "its certificate is for other names; its SHA-256 is " + fingerprint},
		{name: "no STARTTLS", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250 AUTH PLAIN LOGIN\n" + leaves,
			want:   strings.Replace(demands, "4.7.5", "4.7.10", 1) + "it does not offer encryption"},
		{name: "STARTTLS refused for good", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 502 5.5.1 never\n" + leaves,
			want:   demands + "*"},
		{name: "a TLS-Required: No does not count for our login", route: route.Route{Hop: hop(route.StartTLS), Login: login}, demand: queue.TLSOptional,
			script: smartBroken, want: demands + "*"},
		{name: "a wrong password", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: smartTLS + "S: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 535 5.7.8 wrong\n" + leaves,
			want:   "a@example.test temporary 0 4.7.8 tls " + on + "the smarthost refuses the login as ann: 535 wrong"},
		{name: "a login that cannot be checked now", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: smartTLS + "S: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 454 4.7.0 later\n" + leaves,
			want:   "a@example.test temporary 0 4.7.0 tls " + on + "the smarthost cannot check the login as ann now: 454 later"},
		{name: "no mechanism that we know", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: smartTLS + "S: 250 AUTH XOAUTH2\n" + leaves,
			want:   "a@example.test temporary 0 4.7.4 tls " + on + `the smarthost offers no way to log in that is known here, only "XOAUTH2"`},
		{name: "PLAIN is not to be used after all", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: smartTLS + "S: 250 AUTH SCRAM-SHA-256 PLAIN\nC: AUTH SCRAM-SHA-256 *\nS: 504 5.5.4 not for you\n" + goodPlain + oneMail + goodbye,
			want:   "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "SCRAM that would take hours", route: route.Route{Hop: hop(route.StartTLS), Login: login}, roots: true,
			script: smartTLS + "S: 250 AUTH SCRAM-SHA-256\nC: AUTH SCRAM-SHA-256 *\nS: 334 " + inBase64("r=x,s=c2FsdA==,i=2000000000") + "\nC: *\nS: 501 ended\n" + leaves,
			want:   "a@example.test temporary 0 4.7.4 tls " + on + `the smarthost offers no way to log in that is known here, only "SCRAM-SHA-256"`},
		{name: "a greeting that says no", route: route.Route{Hop: hop(route.StartTLS)}, roots: true,
			script: "S: 554 5.3.2 closed\n" + leaves, want: "a@example.test temporary 0 4.3.2 " + on + "the smarthost says: 554 5.3.2 closed"},
		{name: "a login is missing", route: route.Route{Hop: hop(route.StartTLS)}, roots: true,
			script: smartTLS + "S: 250 AUTH PLAIN\nC: MAIL FROM:<sender@us.test>\nS: 530 5.7.0 who are you?\n" + leaves,
			want:   "a@example.test temporary 0 4.7.8 tls " + on + "the smarthost wants another login: 530 5.7.0 who are you?"},
		{name: "a recipient that it does not take", route: route.Route{Hop: hop(route.StartTLS)}, roots: true,
			script: smartTLS + "S: 250 x\nC: MAIL FROM:<sender@us.test>\nS: 250 ok\nC: RCPT TO:<a@example.test>\nS: 550 5.1.1 nobody\n" + leaves,
			want:   "a@example.test permanent 550 5.1.1 tls " + on + "nobody"},
		{name: "REQUIRETLS goes on", route: route.Route{Hop: hop(route.StartTLS)}, roots: true, demand: queue.TLSRequired,
			script: smartTLS + "S: 250 REQUIRETLS\n" + strings.Replace(oneMail, "test>\n", "test> REQUIRETLS\n", 1) + goodbye,
			want:   "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "REQUIRETLS that it does not know", route: route.Route{Hop: hop(route.StartTLS)}, roots: true, demand: queue.TLSRequired,
			script: smartTLS + "S: 250 x\n" + leaves,
			want:   "a@example.test permanent 0 5.7.30 tls | the sender demands secure connections all the way (REQUIRETLS), which smart.test [192.0.2.1] does not offer"},
		{name: "REQUIRETLS over a route without TLS", route: route.Route{Hop: route.Hop{Host: "127.0.0.1", Port: 587, Security: route.NoTLS}}, demand: queue.TLSRequired,
			want: "a@example.test permanent 0 5.7.10 | the sender demands secure connections all the way (REQUIRETLS), and the route to 127.0.0.1:587 has no TLS"},
		{name: "no TLS in a private network", route: route.Route{Hop: hop(route.NoTLS)}, zone: "smart.test. A 192.0.2.1\nsmart.test. A 10.0.0.1\n",
			script: "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250 STARTTLS\n" + oneMail + goodbye,
			want:   "a@example.test delivered 250 2.0.0 smart.test [10.0.0.1] | taken"},
		{name: "no TLS elsewhere", route: route.Route{Hop: hop(route.NoTLS)},
			want: "a@example.test temporary 0 4.7.10 | the smarthost smart.test is not in a private network, and its route has no TLS"},
		{name: "its own policy is met", route: route.Route{Hop: hop(route.StartTLS)}, roots: true, found: "sts", mtasts: sts(mtasts.Enforce, "*.test"),
			script: smartTLS + "S: 250 x\n" + oneMail + goodbye, want: "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "its own policy wants another certificate than the pinned one", route: route.Route{Hop: hop(route.StartTLS), Trust: route.Trust{Pin: fingerprint}}, cert: other, roots: true,
			found: "sts certificate-host-mismatch", mtasts: sts(mtasts.Enforce, "smart.test"), script: smartBroken, want: demands + "its certificate is for other names"},
		{name: "its own policy makes no certificate right", route: route.Route{Hop: hop(route.StartTLS), Trust: route.Trust{Pin: fingerprint}}, roots: true,
			found: "sts", mtasts: sts(mtasts.Enforce, "smart.test"), script: smartBroken, want: demands + "its certificate is not the one of the fingerprint*"},
		{name: "its own policy names other servers", route: route.Route{Hop: hop(route.StartTLS)}, roots: true, found: "sts validation-failure", mtasts: sts(mtasts.Enforce, "other.test"),
			want: "a@example.test temporary 0 4.7.5 | the MTA-STS policy of smart.test does not name it as a server for mail"},
		{name: "its own policy is on trial", route: route.Route{Hop: hop(route.StartTLS)}, roots: true, found: "sts validation-failure", mtasts: sts(mtasts.Testing, "other.test"),
			script: smartTLS + "S: 250 x\n" + oneMail + goodbye, want: "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "its own policy, on trial, wants another certificate than the pinned one", route: route.Route{Hop: hop(route.StartTLS), Trust: route.Trust{Pin: fingerprint}}, cert: other, roots: true,
			found: "sts certificate-host-mismatch", mtasts: sts(mtasts.Testing, "smart.test"),
			script: smartTLS + "S: 250 x\n" + oneMail + goodbye, want: "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "its own policy, and no STARTTLS", route: route.Route{Hop: hop(route.StartTLS)}, roots: true, found: "sts starttls-not-supported", mtasts: sts(mtasts.Testing, "smart.test"),
			script: "S: 220 x\nC: EHLO us.test\nS: 250 x\n" + leaves, want: strings.Replace(demands, "4.7.5", "4.7.10", 1) + "it does not offer encryption"},
		{name: "its own policy cannot be fetched", route: route.Route{Hop: hop(route.StartTLS)}, roots: true, found: "sts validation-failure", mtasts: mtasts.Finding{Err: errRefused, Result: resultInvalid},
			script: smartTLS + "S: 250 x\n" + oneMail + goodbye, want: "a@example.test delivered 250 2.0.0 tls " + on + "taken"},
		{name: "its own policy, and a route without TLS", route: route.Route{Hop: hop(route.NoTLS)}, zone: "smart.test. A 10.0.0.1\n", mtasts: sts(mtasts.Enforce, "smart.test"),
			want: "a@example.test temporary 0 4.7.10 | the MTA-STS policy of smart.test demands a secure connection, and the route to smart.test:587 has no TLS"},
		{name: "a host without an address", route: route.Route{Hop: hop(route.StartTLS)}, zone: "x.test. A 192.0.2.1\n",
			want: "a@example.test temporary 0 4.4.4 | the smarthost smart.test has no address"},
		{name: "nobody answers", route: route.Route{Hop: route.Hop{Host: "192.0.2.7", Port: 587, Security: route.StartTLS}},
			want: "a@example.test temporary 0 4.4.1 | connect to 192.0.2.7: *"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.zone == "" {
				c.zone = smarthostZone
			}
			w := newWorld(t, c.zone)
			w.port = "587"
			w.tls.Certificates[0] = good
			if c.cert.Certificate != nil {
				w.tls.Certificates[0] = c.cert
			}
			if c.script != "" {
				ip := "192.0.2.1"
				if c.route.Hop.Security == route.NoTLS {
					ip = "10.0.0.1"
				}
				w.scripts[ip] = []script{lines(c.script)}
			}
			courier := w.courier(func(o *Options) {
				o.MTASTS = func(_ context.Context, domain string) mtasts.Finding {
					if domain != c.route.Hop.Host || c.demand == queue.TLSOptional {
						t.Errorf("the MTA-STS policy of %s is looked for", domain)
					}
					return c.mtasts
				}
				roots := x509.NewCertPool()
				if c.roots {
					roots.AddCert(ca.cert)
				}
				o.TLSConfig = &tls.Config{RootCAs: roots}
			})
			var told []string
			m := w.letter("a@example.test")
			m.Route, m.TLS, m.Tell = c.route, c.demand, listen(&told)
			m.Route.Name = "x"
			o := courier.Deliver(t.Context(), "example.test", m)[0]
			if got := describe(o); !matches(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := strings.TrimSpace(o.Security.Policy + " " + o.Security.Result); got != c.found {
				t.Errorf("of what it has published %q was found, want %q: %+v", got, c.found, o.Security)
			}
			text := strings.Join(told, "\n")
			for _, secret := range []string{"secret", inBase64("secret"), inBase64("\x00ann\x00secret")} {
				if strings.Contains(text, secret) {
					t.Errorf("the conversation gives the password away:\n%s", text)
				}
			}
		})
	}
}

// Messages for several domains go over one connection to their smarthost, those of another login do not.
func TestSmarthostKeepsTheConnection(t *testing.T) {
	w := newWorld(t, smarthostZone)
	w.port = "587"
	ca := newAuthority(t)
	w.tls.Certificates[0] = ca.issue(false, "smart.test")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	anywhere := "C: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nS: 354 go\nbody\nS: 250 taken\n"
	w.scripts["192.0.2.1"] = []script{
		lines(smartTLS + "S: 250 AUTH PLAIN\n" + goodPlain + anywhere + anywhere + goodbye),
		lines(smartTLS + "S: 250 AUTH PLAIN\nC: AUTH PLAIN " + inBase64("\x00bob\x00secret") + "\nS: 235 ok\n" + anywhere + goodbye),
	}
	c := w.courier(func(o *Options) { o.TLSConfig = &tls.Config{RootCAs: roots} })
	for _, leg := range []struct{ domain, user string }{{"one.test", "ann"}, {"two.test", "ann"}, {"three.test", "bob"}} {
		m := w.letter("a@" + leg.domain)
		m.Route = route.Route{Name: "x", Hop: hop(route.StartTLS), Login: route.Login{User: leg.user, Password: "secret"}}
		if o := c.Deliver(t.Context(), leg.domain, m)[0]; o.Status != queue.Delivered {
			t.Errorf("got %s", describe(o))
		}
	}
}

// TestTry says what an administrator wants to know of a smarthost.
func TestTry(t *testing.T) {
	ca := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for name, c := range map[string]struct {
		script string
		names  string
		want   string // the error; "" = none
		told   string // contained
		mtasts mtasts.Finding
	}{
		"policy":         {"", "smart.test", "4.7.5 the MTA-STS policy of smart.test does not name it as a server for mail", "does not name it", sts(mtasts.Enforce, "other.test")},
		"good":           {smartTLS + "S: 250 AUTH PLAIN\n" + goodPlain + goodbye, "smart.test", "", "< 235 2.7.0 welcome", sts(mtasts.Enforce, "smart.test")},
		"wrong password": {smartTLS + "S: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 535 no\n" + goodbye, "smart.test", "4.7.8 the smarthost refuses the login as ann: 535 no", "> AUTH PLAIN (not shown)", mtasts.Finding{}},
		"wrong name":     {smartBroken, "other.test", "4.7.5 the route to smart.test:587 demands a secure connection to smart.test [192.0.2.1]: its certificate is for other names; its SHA-256 is *", "* connected to smart.test [192.0.2.1]:587", mtasts.Finding{}},
		"nobody":         {"", "smart.test", "4.4.1 connect to smart.test: *", "connection refused", mtasts.Finding{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, smarthostZone)
			w.port = "587"
			w.tls.Certificates[0] = ca.issue(false, c.names)
			if c.script != "" {
				w.scripts["192.0.2.1"] = []script{lines(c.script)}
			}
			var told []string
			courier := w.courier(func(o *Options) {
				o.TLSConfig = &tls.Config{RootCAs: roots}
				o.MTASTS = func(context.Context, string) mtasts.Finding { return c.mtasts }
			})
			r := route.Route{Name: "x", Hop: hop(route.StartTLS), Login: route.Login{User: "ann", Password: "secret"}}
			got := ""
			if err := courier.Try(t.Context(), r, listen(&told)); err != nil {
				got = err.Error()
			}
			if !matches(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if !strings.Contains(strings.Join(told, "\n"), c.told) {
				t.Errorf("told %q, not %q", told, c.told)
			}
		})
	}
}
