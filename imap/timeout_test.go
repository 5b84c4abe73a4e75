package imap

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// onFakeTime serves pipes within a bubble where time goes on only while nobody has anything to do, so that limits of time are
// those of real servers, and a busy machine does not come near them.
func onFakeTime(t *testing.T, change func(*Options), do func(t *testing.T, p pipes)) {
	testCertificate() // of the time outside
	synctest.Test(t, func(t *testing.T) {
		if change == nil {
			change = func(*Options) {}
		}
		do(t, newDeafServer(t, change).servePipes(t))
	})
}

// patient is a connection that waits for hours.
func (p pipes) patient(t testing.TB) *lineConn {
	c := p.dial(t)
	must(t, c.SetDeadline(time.Now().Add(24*time.Hour)))
	return c
}

// after fails a test unless so much time has gone by since began.
func after(t testing.TB, began time.Time, limit time.Duration) {
	t.Helper()
	if took := time.Since(began); took != limit {
		t.Errorf("it ended after %v, not %v", took, limit)
	}
}

// TestLoginTimeout proves that a client has a limited time to log in, whatever it says.
func TestLoginTimeout(t *testing.T) {
	onFakeTime(t, nil, func(t *testing.T, p pipes) {
		began := time.Now()
		c := p.patient(t)
		time.Sleep(59 * time.Second)
		c.send("a NOOP\r\n")
		c.expect("a OK")
		c.expect("* BYE")
		c.expectEnd()
		after(t, began, time.Minute)
	})
}

// TestIdleTimeout proves that silence ends a session with a word, and never soon (RFC 3501 section 5.4).
func TestIdleTimeout(t *testing.T) {
	hasty := func(o *Options) { o.IdleTimeout = time.Minute }
	for _, commands := range []string{"a SELECT INBOX\r\n", "a IDLE\r\n"} {
		onFakeTime(t, hasty, func(t *testing.T, p pipes) {
			c := p.patient(t).login()
			time.Sleep(29 * time.Minute)
			began := time.Now()
			c.send(commands)
			if line := c.expect("* BYE"); line != "* BYE idle for too long\r\n" {
				t.Errorf("%q: %q", commands, line)
			}
			after(t, began, 30*time.Minute)
		})
	}
}

// TestCommandTimeout proves that a literal that does not come ends the session.
func TestCommandTimeout(t *testing.T) {
	onFakeTime(t, nil, func(t *testing.T, p pipes) {
		c := p.patient(t).login()
		began := time.Now()
		c.send("a APPEND INBOX {10}\r\n")
		c.expect("+ ")
		c.expect("* BYE")
		c.expectEnd()
		after(t, began, 5*time.Minute)
	})
}

// TestWriteTimeout proves that a client that takes nothing of what is sent does not keep
// its session.
func TestWriteTimeout(t *testing.T) {
	var ended endings
	onFakeTime(t, func(o *Options) {
		ended.reasons = make(chan string, 10)
		o.Logger = slog.New(ended)
	}, func(t *testing.T, p pipes) {
		c := p.patient(t).login()
		c.send("a NOOP\r\n")
		began := time.Now()
		if reason := <-ended.reasons; !strings.Contains(reason, "timeout") {
			t.Errorf("it ended: %s", reason)
		}
		after(t, began, 5*time.Minute)
	})
}
