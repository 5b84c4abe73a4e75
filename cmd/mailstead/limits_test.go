package main

import (
	"encoding/base64"
	"testing"
)

// TestOwnerHearsOfLimit: who reaches a limit of what an account may send in a day is refused, and the owner and the postmaster
// have a letter about it, one each.
func TestOwnerHearsOfLimit(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "root@example.test:pass", "--account", "ann@example.test:pass")
	if got := command(t, "", "account", "limits", "ann@example.test", "--messages", "1", "--dir", dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	s.submit("ann@example.test", "pass", "x@far.test")
	c := s.dial(587, "220 ")
	c.say("EHLO client.test", "250 ")
	c.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00ann@example.test\x00pass")), "235 ")
	c.say("MAIL FROM:<ann@example.test>", "250 ")
	c.say("RCPT TO:<y@far.test>", "450 4.7.1 Your account may send 1 messages a day")
	c.say("RCPT TO:<z@far.test>", "450 4.7.1 ")
	c.say("QUIT", "221 ")
	for _, name := range []string{"ann@example.test", "root@example.test"} {
		p := s.dial(110, "+OK")
		p.say("USER "+name, "+OK")
		p.say("PASS pass", "+OK")
		p.say("STAT", "+OK 1 ")
		for _, line := range []string{"Auto-Submitted: auto-generated", "Subject: ann@example.test has reached its limit of messages a day", "    mailstead account password ann@example.test"} {
			p.say("RETR 1", line)
			p.expect(".\r\n")
		}
	}
}
