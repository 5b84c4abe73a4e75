//go:build linux

package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// failFlushes has every fdatasync of a process fail with EIO from when it
// returns. The flushes are not made.
func failFlushes(t *testing.T, pid int) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("failing flushes takes strace: %v", err)
	}
	tracer := exec.Command("strace", "-f", "-p", strconv.Itoa(pid), "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO")
	says, err := tracer.StderrPipe()
	if err == nil {
		err = tracer.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(says)
	attached := lines.Scan() && strings.Contains(lines.Text(), "attached")
	said := lines.Text()
	ended := make(chan struct{})
	go func() { // ends with strace, which ends with the process it traces
		defer close(ended)
		for lines.Scan() {
			continue
		}
		tracer.Wait()
	}()
	t.Cleanup(func() {
		tracer.Process.Kill()
		<-ended
	})
	if !attached {
		t.Skipf("strace may not trace here: %s", said)
	}
}

// TestFailedFlush lets the disk fail. The server must end with a word on why,
// acknowledge nothing more, and have everything at its next start.
func TestFailedFlush(t *testing.T) {
	s := newInstance(t, filepath.Join(t.TempDir(), "server"), "example.test")
	s.start()
	w := s.worker(rand.Uint64())
	for range 50 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	failFlushes(t, s.process.Process.Pid)
	// Whatever does not need a flush may still succeed; deliveries do need one.
	if err := w.deliver(); err == nil {
		t.Error("a delivery was acknowledged that was not flushed")
	}
	select {
	case <-s.exited:
	case <-time.After(faultLimit):
		t.Fatalf("the server goes on: %s", s.words)
	}
	if code := s.process.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	lines := strings.Split(strings.TrimSpace(s.words.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "level=ERROR") || !strings.Contains(last, "what is on disk is known only after a restart") || !strings.Contains(last, "input/output error") {
		t.Errorf("the last word is: %s", last)
	}
	w.disconnect()
	s.start()
	if verdict, err := w.audit(); verdict != nil || err != nil {
		t.Errorf("after the restart: %v, %v", verdict, err)
	}
	for range 20 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	w.disconnect()
	s.end(syscall.SIGTERM)
	checkStore(t, s.dir)
}

// TestOutOfFileDescriptors lets connections take all that the process may
// open. Those that are there go on, others wait, and all is well when some close.
func TestOutOfFileDescriptors(t *testing.T) {
	s := newInstance(t, filepath.Join(t.TempDir(), "server"), "example.test", "--log-level", "warn")
	s.start()
	w := s.worker(rand.Uint64())
	for range 20 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.deliver(); err != nil { // opens the connection that goes on
		t.Fatal(err)
	}
	pid := s.process.Process.Pid
	limit := uint64(openFiles(t, pid) + 10)
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: old.Max}, nil); err != nil {
		t.Skipf("the limit of another process cannot be set here: %v", err)
	}
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	for range 30 {
		c, err := net.Dial("tcp", s.address(25))
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	eventually(t, "accept fails", func() bool { return strings.Contains(s.words.String(), "smtp: accept failed") })
	control, err := net.Dial("unix", filepath.Join(s.dir, controlName))
	if err != nil {
		t.Fatal(err)
	}
	idle = append(idle, control)
	eventually(t, "accept fails on the control socket", func() bool { return strings.Contains(s.words.String(), "control socket: accept failed") })
	for try := 1; ; try++ {
		used := cpuTimeOver(t, pid, time.Second)
		if used <= 300*time.Millisecond {
			break
		}
		if try == 10 { // there is other work at first
			t.Fatalf("waiting for descriptors took %v of a second", used)
		}
	}
	for range 5 {
		name, text, l := w.compose()
		for len(text) >= 1<<20 { // is a file of its own, which cannot be opened now
			name, text, l = w.compose()
		}
		w.oracle.begin(func(to world) { to[inboxA][name] = l })
		if err := w.smtp.SendMail("x@elsewhere.example", []string{user(0, "a")}, strings.NewReader(string(text))); err != nil {
			t.Fatalf("on a connection that was there: %v", err)
		}
		w.oracle.done()
	}
	large := strings.Repeat("a line of a large message\r\n", 3<<20/27)
	if err := w.smtp.SendMail("x@elsewhere.example", []string{user(0, "a")}, strings.NewReader("Subject: large\r\n\r\n"+large)); err == nil || !strings.Contains(err.Error(), "451") && !strings.Contains(err.Error(), "4.3.0") {
		t.Errorf("a large message, whose file cannot be opened: %v", err)
	}
	s.running()
	for _, c := range idle {
		c.Close()
	}
	idle = nil
	w.disconnect()
	eventually(t, "connections are accepted again", func() bool {
		c, err := net.DialTimeout("tcp", s.address(25), time.Second)
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(time.Second))
		greeting, err := bufio.NewReader(c).ReadString('\n')
		return err == nil && strings.HasPrefix(greeting, "220 ")
	})
	if got := command(t, "", "domain", "list", "--dir", s.dir); got.code != 0 || !strings.Contains(got.out, "example.test") {
		t.Errorf("domain list: exit %d: %s", got.code, got.err)
	}
	if verdict, err := w.audit(); verdict != nil || err != nil {
		t.Errorf("afterwards: %v, %v", verdict, err)
	}
	s.running()
	s.end(syscall.SIGTERM)
	if code := s.process.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d: %s", code, s.words)
	}
	checkStore(t, s.dir)
}

// openFiles counts a process's open files.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Skipf("the open files of another process are not shown here: %v", err)
	}
	return len(all)
}

// cpuTimeOver is the processor time that a process takes during d.
func cpuTimeOver(t *testing.T, pid int, d time.Duration) time.Duration {
	t.Helper()
	const tick = 10 * time.Millisecond // of proc(5), on every platform of Go's
	used := func() (sum time.Duration) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, behind, _ := strings.Cut(string(stat), ") ") // the name in front may hold anything
		fields := strings.Fields(behind)
		for _, f := range fields[11:13] { // utime and stime
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(n) * tick
		}
		return sum
	}
	before := used()
	time.Sleep(d) // the time is what is measured
	return used() - before
}
