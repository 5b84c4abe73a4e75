package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailstead/smtp/dns/dnstest"
	"mailstead/tls"
	"mailstead/tls/acmetest"
)

var pebbleProgram = flag.String("pebble", "", "the program pebble, for TestPebble")

// pebble is Let's Encrypt's authority for tests.
type pebble struct {
	directory, caFile string
	stop              func()
}

const (
	eabKeyID = "kid-1"
	eabKey   = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
)

// startPebble runs it for a server that listens where h does.
func startPebble(t *testing.T, h *host, eab bool) *pebble {
	t.Helper()
	dir := t.TempDir()
	if _, err := tls.SelfSigned(dir, []string{"127.0.0.1", "localhost"}, tls.Options{}); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	config := map[string]any{
		"listenAddress": address, "managementListenAddress": freeAddress(t), "httpPort": h.offset + 80, "tlsPort": h.offset + 443,
		"certificate": filepath.Join(dir, "self-signed.pem"), "privateKey": filepath.Join(dir, "self-signed-key.pem"),
		"externalAccountBindingRequired": eab, "externalAccountMACKeys": map[string]string{eabKeyID: eabKey},
		"domainBlocklist": []string{"blocked.test"}, "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "tests", "validityPeriod": 7776000}},
	}
	text, err := json.Marshal(map[string]any{"pebble": config})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	program := exec.CommandContext(ctx, *pebbleProgram, "-config", file, "-dnsserver", h.zone.Addr())
	// Each order is validated anew, some nonces are refused, and nobody sleeps.
	program.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", "PEBBLE_WFE_NONCEREJECT=5")
	var said lockedBuffer
	program.Stdout, program.Stderr = &said, &said
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	p := &pebble{directory: "https://" + address + "/dir", caFile: filepath.Join(dir, "self-signed.pem")}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		program.Wait() // it is killed
	}()
	p.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			text := said.String()
			t.Logf("pebble: %s", text[max(0, len(text)-4000):])
		}
	})
	for end := time.Now().Add(patienceOfTests); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return p
		}
		if time.Now().After(end) {
			t.Fatalf("pebble does not listen: %s", said.String())
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// pebbleHost is a server that fetches its certificates from pebble.
func pebbleHost(t *testing.T, zone string, eab bool, change func(*settings)) (*host, *pebble) {
	t.Helper()
	h := newHost(t, zone, func(*settings) {})
	p := startPebble(t, h, eab)
	h.settings.ACMEDirectory, h.settings.ACMECAFile, h.settings.acmePoll = p.directory, p.caFile, 200*time.Millisecond
	change(&h.settings)
	if err := h.settings.check(); err != nil {
		t.Fatal(err)
	}
	return h, p
}

// TestPebble fetches certificates from an authority that is not ours, which connects, looks up and verifies as those of the world do.
// make test-acme runs it.
func TestPebble(t *testing.T) {
	if *pebbleProgram == "" {
		t.Skip("-pebble names no program: make test-acme")
	}
	t.Run("HTTP-01", func(t *testing.T) {
		h, _ := pebbleHost(t, oneHostZone, false, func(s *settings) { s.Listen.HTTPS = nil })
		h.start("example.test")
		h.until("the certificates", isFetched(hostName, "mta-sts.example.test"))
	})
	t.Run("TLS-ALPN-01, with an account from elsewhere", func(t *testing.T) {
		h, _ := pebbleHost(t, oneHostZone, true, func(s *settings) {
			s.Listen.HTTP = nil
			s.ACMEEABKeyID, s.ACMEEABKeyFile = eabKeyID, filepath.Join(t.TempDir(), "eab")
			if err := os.WriteFile(s.ACMEEABKeyFile, []byte(eabKey+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		})
		h.start("example.test")
		h.until("the certificates", isFetched(hostName, "mta-sts.example.test"))
	})
	t.Run("DNS-01, all names lead elsewhere", pebbleByDNS)
	t.Run("ten domains at once", pebbleTenDomains)
	t.Run("authorities with faults", authoritiesWithFaults)
}

// authoritiesWithFaults: whatever the authority does, mail ports serve, mail comes in, and the server ends when it is told to.
func authoritiesWithFaults(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"refuses": func(w http.ResponseWriter, _ *http.Request) { acmetest.Problem(w, 403, "unauthorized", "not you") },
		"stalls": func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // only then does the server notice that the client goes
			<-r.Context().Done()
		},
		"limits": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			acmetest.Problem(w, 429, "rateLimited", "later")
		},
		"talks nonsense": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("<html>", 1<<16)) },
	} {
		for _, what := range []string{"directory", "new-order"} {
			t.Run(name+" at "+what, func(t *testing.T) {
				authority := acmetest.New(t, acmetest.Options{})
				authority.Fail(what, fault)
				h := newHost(t, oneHostZone, func(s *settings) {
					s.ACMEDirectory, s.ACMECAFile = authority.Directory(), filepath.Join(t.TempDir(), "ca.pem")
					if err := os.WriteFile(s.ACMECAFile, authority.ServerPEM(), 0o600); err != nil {
						t.Fatal(err)
					}
				})
				h.start("example.test")
				for end := time.Now().Add(patienceOfTests); authority.Asked(what) == 0; time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatal("the authority was not asked")
					}
				}
				h.mustShow(hostName, h.shown(25, hostName))
				h.login().say("b SELECT INBOX", "b OK")
				conn, err := net.Dial("tcp", h.at(25))
				if err != nil {
					t.Fatal(err)
				}
				c := newTalk(t, conn, "220 ")
				for _, said := range [][2]string{
					{"EHLO c.test", "250 "}, {"MAIL FROM:<>", "250 "}, {"RCPT TO:<" + hostAccount + ">", "250 "}, {"DATA", "354 "}, {"From: a@b.test\r\n\r\nx\r\n.", "250 "},
				} {
					c.say(said[0], said[1])
				}
				began := time.Now()
				h.stop()
				if took := time.Since(began); took > patience {
					t.Errorf("stopping took %v", took)
				}
			})
		}
	}
}

