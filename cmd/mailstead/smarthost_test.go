package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestSmarthost has a server without any DNS send its mail over another one of ours, whose password it
// has wrong at first: the mail waits until that is set right, and then goes at once. The password is in no log and in no
// output.
func TestSmarthost(t *testing.T) {
	far := newInstance(t, filepath.Join(t.TempDir(), "far"), "far.test")
	us := newInstance(t, filepath.Join(t.TempDir(), "us"), "us.test")
	far.start()
	us.start()
	o := &outside{us: us, far: far}
	do := func(stdin, dir string, args ...string) outcome {
		t.Helper()
		got := command(t, stdin, append(args, "--dir", dir)...)
		if got.code != 0 {
			t.Fatalf("%q: exit %d: %s", args, got.code, got.err)
		}
		return got
	}
	do("", far.dir, "account", "grant", "send-as", "b0@far.test", "us.test")
	add := []string{"route", "add", "provider", "--via", "127.0.0.1:" + strconv.Itoa(far.offset+587),
		"--user", "b0@far.test", "--ca", filepath.Join(far.dir, "ca.pem")}
	do("Tr0ub4dor\n", us.dir, add...)

	o.submit(t, "over a smarthost", "a0@far.test")
	eventually(t, "the smarthost refuses the login", func() bool {
		list := o.queue(t)
		return len(list) == 1 && strings.Contains(list[0].LastError, "the smarthost refuses the login as b0@far.test: 535")
	})
	tried := command(t, "", "route", "test", "--from", "a0@us.test", "--to", "a0@far.test", "--dir", us.dir)
	if tried.code != exitFailed || !strings.Contains(tried.err, "535") || !strings.Contains(tried.out, "> AUTH SCRAM-SHA-256-PLUS (not shown)") {
		t.Errorf("route test with a wrong password: %+v", tried)
	}
	shown := do("", us.dir, "route", "list", "--json").out + do("", us.dir, "route", "show", "provider").out + tried.out + tried.err
	if strings.Contains(shown+us.words.String()+far.words.String(), "Tr0ub4dor") {
		t.Error("the password is shown")
	}

	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("pass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do("", us.dir, append(add, "--password-file", secret, "--replace")...)
	far.arrives("a0@far.test", "Return-Path: <a0@us.test>\n", "\n\tby mail.far.test with ESMTPSA id ", "Subject: over a smarthost\n")
	eventually(t, "nothing waits any more", func() bool { return len(o.queue(t)) == 0 })
	if got := do("", us.dir, "route", "test", "provider"); !strings.Contains(got.out, "127.0.0.1 is ready to take mail") {
		t.Errorf("route test: %s", got.out)
	}
}
