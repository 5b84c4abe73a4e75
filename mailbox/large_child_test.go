package mailbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A start is measured in a new process: its memory is that of a server that
// has just begun, not what a test before it has left.

const (
	largeChildEnvironment = "MAILSTEAD_TEST_LARGE_CHILD" // the store's folder
	largeChildAccount     = "MAILSTEAD_TEST_LARGE_ACCOUNT"
	largeChildRest        = "MAILSTEAD_TEST_LARGE_REST" // before memory is looked at
)

// largeStart is what the child found.
type largeStart struct {
	Start, Open  time.Duration
	Messages     int
	Idle, Loaded int64 // anonymous memory in bytes, without and with the mailbox open
}

// runLargeChild is the child; in any other process it returns at once.
func runLargeChild() {
	dir := os.Getenv(largeChildEnvironment)
	if dir == "" {
		return
	}
	account, _ := strconv.ParseUint(os.Getenv(largeChildAccount), 10, 32)
	r, err := largeChild(dir, AccountID(account))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(r)
	os.Exit(0)
}

func largeChild(dir string, account AccountID) (r largeStart, err error) {
	rest, err := time.ParseDuration(os.Getenv(largeChildRest))
	if err != nil {
		return r, err
	}
	o := largeOptions()
	o.Logger = slog.New(slog.DiscardHandler)
	began := time.Now()
	s, err := Open(dir, o)
	if err != nil {
		return r, err
	}
	r.Start = time.Since(began)
	if r.Idle, err = restingMemory(rest); err != nil {
		return r, err
	}
	began = time.Now()
	m, err := s.OpenMailbox(context.Background(), account, "INBOX")
	if err != nil {
		return r, err
	}
	r.Open = time.Since(began)
	r.Messages = int(m.View(false).Len())
	if r.Loaded, err = restingMemory(rest); err != nil {
		return r, err
	}
	m.Close()
	return r, s.Close()
}

// restingMemory is the anonymous memory of this process, in bytes, after a
// collection (which an idle server has every two minutes) and a rest.
func restingMemory(rest time.Duration) (int64, error) {
	runtime.GC()
	time.Sleep(rest)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the system does not tell of anonymous memory")
}

// startChild opens the store, which nobody has open, in a new process.
func startChild(t *testing.T, dir string, account AccountID) (r largeStart) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(program)
	child.Env = append(os.Environ(), largeChildEnvironment+"="+dir,
		fmt.Sprint(largeChildAccount, "=", account), fmt.Sprint(largeChildRest, "=", *largeRest))
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		t.Fatal("the child process: ", err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	r.Start, r.Open = r.Start.Round(100*time.Microsecond), r.Open.Round(100*time.Microsecond)
	return r
}

// dropCaches empties the kernel's caches, and says whether it did.
func dropCaches(t *testing.T) bool {
	t.Helper()
	if !*largeCold {
		return false
	}
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		t.Logf("a cold start is not measured: %v", err)
		return false
	}
	return true
}
