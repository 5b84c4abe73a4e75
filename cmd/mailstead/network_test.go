//go:build linux

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"mailstead/smtp/dns/dnstest"
)

// withNetwork has TestNetwork run: it needs root and Debian's Postfix.
var withNetwork = flag.Bool("network", false, "TestNetwork sends mail to Postfix and back")

// networkZone: mx.pf.test is Postfix, and so is mx.old.test, which knows no SMTPUTF8; mail.far.test is another server of ours.
// All servers listen on one port. %[1]d is it, %[2]x what the certificate of mx.pf.test is known by.
const networkZone = `
far.test. MX 10 mail.far.test.
mail.far.test. A 127.0.0.1
_%[1]d._tcp.mail.far.test. TLSA 3 1 1 %[3]x
pf.test. MX 10 mx.pf.test.
mx.pf.test. A 127.0.0.4
old.test. MX 10 mx.old.test.
mx.old.test. A 127.0.0.5
danepass.test. MX 10 mx.danepass.test.
mx.danepass.test. A 127.0.0.4
_%[1]d._tcp.mx.danepass.test. TLSA 3 1 1 %[2]x
danefail.test. MX 10 mx.danefail.test.
mx.danefail.test. A 127.0.0.4
_%[1]d._tcp.mx.danefail.test. TLSA 3 1 1 %064[1]d
stspass.test. MX 10 mx.pf.test.
_mta-sts.stspass.test. TXT "v=STSv1; id=1"
mta-sts.stspass.test. A 127.0.0.9
stsfail.test. MX 10 mx.old.test.
_mta-sts.stsfail.test. TXT "v=STSv1; id=1"
mta-sts.stsfail.test. A 127.0.0.9
nobody.test. MX 0 .
`

// networkMain is what Postfix has besides postfixMain: %[1]s is its folder, %[2]s where mail for far.test goes, %[3]d the port of the table that
// defers, %[4]d the user that owns mail.
const networkMain = `myhostname = mx.pf.test
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = pf.test, old.test, danepass.test, danefail.test, stspass.test, stsfail.test
virtual_mailbox_maps = static:box/
virtual_mailbox_base = %[1]s/mail
virtual_uid_maps = static:%[4]d
virtual_gid_maps = static:%[4]d
virtual_minimum_uid = 1
virtual_transport = virtual
transport_maps = inline:{ {far.test = smtp:%[2]s} }
default_transport = error:nothing leaves this machine
smtp_host_lookup = native
smtp_tls_security_level = may
smtpd_recipient_restrictions = check_recipient_access inline:{ {gone@pf.test = 550 5.1.1 Nobody of that name} }, check_recipient_access tcp:127.0.0.1:%[3]d, permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_tls_chain_files = %[1]s/../chain.pem
`

// networkMaster is what its master.cf has besides postfixMaster; %[1]d is the port of SMTP.
const networkMaster = `127.0.0.4:%[1]d inet n - n - - smtpd
127.0.0.5:%[1]d inet n - n - - smtpd -o smtputf8_enable=no
tlsmgr    unix - - n 1000? 1 tlsmgr
virtual   unix - n n - - virtual
`

// network is a world on loopback: our server us.test, which looks everything up, another one of ours, Postfix, and a web server
// for the policies of MTA-STS.
type network struct {
	outside
	postfix string       // its folder
	defers  atomic.Int32 // how often Postfix defers later@pf.test
}

// newNetwork starts it, and stops it when the test ends.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{postfix: filepath.Join(t.TempDir(), "postfix")}
	roots := newRoots(t)
	chain := roots.issue(t, "mx.pf.test", "mx.danepass.test", "mx.old.test")
	resolver := dnstest.New(t, "")
	n.far = newInstance(t, filepath.Join(t.TempDir(), "far"), "far.test")
	port := n.far.offset + 25
	n.us = newInstance(t, filepath.Join(t.TempDir(), "us"), "us.test", "--resolver", resolver.Addr(), "--mx-port", fmt.Sprint(port))
	n.us.env = append(n.us.env, "SSL_CERT_FILE="+roots.file)
	n.far.start()
	if err := resolver.SetZone(fmt.Sprintf(networkZone, port, keySum(chain.Leaf), keySum(certificateOf(t, n.far)))); err != nil {
		t.Fatal(err)
	}
	resolver.SetAuthentic(true)
	servePolicies(t, roots.issue(t, "mta-sts.stspass.test", "mta-sts.stsfail.test"))
	n.startPostfix(t, chain, port)
	n.us.start()
	return n
}

