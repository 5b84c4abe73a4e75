package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// asCommand has the test binary be mailstead: the tests of faults kill, starve
// and trace the whole program, as a process of its own.
const asCommand = "MAILSTEAD_TEST_COMMAND"

// runAsCommand must be the first thing TestMain does. It returns where the
// tests are to be run.
func runAsCommand() {
	if os.Getenv(asCommand) != "" {
		main()
	}
}

// faultLimit is how long a test waits for what must happen: tests judge what is
// done, not how fast a busy machine does it.
const faultLimit = time.Minute

// program is mailstead with arguments.
func program(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err) // there is none only where the tests cannot have been started
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

// instance is a server process under test.
type instance struct {
	t       *testing.T
	dir     string
	offset  int
	domain  string
	args    []string        // more of them
	env     []string        // more of its environment
	prepare func(*exec.Cmd) // changes the process before it starts; nil = nothing
	process *exec.Cmd
	words   *lockedBuffer // its standard error
	exited  chan struct{}
}

// newInstance has the accounts a0 and b0 of domain; it is not started.
func newInstance(t *testing.T, dir, domain string, args ...string) *instance {
	t.Helper()
	s := &instance{t: t, dir: dir, offset: freeOffset(t), domain: domain, args: args}
	t.Cleanup(func() {
		if s.process != nil {
			s.end(syscall.SIGKILL)
		}
	})
	return s
}

func (s *instance) address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.offset+port))
}

// start starts the server and waits until it is ready.
func (s *instance) start() {
	s.t.Helper()
	args := []string{"local", "--dir", s.dir, "--domain", s.domain, "--port-offset", strconv.Itoa(s.offset),
		"--account", "a0@" + s.domain + ":pass", "--account", "b0@" + s.domain + ":pass"}
	s.run(append(args, s.args...)...)
}

// run starts a server by its arguments, and waits until it is ready.
func (s *instance) run(args ...string) {
	s.t.Helper()
	s.process = program(args...)
	s.process.Env = append(s.process.Env, s.env...)
	s.words = new(lockedBuffer)
	s.process.Stderr = s.words
	out, err := s.process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.prepare != nil {
		s.prepare(s.process)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	slow := time.AfterFunc(faultLimit, func() { s.process.Process.Kill() })
	defer slow.Stop()
	ready := false
	for lines := bufio.NewScanner(out); !ready && lines.Scan(); {
		ready = lines.Text() == "mailstead is ready"
	}
	exited := make(chan struct{})
	s.exited = exited
	go func() { // ends with the process
		s.process.Wait()
		close(exited)
	}()
	if !ready {
		<-exited
		s.t.Fatalf("the server did not get ready within %v: %s", faultLimit, s.words)
	}
}

// end ends the server by a signal.
func (s *instance) end(signal syscall.Signal) {
	s.process.Process.Signal(signal)
	<-s.exited
}

// running fails the test if the process has ended.
func (s *instance) running() {
	s.t.Helper()
	select {
	case <-s.exited:
		s.t.Fatalf("the server has ended: %v: %s", s.process.ProcessState, s.words)
	default:
	}
}

// worker loads the server as one of the soak test's.
func (s *instance) worker(seed uint64) *worker {
	return newWorker(&soak{t: s.t, dir: s.dir, offset: s.offset}, 0, rand.New(rand.NewPCG(seed, 0)))
}

// smtp opens an SMTP connection, logged in where account is not "".
func (s *instance) smtp(port int, account string) (*smtpDialogue, error) {
	c, err := textproto.Dial("tcp", s.address(port))
	if err != nil {
		return nil, err
	}
	d := &smtpDialogue{c}
	_, err = d.reply()
	if err == nil {
		_, err = d.say("EHLO client.example")
	}
	if err == nil && account != "" {
		_, err = d.say("AUTH PLAIN " + plain(account, "pass"))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return d, nil
}

// smtpDialogue speaks SMTP line by line. A reply of 4xx or 5xx is a *gosmtp.SMTPError.
type smtpDialogue struct{ *textproto.Conn }

func (d *smtpDialogue) say(line string) (string, error) {
	if err := d.PrintfLine("%s", line); err != nil {
		return "", err
	}
	return d.reply()
}

func (d *smtpDialogue) reply() (string, error) {
	code, text, err := d.ReadResponse(0)
	if bad := new(textproto.Error); errors.As(err, &bad) || err == nil && code >= 400 {
		return text, &gosmtp.SMTPError{Code: code, Message: text}
	}
	return text, err
}

// send sends one message; its lines end with CRLF and need no dot stuffed.
func (d *smtpDialogue) send(from, message string, to ...string) error {
	lines := []string{"MAIL FROM:<" + from + ">"}
	for _, r := range to {
		lines = append(lines, "RCPT TO:<"+r+">")
	}
	for _, line := range append(lines, "DATA") {
		if _, err := d.say(line); err != nil {
			d.say("RSET") // the next command tells if the connection is gone
			return err
		}
	}
	_, err := d.say(message + ".")
	return err
}

// inbox reads all of an account's INBOX by POP3.
func (s *instance) inbox(account string) ([]string, error) {
	c, err := textproto.Dial("tcp", s.address(110))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for _, line := range []string{"", "USER " + account, "PASS pass"} {
		if err := popSay(c, line); err != nil {
			return nil, err
		}
	}
	var all []string
	for popSay(c, fmt.Sprintf("RETR %d", len(all)+1)) == nil {
		text, err := io.ReadAll(c.DotReader())
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
	}
	return all, nil
}

// eventually waits for what must happen by itself.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(faultLimit); !happened(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v passed without this: %s", faultLimit, what)
		}
	}
}

