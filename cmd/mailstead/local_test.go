package main

import (
	"bufio"
	"context"
	cryptotls "crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailstead/mailbox"
)

// plainPorts and tlsPorts are those of all listeners, with their greetings.
var (
	plainPorts = map[int]string{25: "220 ", 587: "220 ", 143: "* OK ", 110: "+OK "}
	tlsPorts   = map[int]string{465: "220 ", 993: "* OK ", 995: "+OK "}
)

// TestLocalIsReady: with the line, every port answers, and TLS is good for
// whoever trusts the CA and knows the server by any of its names.
func TestLocalIsReady(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--domain", "b\u00fccher.test", "--domain", "ab--cd.test", "--domain", "b.test")
	for port, greeting := range plainPorts {
		s.dial(port, greeting)
	}
	roots := s.authority()
	names := []string{"localhost", "127.0.0.1", "::1"}
	for _, domain := range []string{"xn--bcher-kva.test", "ab--cd.test", "b.test"} {
		for _, prefix := range []string{"", "mail.", "autoconfig.", "autodiscover.", "ua-auto-config.", "mta-sts."} {
			names = append(names, prefix+domain)
		}
	}
	for port, greeting := range tlsPorts {
		for _, name := range names {
			conn, err := cryptotls.Dial("tcp", s.address(port), &cryptotls.Config{RootCAs: roots, ServerName: name})
			if err != nil {
				t.Errorf("port %d as %s: %v", port, name, err)
				continue
			}
			conn.SetDeadline(time.Now().Add(patienceOfTests))
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, greeting) {
				t.Errorf("port %d as %s: %q, %v", port, name, line, err)
			}
			conn.Close()
		}
	}
	// A domain that is added while the server runs is in its certificate at once.
	if got := command(t, "", "domain", "add", "c.test", "--dir", dir); got.code != 0 {
		t.Errorf("%+v", got)
	}
	conn, err := cryptotls.Dial("tcp", s.address(993), &cryptotls.Config{RootCAs: roots, ServerName: "mail.c.test"})
	if err != nil {
		t.Errorf("the added domain: %v", err)
	} else {
		conn.Close()
	}
	if got := command(t, "", "domain", "list", "--json", "--dir", dir); strings.Contains(got.out, "example.test") || !strings.Contains(got.out, "b.test") {
		t.Errorf("domains %s", got.out)
	}
}

// TestLocalCAStays: what was put into mail programs is good after a restart.
func TestLocalCAStays(t *testing.T) {
	dir := trialDir(t)
	var first []byte
	for range 2 {
		s := startTrial(t, dir)
		pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil || first != nil && string(pem) != string(first) {
			t.Errorf("CA\n%s\nafter\n%s\n%v", pem, first, err)
		}
		first = pem
		s.stop()
	}
}

// TestLocalPortTaken: one port too few, and nothing says ready or goes on listening.
func TestLocalPortTaken(t *testing.T) {
	offset := freeOffset(t)
	taken, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(offset+995)))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	got := command(t, "", "local", "--dir", trialDir(t), "--port-offset", strconv.Itoa(offset))
	if got.code != exitFailed || got.out != "" || !strings.Contains(got.err, strconv.Itoa(offset+995)) {
		t.Errorf("%+v", got)
	}
	for port := range plainPorts {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(offset+port)))
		if err != nil {
			t.Errorf("port %d is still taken: %v", port, err)
			continue
		}
		l.Close()
	}
}

// TestLocalAccounts: the first colon ends the address.
func TestLocalAccounts(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "ann@a.test:pa:ss::word:", "--account", "Bob@B.Test:x")
	s.dial(143, "* OK").say(`a LOGIN ann@a.test "pa:ss::word:"`, "a OK ")
	s.dial(143, "* OK").say(`a LOGIN BOB@b.test x`, "a OK ")
	if !strings.Contains(s.out.String(), "pa:ss::word:") {
		t.Errorf("what to type is not printed: %s", s.out.String())
	}
	s.stop()
	for account, want := range map[string]string{
		"ann@a.test":      "--account wants ADDRESS:PASSWORD",
		"ann@a.test:":     "password",
		"ann:secret":      "address",
		"ann@a_b:secret":  "no domain name",
		":secret":         "address",
		"a b@a.test:pass": "address",
	} {
		got := command(t, "", "local", "--dir", dir, "--port-offset", strconv.Itoa(s.offset), "--account", account)
		if got.code != exitUsage || got.out != "" || !strings.Contains(got.err, want) || strings.Contains(got.err, "secret") {
			t.Errorf("%s: %+v", account, got)
		}
	}
}

