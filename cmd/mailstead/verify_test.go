package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// flipBit flips a bit of the text, wherever the log of a folder has it.
func flipBit(t *testing.T, dir, text string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(storeDir(dir), "log", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range segments {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := strings.Index(string(data), text)
		if at < 0 {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{data[at] ^ 1}, int64(at)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no segment has %q", text)
}

// TestVerifyCommand: a flipped bit is named, its message is refused, the other
// one is served, with a server and without; then the databases are made again.
func TestVerifyCommand(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "user@example.test:pass")
	s.submit("user@example.test", "pass", "user@example.test")
	s.submit("user@example.test", "pass", "user@example.test")
	if got := command(t, "", "verify", "--dir", dir); got.code != 0 || got.err != "" {
		t.Fatalf("whole, but %+v", got)
	}
	flipBit(t, dir, "hello")
	damaged := func(how string) {
		got := command(t, "", "verify", "--json", "--dir", dir)
		var found []finding
		if err := json.Unmarshal([]byte(got.out), &found); err != nil || got.code != exitFailed || len(found) != 1 {
			t.Fatalf("%s: %+v, %v", how, got, err)
		}
		if f := found[0]; f.Where != "log" || f.Account != "user@example.test" || f.Mailbox != "INBOX" || f.UID != 1 || f.Segment == 0 {
			t.Errorf("%s: %+v", how, f)
		}
		if !strings.Contains(got.err, "1 messages cannot be read") {
			t.Errorf("%s: %s", how, got.err)
		}
	}
	damaged("serving")
	c := s.dial(143, "* OK")
	c.say("a LOGIN user@example.test pass", "a OK")
	c.say("b SELECT INBOX", "b OK")
	if reply := c.say("c UID FETCH 1:2 (BODY.PEEK[])", "c "); !strings.HasPrefix(reply, "c NO [CORRUPTION]") {
		t.Error(reply)
	}
	c.say("d UID FETCH 2 (BODY.PEEK[])", "d OK")
	c.say("e UID FETCH 1:2 (FLAGS ENVELOPE)", "e OK")
	p := s.dial(110, "+OK")
	p.say("USER user@example.test", "+OK")
	p.say("PASS pass", "+OK")
	p.say("RETR 1", "-ERR [SYS/PERM]")
	p.say("RETR 2", "+OK")
	if got := command(t, "", "verify", "--rebuild", "--dir", dir); got.code != exitFailed || !strings.Contains(got.err, "in use") {
		t.Errorf("rebuilding under a server: %+v", got)
	}
	s.stop()
	damaged("alone")
	if got := command(t, "", "verify", "--rebuild", "--dir", dir); got.code != 0 || !strings.Contains(got.out, "made again from the first record") {
		t.Errorf("%+v", got)
	}
	s = startTrial(t, dir)
	c = s.dial(143, "* OK")
	c.say("a LOGIN user@example.test pass", "a OK")
	c.say("b SELECT INBOX", "b OK")
	c.say("c UID FETCH 2 (BODYSTRUCTURE BODY.PEEK[])", "c OK")
}
