package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mailstead/mailbox"
)

// TestStateTruncated cuts state.db short under a running server. The server
// ends with a word on why as soon as it needs what is gone, and the next start
// makes state.db again and has everything that was acknowledged.
func TestStateTruncated(t *testing.T) {
	if testing.Short() {
		t.Skip("starts whole servers, one after the other; the short form runs under the race detector, where each takes seconds")
	}
	for _, size := range []int64{0, 8 << 10} { // nothing, and two pages, of which bbolt has the rest in mind
		t.Run(fmt.Sprintf("to %d octets", size), func(t *testing.T) {
			s := newInstance(t, filepath.Join(t.TempDir(), "server"), "example.test", "--log-level", "warn")
			s.start()
			w := s.worker(rand.Uint64())
			for range 60 {
				if err := w.step(); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Truncate(filepath.Join(storeDir(s.dir), "state.db"), size); err != nil {
				t.Fatal(err)
			}
			var err error
			eventually(t, "the server ends", func() bool {
				if err == nil {
					err = w.step()
				}
				select {
				case <-s.exited:
					return true
				default:
					return false
				}
			})
			if code := s.process.ProcessState.ExitCode(); code != exitFailed {
				t.Errorf("exit %d", code)
			}
			lines := strings.Split(strings.TrimSpace(s.words.String()), "\n")
			if last := lines[len(lines)-1]; !strings.Contains(last, "level=ERROR") || !strings.Contains(last, "state.db") {
				t.Errorf("the last word is: %s", last)
			}
			w.disconnect()
			s.start()
			if verdict, err := w.audit(); verdict != nil || err != nil {
				t.Errorf("after the restart: %v, %v: %s", verdict, err, s.words)
			}
			for range 20 {
				if err := w.step(); err != nil {
					t.Fatal(err)
				}
			}
			w.disconnect()
			s.end(syscall.SIGTERM)
			checkStore(t, s.dir)
		})
	}
}

// logOf asks a server how far its log is.
func logOf(s *instance) (segments []mailbox.LogSegment, err error) {
	answer, err := ask(context.Background(), s.dir, request{Action: "backup log", Params: json.RawMessage("{}")}, unheard)
	if err == nil && answer.Failure != nil {
		err = answer.Failure
	}
	if err != nil {
		return nil, err
	}
	return segments, json.Unmarshal(answer.Result, &segments)
}

// shipped reports whether a backup folder has all of a server's log.
func shipped(t *testing.T, s *instance, to string) bool {
	t.Helper()
	segments, err := logOf(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, segment := range segments {
		copies, err := filepath.Glob(filepath.Join(to, "stores", "*", filepath.FromSlash(segment.Name)))
		if err != nil || len(copies) != 1 {
			return false
		}
		info, err := os.Stat(copies[0])
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() < segment.Size {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return len(segments) > 0
}

// TestFollowedServerIsKilled kills a server that is followed, in the middle of
// its work, several times. Following goes on by itself when there is a server
// again, and what is restored then is everything that was acknowledged.
func TestFollowedServerIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts whole servers, one after the other; the short form runs under the race detector, where each takes seconds")
	}
	s := newInstance(t, filepath.Join(t.TempDir(), "server"), "example.test", "--log-level", "warn")
	s.start()
	to := filepath.Join(t.TempDir(), "backup")
	follower := program("backup", "--follow", to, "--dir", s.dir)
	words := new(lockedBuffer)
	follower.Stdout, follower.Stderr = words, words
	if err := follower.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the process
		defer close(ended)
		follower.Wait()
	}()
	t.Cleanup(func() {
		follower.Process.Kill()
		<-ended
	})
	eventually(t, "the first backup", func() bool { return strings.Contains(words.String(), "copied") })
	w := s.worker(rand.Uint64())
	for range 3 {
		for range 30 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
		var kill sync.WaitGroup
		kill.Go(func() { s.end(syscall.SIGKILL) })
		var err error
		for err == nil { // until the connection breaks
			err = w.step()
		}
		kill.Wait()
		w.disconnect()
		s.start()
		if verdict, err := w.audit(); verdict != nil || err != nil {
			t.Fatalf("after the kill: %v, %v", verdict, err)
		}
	}
	for range 10 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	w.disconnect()
	eventually(t, "everything is shipped", func() bool { return shipped(t, s, to) })
	select {
	case <-ended:
		t.Fatalf("following ended: %s", words)
	default:
	}
	s.end(syscall.SIGKILL) // the server's disk is lost with it
	follower.Process.Signal(syscall.SIGINT)
	<-ended
	if code := follower.ProcessState.ExitCode(); code != 0 {
		t.Errorf("following ended with exit %d: %s", code, words)
	}
	restored := newInstance(t, filepath.Join(t.TempDir(), "server"), "example.test", "--log-level", "warn")
	if out, err := program("restore", to, restored.dir).CombinedOutput(); err != nil {
		t.Fatalf("restore: %v: %s", err, out)
	}
	restored.start()
	w.soak.dir, w.soak.offset = restored.dir, restored.offset
	for _, h := range w.oracle.boxes {
		*h = history{names: h.names} // a restored mailbox has another UIDVALIDITY
		clear(h.names)
	}
	if verdict, err := w.audit(); verdict != nil || err != nil {
		t.Errorf("restored: %v, %v: %s", verdict, err, restored.words)
	}
	w.disconnect()
	restored.end(syscall.SIGTERM)
	checkStore(t, restored.dir)
}