// TestTwoInstances starts a second server on a folder that is in use, with
// other ports, and asks a sub-command on both states of the folder.
func TestTwoInstances(t *testing.T) {
	s := newInstance(t, filepath.Join(t.TempDir(), "server"), "example.test")
	s.start()
	second := program("local", "--dir", s.dir, "--port-offset", strconv.Itoa(freeOffset(t)))
	out, err := second.CombinedOutput()
	if code := second.ProcessState.ExitCode(); err == nil || code != exitFailed {
		t.Errorf("exit %d, %v", code, err)
	}
	for _, part := range []string{"mailbox: folder is in use", s.dir, fmt.Sprintf("is open in process %d\n", s.process.Process.Pid)} {
		if !strings.Contains(string(out), part) {
			t.Errorf("no %q in: %s", part, out)
		}
	}
	if strings.Contains(string(out), "mailstead is ready") {
		t.Error("the second one says that it is ready")
	}
	list := func() string {
		t.Helper()
		out, err := program("domain", "list", "--dir", s.dir, "--json").Output()
		if err != nil {
			t.Fatalf("domain list: %v", err)
		}
		return string(out)
	}
	if got := list(); !strings.Contains(got, `"example.test"`) {
		t.Errorf("with the server: %s", got)
	}
	// Whoever has the store but no control socket is named.
	socket := filepath.Join(s.dir, controlName)
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	if out, err := program("domain", "list", "--dir", s.dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "does not answer on its control socket") {
		t.Errorf("without the socket: %v: %s", err, out)
	}
	s.running()
	s.end(syscall.SIGKILL)
	if got := list(); !strings.Contains(got, `"example.test"`) {
		t.Errorf("alone, after a kill: %s", got)
	}
	s.start()
}

// plain is the initial response of SASL PLAIN (RFC 4616 section 2).
func plain(account, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + account + "\x00" + password))
}

// TestLargestMessage sends one of exactly the announced size: the trace fields
// in front of it are no reason to refuse it.
func TestLargestMessage(t *testing.T) {
	s := newInstance(t, filepath.Join(t.TempDir(), "server"), "example.test", "--log-level", "warn")
	s.start()
	c, err := s.smtp(25, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const line = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n" // 64 octets
	message := strings.Repeat(line, defaultMaxMessage/len(line))
	header := "Subject: the largest\r\n\r\n"
	message = header + message[len(header):]
	if len(message) != defaultMaxMessage {
		t.Fatalf("%d octets", len(message))
	}
	for _, step := range []struct{ add, say string }{{"", ""}, {"x\r\n", "552"}} {
		err := c.send("x@elsewhere.example", message+step.add, "a0@example.test")
		refused, _ := errors.AsType[*gosmtp.SMTPError](err)
		if step.say == "" && err != nil || step.say != "" && (refused == nil || strconv.Itoa(refused.Code) != step.say) {
			t.Errorf("%d octets: %v", len(message+step.add), err)
		}
	}
	got, err := s.inbox("a0@example.test")
	if err != nil || len(got) != 1 || !strings.HasSuffix(got[0], "abcd\n") {
		t.Errorf("%d messages, %v", len(got), err)
	}
}
