//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	gosmtp "github.com/emersion/go-smtp"

	"mailstead/smtp/dns/dnstest"
)

var (
	dkimMessages = flag.Int("dkim.messages", 100, "letters that TestSignaturesHold sends")
	dkimPostfix  = flag.Bool("dkim.postfix", false, "send them through Postfix, and have opendkim verify them, too")
	dkimSeed     = flag.Uint64("dkim.seed", 0, "what they are made from; 0 = something else each time")
)

// oddSink is a mail server that keeps what it gets as it comes.
type oddSink struct {
	mu  sync.Mutex
	got map[int][]string // by X-Number
}

// serveSink has a sink listen, with all extensions that change how a message is sent.
func serveSink(t *testing.T, address string) *oddSink {
	t.Helper()
	k := &oddSink{got: map[int][]string{}}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return &oddSession{k}, nil }))
	s.Domain, s.EnableSMTPUTF8, s.MaxLineLength, s.ErrorLog = "mx.odd.test", true, 1<<20, discard{}
	serveToTheEnd(t, s, l)
	return k
}

func (k *oddSink) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.got)
}

type oddSession struct{ *oddSink }

func (oddSession) Mail(string, *gosmtp.MailOptions) error { return nil }
func (oddSession) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (oddSession) Reset()                                 {}
func (oddSession) Logout() error                          { return nil }

func (s oddSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(text, []byte("\nX-Number: "))
	line, _, _ := bytes.Cut(rest, []byte("\r\n"))
	number, err := strconv.Atoi(string(line))
	if err != nil {
		return fmt.Errorf("a letter without a number: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got[number] = append(s.got[number], string(text))
	return nil
}

// TestSignaturesHold: what is submitted, signed, queued and sent is verified by another implementation, however odd it is.
// With -dkim.postfix Postfix relays it in between, and opendkim verifies it, too.
func TestSignaturesHold(t *testing.T) {
	seed := *dkimSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("%d letters, -dkim.seed %d", *dkimMessages, seed)
	odd := &oddLetters{random: rand.New(rand.NewPCG(seed, 0)), maxLine: 20000}
	port := freeOffset(t) + 25
	zone := "odd.test. MX 10 mx.odd.test.\nmx.odd.test. A 127.0.0.6\n"
	got := serveSink(t, net.JoinHostPort("127.0.0.6", strconv.Itoa(port)))
	if *dkimPostfix {
		odd.maxLine = 998
		if why := startRelay(t, port); why != "" {
			t.Skip("no Postfix: " + why)
		}
		zone = strings.ReplaceAll(zone, "127.0.0.6", "127.0.0.5")
	}
	resolver := dnstest.New(t, zone)
	us := newInstance(t, filepath.Join(t.TempDir(), "us"), "us.test", "--resolver", resolver.Addr(), "--mx-port", strconv.Itoa(port))
	us.start()
	records := map[string]string{}
	for _, k := range keysShown(t, us) {
		records[k.Name] = k.Record
	}
	submitOdd(t, us, odd)
	for end := time.Now().Add(10 * time.Minute); got.count() < *dkimMessages; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d letters arrived", got.count(), *dkimMessages)
		}
	}
	verifyAll(t, got, records)
	if *dkimPostfix {
		verifyByOpenDKIM(t, got, records)
	}
}

// submitOdd submits the letters, by DATA and by BDAT.
func submitOdd(t *testing.T, us *instance, odd *oddLetters) {
	t.Helper()
	c := dialTalk(t, us.address(587), "220 ")
	c.say("EHLO client.test", "250 ")
	c.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00a0@us.test\x00pass")), "235 ")
	for number := range *dkimMessages {
		l := odd.letter(number)
		utf8 := ""
		if l.utf8 {
			utf8 = " SMTPUTF8"
		}
		c.say("MAIL FROM:<a0@us.test> BODY=8BITMIME"+utf8, "250 ")
		c.say("RCPT TO:<x@odd.test>", "250 ")
		if odd.chance(50) {
			if _, err := fmt.Fprintf(c.conn, "BDAT %d LAST\r\n%s", len(l.text), l.text); err != nil {
				t.Fatal(err)
			}
			c.accepted(number)
			continue
		}
		c.say("DATA", "354 ")
		text := strings.ReplaceAll("\r\n"+l.text, "\r\n.", "\r\n..")[2:]
		if !strings.HasSuffix(text, "\r\n") {
			text += "\r\n"
		}
		if _, err := io.WriteString(c.conn, text+".\r\n"); err != nil {
			t.Fatal(err)
		}
		c.accepted(number)
	}
	c.say("QUIT", "221 ")
}

