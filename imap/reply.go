package imap

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/directory"
)

// bad is the error of a command that is malformed or out of place.
func bad(format string, args ...any) error {
	return &goimap.Error{Type: goimap.StatusResponseTypeBad, Text: fmt.Sprintf(format, args...)}
}

// no is the error of a command that cannot be done; code may be empty. The text must
// not hold what a client sent.
func no(code goimap.ResponseCode, text string) error {
	return &goimap.Error{Type: goimap.StatusResponseTypeNo, Code: code, Text: text}
}

// Response codes that go-imap has no name for.
const (
	codeUseAttr       goimap.ResponseCode = "USEATTR"       // RFC 6154 section 3
	codeExpungeIssued goimap.ResponseCode = "EXPUNGEISSUED" // RFC 5530 section 3
	codeUnknownCTE    goimap.ResponseCode = "UNKNOWN-CTE"   // RFC 3516 section 4.3

	codeTooManyNotes goimap.ResponseCode = "METADATA TOOMANY" // RFC 5464 section 4.3
)

// codeNoteSize says how large a value may be (RFC 5464 section 4.3).
var codeNoteSize = goimap.ResponseCode("METADATA MAXSIZE " + strconv.Itoa(mailbox.MaxAnnotation))

// refusals are the errors that commands may meet, each with its reply (RFC 5530).
// The first that matches counts.
var refusals = []struct {
	err  error
	code goimap.ResponseCode
	text string
}{
	{mailbox.ErrNoMailbox, goimap.ResponseCodeNonExistent, "no such mailbox"},
	{mailbox.ErrExists, goimap.ResponseCodeAlreadyExists, "there is a mailbox of that name"},
	{wire.ErrUTF7, goimap.ResponseCodeCannot, "a mailbox cannot have that name"},
	{mailbox.ErrName, goimap.ResponseCodeCannot, "a mailbox cannot have that name"},
	{mailbox.ErrHasChild, goimap.ResponseCodeHasChildren, "the mailbox has children"},
	{mailbox.ErrInbox, goimap.ResponseCodeCannot, "INBOX cannot be deleted"},
	{mailbox.ErrSpecialUse, codeUseAttr, "that special use is not possible here"},
	{mailbox.ErrLimit, goimap.ResponseCodeLimit, "a limit of this server is reached"},
	{mailbox.ErrTooBig, goimap.ResponseCodeTooBig, "the message is too big"},
	{mailbox.ErrOverQuota, goimap.ResponseCodeOverQuota, "over quota"},
	{mailbox.ErrNoSpace, goimap.ResponseCodeOverQuota, "the server's disk is nearly full"},
	{mailbox.ErrAnnotationSize, codeNoteSize, "the value is too large"},
	{mailbox.ErrAnnotations, codeTooManyNotes, "there are too many entries"},
	{mailbox.ErrAnnotationName, goimap.ResponseCodeNoPerm, "that entry is the server's own"},
	{mailbox.ErrNoMessage, codeExpungeIssued, "the message is not there any more"},
	{mailbox.ErrRights, goimap.ResponseCodeNoPerm, "that is not permitted here"},
	{mailbox.ErrGone, goimap.ResponseCodeNonExistent, "the mailbox was deleted"},
	{mailbox.ErrNoAccount, goimap.ResponseCodeUnavailable, "the account is not there any more"},
	{mailbox.ErrClosed, goimap.ResponseCodeUnavailable, "the server is shutting down"},
	{mailbox.ErrDamaged, goimap.ResponseCodeCorruption, "a stored message is damaged"},
	{directory.ErrCredentials, goimap.ResponseCodeAuthenticationFailed, "wrong user name or password"},
	{directory.ErrPassword, goimap.ResponseCodeAuthenticationFailed, "wrong user name or password"},
	{directory.ErrBinding, goimap.ResponseCodeAuthenticationFailed, "channel binding does not match"},
	{directory.ErrMechanism, goimap.ResponseCodeCannot, "mechanism not offered here"},
	{context.Canceled, goimap.ResponseCodeUnavailable, "interrupted"},
	{context.DeadlineExceeded, goimap.ResponseCodeUnavailable, "took too long"},
}

// replyTo is the one place where an error becomes a reply. What is not known here is
// temporary and opaque to the client: the log has the detail.
func replyTo(err error) *goimap.Error {
	var ready *goimap.Error
	if errors.As(err, &ready) {
		return ready
	}
	var syntax *wire.SyntaxError
	var large *wire.LiteralTooLargeError
	var disabled *directory.DisabledError
	switch {
	case errors.As(err, &syntax), errors.As(err, &large):
		return &goimap.Error{Type: goimap.StatusResponseTypeBad, Text: err.Error()}
	case errors.Is(err, wire.ErrLineTooLong):
		return &goimap.Error{Type: goimap.StatusResponseTypeBad, Code: goimap.ResponseCodeLimit, Text: err.Error()}
	case errors.As(err, &disabled): // RFC 5530 section 3: only the administrator can help
		return &goimap.Error{Type: goimap.StatusResponseTypeNo, Code: goimap.ResponseCodeContactAdmin, Text: disabled.Error()}
	case errors.Is(err, directory.ErrMalformed):
		return &goimap.Error{Type: goimap.StatusResponseTypeBad, Text: "malformed authentication exchange"}
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &goimap.Error{Type: goimap.StatusResponseTypeNo, Code: r.code, Text: r.text}
		}
	}
	return &goimap.Error{Type: goimap.StatusResponseTypeNo, Code: goimap.ResponseCodeServerBug, Text: "internal error, try again later"}
}

// target marks the mailbox that a message was to go to: a client may create it and
// try again (RFC 3501 section 7.1).
func target(err error) error {
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return no(goimap.ResponseCodeTryCreate, "no such mailbox")
	}
	return err
}