// directoryOf is what the directory of a folder that nobody has open keeps: domains
// and accounts with their credentials, octet by octet.
func directoryOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	store, err := mailbox.Open(storeDir(dir), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	all := map[string]string{}
	err = store.Room("directory").Each("", func(key string, value []byte) error {
		all[key] = string(value)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := store.Check(); err != nil {
		t.Error(err)
	}
	return all
}

// TestLocalAgainChangesNothing: the same accounts at every start, as tests and
// scripts name them, write nothing; another password does.
func TestLocalAgainChangesNothing(t *testing.T) {
	dir := trialDir(t)
	start := func(password string) map[string]string {
		args := []string{"--account", "ann@a.test:" + password, "--account", "bob@a.test:x", "--welcome"}
		if code := startTrial(t, dir, args...).stop(); code != 0 {
			t.Fatalf("exit %d", code)
		}
		return directoryOf(t, dir)
	}
	first := start("one")
	if len(first) < 4 {
		t.Fatalf("only %d keys in the directory: the test looks at the wrong room", len(first))
	}
	if again := start("one"); !maps.Equal(first, again) {
		t.Errorf("after a second start:\n%q\nbefore\n%q", again, first)
	}
	changed := 0
	for key, value := range start("two") {
		if first[key] != value {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("another password changed %d keys", changed)
	}
	s := startTrial(t, dir) // accounts that are not named stay
	s.dial(143, "* OK").say("a LOGIN ann@a.test two", "a OK ")
	if got := command(t, "", "account", "show", "ann@a.test", "--json", "--dir", dir); !strings.Contains(got.out, `"messages": 1,`) {
		t.Errorf("one letter of welcome: %s", got.out)
	}
}

// TestSecondInstance: a folder has one server, and the second one says whose it is.
func TestSecondInstance(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir)
	got := command(t, "", "local", "--dir", dir, "--port-offset", strconv.Itoa(freeOffset(t)))
	if got.code != exitFailed || got.out != "" || !strings.Contains(got.err, fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("%+v", got)
	}
	s.dial(143, "* OK") // the first one goes on
	if got := command(t, "", "domain", "list", "--dir", dir); got.code != 0 {
		t.Errorf("its control socket: %+v", got)
	}
}

// TestPasswordsAreNotLogged tries right and wrong passwords in every way in, at
// the level that tells most.
func TestPasswordsAreNotLogged(t *testing.T) {
	const right, wrong = "Correct-Horse-7", "Wrong-Battery-9"
	dir := trialDir(t)
	s := startTrial(t, dir, "--log-level", "debug", "--account", "ann@a.test:"+right)
	plain := func(password string) string {
		return base64.StdEncoding.EncodeToString([]byte("\x00ann@a.test\x00" + password))
	}
	var all sync.WaitGroup
	for _, password := range []string{right, wrong} {
		ok, smtp, imap, pop := password == right, "535 ", "a NO ", "-ERR "
		if ok {
			smtp, imap, pop = "235 ", "a OK ", "+OK "
		}
		for _, try := range []func(){
			func() { s.dial(143, "* OK").say("a LOGIN ann@a.test "+password, imap) },
			func() { s.dial(143, "* OK").say("a AUTHENTICATE PLAIN "+plain(password), imap) },
			func() { c := s.dial(110, "+OK"); c.say("USER ann@a.test", "+OK"); c.say("PASS "+password, pop) },
			func() { s.dial(110, "+OK").say("AUTH PLAIN "+plain(password), pop) },
			func() { c := s.dial(587, "220 "); c.say("EHLO x", "250 "); c.say("AUTH PLAIN "+plain(password), smtp) },
		} {
			all.Go(try)
		}
	}
	// Out of place: in the wrong state, in the wrong command, without its arguments.
	all.Go(func() { s.dial(143, "* OK").say("LOGIN ann@a.test "+right, "") })
	all.Go(func() { s.dial(110, "+OK").say("PASS "+right, "-ERR") })
	all.Go(func() { s.dial(25, "220 ").say("AUTH PLAIN "+plain(right), "5") })
	all.Wait()
	if got := command(t, right+"\n", "account", "password", "ann@a.test", "--dir", dir, "--log-level", "debug"); got.code != 0 || got.out+got.err != "" {
		t.Errorf("%+v", got)
	}
	s.stop()
	log := s.err.String()
	if !strings.Contains(log, "ann@a.test") {
		t.Errorf("the log is not at work: %s", log)
	}
	for _, secret := range []string{right, wrong, plain(right), plain(wrong)} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log:\n%s", secret, log)
		}
	}
}

