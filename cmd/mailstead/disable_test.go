package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestSessionsOfAccountsThatChange disables and renames an account that is logged in by all protocols: its sessions
// end, and replies say what people need to hear, each protocol in its way.
func TestSessionsOfAccountsThatChange(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "user@example.test:pass", "--account", "other@example.test:word")
	do := func(args ...string) string {
		t.Helper()
		got := command(t, "", append(args, "--dir", dir)...)
		if got.code != 0 {
			t.Fatalf("%q: %+v", args, got)
		}
		return strings.TrimSpace(got.out)
	}
	login := map[string]func(reply string) *talk{
		"imap": func(reply string) *talk {
			c := s.dial(143, "* OK")
			c.say("a LOGIN user@example.test pass", "a "+reply)
			return c
		},
		"pop3": func(reply string) *talk {
			c := s.dial(110, "+OK")
			c.say("USER user@example.test", "+OK")
			c.say("PASS pass", reply)
			return c
		},
		"submission": func(reply string) *talk {
			c := s.dial(587, "220 ")
			c.say("EHLO client.test", "250 ")
			c.say("AUTH PLAIN AHVzZXJAZXhhbXBsZS50ZXN0AHBhc3M=", reply)
			return c
		},
	}
	ended := func(sessions map[string]*talk) {
		t.Helper()
		for name, c := range sessions {
			c.conn.SetDeadline(time.Now().Add(patienceOfTests))
			if _, err := io.ReadAll(c.in); isTimeout(err) {
				t.Errorf("the session by %s goes on: %v", name, err)
			}
		}
	}
	welcome := map[string]string{"imap": "OK", "pop3": "+OK", "submission": "235 "}
	all := func() map[string]*talk {
		sessions := map[string]*talk{}
		for name, log := range login {
			sessions[name] = log(welcome[name])
		}
		return sessions
	}
	to := func(address, reply string) {
		t.Helper()
		c := s.dial(25, "220 ")
		c.say("EHLO client.test", "250 ")
		c.say("MAIL FROM:<x@far.test>", "250 ")
		c.say("RCPT TO:<"+address+">", reply)
	}

	sessions := all()
	other := s.dial(143, "* OK")
	other.say("a LOGIN other@example.test word", "a OK")
	named := s.dial(143, "* OK")
	named.say("a LOGIN other@example.test nonsense", "a NO")
	named.say("b LOGIN other@example.test word", "b OK")
	named.say("c ID (\"name\" \"Owl Mail\" \"version\" \"7\")", "c OK")
	if got := flat(do("account", "logins", "other@example.test")); !strings.Contains(got, " 2 imap 127.0.0.1 Owl Mail 7 own password ok") || !strings.Contains(got, " 1 imap 127.0.0.0/24 - - wrong password") {
		t.Errorf("%s", got)
	}
	do("account", "disable", "user@example.test", "--reason", "not paid")
	ended(sessions)
	other.say("b NOOP", "b OK")
	login["imap"]("NO [CONTACTADMIN] this account is disabled: not paid")
	login["pop3"]("-ERR [SYS/PERM] this account is disabled: not paid")
	login["submission"]("525 5.7.13 this account is disabled: not paid")
	if got := flat(do("account", "logins", "user@example.test")); !strings.Contains(got, " 1 pop3 127.0.0.0/24 - own password account disabled") {
		t.Errorf("%s", got)
	}
	to("user@example.test", "250 ")
	do("account", "disable", "user@example.test", "--refuse-mail")
	to("user@example.test", "550 5.2.1 ")
	do("account", "enable", "user@example.test")

	sessions = all()
	do("account", "rename", "user@example.test", "owner@example.test")
	ended(sessions)
	login["imap"]("OK") // by the old name, which is a further address
	do("account", "rename", "owner@example.test", "user@example.test", "--drop-old")
	to("owner@example.test", "550 5.1.1 ")

	masked := do("alias", "masked", "add", "user@example.test", "--label", "shop")
	sender := login["submission"]("235 ")
	sender.say("MAIL FROM:<"+masked+">", "250 ")
	sender.say("RCPT TO:<"+masked+">", "250 ")
	sender.say("DATA", "354 ")
	sender.say("Subject: mine\r\n\r\nhello\r\n.", "250 ")
	if got := do("alias", "masked", "list", "user@example.test", "--json"); !strings.Contains(got, `"letters": 1`) {
		t.Errorf("%s", got)
	}
	do("alias", "masked", "off", masked)
	to(masked, "550 5.1.1 This address is not in use any more")
	do("alias", "masked", "remove", masked)
	to(masked, "550 5.1.1 No such user here")
}
