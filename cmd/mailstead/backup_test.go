package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// letters counts the messages of a server's INBOX by POP3.
func (s *trial) letters(user, password string) string {
	s.t.Helper()
	c := s.dial(110, "+OK")
	c.say("USER "+user, "+OK")
	c.say("PASS "+password, "+OK")
	line := c.say("STAT", "+OK")
	c.say("QUIT", "+OK")
	return strings.Fields(line)[1]
}

// TestBackupCommands: a running server is backed up into a folder and an
// archive, proved, and restored; then a stopped one moves.
func TestBackupCommands(t *testing.T) {
	const user = "user@example.test"
	dir, to := trialDir(t), filepath.Join(t.TempDir(), "backup")
	s := startTrial(t, dir, "--account", user+":pass")
	s.submit(user, "pass", user)
	if got := command(t, "", "backup", to, "--dir", dir); got.code != 0 || got.err != "" || !strings.Contains(got.out, "copied") {
		t.Fatalf("%+v", got)
	}
	archive := command(t, "", "backup", "--to", "-", "--dir", dir)
	if archive.code != 0 {
		t.Fatalf("%d %s", archive.code, archive.err)
	}
	if at := statusOf(t, dir, 0).Backup; time.Since(at) > time.Hour || at.After(time.Now()) {
		t.Errorf("the server knows of a backup of %v", at)
	}
	if left, err := os.ReadDir(filepath.Join(storeDir(dir), "snapshots")); err != nil || len(left) > 0 {
		t.Errorf("snapshots: %v, %v", left, err)
	}
	s.submit(user, "pass", user)
	if got := command(t, "", "verify", to); got.code != 0 || !strings.HasPrefix(got.out, "whole: the backup") {
		t.Errorf("%+v", got)
	}
	if got := command(t, "", "restore", to, dir); got.code != exitFailed || !strings.Contains(got.err, "a store already") {
		t.Errorf("over a store: %+v", got)
	}
	for _, c := range []struct{ from, in string }{{to, ""}, {"-", archive.out}} {
		elsewhere := trialDir(t)
		if got := command(t, c.in, "restore", c.from, elsewhere); got.code != 0 || !strings.Contains(got.out, "anew") {
			t.Fatalf("from %s: %+v", c.from, got)
		}
		other := startTrial(t, elsewhere)
		if n := other.letters(user, "pass"); n != "1" {
			t.Errorf("from %s: %s messages", c.from, n)
		}
		other.stop()
	}
	s.stop()
	if got := command(t, "", "backup", to, "--dir", dir, "--keep", "1"); got.code != 0 {
		t.Fatalf("without a server: %+v", got)
	}
	moved := trialDir(t)
	if got := command(t, "", "restore", to, moved, "--keep-uidvalidity"); got.code != 0 || strings.Contains(got.out, "anew") {
		t.Fatalf("moved: %+v", got)
	}
	if ca, err := os.ReadFile(filepath.Join(moved, "ca.pem")); err != nil || len(ca) == 0 {
		t.Errorf("the CA did not move: %v", err)
	}
	for folder, there := range map[string]bool{dir: true, moved: false} { // what is to be gone in a month is in no backup
		if _, err := os.Stat(journalDir(folder)); (err == nil) != there {
			t.Errorf("the journal of %s: %v", folder, err)
		}
	}
	if n := startTrial(t, moved).letters(user, "pass"); n != "2" {
		t.Errorf("moved: %s messages", n)
	}
	flipBackup(t, to)
	if got := command(t, "", "verify", to); got.code != exitFailed || !strings.Contains(got.out, ".seg") {
		t.Errorf("damaged: %+v", got)
	}
}

// flipBackup flips a bit of a segment in a backup folder.
func flipBackup(t *testing.T, to string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(to, "stores", "*", "log", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%v, %v", segments, err)
	}
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	data[5000] ^= 1
	if err := os.WriteFile(segments[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBackupFollowCommand: what a followed server took is there when it is
// gone, and following ends when it is asked to.
func TestBackupFollowCommand(t *testing.T) {
	const user = "user@example.test"
	dir, to := trialDir(t), filepath.Join(t.TempDir(), "backup")
	s := startTrial(t, dir, "--account", user+":pass")
	ctx, stop := context.WithCancel(t.Context())
	var out, errs lockedBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"backup", "--follow", to, "--dir", dir}, streams{strings.NewReader(""), &out, &errs})
	}()
	await(t, "the first backup", func() bool { return strings.Contains(out.String(), "copied") })
	s.submit(user, "pass", user)
	await(t, "the message in the backup", func() bool {
		segments, _ := filepath.Glob(filepath.Join(to, "stores", "*", "log", "*.seg"))
		for _, name := range segments {
			if data, err := os.ReadFile(name); err == nil && bytes.Contains(data, []byte("Subject: out")) {
				return true
			}
		}
		return false
	})
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit %d, %s", code, errs.String())
	}
	elsewhere := trialDir(t)
	if got := command(t, "", "restore", to, elsewhere); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if n := startTrial(t, elsewhere).letters(user, "pass"); n != "1" {
		t.Errorf("%s messages", n)
	}
}

// await waits for what another process or goroutine brings about.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patienceOfTests); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
