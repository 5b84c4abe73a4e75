package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/queue"
)

// outside is another server of ours at far.test, servers of tests at other
// domains, a DNS that knows them, and our server at us.test that writes to them.
type outside struct {
	us, far *instance
}

// outsideZone gives each domain its own loopback address: all servers listen
// on one port, the --mx-port of ours.
const outsideZone = `
far.test. MX 10 mx.far.test.
mx.far.test. A 127.0.0.1
grey.test. MX 10 mx.grey.test.
mx.grey.test. A 127.0.0.2
broken.test. MX 10 mx.broken.test.
mx.broken.test. A 127.0.0.3
dane.test. MX 10 mx.dane.test.
mx.dane.test. A 127.0.0.1
`

// daneRecord says that the server of dane.test has another certificate than it shows.
const daneRecord = "_%d._tcp.mx.dane.test. TLSA 3 1 1 %064d\n"

func newOutside(t *testing.T) *outside {
	t.Helper()
	resolver := dnstest.New(t, outsideZone)
	far := newInstance(t, filepath.Join(t.TempDir(), "far"), "far.test")
	us := newInstance(t, filepath.Join(t.TempDir(), "us"), "us.test", "--resolver", resolver.Addr(), "--mx-port", strconv.Itoa(far.offset+25))
	if err := resolver.SetZone(outsideZone + fmt.Sprintf(daneRecord, far.offset+25, 0)); err != nil {
		t.Fatal(err)
	}
	resolver.SetAuthentic(true)
	far.start()
	us.start()
	return &outside{us, far}
}

// submit sends a message as the user a0@us.test.
func (o *outside) submit(t *testing.T, subject string, to ...string) {
	t.Helper()
	c, err := o.us.smtp(587, "a0@us.test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.send("a0@us.test", "From: a0@us.test\r\nSubject: "+subject+"\r\n\r\nHello.\r\n", to...); err != nil {
		t.Fatal(err)
	}
}

// queue is what `mailstead queue list` shows.
func (o *outside) queue(t *testing.T) []queue.Info {
	t.Helper()
	got := command(t, "", "queue", "list", "--dir", o.us.dir, "--json")
	var list []queue.Info
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || got.code != 0 {
		t.Fatalf("queue list: exit %d, %v: %s", got.code, err, got.err)
	}
	return list
}

// arrives waits for the one message in an account's INBOX.
func (s *instance) arrives(account string, parts ...string) string {
	s.t.Helper()
	var all []string
	eventually(s.t, "mail for "+account, func() bool {
		var err error
		if all, err = s.inbox(account); err != nil {
			s.t.Fatal(err)
		}
		return len(all) > 0
	})
	if len(all) > 1 {
		s.t.Errorf("%s has %d messages", account, len(all))
	}
	for _, part := range parts {
		if !strings.Contains(all[0], part) {
			s.t.Errorf("%s has no %q in\n%s", account, part, all[0])
		}
	}
	return all[0]
}

// mx is a mail server of a test. It counts what it was brought by subject.
type mx struct {
	refuse func(to string) error // at RCPT; nil = nobody
	arrive func(subject string)  // before the answer to a message; nil = nothing is done
	config *tls.Config           // for STARTTLS; nil = not offered
	mu     sync.Mutex
	got    map[string]int
}

// serve has the server listen where MX records lead.
func (m *mx) serve(t *testing.T, ip string, port int) {
	t.Helper()
	m.got = map[string]int{}
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	s := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return &mxSession{m}, nil }))
	s.Domain, s.TLSConfig = "mx.test", m.config
	s.ErrorLog = discard{}
	serveToTheEnd(t, s, l)
}

func (m *mx) received() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.got)
}

// discard is a log nobody reads.
type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

type mxSession struct{ *mx }

func (mxSession) Mail(string, *gosmtp.MailOptions) error { return nil }
func (mxSession) Reset()                                 {}
func (mxSession) Logout() error                          { return nil }

func (s mxSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if s.refuse == nil {
		return nil
	}
	return s.refuse(to)
}

func (s mxSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	subject := subjectOf(text)
	s.mu.Lock()
	s.got[subject]++
	s.mu.Unlock()
	if s.arrive != nil {
		s.arrive(subject)
	}
	return nil
}

