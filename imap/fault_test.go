package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/log/logtest"
)

// onFaults is a session with an INBOX of three messages, the second of which is
// large and so in a file of its own, on a file system with faults.
func onFaults(t *testing.T) (*directSession, *logtest.Faults, int) {
	t.Helper()
	faults := logtest.New(nil, logtest.Rule{})
	store, err := mailbox.Open(t.TempDir(), mailbox.Options{SegmentSize: 256 << 10, FS: faults, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		faults.Stop()
		if err := errors.Join(store.Check(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	account, err := store.CreateAccount(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("a line of a large message\r\n", 3*bulkChunk/27)
	for i, text := range []string{"small", large, "small"} {
		deliver(t, store, account, fmt.Appendf(nil, "Subject: %d\r\n\r\n%s %d", i+1, text, i+1), mailbox.Target{})
	}
	indexed(t, store) // so that faults are for the session, not for the index
	return newDirectSession(t, store, account), faults, len(large)
}

func isBig(name string) bool { return strings.Contains(name, "/big/") }

// TestUnreadableBodyHarmsNoOther has the disk fail to read one message. The
// others are answered for, the command says what is wrong, and the message is
// there when the disk can read it again.
func TestUnreadableBodyHarmsNoOther(t *testing.T) {
	s, faults, size := onFaults(t)
	for name, c := range map[string]struct {
		rule    logtest.Rule
		missing int
	}{
		"the file of a large one cannot be opened": {logtest.Rule{Ops: []logtest.Op{logtest.Open}, Name: isBig, From: 1}, 2},
		"nor read":                 {logtest.Rule{Ops: []logtest.Op{logtest.Read}, Name: isBig, From: 1}, 2},
		"a small one in a segment": {logtest.Rule{Ops: []logtest.Op{logtest.Read}, From: 1, To: 1}, 1},
	} {
		c.rule.Err = syscall.EIO
		faults.Set(c.rule)
		out, _, err := s.run(t, "UID FETCH 1:3 (BODY.PEEK[])")
		if err == nil || replyTo(err).Code != goimap.ResponseCodeCorruption {
			t.Errorf("%s: %v, want CORRUPTION", name, err)
		}
		for n := 1; n <= 3; n++ {
			want := n != c.missing
			if got := bytes.Contains(out, fmt.Appendf(nil, "* %d FETCH (", n)); got != want {
				t.Errorf("%s: answer for message %d: %v, want %v", name, n, got, want)
			}
		}
		faults.Stop()
		if out := s.say(t, "UID FETCH 1:3 (BODY.PEEK[])"); len(out) < size || bytes.Count(out, []byte(" FETCH (")) != 3 {
			t.Errorf("%s: afterwards %d octets", name, len(out))
		}
	}
}

// TestUnreadableMiddleEndsTheSession has the disk fail when the client has a
// part of the literal: whatever was said next would be taken for the rest of it.
func TestUnreadableMiddleEndsTheSession(t *testing.T) {
	s, faults, size := onFaults(t)
	faults.Set(logtest.Rule{Ops: []logtest.Op{logtest.Read}, Name: isBig, From: 3, Err: syscall.EIO})
	out, _, err := s.run(t, "FETCH 2 (BODY.PEEK[])")
	if !errors.Is(err, errBye) || len(out) == 0 || len(out) >= size {
		t.Errorf("%d octets of %d, %v", len(out), size, err)
	}
}

// TestRefusedAppendChangesNothing has the disk refuse a large APPEND in each of
// its calls: NO, and the session goes on.
func TestRefusedAppendChangesNothing(t *testing.T) {
	s, faults, _ := onFaults(t)
	for n := 1; ; n++ {
		faults.Set(logtest.Rule{Ops: logtest.Growing, Name: isBig, From: n, To: n, Err: syscall.ENOSPC})
		body := s.options.Store.NewBody()
		_, err := io.WriteString(body, strings.Repeat("0123456789abcde\r\n", 10_000))
		if err == nil {
			_, err = s.options.Store.Deliver(t.Context(), body, []mailbox.Target{{Account: s.account.ID, Name: "INBOX"}}, nil)
		}
		body.Abort()
		if len(faults.Failed()) == 0 {
			if err != nil || n < 4 {
				t.Errorf("after %d faults: %v", n-1, err)
			}
			return
		}
		if r := replyTo(err); r.Code != goimap.ResponseCodeOverQuota {
			t.Errorf("fault %v: %v", faults.Failed(), err)
		}
		if out := s.say(t, "STATUS INBOX (MESSAGES)"); !bytes.Contains(out, []byte("MESSAGES 3")) {
			t.Errorf("fault %v: %s", faults.Failed(), out)
		}
	}
}
