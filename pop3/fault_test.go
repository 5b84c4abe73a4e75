package pop3

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/log/logtest"
	"mailstead/mailbox/mailboxtest"
)

// TestUnreadableMessageHarmsNoOther has the disk fail to read one message: -ERR
// before anything of it was sent, the end of the connection afterwards, and
// never a message that is shorter than it was.
func TestUnreadableMessageHarmsNoOther(t *testing.T) {
	faults := logtest.New(nil, logtest.Rule{})
	large := "Subject: large\r\n\r\n" + strings.Repeat("a line of a large message\r\n", 4*chunkSize/27)
	f := newFixtureOn(t, mailboxtest.NewStoreOn(t, faults), Options{AllowInsecureAuth: true}, letters[0], large, letters[0])
	isBig := func(name string) bool { return strings.Contains(name, "/big/") }
	rule := logtest.Rule{Ops: []logtest.Op{logtest.Open, logtest.Read}, Name: isBig, From: 1, Err: syscall.EIO}
	defer faults.Stop()

	c := f.login(t)
	faults.Set(rule)
	for n := 1; n <= 3; n++ {
		fmt.Fprintf(c.Conn, "RETR %d\r\n", n)
		if n == 2 {
			c.expect("-ERR [SYS/PERM]")
			continue
		}
		c.expect("+OK")
		if got := string(c.multiline()); got != letters[0] {
			t.Errorf("message %d is %q", n, got)
		}
	}
	rule.Ops, rule.From = []logtest.Op{logtest.Read}, 3
	faults.Set(rule)
	c.say("RETR 2")
	rest, err := io.ReadAll(c.Reader)
	if err != nil || len(rest) == 0 || len(rest) >= len(large) || strings.HasSuffix(string(rest), "\r\n.\r\n") {
		t.Errorf("%d octets of %d, %v", len(rest), len(large), err)
	}
	faults.Stop()
	c = f.login(t)
	c.say("RETR 2")
	if got := string(c.multiline()); got != large {
		t.Errorf("afterwards the message has %d octets, want %d", len(got), len(large))
	}
}

// TestErrorsOfTheDiskAreAnswered tells errors of the connection, after which
// nobody listens, from those of the disk, which look alike.
func TestErrorsOfTheDiskAreAnswered(t *testing.T) {
	full := fmt.Errorf("%w: %w", mailbox.ErrNoSpace, &fs.PathError{Op: "open", Path: "1.tmp", Err: syscall.ENOSPC})
	for _, c := range []struct {
		err  error
		ends bool
	}{
		{full, false},
		{fmt.Errorf("reading: %w", syscall.EIO), false},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, false},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, true},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true},
		{errors.Join(io.ErrUnexpectedEOF, syscall.EIO), true}, // in the middle of a message
		{io.EOF, true},
	} {
		if got := isConnectionError(c.err); got != c.ends {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