// TestOutgoing sends mail from one whole server to another, and to servers
// that refuse for now, offer a STARTTLS that does not work, or are not what DANE says.
func TestOutgoing(t *testing.T) {
	o := newOutside(t)
	port := o.far.offset + 25
	var once sync.Once
	grey := &mx{refuse: func(string) (err error) {
		once.Do(func() {
			err = &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 7, 1}, Message: "Greylisted, come again"}
		})
		return err
	}}
	grey.serve(t, "127.0.0.2", port)
	broken := &mx{config: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("broken") }}}
	broken.serve(t, "127.0.0.3", port)

	o.submit(t, "both", "a0@far.test", "nobody@far.test")
	o.submit(t, "grey", "x@grey.test")
	o.submit(t, "broken", "x@broken.test")

	o.far.arrives("a0@far.test", "Return-Path: <a0@us.test>\n", "Received: from mail.us.test ", " with ESMTPS id ", "Subject: both\n\nHello.\n")
	notice := o.us.arrives("a0@us.test", "Return-Path: <>\n", "Auto-Submitted: auto-replied\n", "Content-Type: multipart/report; report-type=delivery-status",
		"Final-Recipient: rfc822; nobody@far.test\nAction: failed\nStatus: 5.1.1\n", "Remote-MTA: dns; mx.far.test\n", "Diagnostic-Code: smtp; 550 5.1.1 ")
	if strings.Contains(notice, "a0@far.test") {
		t.Errorf("the notice names who has the message:\n%s", notice)
	}
	talk := command(t, "", "log", "--to", "nobody@far.test", "--conversation", "--dir", o.us.dir)
	for _, part := range []string{"what was said in attempt 1 for a0@far.test, nobody@far.test:", "\n      > RCPT TO:<nobody@far.test>\n", "\n      < 550 5.1.1 ", "a notice of failure goes to a0@us.test"} {
		if !strings.Contains(talk.out, part) {
			t.Errorf("no %q in the conversation\n%s%s", part, talk.out, talk.err)
		}
	}
	if plain := command(t, "", "log", "--to", "nobody@far.test", "--dir", o.us.dir); strings.Contains(plain.out, "> RCPT") {
		t.Errorf("nobody asked for the conversation:\n%s", plain.out)
	}
	eventually(t, "delivery without the broken STARTTLS", func() bool { return broken.received()["broken"] == 1 })

	eventually(t, "only the greylisted message waits", func() bool {
		list := o.queue(t)
		return len(list) == 1 && list[0].Attempts == 1 && list[0].State == "waiting"
	})
	waiting := o.queue(t)[0]
	if waiting.Destination != "grey.test" || waiting.NextAttempt == nil || !waiting.NextAttempt.After(time.Now()) || !strings.Contains(waiting.LastError, "451 4.7.1 Greylisted") {
		t.Errorf("waiting is %+v", waiting)
	}
	if got := command(t, "", "queue", "retry", waiting.ID, "--dir", o.us.dir); got.code != 0 {
		t.Errorf("queue retry: exit %d: %s", got.code, got.err)
	}
	eventually(t, "the greylisted message arrives", func() bool { return grey.received()["grey"] == 1 && len(o.queue(t)) == 0 })

	o.submit(t, "not for everybody", "x@dane.test")
	eventually(t, "a message waits for a server with the right certificate", func() bool {
		list := o.queue(t)
		return len(list) == 1 && strings.Contains(list[0].LastError, "4.7.5 DANE demands a secure connection to mx.dane.test")
	})
}

// TestOutgoingSurvivesKills kills the sending server while a message is with
// the other server and has no answer, and others wait. Nothing is lost, and
// only what had no answer is sent again.
func TestOutgoingSurvivesKills(t *testing.T) {
	o := newOutside(t)
	held, release := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	grey := &mx{arrive: func(string) {
		if first.CompareAndSwap(false, true) {
			close(held)
			<-release
		}
	}}
	grey.serve(t, "127.0.0.2", o.far.offset+25)
	want := map[string]int{}
	for i := range 10 {
		subject := fmt.Sprintf("letter %d", i)
		o.submit(t, subject, "x@grey.test")
		want[subject] = 1
	}
	<-held
	eventually(t, "all others are out of the queue", func() bool { return len(o.queue(t)) == 1 })
	o.us.end(syscall.SIGKILL)
	close(release)
	o.us.start()
	for i := range 10 {
		subject := fmt.Sprintf("letter %d", 10+i)
		o.submit(t, subject, "x@grey.test")
		want[subject] = 1
		if i == 5 {
			o.us.end(syscall.SIGKILL) // wherever it is
			o.us.start()
		}
	}
	eventually(t, "everything arrives", func() bool {
		return len(grey.received()) == len(want) && len(o.queue(t)) == 0
	})
	again := 0
	for subject, n := range grey.received() {
		if want[subject] == 0 || n > 2 {
			t.Errorf("%s arrived %d times", subject, n)
		}
		again += n - 1
	}
	// The first kill left one message without an answer, the second at most as
	// many as are sent to one destination at a time.
	const atATime = 5
	if again < 1 || again > 1+atATime {
		t.Errorf("%d messages arrived twice", again)
	}
}