// verifyAll verifies each letter, which came once, with go-msgauth.
func verifyAll(t *testing.T, got *oddSink, records map[string]string) {
	t.Helper()
	lookup := func(name string) ([]string, error) {
		if records[name] == "" {
			return nil, errors.New("no such record")
		}
		return []string{records[name]}, nil
	}
	if found, err := dkim.VerifyWithOptions(strings.NewReader(altered(got.got[0][0])), &dkim.VerifyOptions{LookupTXT: lookup}); err != nil || found[0].Err == nil {
		t.Errorf("a letter that was altered: %+v, %v", found, err)
	}
	for number, texts := range got.got {
		if len(texts) != 1 {
			t.Errorf("letter %d came %d times", number, len(texts))
		}
		found, err := dkim.VerifyWithOptions(strings.NewReader(texts[0]), &dkim.VerifyOptions{LookupTXT: lookup})
		if err != nil || len(found) != 2 || found[0].Err != nil || found[1].Err != nil {
			t.Errorf("letter %d: %v", number, err)
			for _, f := range found {
				t.Errorf("letter %d: %+v", number, *f)
			}
			t.Logf("letter %d: %.20000q", number, texts[0])
		}
	}
}

// altered is a letter with another body.
func altered(text string) string {
	header, body, _ := strings.Cut(text, "\r\n\r\n") // an odd letter may end with its header
	return header + "\r\n\r\n!\r\n" + body
}

// opendkimSettings: %s is the file with the keys.
const opendkimSettings = "Mode v\nTestPublicKeys %s\n"

// verifyByOpenDKIM verifies each letter with opendkim, where it is installed.
func verifyByOpenDKIM(t *testing.T, got *oddSink, records map[string]string) {
	t.Helper()
	if _, err := exec.LookPath("opendkim"); err != nil {
		t.Log("opendkim does not verify them, too: ", err, " (Debian package opendkim)")
		return
	}
	dir := t.TempDir()
	keys, settings := filepath.Join(dir, "keys"), filepath.Join(dir, "conf")
	text := ""
	for name, record := range records {
		text += name + " " + record + "\n"
	}
	if err := errors.Join(os.WriteFile(keys, []byte(text), 0o600), os.WriteFile(settings, fmt.Appendf(nil, opendkimSettings, keys), 0o600)); err != nil {
		t.Fatal(err)
	}
	verify := func(name, text string) (out []byte, ok bool) {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("opendkim", "-x", settings, "-t", name).CombinedOutput()
		return out, err == nil && bytes.Contains(out, []byte("verification (s=mailstead-")) && bytes.Contains(out, []byte(" succeeded"))
	}
	if out, ok := verify("altered", altered(got.got[0][0])); ok {
		t.Errorf("a letter that was altered: opendkim says %s", out)
	}
	verified := 0
	for number, texts := range got.got {
		if out, ok := verify(strconv.Itoa(number), texts[0]); !ok {
			t.Errorf("letter %d: opendkim says %s", number, out)
			continue
		}
		verified++
	}
	t.Logf("opendkim verifies %d letters", verified)
}

// accepted waits for the answer to a letter.
func (c *talk) accepted(number int) {
	c.t.Helper()
	c.conn.SetDeadline(time.Now().Add(patienceOfTests))
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "250 ") {
		c.t.Fatalf("letter %d: %q, %v", number, line, err)
	}
}

// relayMain: %[1]s is Postfix's folder, %[2]d the port of the sink.
const relayMain = `myhostname = relay.test
mynetworks = 127.0.0.0/8
local_header_rewrite_clients =
relayhost = [127.0.0.6]:%d
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtputf8_autodetect_classes = all
message_size_limit = 50000000
`

// startRelay starts a Postfix that hands all mail on to the sink, until the test ends, or says why not.
func startRelay(t *testing.T, port int) (why string) {
	t.Helper()
	if _, err := exec.LookPath("postfix"); err != nil {
		return err.Error() + " (Debian package postfix)"
	}
	if os.Geteuid() != 0 {
		return "Postfix needs root"
	}
	dir, err := os.MkdirTemp("/var/tmp", "relay") // its daemons are other users, who do not reach into a test's folder
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.5", strconv.Itoa(port)) // with the port that others' mail servers have
	startPostfix(t, filepath.Join(dir, "p"), address, fmt.Sprintf(relayMain, port), address+" inet n - n - - smtpd\n")
	return ""
}
