package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailstead/mailbox"
)

// configured is a server with a configuration file.
type configured struct {
	*testing.T
	*server
	file string
	log  lockedBuffer
}

// startConfigured runs a server on loopback with a file that begins with text, and an account.
func startConfigured(t *testing.T, text string) *configured {
	t.Helper()
	dir := trialDir(t)
	c := &configured{T: t, file: filepath.Join(t.TempDir(), "mailstead.toml")}
	c.write(fmt.Sprintf("dir = %q\n", dir) + text)
	read := func() (settings, error) {
		s, err := readConfig(c.file)
		s.Dir, s.local = dir, true // passwords without TLS
		return s, err
	}
	s, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if c.server, err = newServer(s, slog.New(slog.NewTextHandler(&c.log, nil))); err != nil {
		t.Fatal(err)
	}
	c.reading = read
	if err := c.directory.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.directory.AddAccount(t.Context(), "ann@example.test", "pass"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- c.run(ctx, func() error {
			close(ready)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return c
}

func (c *configured) write(text string) {
	c.Helper()
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		c.Fatal(err)
	}
}

// at is where a listener is, "" where there is none.
func (c *configured) at(name string) string {
	c.serving.mu.Lock()
	defer c.serving.mu.Unlock()
	for _, b := range c.serving.all {
		if b.gate.endpoint == name {
			return b.listener.Addr().String()
		}
	}
	return ""
}

// quietListeners are those of a file, all but the ones that are named switched off.
func quietListeners(named ...string) string {
	text := "[listen]\n"
	for _, e := range new(listen).all() {
		if slices.Contains(named, e.name) {
			text += e.name + " = [\"127.0.0.1:0\"]\n"
		} else {
			text += e.name + " = []\n"
		}
	}
	return text
}

// TestReload: a session goes on while limits, listeners and what is said of the server become others; what cannot is named;
// and a file with anything wrong changes nothing.
func TestReload(t *testing.T) {
	const host = "hostname = \"mail.example.test\"\nresolvers = []\n"
	c := startConfigured(t, host+"sessions_per_account = 1\n"+quietListeners("imap", "smtp"))
	imap, smtp := c.at("imap"), c.at("smtp")
	login := func(reply string) *talk {
		k := dialTalk(t, imap, "* OK")
		k.say("a LOGIN ann@example.test pass", reply)
		return k
	}
	first := login("a OK")
	old := dialTalk(t, smtp, "220 ")
	login("a NO")

	reload := func(changed, waiting string) {
		t.Helper()
		r, err := c.reload(t.Context())
		if err != nil || strings.Join(r.Changed, " ") != changed || strings.Join(r.Waiting, " ") != waiting {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	reload("", "")
	certificate := writeFile(t, t.TempDir(), "none.pem", "")
	for name, text := range map[string]string{
		"no TOML":             host + "sessions_per_account = \n",
		"an unknown setting":  host + "session_per_account = 2\nsessions_per_account = 2\n" + quietListeners("imap", "pop3"),
		"a wrong value":       host + "sessions_per_account = 2\nretention_days = -1\n" + quietListeners("imap", "pop3"),
		"a taken address":     host + "sessions_per_account = 2\n" + strings.Replace(quietListeners("imap", "pop3"), "submission = []", fmt.Sprintf("submission = [%q]", smtp), 1),
		"no certificate":      host + fmt.Sprintf("sessions_per_account = 2\ncertificate = %q\nkey = %[1]q\n", certificate) + quietListeners("imap", "pop3"),
		"wrong together with": "hostname = \"mail.example.test\"\nsessions_per_account = 2\nacme_email = 'x'\n" + quietListeners("imap", "pop3"),
	} {
		c.write(text)
		if r, err := c.reload(t.Context()); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
		if c.at("pop3") != "" || c.at("smtp") != smtp || c.present.Load().SessionsPerAccount != 1 {
			t.Errorf("%s: something has changed", name)
		}
		login("a NO")
	}

	c.write("hostname = \"other.example.test\"\nresolvers = []\nsessions_per_account = 2\nretention_days = 0\nquota = \"1MB\"\ngreylist = true\n" +
		"mta_sts = \"enforce\"\nsend_reports = false\nadmin = \"mailto:x@example.test\"\n" + quietListeners("imap", "pop3"))
	reload("sessions_per_account quota retention_days greylist mta_sts send_reports admin listen.smtp listen.pop3", "hostname")
	first.say("b NOOP", "b OK")
	second := login("a OK")
	second.say("b GETMETADATA \"\" /shared/admin", "b OK")
	login("a NO")
	dialTalk(t, c.at("pop3"), "+OK")
	old.say("NOOP", "250 ")
	if conn, err := net.Dial("tcp", smtp); err == nil {
		conn.Close()
		t.Error("the listener that was taken away answers")
	}
	if _, err := c.directory.AddAccount(t.Context(), "ben@example.test", "pass"); err != nil {
		t.Fatal(err)
	}
	ben, err := c.directory.Account("ben@example.test")
	if err != nil {
		t.Fatal(err)
	}
	if q, err := c.store.Quota(ben.ID); err != nil || q != (mailbox.Quota{Storage: 1_000_000}) {
		t.Errorf("a new account has the quota %+v, %v", q, err)
	}
	if a := c.admin(); a.hostname != "mail.example.test" || !strings.Contains(a.guide.policy+c.present.Load().policy(), "mode: enforce") {
		t.Errorf("commands know %q, %q", a.hostname, a.guide.policy)
	}

	// By the command, and by the signal.
	c.write(host + "sessions_per_account = 3\n" + quietListeners("imap", "pop3"))
	got := command(t, "", "reload", "--dir", c.settings.Dir)
	if got.code != 0 || !strings.Contains(got.out, "These settings count from now on: sessions_per_account, quota,") {
		t.Errorf("%+v", got)
	}
	if got = command(t, "", "reload", "--dir", c.settings.Dir); got.out != "Nothing has changed.\n" {
		t.Errorf("%+v", got)
	}
	c.write(host + "sessions_per_account = 4\n" + quietListeners("imap", "pop3"))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patienceOfTests); c.present.Load().SessionsPerAccount != 4; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the signal did nothing:\n%s", c.log.String())
		}
	}
	if got = command(t, "", "reload", "--dir", trialDir(t)); got.code == 0 {
		t.Errorf("without a server: %+v", got)
	}
}

// TestReloadUnderLoad: while sessions come and go, none is lost to a reload.
func TestReloadUnderLoad(t *testing.T) {
	const host = "hostname = \"mail.example.test\"\nresolvers = []\n"
	c := startConfigured(t, host+quietListeners("imap", "smtp", "pop3"))
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for name, goodbye := range map[string]string{"imap": "x LOGOUT\r\n", "smtp": "QUIT\r\n", "pop3": "QUIT\r\n"} {
		address := c.at(name)
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := visit(address, goodbye); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	for i := range 20 {
		c.write(host + fmt.Sprintf("sessions_per_account = %d\ngreylist = %v\n", i+1, i%2 == 0) + quietListeners(append([]string{"imap", "smtp", "pop3"}, []string{"imaps", "https"}[:i%3]...)...))
		if r, err := c.reload(t.Context()); err != nil || !slices.Contains(r.Changed, "sessions_per_account") {
			t.Errorf("%+v, %v", r, err)
		}
	}
	close(stop)
	clients.Wait()
}

// visit comes, is greeted, and leaves in peace.
func visit(address, goodbye string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patienceOfTests)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	greeting, err := in.ReadString('\n')
	if err != nil || strings.HasPrefix(greeting, "421") || strings.HasPrefix(greeting, "-ERR") || strings.HasPrefix(greeting, "* BYE") {
		return fmt.Errorf("greeted with %q, %w", greeting, err)
	}
	if _, err := io.WriteString(conn, goodbye); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}
