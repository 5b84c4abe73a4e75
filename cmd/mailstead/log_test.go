package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailstead/smtp/journal"
)

// deliver sends a message to the server's port 25.
func (s *trial) deliver(from, to, message, reply string) {
	s.t.Helper()
	c := s.dial(25, "220 ")
	c.say("EHLO client.test", "250 ")
	c.say("MAIL FROM:<"+from+">", "250 ")
	c.say("RCPT TO:<"+to+">", "250 ")
	c.say("DATA", "354 ")
	c.say(message+"\r\n.", reply)
	c.say("QUIT", "221 ")
}

// stories are what `mailstead log` finds.
func stories(t *testing.T, dir string, args ...string) (all []journal.Story) {
	t.Helper()
	got := command(t, "", append([]string{"log", "--json", "--dir", dir}, args...)...)
	if err := json.Unmarshal([]byte(got.out), &all); err != nil || got.code != 0 {
		t.Fatalf("log %q: %+v, %v", args, got, err)
	}
	return all
}

// TestWhereIsMyMail asks about mail that came, that was refused, and that is on
// its way, while the server runs and when it does not.
func TestWhereIsMyMail(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "user@example.test:pass")
	s.deliver("ann@far.test", "user@example.test", "From: ann@far.test\r\nMessage-ID: <one@far.test>\r\n\r\nx", "250 ")
	c := s.dial(25, "220 ")
	c.say("EHLO client.test", "250 ")
	c.say("MAIL FROM:<ann@far.test>", "250 ")
	c.say("RCPT TO:<nobody@example.test>", "550 ")
	c.say("QUIT", "221 ")
	s.submit("user@example.test", "pass", "x@far.test")
	for _, state := range []string{"running", "stopped"} {
		for _, tc := range []struct {
			args string
			want []string // parts of the text
			n    int      // messages
		}{
			{"", []string{"received", "refused at RCPT: 550 5.1.1", "queued as"}, 3},
			{"--message one@far.test", []string{"from ann@far.test, at 127.0.0.1, which says it is client.test for user@example.test", "filed into INBOX of user@example.test"}, 1},
			{"--to nobody@example.test", []string{"refused at RCPT: 550 5.1.1 No such user here (from ann@far.test"}, 1},
			{"--to x@far.test --since 1h", []string{"logged in as user@example.test", "queued as"}, 1},
			{"--from far.test --reverse", nil, 2},
			{"--from far.test --limit 1", []string{"nobody@example.test"}, 1},
			{"--since 2100-01-01", nil, 0},
		} {
			args := append(strings.Fields(tc.args), "--dir", dir)
			got := command(t, "", append([]string{"log"}, args...)...)
			for _, part := range tc.want {
				if got.code != 0 || !strings.Contains(got.out, part) {
					t.Errorf("%s, log %s has no %q: %+v", state, tc.args, part, got)
				}
			}
			if all := stories(t, dir, strings.Fields(tc.args)...); len(all) != tc.n {
				t.Errorf("%s, log %s: %d messages, want %d", state, tc.args, len(all), tc.n)
			}
		}
		if state == "running" {
			s.stop()
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, journalFolder, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
}

// TestMailWithoutAJournal: where the journal cannot be written, mail goes on.
func TestMailWithoutAJournal(t *testing.T) {
	dir := trialDir(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journalDir(dir), []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startTrial(t, dir, "--account", "user@example.test:pass")
	for range 3 {
		s.deliver("ann@far.test", "user@example.test", "From: ann@far.test\r\n\r\nx", "250 ")
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if !strings.Contains(s.err.String(), "journal: steps cannot be written; mail goes on") {
		t.Errorf("nobody was told: %s", s.err.String())
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"": "0001-01-01T00:00:00Z", "2026-11-20": "2026-11-20T00:00:00Z", "2026-11-20T10:00:00+02:00": "2026-11-20T08:00:00Z",
		"90m": "2026-11-22T10:30:00Z", "12h": "2026-11-22T00:00:00Z", "7d": "2026-11-15T12:00:00Z",
		"yesterday": "", "-1h": "", "d": "", "1e9d": "", "99999999999h": "",
	} {
		got, err := parseSince(text, now)
		if err != nil {
			if want != "" || exitCode(err) != exitUsage {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v, want %s", text, got, want)
		}
	}
}

// TestErasedAccountIsNotInTheJournal: neither of a running server nor of a folder, and others' mail stays.
func TestErasedAccountIsNotInTheJournal(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "user@example.test:pass", "--account", "eve@example.test:pass", "--account", "zoe@example.test:pass")
	for _, to := range []string{"user", "eve", "zoe"} {
		s.deliver("ann@far.test", to+"@example.test", "From: ann@far.test\r\n\r\nx", "250 ")
	}
	for _, account := range []string{"eve@example.test", "zoe@example.test"} {
		if n := len(stories(t, dir, "--to", account)); n != 1 {
			t.Errorf("%d messages for %s", n, account)
		}
		got := command(t, "", "account", "erase", account, "--yes", "--quiet", "--dir", dir)
		if got.code != 0 || !strings.Contains(got.out, "is erased.\n") || strings.Contains(got.out, "\n0 lines") {
			t.Errorf("%+v", got)
		}
		if n := len(stories(t, dir, "--to", account)); n != 0 {
			t.Errorf("%d messages for %s are still known", n, account)
		}
		if n := len(stories(t, dir)); n != 2 && account[0] == 'e' || n != 1 && account[0] == 'z' {
			t.Errorf("%d messages are known without %s", n, account)
		}
		s.stop() // the second one is erased alone
	}
}
