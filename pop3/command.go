package pop3

import (
	"context"
	"errors"
	"fmt"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
)

// state is a set of the states of RFC 1939 section 3. The UPDATE state is the
// inside of QUIT.
type state uint8

const (
	stateAuthorization state = 1 << iota
	stateTransaction

	stateAny = stateAuthorization | stateTransaction
)

func (s state) String() string {
	if s == stateAuthorization {
		return "AUTHORIZATION"
	}
	return "TRANSACTION"
}

// command is one line of the table; args is what stands behind the name and
// one space.
type command struct {
	name   string
	states state
	run    func(s *session, args string) error
}

// commands is the table of all commands. It is filled here and not in a
// literal of the variable, since handlers lead back to it.
var commands = table()

func table() []command {
	return []command{
		{"CAPA", stateAny, (*session).capa},
		{"USER", stateAuthorization, (*session).userName},
		{"PASS", stateAuthorization, (*session).pass},
		{"AUTH", stateAuthorization, (*session).auth},
		{"STLS", stateAuthorization, (*session).stls},
		{"UTF8", stateAuthorization, (*session).utf8Mode},
		{"STAT", stateTransaction, (*session).stat},
		{"LIST", stateTransaction, (*session).list},
		{"UIDL", stateTransaction, (*session).uidl},
		{"RETR", stateTransaction, (*session).retr},
		{"TOP", stateTransaction, (*session).top},
		{"DELE", stateTransaction, (*session).dele},
		{"RSET", stateTransaction, (*session).rset},
		{"NOOP", stateTransaction, (*session).noop},
		{"QUIT", stateAny, (*session).quit},
	}
}

// refusal is an error with the text of its reply, response code included
// (RFC 2449 section 8).
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// refusals are the errors that commands may meet, each with its reply
// (RFC 2449 section 8, RFC 3206). The first that matches counts.
var refusals = []struct {
	err  error
	text string
}{
	{errLineTooLong, "line too long"},
	{directory.ErrCredentials, "[AUTH] wrong user name or password"},
	{directory.ErrPassword, "[AUTH] wrong user name or password"},
	{directory.ErrBinding, "[AUTH] channel binding does not match"},
	{directory.ErrMechanism, "mechanism not offered here"},
	{directory.ErrMalformed, "malformed authentication exchange"},
	{mailbox.ErrGone, "[SYS/PERM] the message is not there any more"},
	{mailbox.ErrDamaged, "[SYS/PERM] the stored message is damaged"},
	{mailbox.ErrNoSpace, "[SYS/TEMP] the server's disk is full"},
	{mailbox.ErrNoAccount, "[SYS/PERM] the account is not there any more"},
	{mailbox.ErrClosed, "[SYS/TEMP] the server is shutting down"},
	{context.Canceled, "[SYS/TEMP] interrupted"},
	{context.DeadlineExceeded, "[SYS/TEMP] took too long"},
}

// replyTo is the one place where an error becomes a reply. What is not known
// here is temporary and opaque to the client: the log has the detail.
func replyTo(err error) (text string, known bool) {
	if r, ok := errors.AsType[refusal](err); ok {
		return string(r), true
	}
	if d, ok := errors.AsType[*directory.DisabledError](err); ok { // RFC 3206 section 4: no other password helps
		return "[SYS/PERM] " + d.Error(), true
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.text, true
		}
	}
	return "[SYS/TEMP] internal error, try again later", false
}
