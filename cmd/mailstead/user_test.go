package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// readable is a folder that every user may enter, with a copy of this binary.
func readable(t *testing.T) (dir, binary string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mailstead-user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	binary = filepath.Join(dir, "mailstead")
	to, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close(), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir, binary
}

// TestPrivileges: a server that root has started is its user in all of its threads, for good, also after a restart in place
// for which no port could be opened again.
func TestPrivileges(t *testing.T) {
	if testing.Short() {
		t.Skip("copies the binary, which is large with the race detector")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	nobody, err := lookUpUser("nobody")
	if err != nil {
		t.Skipf("no user to become: %v", err)
	}
	dir, binary := readable(t)
	s := newInstance(t, filepath.Join(dir, "s"), "example.test")
	s.prepare = func(c *exec.Cmd) { c.Path, c.Args[0] = binary, binary }
	config := filepath.Join(dir, "mailstead.toml")
	s.writeConfig(config, fmt.Sprintf("smtp = [%q]\nimap = []", s.address(25)), "user = \"nobody\"")
	s.run("serve", "--config", config)
	look := func() {
		t.Helper()
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.process.Process.Pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("%d threads, %v", len(tasks), err)
		}
		for _, name := range tasks {
			text, err := os.ReadFile(name)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				continue // the thread has ended
			}
			status := string(text)
			for _, want := range []string{
				fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", nobody.uid), fmt.Sprintf("Gid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", nobody.gid),
				"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
			} {
				if err != nil || !strings.Contains(status, want) {
					t.Errorf("%s, %v: not %q in\n%s", name, err, want, status)
				}
			}
		}
		for _, name := range []string{s.dir, filepath.Join(s.dir, "store", "state.db"), filepath.Join(s.dir, controlName)} {
			if info, err := os.Stat(name); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != nobody.uid {
				t.Errorf("%s is not nobody's: %v", name, err)
			}
		}
	}
	look()
	if got := command(t, "", "restart", "--dir", s.dir); got.code != 0 {
		t.Fatalf("%+v: %s", got, s.words)
	}
	look()
	if d, err := s.smtp(25, ""); err != nil {
		t.Error(err)
	} else {
		d.Close()
	}
	s.end(syscall.SIGTERM)
	if err := os.Chown(s.dir, nobody.uid+1, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ user, wrong string }{
		{"nobody", "chown -R nobody"}, {"root", "user must not be root"}, {"no-such-user", "useradd"},
	} {
		p := program("serve", "--config", config, "--user", c.user)
		if out, err := p.CombinedOutput(); err == nil || !strings.Contains(string(out), c.wrong) {
			t.Errorf("as %s: %v, %s", c.user, err, out)
		}
	}
}

// TestSocketActivation leaves sockets to a server as a service manager does: named, and known by their port. They are
// still the server's after a restart; what is no listening socket keeps it from starting.
func TestSocketActivation(t *testing.T) {
	if testing.Short() {
		t.Skip("starts several servers; the short form runs under the race detector")
	}
	s, config := served(t, "", "")
	var left []*os.File
	listen := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		left = append(left, f)
		return l.Addr().String()
	}
	smtp, imap := listen(), listen()
	s.writeConfig(config, fmt.Sprintf("smtp = [\"127.0.0.1:1\"]\nimap = [%q]", imap), "") // port 1 must not be opened
	activate := func(c *exec.Cmd, files []*os.File, names string) {
		c.Path, c.Args = "/bin/sh", append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, c.Args...)
		c.Env = append(c.Env, fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names)
		c.ExtraFiles = files
	}
	s.prepare = func(c *exec.Cmd) { activate(c, left, "smtp:mailstead.socket") }
	s.run("serve", "--config", config)
	for round := range 2 {
		for address, greeting := range map[string]string{smtp: "220 ", imap: "* OK "} {
			dialTalk(t, address, greeting).conn.Close()
		}
		if c, err := net.DialTimeout("tcp", "127.0.0.1:1", time.Second); err == nil {
			c.Close()
			t.Error("the configured address was opened beside the manager's")
		}
		if round == 0 {
			if got := command(t, "", "restart", "--dir", s.dir); got.code != 0 {
				t.Fatalf("%+v: %s", got, s.words)
			}
		}
	}
	s.end(syscall.SIGTERM)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	datagrams, err := packets.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	file, err := os.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		files       []*os.File
		names, want string
	}{
		{[]*os.File{datagrams}, "smtp", "no listening TCP socket"},
		{[]*os.File{file}, "smtp", "it is no socket"},
		{left[:1], "web", "FileDescriptorName"},
		{left, "smtp", "1 names for 2 sockets"},
	} {
		p := program("serve", "--config", config)
		activate(p, c.files, c.names)
		if out, err := p.CombinedOutput(); err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v, %s", c.want, err, out)
		}
	}
}

// TestWatchdogInterval holds what the environment may say of it.
func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{{"", "", 0}, {"30000000", "", 30 * time.Second}, {"30000000", "7", 30 * time.Second}, {"30000000", "8", 0}, {"-1", "", 0}, {"x", "7", 0}, {"99999999999999", "", 0}} {
		env := map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if got := watchdogInterval(func(n string) string { return env[n] }, 7); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
