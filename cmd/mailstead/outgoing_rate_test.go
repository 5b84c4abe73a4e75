//go:build linux

package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/journal"
	"mailstead/smtp/local"
	"mailstead/smtp/queue"
	"mailstead/smtp/remote"
)

// How fast a queue empties itself into one server that takes everything at once: make bench-outgoing.
var (
	outgoingMessages = flag.Int("outgoing", 0, "TestOutgoingRate sends so many messages")
	outgoingRounds   = flag.Int("outgoing.rounds", 3, "how many times everybody has a turn in TestOutgoingRate")
	outgoingDir      = flag.String("outgoing.dir", "", "a folder on the disk for TestOutgoingRate; empty = that for tests")
)

// TestOutgoingRate lets us and Postfix's smtp client empty their queues into the same sink, in turns. The time is
// that between the end of the first message and of the last at the sink.
func TestOutgoingRate(t *testing.T) {
	n := *outgoingMessages
	if n == 0 {
		if testing.Short() {
			t.Skip("the short form takes a second; the long one is make bench-outgoing")
		}
		n = 200
	}
	letters := make([]string, n)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range letters {
		letters[i] = outgoingLetter(i, 1<<10+random.IntN(14<<10))
	}
	if *outgoingMessages == 0 {
		sendOurs(t, letters)
		return
	}
	var ours, theirs []float64
	_, err := exec.LookPath("postfix")
	if err != nil {
		t.Log("alone: ", err)
	}
	for range *outgoingRounds {
		ours = append(ours, sendOurs(t, letters))
		if err == nil {
			theirs = append(theirs, sendPostfix(t, letters))
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	t.Logf("ours: %.0f messages a second", ours)
	if err == nil {
		t.Logf("Postfix: %.0f messages a second; the medians are as %.2f to 1", theirs, ours[len(ours)/2]/theirs[len(theirs)/2])
	}
}

func outgoingLetter(i, size int) string {
	head := fmt.Sprintf("From: a0@example.test\r\nTo: user%d@sink.test\r\nSubject: number %d\r\nMessage-ID: <%d@example.test>\r\n"+
		"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n", i, i, i)
	return head + strings.Repeat(strings.Repeat("x", 70)+"\r\n", size/72)
}

func outgoingFolder(t *testing.T) string {
	if *outgoingDir == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(*outgoingDir, "outgoing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// fastSink is a server that takes everything at once and counts.
type fastSink struct {
	port  int
	want  int
	done  chan struct{} // closed with the last message
	mu    sync.Mutex
	count int
	conns int
	first time.Time
	last  time.Time
}

func startSink(t *testing.T, want int) *fastSink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fastSink{port: l.Addr().(*net.TCPAddr).Port, want: want, done: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return s
}

// serve holds a conversation.
func (s *fastSink) serve(conn net.Conn) {
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	r, w := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
	w.WriteString("220 sink ESMTP\r\n")
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch command, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.ToUpper(command) {
		case "EHLO":
			w.WriteString("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n")
		case "DATA":
			w.WriteString("354 go on\r\n")
			if w.Flush() != nil || !skipMessage(r) {
				return
			}
			s.took()
			w.WriteString("250 2.0.0 taken\r\n")
		case "QUIT":
			w.WriteString("221 bye\r\n")
			w.Flush()
			return
		default:
			w.WriteString("250 ok\r\n")
		}
	}
}

func skipMessage(r *bufio.Reader) bool {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			return true
		}
	}
}

func (s *fastSink) took() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	if s.count++; s.count == 1 {
		s.first = s.last
	}
	if s.count == s.want {
		close(s.done)
	}
}

