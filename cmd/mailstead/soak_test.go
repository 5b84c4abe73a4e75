package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mailstead/mailbox"
)

var (
	soakTime = flag.Duration("soak", 4*time.Second, "how long TestSoak loads and kills the server")
	soakSeed = flag.Uint64("soakseed", 0, "seed of TestSoak; 0 = another each time")
)

const (
	soakWorkers = 4
	startLimit  = faultLimit // from exec to ready, also after a kill in the worst moment
	maxLetters  = 60         // of a mailbox; above it workers remove more than they add
)

// TestSoak loads the real binary from several sides, kills it with SIGKILL at
// random moments and starts it again, and holds what it finds against what was
// promised: what was answered 250, OK or +OK is there exactly once and whole,
// with its flags; what was expunged stays away; of a command without an answer
// all or nothing was done.
func TestSoak(t *testing.T) {
	t.Parallel() // its processes wait for the disk and for each other
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	s := newSoak(t, buildBinary(t), *soakTime)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	for i := range soakWorkers {
		w := newWorker(s, i, rand.New(rand.NewPCG(seed, uint64(i))))
		workers.Go(func() {
			if err := w.run(ctx); err != nil {
				t.Errorf("worker %d: %v", i, err)
				cancel()
			}
			s.operations(w.operations, w.audits)
		})
	}
	kills := s.killAtRandom(ctx, rand.New(rand.NewPCG(seed, 1000)))
	s.start()
	cancel()
	workers.Wait()
	s.kill(syscall.SIGTERM)
	t.Logf("%d kills, %d operations, %d audits", kills, s.done, s.audited)
	if s.audited == 0 || s.done == 0 {
		t.Error("nothing was done, or nothing was looked at")
	}
	checkStore(t, s.dir)
}

// killAtRandom starts the server and kills it until the soak's time is over and
// something was done. On a machine so busy that the workers do nothing between
// two kills, lives become longer.
func (s *soak) killAtRandom(ctx context.Context, random *rand.Rand) (kills int) {
	const mostBarren = 20 // lives in a row: then something is wrong
	barren := 0
	for end := time.Now().Add(s.time); ctx.Err() == nil && barren < mostBarren && (time.Now().Before(end) || s.steps.Load() == 0); kills++ {
		before := s.steps.Load()
		s.start()
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(100+random.IntN(1500)) * time.Millisecond * time.Duration(1+barren)):
		}
		s.kill(syscall.SIGKILL)
		if barren++; s.steps.Load() > before {
			barren = 0
		}
	}
	return kills
}

// checkStore opens the folder that the last server left and checks all of it.
func checkStore(t *testing.T, dir string) {
	t.Helper()
	store, err := mailbox.Open(storeDir(dir), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.Check(), store.Close()); err != nil {
		t.Errorf("check of the store: %v", err)
	}
}

// soak is the server under test.
type soak struct {
	t           *testing.T
	binary, dir string
	offset      int
	args        []string      // of the server, beside its own
	time        time.Duration // of the load
	lives       atomic.Int64  // that the server has had

	process       *exec.Cmd
	mu            sync.Mutex
	up            chan struct{} // closed while the server is up
	done, audited int
	steps         atomic.Int64 // of all workers until now
}

// newSoak prepares a server of a binary, "" = the tests' own, for so long.
func newSoak(t *testing.T, binary string, time time.Duration) *soak {
	t.Helper()
	s := &soak{t: t, dir: filepath.Join(t.TempDir(), "server"), binary: binary, time: time, up: make(chan struct{})}
	s.offset = freeOffset(t)
	t.Cleanup(func() {
		if s.process != nil {
			s.kill(syscall.SIGKILL)
		}
	})
	return s
}

// buildBinary builds the command as users run it.
func buildBinary(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mailstead")
	if out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return name
}

func (s *soak) address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.offset+port))
}

// user is one of the two accounts of a worker.
func user(worker int, which string) string { return fmt.Sprintf("%s%d@example.test", which, worker) }

// start starts the server and waits until it says that it is ready.
func (s *soak) start() {
	s.t.Helper()
	args := []string{"local", "--dir", s.dir, "--port-offset", strconv.Itoa(s.offset), "--log-level", "warn"}
	for i := range soakWorkers {
		args = append(args, "--account", user(i, "a")+":pass", "--account", user(i, "b")+":pass")
	}
	if args = append(args, s.args...); s.binary == "" {
		s.process = program(args...)
	} else {
		s.process = exec.Command(s.binary, args...)
	}
	s.lives.Add(1)
	log := &bytes.Buffer{}
	s.process.Stderr = log
	out, err := s.process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	slow := time.AfterFunc(startLimit, func() { s.process.Process.Kill() })
	defer slow.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "mailstead is ready" {
			s.mu.Lock()
			close(s.up)
			s.mu.Unlock()
			return
		}
	}
	s.process.Wait()
	s.t.Fatalf("the server did not get ready within %v: %s", startLimit, log)
}

// kill ends the server by its process id and waits for it.
func (s *soak) kill(signal syscall.Signal) {
	s.mu.Lock()
	s.up = make(chan struct{})
	s.mu.Unlock()
	s.process.Process.Signal(signal)
	s.process.Wait()
}

// wait waits until the server is up.
func (s *soak) wait() {
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	<-up
}

func (s *soak) operations(done, audited int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done += done
	s.audited += audited
}
