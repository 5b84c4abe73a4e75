package main

import (
	"context"
	cryptotls "crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// restarts is how often TestRestart restarts the server.
var restarts = flag.Int("restarts", 2, "how many restarts TestRestart makes under load")

// errTold is the end of a session that the server has announced: its client comes back at once.
var errTold = errors.New("told to come back")

// caller is a client that comes again and again.
type caller struct {
	name string
	call func() error // one delivery or login, on connections of its own
}

// told tells goodbyes from other replies: 421, BYE and -ERR of a server that is shutting down.
func told(line string) bool {
	return strings.HasPrefix(line, "421 ") || strings.Contains(line, "the server is shutting down")
}

// converse connects, says lines and expects replies that begin so; the first reply is the greeting. In the
// part of lines from firm on the server must not say goodbye.
func (l *restartLoad) converse(conn net.Conn, firm int, lines []string, replies []string) error {
	defer conn.Close()
	began := time.Now()
	conn.SetDeadline(time.Now().Add(patienceOfTests))
	in := textproto.NewConn(conn)
	for i, want := range replies {
		if i > 0 {
			in.PrintfLine("%s", lines[i-1]) // if it has gone, its last words are still to be read
		}
		for {
			line, err := in.ReadLine()
			if err != nil {
				return fmt.Errorf("waiting for %q: %w", want, err)
			}
			if i == 0 {
				l.greeted(time.Since(began))
			}
			if told(line) && i < firm {
				return errTold
			}
			if strings.HasPrefix(line, want) {
				break
			}
			if len(line) > 3 && line[3] == '-' || strings.HasPrefix(line, "* ") && i > 0 {
				continue
			}
			return fmt.Errorf("waiting for %q: %q", want, line)
		}
	}
	return nil
}

// callers are clients of all protocols. Letters are named by name, and l notes those that were accepted.
func (l *restartLoad) callers(s *instance, name string) []caller {
	dial := func(port int) (net.Conn, error) { return net.Dial("tcp", s.address(port)) }
	var letters atomic.Int64
	letter := func() (string, string) {
		id := fmt.Sprintf("%s-%d", name, letters.Add(1))
		return id, "Subject: " + id + "\r\nFrom: <a0@example.test>\r\n\r\ntext\r\n."
	}
	deliver := func(port int, login ...string) error {
		conn, err := dial(port)
		if err != nil {
			return err
		}
		id, text := letter()
		lines := append([]string{"EHLO client.test"}, login...)
		replies := []string{"220 ", "250 ", "235 "}[:2+len(login)]
		firm := len(replies) + 1 // once MAIL is accepted the transaction comes to its end
		lines = append(lines, "MAIL FROM:<a0@example.test>", "RCPT TO:<b0@example.test>", "DATA", text)
		if err := l.converse(conn, firm, lines, append(replies, "250 ", "250 ", "354 ", "250 ")); err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.accepted[id] = true
		return nil
	}
	login := func(port, firm int, lines []string, replies ...string) func() error {
		return func() error {
			conn, err := dial(port)
			if err != nil {
				return err
			}
			if port == 993 {
				conn = cryptotls.Client(conn, &cryptotls.Config{InsecureSkipVerify: true}) // whose certificate it is others test
			}
			return l.converse(conn, firm, lines, replies)
		}
	}
	imap := []string{"a LOGIN a0@example.test pass", "b SELECT INBOX"}
	return []caller{
		{"smtp", func() error { return deliver(25) }},
		{"submission", func() error { return deliver(587, "AUTH PLAIN "+plain("a0@example.test", "pass")) }},
		{"imap", login(143, 3, imap, "* OK ", "a OK ", "b OK ")},
		{"imaps", login(993, 3, imap, "* OK ", "a OK ", "b OK ")},
		{"pop3", login(110, 3, []string{"USER a0@example.test", "PASS pass"}, "+OK ", "+OK ", "+OK ")},
	}
}

// restartLoad counts what the callers of all protocols meet.
type restartLoad struct {
	mu       sync.Mutex
	accepted map[string]bool
	calls    map[string]int
	told     int
	longest  time.Duration // from the first try of a call to its success
	silence  time.Duration // from a connection to its first reply, at the most
}

func (l *restartLoad) greeted(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silence = max(l.silence, after)
}

// run calls until ctx ends. Each call is tried until it succeeds; only a goodbye is a reason to try again.
func (l *restartLoad) run(ctx context.Context, c caller) error {
	for ctx.Err() == nil {
		began := time.Now()
		err := c.call()
		goodbyes := 0
		for ; errors.Is(err, errTold); err = c.call() {
			if goodbyes++; time.Since(began) > patienceOfTests {
				return fmt.Errorf("%s: told to come back %d times in a row", c.name, goodbyes)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		l.mu.Lock()
		l.calls[c.name]++
		l.told += goodbyes
		l.longest = max(l.longest, time.Since(began))
		l.mu.Unlock()
	}
	return nil
}

// TestRestart restarts a server while clients of all protocols come and go: none is refused or cut off, each
// is served if it comes back when it is told to, and each letter that was accepted is there once.
func TestRestart(t *testing.T) {
	s := newInstance(t, filepath.Join(t.TempDir(), "s"), "example.test", "--log-level", "warn")
	s.start()
	pid := s.process.Process.Pid
	l := &restartLoad{accepted: map[string]bool{}, calls: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	for _, c := range l.callers(s, "letter") {
		running.Go(func() {
			if err := l.run(ctx, c); err != nil {
				t.Error(err)
				cancel()
			}
		})
	}
	for i := range *restarts {
		if i%2 == 1 { // by signal, several at once; a command that comes meanwhile is answered
			s.process.Process.Signal(syscall.SIGUSR2)
			s.process.Process.Signal(syscall.SIGUSR2)
			if got := command(t, "", "domain", "list", "--dir", s.dir); got.code != 0 {
				t.Errorf("during a restart: %+v", got)
			}
		}
		if got := command(t, "", "restart", "--dir", s.dir); got.code != 0 && !strings.Contains(got.err, errRestarting.Error()) && !strings.Contains(got.err, errStarting.Error()) {
			t.Fatalf("restart %d: %+v: %s", i, got, s.words)
		}
	}
	// Each caller was served by the last of them, too.
	before := l.count()
	eventually(t, "everybody is served", func() bool {
		now := l.count()
		return ctx.Err() != nil || len(now) == 5 && !slices.ContainsFunc([]string{"smtp", "submission", "imap", "imaps", "pop3"}, func(n string) bool { return now[n] == before[n] })
	})
	cancel()
	running.Wait()
	s.running()
	t.Logf("%d restarts of process %d: %v calls, %d told to come back; a greeting took %v at the most, a whole call %v", *restarts, pid, l.calls, l.told, l.silence, l.longest)
	s.end(syscall.SIGTERM)
	if s.process.ProcessState.ExitCode() != 0 {
		t.Errorf("exit %v: %s", s.process.ProcessState, s.words)
	}
	l.judge(t, s)
	checkStore(t, s.dir)
}

func (l *restartLoad) count() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]int{}
	for n, c := range l.calls {
		all[n] = c
	}
	return all
}

// judge holds what is in the mailbox against what was accepted.
func (l *restartLoad) judge(t *testing.T, s *instance) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "mbox")
	if got := command(t, "", "export", "b0@example.test", to, "--format", "mbox", "--dir", s.dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	found := map[string]int{}
	err := filepath.WalkDir(to, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			if id, ok := strings.CutPrefix(line, "Subject: "); ok {
				found[strings.TrimSpace(id)]++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range l.accepted {
		if found[id] != 1 {
			t.Errorf("letter %s, which was accepted, is there %d times", id, found[id])
		}
	}
	if len(found) != len(l.accepted) || len(found) == 0 {
		t.Errorf("%d letters are there, %d were accepted", len(found), len(l.accepted))
	}
}

// TestRestartKilled kills servers in the middle of restarts: the next start has everything.
func TestRestartKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts several servers; the short form runs under the race detector")
	}
	s := newInstance(t, filepath.Join(t.TempDir(), "s"), "example.test", "--log-level", "warn")
	for range 2 {
		s.start()
		d, err := s.smtp(25, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.send("x@elsewhere.example", "Subject: kept\r\n\r\ntext\r\n", "a0@example.test"); err != nil {
			t.Fatal(err)
		}
		d.Close()
		s.process.Process.Signal(syscall.SIGUSR2)
		time.Sleep(rand.N(150 * time.Millisecond)) // anywhere in it, that is the point
		s.end(syscall.SIGKILL)
	}
	s.start()
	s.end(syscall.SIGTERM)
	checkStore(t, s.dir)
	to := filepath.Join(t.TempDir(), "mbox")
	if got := command(t, "", "export", "a0@example.test", to, "--format", "mbox", "--dir", s.dir); got.code != 0 || !strings.Contains(got.out+got.err, "2") {
		t.Errorf("%+v", got)
	}
}

// served is a `serve` with listeners for SMTP and IMAP, as a process.
func served(t *testing.T, listen, more string) (s *instance, config string) {
	t.Helper()
	s = newInstance(t, trialDir(t), "example.test")
	config = filepath.Join(t.TempDir(), "mailstead.toml")
	s.writeConfig(config, listen, more)
	return s, config
}

func (s *instance) writeConfig(name, listen, more string) {
	s.t.Helper()
	text := fmt.Sprintf("hostname = \"mail.example.test\"\ndir = %q\nresolvers = []\n%s\n[listen]\n"+
		"submission = []\nsubmissions = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\nhttps = []\n%s\n", s.dir, more, listen)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// TestRestartBrokenConfig: with a configuration that is none the server goes on as it is, and says why. With
// another one it closes what is not wanted any more, opens what is new and keeps the rest.
func TestRestartBrokenConfig(t *testing.T) {
	if testing.Short() {
		t.Skip("starts several servers; the short form runs under the race detector")
	}
	s, config := served(t, "", "")
	at := func(port int) string { return fmt.Sprintf("%q", s.address(port)) }
	s.writeConfig(config, "smtp = ["+at(25)+"]\nimap = ["+at(143)+"]", "")
	s.run("serve", "--config", config)
	greets := func(port int) bool {
		conn, err := net.Dial("tcp", s.address(port))
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patienceOfTests))
		_, err = io.ReadFull(conn, make([]byte, 4))
		return err == nil
	}
	s.writeConfig(config, "smtp = 25", "")
	// The command reads the configuration, too: it is asked by folder.
	got := command(t, "", "restart", "--dir", s.dir)
	if got.code != exitFailed || !strings.Contains(got.err, "would not start") || !strings.Contains(got.err, "smtp") {
		t.Errorf("%+v", got)
	}
	if !greets(25) || !greets(143) {
		t.Error("the server does not go on")
	}
	s.writeConfig(config, "smtp = ["+at(25)+", "+at(587)+"]\nimap = []", "")
	if got := command(t, "", "upgrade", "--dir", s.dir); got.code != 0 || !strings.HasSuffix(got.out, "restarted\nthe server runs version "+version+"\n") {
		t.Errorf("%+v: %s", got, s.words)
	}
	if !greets(25) || !greets(587) || greets(143) {
		t.Error("the listeners are not those of the new configuration")
	}
	s.end(syscall.SIGTERM)
	if got := command(t, "", "restart", "--dir", s.dir); got.code != exitFailed || !strings.Contains(got.err, "no server is running") {
		t.Errorf("without a server: %+v", got)
	}
}

// TestInheritedSockets holds what the environment may say of sockets.
func TestInheritedSockets(t *testing.T) {
	for _, c := range []struct {
		name, env string // variables with spaces between
		want      []socket
		wrong     string // in the error
	}{
		{name: "nothing"},
		{"two with names", "LISTEN_PID=7 LISTEN_FDS=2 LISTEN_FDNAMES=smtp:imaps", []socket{{3, "smtp", ""}, {4, "imaps", ""}}, ""},
		{"without names", "LISTEN_PID=7 LISTEN_FDS=1", []socket{{3, "", ""}}, ""},
		{"of another process", "LISTEN_PID=8 LISTEN_FDS=99999", nil, ""},
		{"of nobody", "LISTEN_FDS=1", nil, ""},
		{"none", "LISTEN_PID=7 LISTEN_FDS=0 LISTEN_FDNAMES=", nil, ""},
		{"too many", "LISTEN_PID=7 LISTEN_FDS=257", nil, "LISTEN_FDS"},
		{"fewer than none", "LISTEN_PID=7 LISTEN_FDS=-1", nil, "LISTEN_FDS"},
		{"no number", "LISTEN_PID=7 LISTEN_FDS=two", nil, "LISTEN_FDS"},
		{"names that do not fit", "LISTEN_PID=7 LISTEN_FDS=2 LISTEN_FDNAMES=smtp", nil, "1 names for 2"},
		{"handed on", `MAILSTEAD_SOCKETS={"pid":7,"sockets":[{"fd":9,"name":"smtp","address":":25"}]}`, []socket{{9, "smtp", ":25"}}, ""},
		{"handed on to another", `MAILSTEAD_SOCKETS={"pid":6,"sockets":[{"fd":9,"name":"smtp","address":":25"}]}`, nil, ""},
		{"one twice", `MAILSTEAD_SOCKETS={"pid":7,"sockets":[{"fd":9,"name":"a"},{"fd":9,"name":"b"}]}`, nil, "descriptor of b"},
		{"standard output", `MAILSTEAD_SOCKETS={"pid":7,"sockets":[{"fd":1,"name":"a"}]}`, nil, "descriptor of a"},
		{"no JSON", `MAILSTEAD_SOCKETS=9`, nil, "MAILSTEAD_SOCKETS"},
		{"long", `MAILSTEAD_SOCKETS=` + strings.Repeat("9", maxHandover+1), nil, "longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{}
			for _, v := range strings.Fields(c.env) {
				name, value, _ := strings.Cut(v, "=")
				env[name] = value
			}
			got, err := inheritedSockets(func(name string) string { return env[name] }, 7)
			if !slices.Equal(got, c.want) && c.wrong == "" || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// fakeListener listens at an address, as far as it can be asked for it.
type fakeListener string

func (f fakeListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (f fakeListener) Close() error              { return nil }
func (f fakeListener) Addr() net.Addr            { return fakeAddr(f) }

type fakeAddr string

func (fakeAddr) Network() string  { return "tcp" }
func (a fakeAddr) String() string { return string(a) }

// TestAssignSockets holds who gets which socket.
func TestAssignSockets(t *testing.T) {
	l := listen{SMTP: []string{":25"}, Submissions: []string{"192.0.2.1:443"}, HTTPS: []string{"192.0.2.2:443"}, IMAP: []string{"127.0.0.1:143", "[::1]:143"}}
	given := func(name, address, at string) gate { return gate{name, address, fakeListener(at)} }
	for _, c := range []struct {
		name                string
		given               []gate
		want, rest, surplus string // endpoint@address
		wrong               string
	}{
		{"nothing", nil, "", "smtp@:25 submissions@192.0.2.1:443 imap@127.0.0.1:143 imap@[::1]:143 https@192.0.2.2:443", "", ""},
		{"by name", []gate{given("imap", "", "10.0.0.1:99")}, "imap@", "smtp@:25 submissions@192.0.2.1:443 https@192.0.2.2:443", "", ""},
		{"by port", []gate{given("mailstead.socket", "", "[::]:25")}, "smtp@", "submissions@192.0.2.1:443 imap@127.0.0.1:143 imap@[::1]:143 https@192.0.2.2:443", "", ""},
		{"by address", []gate{given("", "", "192.0.2.2:443")}, "https@", "smtp@:25 submissions@192.0.2.1:443 imap@127.0.0.1:143 imap@[::1]:143", "", ""},
		{"a port of two", []gate{given("", "", "[::]:443")}, "", "", "", "FileDescriptorName"},
		{"of nothing", []gate{given("web", "", "[::]:8080")}, "", "", "", `"web" at [::]:8080`},
		{"handed on", []gate{given("imap", "[::1]:143", "[::1]:143"), given("smtp", "[::]:2525", "[::]:2525"), given("control", "/d/control.sock", "")},
			"imap@[::1]:143 control@/d/control.sock", "smtp@:25 submissions@192.0.2.1:443 imap@127.0.0.1:143 https@192.0.2.2:443", "smtp@[::]:2525", ""},
		{"the control socket of another folder", []gate{given("control", "/e/control.sock", "")},
			"", "smtp@:25 submissions@192.0.2.1:443 imap@127.0.0.1:143 imap@[::1]:143 https@192.0.2.2:443", "control@/e/control.sock", ""},
		{"a manager's again", []gate{given("smtp", "", "[::]:99")}, "smtp@", "submissions@192.0.2.1:443 imap@127.0.0.1:143 imap@[::1]:143 https@192.0.2.2:443", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, rest, surplus, err := assign(c.given, l, "/d/control.sock")
			if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Fatal(err)
			}
			var left []string
			for _, e := range rest {
				for _, a := range e.addresses {
					left = append(left, e.name+"@"+a)
				}
			}
			if c.wrong == "" && (gateNames(all) != c.want || strings.Join(left, " ") != c.rest || gateNames(surplus) != c.surplus) {
				t.Errorf("%s; to be opened %s; surplus %s", gateNames(all), left, gateNames(surplus))
			}
		})
	}
}

func gateNames(all []gate) string {
	var names []string
	for _, g := range all {
		names = append(names, g.endpoint+"@"+g.address)
	}
	return strings.Join(names, " ")
}
