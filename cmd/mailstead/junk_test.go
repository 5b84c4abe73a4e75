package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// junkTrial is a server with one account, and what a test of its filter needs.
type junkTrial struct {
	*trial
	imap *talk
}

func startJunkTrial(t *testing.T, dir string) *junkTrial {
	t.Helper()
	s := startTrial(t, dir, "--account", "ann@example.test:pass")
	j := &junkTrial{s, s.dial(143, "* OK")}
	j.imap.say("a LOGIN ann@example.test pass", "a OK")
	return j
}

// arrive sends a letter by port 25 and returns the mailbox it is in.
func (j *junkTrial) arrive(text string) string {
	j.t.Helper()
	before := j.count("Junk")
	c := j.dial(25, "220 ")
	c.say("EHLO client.test", "250 ")
	c.say("MAIL FROM:<sales@bargain.test>", "250 ")
	c.say("RCPT TO:<ann@example.test>", "250 ")
	c.say("DATA", "354 ")
	c.say(strings.ReplaceAll(text, "\n", "\r\n")+".", "250 ")
	c.say("QUIT", "221 ")
	if j.count("Junk") > before {
		return "Junk"
	}
	return "INBOX"
}

func (j *junkTrial) count(name string) (n int) {
	j.t.Helper()
	line := j.imap.say("s STATUS "+name+" (MESSAGES)", "* STATUS")
	if _, err := fmt.Sscanf(line, "* STATUS "+name+" (MESSAGES %d)", &n); err != nil {
		j.t.Fatalf("%q: %v", line, err)
	}
	j.imap.expect("s OK")
	return n
}

// taught waits until the account has taught so many letters.
func (j *junkTrial) taught(junk, good int) {
	j.t.Helper()
	var got []junkInfo
	for end := time.Now().Add(patienceOfTests); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		o := command(j.t, "", "account", "junk", "ann@example.test", "--dir", j.dir, "--json")
		if err := json.Unmarshal([]byte(o.out), &got); err != nil || len(got) != 1 {
			j.t.Fatalf("account junk: %+v, %v", o, err)
		}
		if got[0].Junk == junk && got[0].Good == good {
			return
		}
	}
	j.t.Fatalf("taught %+v, want %d letters of junk and %d good ones", got, junk, good)
}

func bargain(n int) string {
	return fmt.Sprintf("From: Bargains <sales@bargain.test>\nTo: ann@example.test\nSubject: Replica watches %d\nMessage-ID: <%d@bargain.test>\n"+
		"Date: Mon, 3 Aug 2026 10:00:00 +0200\n\nExclusive replica watches with free shipping, our luxury bargain of the week number %d.\n", n, n, n)
}

// TestJunkIsLearned has an owner move a letter by IMAP: the next one like it arrives in Junk, with the reason, after a restart,
// too; when the first is moved back, the next arrives in INBOX.
func TestJunkIsLearned(t *testing.T) {
	dir := trialDir(t)
	j := startJunkTrial(t, dir)
	if in := j.arrive(bargain(1)); in != "INBOX" {
		t.Fatalf("untrained, it arrives in %s", in)
	}
	j.imap.say("b SELECT INBOX", "b OK")
	j.imap.say("c MOVE 1 Junk", "c OK")
	j.taught(1, 0)
	if in := j.arrive(bargain(2)); in != "Junk" {
		t.Errorf("the next one arrives in %s", in)
	}
	if in := j.arrive("From: Zoe <zoe@city.test>\nTo: ann@example.test\nSubject: Supper\nMessage-ID: <z@city.test>\nDate: Mon, 3 Aug 2026 10:00:00 +0200\n\n" +
		"Shall we have supper in the garden this week? The tomatoes are ripe.\n"); in != "INBOX" {
		t.Errorf("another one arrives in %s", in)
	}
	j.imap.say("d SELECT Junk", "d OK")
	if why := j.imap.say("e FETCH 2 BODY.PEEK[HEADER.FIELDS (X-JUNK)]", "X-Junk: "); !strings.Contains(why, "the content looks like junk") {
		t.Errorf("it says %q", why)
	}
	j.imap.expect("e OK")
	j.stop()

	j = startJunkTrial(t, dir)
	if in := j.arrive(bargain(3)); in != "Junk" {
		t.Errorf("after a restart it arrives in %s", in)
	}
	j.imap.say("f SELECT Junk", "f OK")
	j.imap.say("g MOVE 1 INBOX", "g OK")
	j.taught(0, 0)
	if in := j.arrive(bargain(4)); in != "INBOX" {
		t.Errorf("when the lesson was undone it arrives in %s", in)
	}
}

// TestSubmissionMakesCorrespondents: whom somebody writes to is known.
func TestSubmissionMakesCorrespondents(t *testing.T) {
	s := startTrial(t, trialDir(t), "--account", "ann@example.test:pass")
	s.submit("ann@example.test", "pass", "friend@elsewhere.test")
	for end := time.Now().Add(patienceOfTests); ; time.Sleep(20 * time.Millisecond) {
		o := command(t, "", "account", "junk", "ann@example.test", "--dir", s.dir, "--json")
		if strings.Contains(o.out, `"correspondents": 1`) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("account junk: %+v", o)
		}
	}
}
