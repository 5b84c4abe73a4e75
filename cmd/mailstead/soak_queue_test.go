package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"mailstead/smtp/dns/dnstest"
)

var queueSoakTime = flag.Duration("soak.queue", 2*time.Second, "how long TestQueueSoak loads and kills the server")

// sinkZone has two domains with one server, so that messages have several entries in the queue.
const sinkZone = `
one.test. MX 10 mx.one.test.
mx.one.test. A 127.0.0.2
two.test. MX 10 mx.one.test.
`

// sinkTries is how often a sink puts a message off that it has read, for each recipient that wants that.
const sinkTries = 2

// sink is where all mail goes. What it does to a message is in the local part of each recipient.
type sink struct {
	*queueOracle
	life *atomic.Int64 // of the server that writes to it
	calm atomic.Bool   // it only takes and refuses

	mu    sync.Mutex
	tries map[string]int // by message and recipient
}

// serve listens where the MX records lead until the test ends.
func (k *sink) serve(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		return &sinkSession{sink: k, conn: c.Conn(), life: k.life.Load()}, nil
	}))
	s.Domain, s.ErrorLog = "mx.one.test", discard{}
	serveToTheEnd(t, s, l)
	return l.Addr().(*net.TCPAddr).Port
}

// putsOff reports whether a message for a recipient of this kind is not taken yet.
func (k *sink) putsOff(kind, subject, to string) bool {
	if !strings.HasPrefix(to, kind+"@") || k.calm.Load() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key := subject + " " + to
	k.tries[key]++
	if subject == "" { // at RCPT nobody knows it
		return k.tries[key]%2 == 1
	}
	return k.tries[key] <= sinkTries
}

// sinkSession is one connection to the sink.
type sinkSession struct {
	*sink
	conn net.Conn
	life int64
	to   []string
}

func (s *sinkSession) Mail(string, *gosmtp.MailOptions) error { s.to = nil; return nil }
func (s *sinkSession) Reset()                                 { s.to = nil }
func (s *sinkSession) Logout() error                          { return nil }

func (s *sinkSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	switch {
	case strings.HasPrefix(to, "refuse@"):
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "No such user"}
	case s.putsOff("defer", "", to):
		return errLater
	}
	s.to = append(s.to, to)
	return nil
}

var errLater = &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 7, 1}, Message: "Come again"}

// Data takes a message, puts it off, or goes away without an answer. What it takes is noted before the
// answer is sent, as a server does that must not lose it.
func (s *sinkSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	subject := subjectOf(text)
	for _, to := range s.to {
		if s.putsOff("drop", subject, to) {
			s.conn.Close()
			return errLater
		}
		if s.putsOff("late", subject, to) {
			return errLater
		}
	}
	for _, to := range s.to {
		s.takes(subject, to, s.life)
	}
	return nil
}

// TestQueueSoak submits mail to the real binary, kills it with SIGKILL at random moments and starts it again, while it
// writes to a server that takes, refuses, puts off and goes away. At the end each message that was answered 250 is with
// each of its recipients, or its sender has a notice; twice came only what a kill may have kept from being written down.
func TestQueueSoak(t *testing.T) {
	t.Parallel() // its processes wait for the disk and for each other
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	resolver := dnstest.New(t, sinkZone)
	s := newSoak(t, "", *queueSoakTime)
	k := &sink{queueOracle: newQueueOracle(), life: &s.lives, tries: map[string]int{}}
	s.args = []string{"--resolver", resolver.Addr(), "--mx-port", strconv.Itoa(k.serve(t))}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	for i := range soakWorkers {
		workers.Go(func() { s.submitMail(ctx, k.queueOracle, i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	workers.Go(func() { s.retryMail(ctx) })
	kills := s.killAtRandom(ctx, rand.New(rand.NewPCG(seed, 1000)))
	k.calm.Store(true)
	s.start()
	cancel()
	workers.Wait()
	server := &instance{t: t, dir: s.dir, offset: s.offset}
	eventually(t, "the queue is empty", func() bool {
		command(t, "", "queue", "retry", "all", "--dir", s.dir)
		return strings.TrimSpace(command(t, "", "queue", "list", "--json", "--dir", s.dir).out) == "[]"
	})
	for i := range soakWorkers {
		letters, err := server.inbox(user(i, "a"))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range letters {
			k.told(text)
		}
	}
	s.kill(syscall.SIGTERM)
	again, err := k.judge(kills)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d kills, %d messages answered 250, %d sent again after a kill", kills, len(k.answered), again)
	if len(k.answered) == 0 || kills == 0 {
		t.Error("nothing was done")
	}
	checkStore(t, s.dir)
}

// submitMail submits letters until ctx ends; a connection that breaks is the server being killed.
func (s *soak) submitMail(ctx context.Context, o *queueOracle, worker int, random *rand.Rand) {
	kinds := []string{"take", "take", "refuse", "defer", "late", "drop"}
	for n := 0; ctx.Err() == nil; {
		s.wait()
		c, err := (&instance{t: s.t, dir: s.dir, offset: s.offset}).smtp(587, user(worker, "a"))
		for err == nil && ctx.Err() == nil {
			n++
			subject := fmt.Sprintf("q%d-%d", worker, n)
			var to []string
			for _, domain := range []string{"one.test", "two.test"}[:1+random.IntN(2)] {
				first, second := kinds[random.IntN(len(kinds))], kinds[random.IntN(len(kinds))]
				if to = append(to, first+"@"+domain); second != first {
					to = append(to, second+"@"+domain)
				}
			}
			o.sends(subject, to)
			err = c.send(user(worker, "a"), "From: "+user(worker, "a")+"\r\nSubject: "+subject+"\r\n\r\nHello.\r\n", to...)
			if refused := (*gosmtp.SMTPError)(nil); errors.As(err, &refused) && refused.Code != 421 {
				o.refused(subject)
				err = nil
			} else if err == nil {
				o.answers(subject)
				s.steps.Add(1)
			}
		}
		if c != nil {
			c.Close()
		}
	}
}

// retryMail has the queue try what was put off, as nobody here waits for minutes.
func (s *soak) retryMail(ctx context.Context) {
	for ctx.Err() == nil {
		s.wait()
		ask(ctx, s.dir, request{Action: "queue retry", Params: []byte("{}")}, unheard) // a server that is being killed does not answer
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}
