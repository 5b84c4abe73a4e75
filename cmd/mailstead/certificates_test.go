package main

import (
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailstead/smtp/dns/dnstest"
	"mailstead/tls"
	"mailstead/tls/acmetest"
)

// host is a server as `serve` runs it, on loopback, with a domain and an account.
type host struct {
	*testing.T
	settings settings
	offset   int
	zone     *dnstest.Server
	log      lockedBuffer
	server   *server
	stop     func()
}

const (
	hostName    = "mail.example.test"
	hostAccount = "user@example.test"
)

// newHost prepares a server; change is made to its settings.
func newHost(t *testing.T, zone string, change func(*settings)) *host {
	t.Helper()
	h := &host{T: t, offset: freeOffset(t), zone: dnstest.New(t, zone)}
	at := func(port int) []string { return []string{h.at(port)} }
	s := defaultSettings()
	s.Hostname, s.Dir, s.Resolvers = hostName, trialDir(t), []string{h.zone.Addr()}
	s.Listen = listen{
		SMTP: at(25), Submission: at(587), Submissions: at(465), IMAP: at(143), IMAPS: at(993), POP3: at(110), POP3S: at(995), HTTP: at(80), HTTPS: at(443),
	}
	s.ACMEEmail, s.PublicAddresses = "admin@example.test", []string{"127.0.0.1"}
	s.acmePoll, s.acmeDelay = 10*time.Millisecond, time.Millisecond
	change(&s)
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	h.settings = s
	return h
}

func (h *host) at(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(h.offset+port))
}

// start runs the server with these domains.
func (h *host) start(domains ...string) {
	h.Helper()
	var err error
	if h.server, err = newServer(h.settings, slog.New(slog.NewTextHandler(&h.log, nil))); err != nil {
		h.Fatal(err)
	}
	for _, d := range domains {
		if h.server.directory.IsLocal(d) {
			continue
		}
		if err := h.server.directory.AddDomain(h.Context(), d); err != nil {
			h.Fatal(err)
		}
	}
	if _, err := h.server.directory.Account(hostAccount); err != nil && slices.Contains(domains, "example.test") {
		if _, err := h.server.directory.AddAccount(h.Context(), hostAccount, "pass"); err != nil {
			h.Fatal(err)
		}
	}
	if err := h.server.renameCertificate(); err != nil {
		h.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- h.server.run(ctx, func() error {
			close(ready)
			return nil
		})
	}()
	stopped := false
	h.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			h.Error(err)
		}
	}
	h.Cleanup(h.stop)
	select {
	case <-ready:
	case err := <-ended:
		h.Fatal(err)
	}
}

// command runs a command on the running server.
func (h *host) command(args ...string) outcome {
	h.Helper()
	return command(h.T, "", append(args, "--dir", h.settings.Dir)...)
}

// listeners are all with TLS, and how it is asked for.
var listeners = []struct {
	port     int
	greeting string
	ask      [][2]string // what is said, and how the answer begins
}{
	{25, "220 ", [][2]string{{"EHLO c.test", "250 "}, {"STARTTLS", "220 "}}},
	{587, "220 ", [][2]string{{"EHLO c.test", "250 "}, {"STARTTLS", "220 "}}},
	{143, "* OK", [][2]string{{"a STARTTLS", "a OK"}}},
	{110, "+OK", [][2]string{{"STLS", "+OK"}}},
	{465, "", nil}, {993, "", nil}, {995, "", nil}, {443, "", nil},
}

// shown is the certificate that a listener shows for a name.
func (h *host) shown(port int, name string) *x509.Certificate {
	h.Helper()
	for _, l := range listeners {
		if l.port != port {
			continue
		}
		conn, err := net.Dial("tcp", h.at(port))
		if err != nil {
			h.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patienceOfTests))
		if l.greeting != "" {
			c := newTalk(h.T, conn, l.greeting)
			for _, a := range l.ask {
				c.say(a[0], a[1])
			}
		}
		secure := cryptotls.Client(conn, &cryptotls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := secure.Handshake(); err != nil {
			h.Fatalf("port %d: %v", port, err)
		}
		return secure.ConnectionState().PeerCertificates[0]
	}
	h.Fatalf("no listener %d", port)
	return nil
}

// mustShow holds all listeners to one certificate.
func (h *host) mustShow(name string, want *x509.Certificate) {
	h.Helper()
	for _, l := range listeners {
		if got := h.shown(l.port, name); !got.Equal(want) {
			h.Errorf("port %d shows %v by %v until %v", l.port, got.DNSNames, got.Issuer, got.NotAfter)
		}
	}
}

