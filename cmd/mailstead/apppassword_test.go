package main

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestAppPasswordsAreTakenBack logs in by all protocols with an app password, takes it back, and finds all of
// these sessions at their end, whatever they were doing, and nobody else's.
func TestAppPasswordsAreTakenBack(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "user@example.test:pass")
	add := func(label string, more ...string) string {
		t.Helper()
		got := command(t, "", append([]string{"account", "app-password", "add", "user@example.test", label, "--dir", dir}, more...)...)
		if got.code != 0 {
			t.Fatalf("add: %+v", got)
		}
		return strings.TrimSpace(got.out)
	}
	phone, laptop := add("phone"), add("laptop", "--scope", "imap")
	imap := func(password string) *talk {
		c := s.dial(143, "* OK")
		c.say("a LOGIN user@example.test "+password, "a OK")
		c.say("b SELECT INBOX", "b OK")
		c.say("c IDLE", "+ ")
		return c
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00user@example.test\x00" + phone))
	pop := s.dial(110, "+OK")
	pop.say("AUTH PLAIN "+plain, "+OK")
	smtp := s.dial(587, "220 ")
	smtp.say("EHLO client.test", "250 ")
	smtp.say("AUTH PLAIN "+plain, "235 ")
	smtp.say("MAIL FROM:<user@example.test>", "250 ")
	own, other := imap("pass"), imap(laptop)
	ending := map[string]*talk{"imap": imap(phone), "pop3": pop, "submission": smtp}

	if got := command(t, "", "account", "app-password", "list", "user@example.test", "--dir", dir); !strings.Contains(got.out, "from 127.0.0.1") {
		t.Errorf("list: %+v", got)
	}
	if got := command(t, "", "account", "app-password", "remove", "user@example.test", "phone", "--dir", dir); got.code != 0 {
		t.Fatalf("remove: %+v", got)
	}
	for name, c := range ending {
		c.conn.SetDeadline(time.Now().Add(patienceOfTests))
		if _, err := io.ReadAll(c.in); isTimeout(err) {
			t.Errorf("the session by %s goes on: %v", name, err)
		}
	}
	for _, c := range []*talk{own, other} {
		c.say("DONE", "c OK")
		c.say("d NOOP", "d OK")
	}
	s.dial(143, "* OK").say("a LOGIN user@example.test "+phone, "a NO")
	s.dial(110, "+OK").say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00user@example.test\x00"+laptop)), "-ERR")
	if strings.Contains(s.err.String(), phone) {
		t.Error("the password is in the log")
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}