// startPostfix waits until it listens.
func (n *network) startPostfix(t *testing.T, chain tls.Certificate, port int) {
	t.Helper()
	dir := n.postfix
	main := fmt.Sprintf(networkMain, dir, "[127.0.0.1]:"+fmt.Sprint(port), n.serveDeferrals(t), mailUser)
	mail, pem := filepath.Join(dir, "mail"), filepath.Join(filepath.Dir(dir), "chain.pem")
	err := errors.Join(os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755), os.Chmod(filepath.Dir(dir), 0o755), // the folders of a test are closed to others
		os.WriteFile(pem, pemOf(t, chain), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	startPostfix(t, dir, net.JoinHostPort("127.0.0.4", fmt.Sprint(port)), main, fmt.Sprintf(networkMaster, port))
	if err := errors.Join(os.Mkdir(mail, 0o755), os.Chown(mail, mailUser, mailUser)); err != nil {
		t.Fatal(err)
	}
}

// serveDeferrals is a table of Postfix's (tcp_table(5)) that defers later@pf.test as often as defers says.
func (n *network) serveDeferrals(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with Postfix
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					answer := "500 none"
					if lines.Text() == "get later@pf.test" && n.defers.Add(-1) >= 0 {
						answer = "200 450%204.7.1%20Come%20again"
					}
					fmt.Fprintf(c, "%s\n", answer)
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// servePolicies serves MTA-STS policies that name mx.pf.test.
func servePolicies(t *testing.T, chain tls.Certificate) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.9:443", &tls.Config{Certificates: []tls.Certificate{chain}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "version: STSv1\nmode: enforce\nmx: mx.pf.test\nmax_age: 86400\n")
	})}
	serveToTheEnd(t, s, l)
}

// box is what Postfix has delivered with a subject.
func (n *network) box(subject string) (all []string) {
	files, _ := filepath.Glob(filepath.Join(n.postfix, "mail/box/new/*"))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "\nSubject: "+subject+"\n") {
			all = append(all, string(text))
		}
	}
	return all
}

// notices are the messages of a0@us.test that have a part.
func (n *network) notices(t *testing.T, part string) (all []string) {
	t.Helper()
	letters, err := n.us.inbox("a0@us.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, letter := range letters {
		if strings.Contains(letter, part) {
			all = append(all, letter)
		}
	}
	return all
}

// submitWith sends a message as a0@us.test with parameters of MAIL.
func (n *network) submitWith(t *testing.T, subject, parameters, to string) {
	t.Helper()
	c := n.dialSubmission(t)
	defer c.Close()
	for _, line := range []string{
		"EHLO client.example", "AUTH PLAIN " + plain("a0@us.test", "pass"), "MAIL FROM:<a0@us.test>" + parameters, "RCPT TO:<" + to + ">", "DATA",
		"From: a0@us.test\r\nSubject: " + subject + "\r\n\r\nHello.\r\n.",
	} {
		if _, err := c.say(line); err != nil {
			t.Fatalf("%s: %s: %v", subject, line, err)
		}
	}
}

