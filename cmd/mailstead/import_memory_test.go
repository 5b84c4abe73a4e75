package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// importMessages is the number of messages that TestImportMemory takes in: few in `make
// test`, 200,000 in `make bench-import`.
var importMessages = flag.Int("import", 2000, "messages of TestImportMemory")

// mostImportMemory is what each of the two processes of an import may hold in memory, in bytes.
const mostImportMemory = 150 << 20

// letters writes an mbox of n letters of about two kilobytes.
func letters(t *testing.T, n int) (path string, size int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "many")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	text := strings.Repeat("This line has some words that make a letter of the usual length.\n", 24)
	for i := range n {
		fmt.Fprintf(w, "From s%d@a.test Thu Jan  1 00:00:00 2015\nStatus: RO\nReceived: from a by b with SMTP;\n\tThu, 1 Jan 2015 00:00:00 +0000\n"+
			"From: S <s%d@a.test>\nTo: ann@a.test\nSubject: letter %d\nMessage-ID: <%d@a.test>\nDate: Thu, 1 Jan 2015 00:00:00 +0000\n\n%d\n%s\n", i, i%100, i, i, i, text)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path, info.Size()
}

// TestImportMemory imports many messages through the control socket, twice, and bounds
// what client and server have in memory of their own: pages of files, which the databases
// of the server are, the system takes back when it wants to.
func TestImportMemory(t *testing.T) {
	if _, err := ownMemory(os.Getpid()); err != nil {
		t.Skipf("this system does not tell the memory of a process: %v", err)
	}
	if testing.Short() {
		t.Skip("the short form runs under the race detector, which takes memory of its own")
	}
	mbox, size := letters(t, *importMessages)
	s := newInstance(t, trialDir(t), "a.test")
	s.start()
	for i, want := range []string{fmt.Sprintf("%d messages imported, 0 were", *importMessages), fmt.Sprintf("0 messages imported, %d were", *importMessages)} {
		began := time.Now()
		var out lockedBuffer
		client := program("import", "a0@a.test", mbox, "--quiet", "--dir", s.dir)
		client.Stdout, client.Stderr = &out, &out
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		most := make(chan [2]int64, 1)
		ended := make(chan struct{})
		go func() { most <- mostMemory(ended, client.Process.Pid, s.process.Process.Pid) }()
		err := client.Wait()
		took := time.Since(began)
		close(ended)
		held := <-most
		if err != nil || !strings.Contains(out.String(), want) {
			t.Fatalf("import %d: %v, %s", i+1, err, &out)
		}
		t.Logf("import %d: %d messages, %d MB in %v, %.0f a second; own memory at most: client %d MB, server %d MB",
			i+1, *importMessages, size>>20, took.Round(time.Millisecond), float64(*importMessages)/took.Seconds(), held[0]>>20, held[1]>>20)
		if max(held[0], held[1]) > mostImportMemory {
			t.Errorf("more than %d MB", int64(mostImportMemory)>>20)
		}
	}
}

// mostMemory looks at the memory of two processes until ended, and returns the most of each.
func mostMemory(ended <-chan struct{}, pids ...int) (most [2]int64) {
	for {
		for i, pid := range pids {
			if n, err := ownMemory(pid); err == nil { // it may be over
				most[i] = max(most[i], n)
			}
		}
		select {
		case <-ended:
			return most
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ownMemory is a process's anonymous memory in bytes.
func ownMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text), "RssAnon:")
	if !ok {
		return 0, errors.New("no RssAnon")
	}
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0, err
	}
	return kilobytes << 10, nil
}
