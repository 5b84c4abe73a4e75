package queue_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"mailstead/smtp/local"
)

const hello = "From: ann@us.test\r\nTo: bob@far.test\r\nSubject: hello\r\nMessage-ID: <1@us.test>\r\n\r\nHello.\r\n.\r\n"

func expect(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

// From a user's program to a mailbox behind another server's MX.
func TestDeliveredByMX(t *testing.T) {
	w := newWorld(t, settings{tls: certificate()})
	w.us.submit("ann@us.test", hello, "bob@far.test", "eve@far.test")
	expect(t, w.us.attempt(), "destination=far.test", "attempt=1", "delivered=2", "failed=0", "waiting=0")
	for _, account := range []string{"bob@far.test", "eve@far.test"} {
		expect(t, w.far.inbox(account, 1)[0], "Return-Path: <ann@us.test>\r\nReceived: from mx.us.test ",
			" with ESMTPS id ", " with UTF8SMTPSA id ", "Message-ID: <1@us.test>\r\n\r\nHello.\r\n.\r\n")
	}
	if left, err := w.us.queue.List(); err != nil || len(left) != 0 {
		t.Errorf("left is %+v", left)
	}
}

// What is refused for now is tried again when its time has come, not earlier.
func TestRefusedForNow(t *testing.T) {
	refusals := 2
	w := newWorld(t, settings{deliver: asking(func() error {
		if refusals--; refusals >= 0 {
			return &local.Refusal{Code: 451, Enhanced: "4.7.1", Text: "Greylisted, come again"}
		}
		return nil
	})})
	w.us.submit("ann@us.test", hello, "bob@far.test")
	expect(t, w.us.attempt(), "attempt=1", "waiting=1", "451 4.7.1 Greylisted, come again")
	w.us.pass(5 * time.Minute)
	expect(t, w.us.attempt(), "attempt=2", "waiting=1")
	w.us.pass(10 * time.Minute)
	expect(t, w.us.attempt(), "attempt=3", "delivered=1")
	w.far.inbox("bob@far.test", 1)
}

// One of two recipients is refused for good: the other has the message, and
// the sender a notice about the one.
func TestOneOfTwoRefused(t *testing.T) {
	w := newWorld(t, settings{})
	w.us.submit("ann@us.test", hello, "bob@far.test", "nobody@far.test")
	w.far.inbox("bob@far.test", 1)
	notice := w.us.inbox("ann@us.test", 1)[0]
	expect(t, notice, "Return-Path: <>\r\n", "To: <ann@us.test>\r\n", "In-Reply-To: <1@us.test>\r\n", "Auto-Submitted: auto-replied\r\n",
		"Subject: Not delivered: hello\r\n", "There is no mailbox of this name.", "Final-Recipient: rfc822; nobody@far.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
		"Remote-MTA: dns; mx.far.test\r\n", "Diagnostic-Code: smtp; 550 5.1.1 ")
	if strings.Contains(notice, "rfc822; bob@far.test") || strings.Contains(notice, "Hello.") {
		t.Errorf("the notice is\n%s", notice)
	}
}

// Where STARTTLS is offered and broken, a new connection goes without.
func TestBrokenSTARTTLS(t *testing.T) {
	broken := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("broken") }}
	w := newWorld(t, settings{tls: broken})
	w.us.submit("ann@us.test", hello, "bob@far.test")
	expect(t, w.us.attempt(), "attempt=1", "delivered=1")
	expect(t, w.far.inbox("bob@far.test", 1)[0], "Received: from mx.us.test ", " with ESMTP id ")
}

// A crash at each step of a delivery: what was answered 250 arrives, and so
// does the notice.
func TestCrashLosesNothing(t *testing.T) {
	var w *world
	var crashed string
	first := true
	w = newWorld(t, settings{deliver: asking(func() error {
		if !first {
			return nil
		}
		first = false
		crashed = w.us.crash() // the message is out, its acknowledgement is not
		return &local.Refusal{Code: 451, Enhanced: "4.3.0", Text: "You have crashed"}
	})})
	w.us.submit("ann@us.test", hello, "bob@far.test", "nobody@far.test")
	w.us.inbox("ann@us.test", 1) // the notice about nobody
	w.us.stop()

	again := startServer(t, crashed, "us.test", w.set)
	expect(t, again.attempt(), "attempt=1", "delivered=1", "failed=1")
	expect(t, w.far.inbox("bob@far.test", 1)[0], "Message-ID: <1@us.test>\r\n\r\nHello.\r\n.\r\n")
	expect(t, again.inbox("ann@us.test", 1)[0], "Final-Recipient: rfc822; nobody@far.test\r\n")
}
