package imap

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/directory"
)

// TestReplyTo decides what each kind of error becomes, and that nothing of an unknown
// one reaches the client.
func TestReplyTo(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{fmt.Errorf("select %q: %w", "x", mailbox.ErrNoMailbox), "NO [NONEXISTENT]"},
		{target(mailbox.ErrNoMailbox), "NO [TRYCREATE]"},
		{target(mailbox.ErrNoSpace), "NO [OVERQUOTA]"},
		{mailbox.ErrTooBig, "NO [TOOBIG]"},
		{directory.ErrCredentials, "NO [AUTHENTICATIONFAILED]"},
		{directory.ErrMalformed, "BAD []"},
		{&wire.SyntaxError{Msg: "x"}, "BAD []"},
		{&wire.LiteralTooLargeError{Size: 2, Limit: 1}, "BAD []"},
		{wire.ErrLineTooLong, "BAD [LIMIT]"},
		{bad("x"), "BAD []"},
		{no(goimap.ResponseCodeNoPerm, "x"), "NO [NOPERM]"},
		{fmt.Errorf("write /var/mail/secret: %w", syscall.EIO), "NO [SERVERBUG]"},
		{errors.New("secret"), "NO [SERVERBUG]"},
	}
	for _, test := range tests {
		r := replyTo(test.err)
		if got := fmt.Sprintf("%s [%s]", r.Type, r.Code); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
		if r.Code == goimap.ResponseCodeServerBug && r.Text != "internal error, try again later" {
			t.Errorf("%v: the client is told %q", test.err, r.Text)
		}
	}
}