// states are what `certificate list` tells.
func (h *host) states() map[string]tls.State {
	h.Helper()
	got := h.command("certificate", "list", "--json")
	var rows []tls.State
	if err := json.Unmarshal([]byte(got.out), &rows); err != nil {
		h.Fatalf("%+v: %v", got, err)
	}
	states := map[string]tls.State{}
	for _, r := range rows {
		states[r.Name] = r
	}
	return states
}

// until waits for what the names are to come to.
func (h *host) until(what string, f func(map[string]tls.State) bool) {
	h.Helper()
	for end := time.Now().Add(patienceOfTests); ; time.Sleep(20 * time.Millisecond) {
		states := h.states()
		if f(states) {
			return
		}
		if time.Now().After(end) {
			h.Fatalf("not seen: %s\n%+v\n%s", what, states, h.log.String())
		}
	}
}

func isFetched(names ...string) func(map[string]tls.State) bool {
	return func(states map[string]tls.State) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return states[n].Issuer == "" || states[n].Error != "" })
	}
}

// validate does what an authority does to see that a name is ours.
func (h *host) validate(kind, name, token string) error {
	if kind == "http-01" {
		r, err := http.NewRequest(http.MethodGet, "http://"+h.at(80)+"/.well-known/acme-challenge/"+token, nil)
		if err != nil {
			return err
		}
		r.Host = name
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if text, err := io.ReadAll(answer.Body); err != nil || !strings.HasPrefix(string(text), token+".") {
			return fmt.Errorf("%s %q, %v", answer.Status, text, err)
		}
		return nil
	}
	conn, err := cryptotls.Dial("tcp", h.at(443), &cryptotls.Config{ServerName: name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	leaf := conn.ConnectionState().PeerCertificates[0]
	if conn.ConnectionState().NegotiatedProtocol != "acme-tls/1" || len(leaf.UnhandledCriticalExtensions) != 1 || leaf.VerifyHostname(name) != nil {
		return fmt.Errorf("no answer to the challenge of %s", name)
	}
	return nil
}

const oneHostZone = "mail.example.test. A 127.0.0.1\nexample.test. A 192.0.2.1\nmta-sts.example.test. A 127.0.0.1\n"

// TestCertificatesOfAllListeners: what an authority gives is what all listeners show, from the moment that it is there, to
// those who come; who is connected stays.
func TestCertificatesOfAllListeners(t *testing.T) {
	var h *host
	authority := acmetest.New(t, acmetest.Options{Validate: func(kind, name, token string) error { return h.validate(kind, name, token) }})
	authority.Fail("new-order", func(w http.ResponseWriter, _ *http.Request) {
		acmetest.Problem(w, 500, "serverInternal", "out of order")
	})
	h = newHost(t, oneHostZone, func(s *settings) {
		s.ACMEDirectory, s.ACMECAFile = authority.Directory(), filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(s.ACMECAFile, authority.ServerPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	h.start("example.test")
	h.until("the authority's fault", func(s map[string]tls.State) bool { return strings.Contains(s[hostName].Error, "out of order") })
	own := h.shown(25, hostName)
	h.mustShow(hostName, own)
	if own.Issuer.String() != own.Subject.String() {
		t.Errorf("before the first certificate there is one by %v", own.Issuer)
	}
	authority.Fail("new-order", nil)
	session := h.login()

	if got := h.command("certificate", "renew", hostName); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	first := h.shown(25, hostName)
	if _, err := first.Verify(x509.VerifyOptions{DNSName: hostName, Roots: authority.Roots()}); err != nil {
		t.Fatal(err)
	}
	h.mustShow(hostName, first)
	h.mustShow("", first)
	h.mustShow("unheard.of.test", first)
	if got := h.command("certificate", "renew", hostName); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	second := h.shown(25, hostName)
	h.mustShow(hostName, second)
	if second.Equal(first) || tls.TLSA(second.PublicKey) != tls.TLSA(own.PublicKey) {
		t.Error("the renewed certificate is the old one, or for another key")
	}
	session.say("b NOOP", "b OK")
	session.say("c STATUS INBOX (MESSAGES)", "c OK")

	if got := h.command("domain", "show", "example.test").out; !strings.Contains(got, "_25._tcp.mail.example.test. IN TLSA "+tls.TLSA(second.PublicKey)+"\n") {
		t.Errorf("the TLSA record is not shown:\n%s", got)
	}
	if s := h.states()["example.test"]; !strings.Contains(s.Addresses, "192.0.2.1, which is not an address of this server") {
		t.Errorf("a name that leads elsewhere: %+v", s)
	}
	if s := h.states()["autoconfig.example.test"]; !strings.Contains(s.Addresses, "has no address") {
		t.Errorf("a name that is not there: %+v", s)
	}
	both := h.command("certificate", "new-key", hostName)
	if both.code != 0 || strings.Count(both.out, "_25._tcp.mail.example.test. IN TLSA 3 1 1 ") != 2 {
		t.Errorf("%+v", both)
	}
	if got := h.command("domain", "show", "example.test").out; strings.Count(got, " IN TLSA ") != 2 {
		t.Errorf("both TLSA records are not shown:\n%s", got)
	}

	orders := authority.Asked("new-order")
	h.stop()
	h.start("example.test")
	h.mustShow(hostName, second)
	h.stop()
	if n := authority.Asked("new-order"); n != orders {
		t.Errorf("%d orders after a restart", n-orders)
	}
	if s := h.states()[hostName]; s.Issuer != "ACME Tests Root of Tests" { // without the server
		t.Errorf("%+v", s)
	}
	if got := h.command("certificate", "renew", hostName); got.code != exitFailed || !strings.Contains(got.err, "has to run") {
		t.Errorf("%+v", got)
	}
	if strings.Contains(h.log.String(), "PRIVATE") {
		t.Error("a key is in the log")
	}
}

// login is an IMAP session over TLS.
func (h *host) login() *talk {
	h.Helper()
	conn, err := cryptotls.Dial("tcp", h.at(993), &cryptotls.Config{InsecureSkipVerify: true})
	if err != nil {
		h.Fatal(err)
	}
	c := newTalk(h.T, conn, "* OK")
	c.say("a LOGIN "+hostAccount+" pass", "a OK")
	return c
}

// TestOperatorsFilesWin for the names that they have; others get what was fetched.
func TestOperatorsFilesWin(t *testing.T) {
	var h *host
	authority := acmetest.New(t, acmetest.Options{Validate: func(kind, name, token string) error { return h.validate(kind, name, token) }})
	h = newHost(t, oneHostZone, func(s *settings) {
		s.ACMEDirectory, s.ACMECAFile = authority.Directory(), filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(s.ACMECAFile, authority.ServerPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := tls.SelfSigned(dir, []string{hostName}, tls.Options{}); err != nil {
			t.Fatal(err)
		}
		s.Certificate, s.Key = filepath.Join(dir, "self-signed.pem"), filepath.Join(dir, "self-signed-key.pem")
	})
	h.start("example.test")
	h.until("the other name's certificate", isFetched("mta-sts.example.test"))
	files := h.shown(25, "")
	h.mustShow(hostName, files)
	if got := h.shown(443, "mta-sts.example.test"); got.VerifyHostname("mta-sts.example.test") != nil || got.Equal(files) {
		t.Errorf("mta-sts is shown %v", got.DNSNames)
	}
	if n := authority.Asked("new-order"); n != 1 {
		t.Errorf("%d orders", n)
	}
	if got := h.server.hostTLSA(); !slices.Equal(got, []string{tls.TLSA(files.PublicKey)}) {
		t.Errorf("TLSA %q", got)
	}
}

func TestIsPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"203.0.113.1": true, "2001:db8::1": true, "10.0.0.1": false, "192.168.1.1": false, "100.64.0.1": false, "100.128.0.1": true,
		"fd00::1": false, "fe80::1": false, "127.0.0.1": false, "::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestLeadsHere decides from the DNS whether an authority would find us.
func TestLeadsHere(t *testing.T) {
	zone := oneHostZone + "both.test. A 127.0.0.1\nboth.test. AAAA 2001:db8::9\nalias.test. CNAME mail.example.test.\nloop.test. CNAME loop.test.\n"
	h := newHost(t, zone, func(*settings) {})
	s := &server{settings: h.settings}
	s.present.Store(&s.settings)
	for name, want := range map[string]string{
		hostName: "", "alias.test": "", "both.test": "2001:db8::9, which is not an address", "example.test": "192.0.2.1, which is not",
		"none.test": "no address in the DNS", "loop.test": "loop.test",
	} {
		err := s.leadsHere(t.Context(), name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	s.settings.Resolvers = []string{}
	if err := s.leadsHere(t.Context(), hostName); !errors.Is(err, tls.ErrNotHere) {
		t.Errorf("without resolvers: %v", err)
	}
}