// wait waits for the last message and gives the rate.
func (s *fastSink) wait(t *testing.T, who string) float64 {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(5 * time.Minute):
		s.mu.Lock()
		defer s.mu.Unlock()
		t.Fatalf("%s sent %d of %d messages", who, s.count, s.want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	took := s.last.Sub(s.first)
	t.Logf("%s: %d messages in %v over %d connections", who, s.count, took.Round(time.Millisecond), s.conns)
	return float64(s.count-1) / took.Seconds()
}

// sendOurs fills a queue of ours and lets it go.
func sendOurs(t *testing.T, letters []string) float64 {
	sink := startSink(t, len(letters))
	dir := outgoingFolder(t)
	store, err := mailbox.Open(filepath.Join(dir, "store"), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	said := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
	defer said.Close()
	resolver, err := dns.New(dns.Options{Servers: []string{"127.0.0.1:9"}}) // literals ask nobody
	if err != nil {
		t.Fatal(err)
	}
	world, err := remote.New(remote.Options{Resolver: resolver, Hostname: "mx.example.test", MXPort: sink.port, Private: true})
	if err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	q, err := queue.Open(store, queue.Options{
		Remote: world, Local: local.New(local.Options{Store: store}), IsLocal: func(string) bool { return false }, Journal: said,
	})
	if err != nil {
		t.Fatal(err)
	}
	fillOurs(t, store, q, letters)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		q.Run(ctx)
		close(ended)
	}()
	rate := sink.wait(t, "ours")
	stop()
	<-ended
	left, err := q.List()
	if err != nil || len(left) != 0 {
		t.Errorf("%d entries are left, %v", len(left), err)
	}
	return rate
}

func fillOurs(t *testing.T, store *mailbox.Store, q *queue.Queue, letters []string) {
	var filling sync.WaitGroup
	for part := range slices.Chunk(letters, max(1, (len(letters)+31)/32)) {
		filling.Go(func() {
			for i, letter := range part {
				b := store.NewBody()
				io.WriteString(b, letter)
				_, err := store.Deliver(t.Context(), b, nil, q.Add(queue.Envelope{
					From: "a0@example.test", Recipients: []string{fmt.Sprintf("user%d@[127.0.0.1]", i)}, Account: 1, Size: b.Size(),
					Transaction: fmt.Sprintf("t%d", i),
				}))
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	filling.Wait()
}

// postfixSender are the settings of a Postfix that sends everything to a sink, besides postfixMain: %d is the sink's port. What comes is held.
// All else is as it comes, with the journal of all steps in a file as everywhere.
const postfixSender = `myhostname = mx.example.test
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:%d
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_client_access static:HOLD, permit
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
`

// sendPostfix fills the queue of a Postfix, where it is held, and releases it.
func sendPostfix(t *testing.T, letters []string) float64 {
	sink := startSink(t, len(letters))
	dir := filepath.Join(outgoingFolder(t), "postfix")
	port := freeOffset(t) + 25
	for path := filepath.Dir(dir); path != "/" && path != "."; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err == nil && info.Mode()&0o005 != 0o005 {
			os.Chmod(path, info.Mode()|0o005) // its processes are not root
		}
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	startPostfix(t, dir, address, fmt.Sprintf(postfixSender, sink.port), address+" inet n - n - - smtpd\n")
	etc := filepath.Join(dir, "etc")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
	}
	fillPostfix(t, address, letters)
	run("postsuper", "-c", etc, "-H", "ALL")
	run("postqueue", "-c", etc, "-f")
	return sink.wait(t, "Postfix")
}

func fillPostfix(t *testing.T, address string, letters []string) {
	var filling sync.WaitGroup
	for part := range slices.Chunk(letters, max(1, (len(letters)+31)/32)) {
		filling.Go(func() {
			c, err := smtp.Dial(address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for i, letter := range part {
				if err := c.Mail("a0@example.test"); err != nil {
					t.Error(err)
					return
				}
				if err := c.Rcpt(fmt.Sprintf("user%d@sink.test", i)); err != nil {
					t.Error(err)
					return
				}
				w, err := c.Data()
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(w, letter)
				if err := w.Close(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	filling.Wait()
}