func pebbleByDNS(t *testing.T) {
	zone := "example.test. SOA ns.example.test. root.example.test. 1 3600 600 86400 60\n" +
		"mail.example.test. A 192.0.2.1\nmta-sts.example.test. A 192.0.2.2\nexample.test. A 192.0.2.3\n"
	h, _ := pebbleHost(t, zone, false, func(s *settings) {
		s.Listen.HTTP, s.Listen.HTTPS = nil, nil
		s.ACMEDNSKeyFile = filepath.Join(t.TempDir(), "tsig")
		if err := os.WriteFile(s.ACMEDNSKeyFile, []byte(dnstest.UpdateKey), 0o600); err != nil {
			t.Fatal(err)
		}
		s.ACMEDNSServer = "127.0.0.1:1" // until the zone's address is known
	})
	h.settings.ACMEDNSServer = h.zone.Addr()
	h.start("example.test")
	h.until("the certificates", isFetched(hostName, "mta-sts.example.test"))
	if s := h.states()["example.test"]; s.Issuer != "" || s.Addresses == "" {
		t.Errorf("the domain's own name, with a web server elsewhere, got a certificate: %+v", s)
	}
}

// pebbleTenDomains has a bad name among many good ones, renews, and starts again when the authority is gone.
func pebbleTenDomains(t *testing.T) {
	zone := oneHostZone + "blocked.test. A 127.0.0.1\n"
	domains, names := []string{"example.test", "blocked.test"}, []string{hostName, "mta-sts.example.test"}
	for i := range 10 {
		domain := fmt.Sprintf("d%d.test", i)
		domains = append(domains, domain)
		for _, name := range []string{"mta-sts." + domain, "autoconfig." + domain} {
			zone += name + ". A 127.0.0.1\n"
			names = append(names, name)
		}
	}
	h, authority := pebbleHost(t, zone, false, func(*settings) {})
	began := time.Now()
	h.start(domains...)
	session := h.login()
	h.until("the certificates", isFetched(names...))
	t.Logf("%d certificates after %v", len(names), time.Since(began).Round(time.Millisecond))
	h.until("the bad name's error", func(s map[string]tls.State) bool {
		return strings.Contains(s["blocked.test"].Error, "gives no certificates for this name")
	})
	for _, name := range []string{hostName, "mta-sts.d7.test"} {
		before := h.shown(993, name)
		asked := time.Now()
		if got := h.command("certificate", "renew", name); got.code != 0 {
			t.Fatalf("%+v", got)
		}
		after := h.shown(25, name)
		h.mustShow(name, after)
		t.Logf("%s: renewed, and shown by all listeners, after %v", name, time.Since(asked).Round(time.Millisecond))
		if after.Equal(before) || tls.TLSA(after.PublicKey) != tls.TLSA(before.PublicKey) || after.VerifyHostname(name) != nil {
			t.Errorf("%s: the certificate was not renewed for its key", name)
		}
	}
	session.say("b NOOP", "b OK")
	// pebble suggests when to renew.
	h.until("the authority's window", func(s map[string]tls.State) bool { return !s[hostName].RenewAt.IsZero() })
	last := h.shown(25, hostName)
	h.stop()
	authority.stop()
	h.start(domains...)
	h.mustShow(hostName, last)
	if s := h.states()[hostName]; s.Error != "" {
		t.Errorf("without the authority: %+v", s)
	}
}