// dialSubmission connects with implicit TLS: REQUIRETLS is offered over TLS only.
func (n *network) dialSubmission(t *testing.T) *smtpDialogue {
	t.Helper()
	conn, err := tls.Dial("tcp", n.us.address(465), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	d := &smtpDialogue{textproto.NewConn(conn)}
	if _, err := d.reply(); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestNetwork sends mail from our server to Postfix and back, and looks at what came of it at the receiver, in the sender's INBOX
// and in the queue.
func TestNetwork(t *testing.T) {
	if !*withNetwork {
		t.Skip("without -network")
	}
	if _, err := exec.LookPath("postfix"); err != nil || os.Geteuid() != 0 {
		t.Skipf("it needs root and Debian's postfix (%v)", err)
	}
	n := newNetwork(t)
	n.defers.Store(1)
	arrived := func(subject string) {
		t.Helper()
		eventually(t, subject+" arrives at Postfix", func() bool { return len(n.box(subject)) > 0 })
		if all := n.box(subject); len(all) > 1 || !strings.Contains(all[0], "Received: from mail.us.test ") || !strings.Contains(all[0], "(using TLSv1.3 ") {
			t.Errorf("%s: %d copies\n%s", subject, len(all), all[0])
		}
	}
	bounced := func(subject string, parts ...string) {
		t.Helper()
		var found []string
		eventually(t, "a notice about "+subject, func() bool {
			found = n.notices(t, "Subject: "+subject+"\n")
			return len(found) > 0
		})
		for _, part := range parts {
			if !strings.Contains(found[0], part) {
				t.Errorf("the notice about %s has no %q\n%s", subject, part, found[0])
			}
		}
		if len(n.box(subject)) > 0 {
			t.Errorf("%s arrived, too", subject)
		}
	}
	waits := func(destination, why string) {
		t.Helper()
		eventually(t, "mail for "+destination+" waits: "+why, func() bool {
			for _, e := range n.queue(t) {
				if e.Destination == destination && e.Attempts > 0 {
					if !strings.Contains(e.LastError, why) {
						t.Fatalf("mail for %s waits because %q, want %q", destination, e.LastError, why)
					}
					return true
				}
			}
			return false
		})
	}
	n.submit(t, "plain", "x@pf.test")
	n.submit(t, "with DANE", "x@danepass.test")
	n.submit(t, "wrong DANE", "x@danefail.test")
	n.submit(t, "with MTA-STS", "x@stspass.test")
	n.submit(t, "wrong MTA-STS", "x@stsfail.test")
	n.submit(t, "null MX", "x@nobody.test")
	n.submit(t, "one is gone", "x@pf.test", "gone@pf.test")
	n.submit(t, "come later", "later@pf.test")
	n.submitWith(t, "required TLS", " REQUIRETLS", "x@stspass.test")
	n.submitWith(t, "required TLS to ours", " REQUIRETLS", "a0@far.test")
	n.submitWith(t, "needs UTF-8", " SMTPUTF8", "jürgen@old.test")
	n.submitWith(t, "takes UTF-8", " SMTPUTF8", "jürgen@pf.test")

	for _, subject := range []string{"plain", "with DANE", "with MTA-STS", "one is gone", "takes UTF-8"} {
		arrived(subject)
	}
	n.far.arrives("a0@far.test", "Subject: required TLS to ours\n")
	bounced("null MX", "Final-Recipient: rfc822; x@nobody.test\n", "Action: failed\nStatus: 5.1.10\n")
	bounced("required TLS", "Action: failed\nStatus: 5.7.30\n")
	bounced("needs UTF-8", "Status: 5.6.7\n")
	eventually(t, "a notice about gone@pf.test", func() bool { return len(n.notices(t, "Final-Recipient: rfc822; gone@pf.test\n")) == 1 })
	if notice := n.notices(t, "gone@pf.test")[0]; strings.Contains(notice, "x@pf.test") || !strings.Contains(notice, "Diagnostic-Code: smtp; 550 5.1.1 ") {
		t.Errorf("the notice about one of two: %s", notice)
	}
	waits("danefail.test", "DANE demands")
	waits("stsfail.test", "MTA-STS")
	waits("pf.test", "450 4.7.1")
	if got := command(t, "", "queue", "retry", "all", "--dir", n.us.dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	arrived("come later")
	if len(n.box("wrong DANE"))+len(n.box("wrong MTA-STS")) > 0 {
		t.Error("mail went where its policy forbids")
	}
	n.back(t)
	n.overSmarthost(t)
}

// back has Postfix send to a server of ours, for one who is there and one who is not.
func (n *network) back(t *testing.T) {
	t.Helper()
	c, err := gosmtp.Dial(net.JoinHostPort("127.0.0.4", fmt.Sprint(n.far.offset+25)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	letter := strings.NewReader("From: x@pf.test\r\nSubject: back\r\n\r\nHello.\r\n.a line with a dot\r\n")
	if err := c.SendMail("x@pf.test", []string{"b0@far.test", "unknown@far.test"}, letter); err != nil {
		t.Fatal(err)
	}
	n.far.arrives("b0@far.test", "Return-Path: <x@pf.test>\n", "Received: from mx.pf.test ", " with ESMTPS id ", "Subject: back\n", "\n\nHello.\n.a line with a dot\n")
	eventually(t, "Postfix tells its sender", func() bool {
		files, _ := filepath.Glob(filepath.Join(n.postfix, "mail/box/new/*"))
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "Final-Recipient: rfc822; unknown@far.test\n") && strings.Contains(string(text), "550 5.1.1 ") {
				return true
			}
		}
		return false
	})
}

// overSmarthost has our server send over the other one, which knows it by a password and by its certificate only.
func (n *network) overSmarthost(t *testing.T) {
	t.Helper()
	port := fmt.Sprint(n.far.offset + 587)
	route := []string{"route", "add", "smart", "--via", "mail.far.test:" + port, "--user", "a0@far.test", "--ca", filepath.Join(n.far.dir, "ca.pem"), "--dir", n.us.dir}
	if got := command(t, "wrong\n", route...); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	n.submit(t, "refused by the smarthost", "b0@far.test")
	over := func() string {
		for _, e := range n.queue(t) {
			if e.Destination == "far.test" {
				return e.LastError
			}
		}
		return ""
	}
	eventually(t, "mail waits while the smarthost refuses the password", func() bool { return strings.Contains(over(), "the smarthost refuses the login") })
	if got := command(t, "pass\n", append(route, "--replace")...); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	eventually(t, "the sender hears that the smarthost refuses it", func() bool {
		notices := n.notices(t, "Subject: refused by the smarthost\n")
		return len(notices) == 1 && strings.Contains(notices[0], "does not belong to your account")
	})
	if got := command(t, "", "account", "grant", "send-as", "a0@far.test", "us.test", "--dir", n.far.dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	n.submit(t, "over the smarthost", "b0@far.test")
	eventually(t, "mail arrives over the smarthost", func() bool {
		letters, err := n.far.inbox("b0@far.test")
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(letters, func(l string) bool {
			return strings.Contains(l, "Subject: over the smarthost\n") && strings.Contains(l, " with ESMTPSA id ")
		})
	})
}

// roots is an authority for certificates of tests.
type roots struct {
	file string // its own, in PEM
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newRoots(t *testing.T) *roots {
	t.Helper()
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "authority of a test"}}
	r := &roots{file: filepath.Join(t.TempDir(), "roots.pem")}
	r.cert, r.key = r.sign(t, template)
	if err := os.WriteFile(r.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.cert.Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	return r
}

// issue makes a certificate for names.
func (r *roots) issue(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	cert, key := r.sign(t, &x509.Certificate{DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw, r.cert.Raw}, PrivateKey: key, Leaf: cert}
}

// sign signs what the template says; the first one signs itself.
func (r *roots) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	issuer, issuerKey := r.cert, r.key
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// pemOf is a certificate with its key in front, as Postfix reads them.
func pemOf(t *testing.T, c tls.Certificate) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range c.Certificate {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// keySum is what TLSA 3 1 1 knows a certificate by.
func keySum(c *x509.Certificate) []byte {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return sum[:]
}

// certificateOf is the one that a server shows.
func certificateOf(t *testing.T, s *instance) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", s.address(465), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}