// TestStopTellsClients runs the binary and ends it as service managers and
// people do: its clients are told, and the exit status is 0.
func TestStopTellsClients(t *testing.T) {
	binary := buildBinary(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			dir, offset := trialDir(t), freeOffset(t)
			ctx, cancel := context.WithTimeout(t.Context(), 2*patienceOfTests)
			defer cancel()
			process := exec.CommandContext(ctx, binary, "local", "--dir", dir, "--port-offset", strconv.Itoa(offset), "--account", "ann@a.test:pass")
			out, err := process.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
			defer process.Wait()
			defer process.Process.Kill()
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "mailstead is ready"; {
			}
			address := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(offset+port)) }
			idling := dialTalk(t, address(143), "* OK")
			idling.say("a LOGIN ann@a.test pass", "a OK")
			idling.say("b SELECT INBOX", "b OK")
			idling.say("c IDLE", "+ ")
			stranger := dialTalk(t, address(143), "* OK")
			pop := dialTalk(t, address(110), "+OK")
			smtp := dialTalk(t, address(25), "220 ")
			smtp.say("EHLO x", "250 ")
			submission := dialTalk(t, address(587), "220 ")
			if err := process.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			idling.expect("* BYE")
			stranger.expect("* BYE")
			pop.expect("-ERR")
			smtp.expect("421 ")
			submission.expect("421 ")
			for _, c := range []*talk{idling, stranger, pop, smtp, submission} {
				if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
					t.Errorf("after the last word: %q, %v", rest, err)
				}
			}
			if err := process.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, controlName)); !os.IsNotExist(err) {
				t.Errorf("the control socket: %v", err)
			}
			checkStore(t, dir)
		})
	}
}

// TestServe runs `serve` from its file, with listeners switched off, and as a
// service manager sees it.
func TestServe(t *testing.T) {
	dir, offset := trialDir(t), freeOffset(t)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", manager.LocalAddr().String())
	config := filepath.Join(t.TempDir(), "mailstead.toml")
	text := fmt.Sprintf("hostname = \"mail.a.test\"\ndir = %q\nresolvers = []\n[listen]\nsmtp = [\"127.0.0.1:%d\"]\n"+
		"submission = []\nsubmissions = []\nimap = [\"127.0.0.1:%d\"]\nimaps = []\npop3 = []\npop3s = []\n", dir, offset+25, offset+143)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &trial{t: t, dir: dir, offset: offset, code: make(chan int, 1)}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(t.Context())
	go func() {
		s.code <- run(ctx, []string{"serve", "--config", config}, streams{strings.NewReader(""), &s.out, &s.err})
	}()
	t.Cleanup(func() { s.stop() })
	s.waitReady()
	if s.out.String() != "mailstead is ready\n" {
		t.Errorf("%q", s.out.String())
	}
	notified := func(want string) {
		t.Helper()
		manager.SetReadDeadline(time.Now().Add(patienceOfTests))
		b := make([]byte, 100)
		if n, err := manager.Read(b); err != nil || string(b[:n]) != want {
			t.Errorf("the manager hears %q, %v; want %s", b[:n], err, want)
		}
	}
	notified("READY=1")
	if line := s.dial(25, "220 ").say("EHLO x", "250-mail.a.test"); line == "" {
		t.Error("no name")
	}
	s.dial(143, "* OK").say("a LOGIN ann@a.test pass", "a NO ") // never a password in the clear
	if c, err := net.Dial("tcp", s.address(110)); err == nil {
		c.Close()
		t.Error("a listener that is switched off answers")
	}
	if got := command(t, "", "domain", "add", "a.test", "--config", config); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.err.String())
	}
	notified("STOPPING=1")
}
