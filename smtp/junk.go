package smtp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
	"mailstead/smtp/mailauth"
)

// junkField names the header field that says why a message is in Junk. Only we write it.
const junkField = "X-Junk"

// removeField removes all header fields of a name; the rest stays octet by octet.
func removeField(header []byte, name string) []byte {
	if _, found := message.FieldValue(header, name); !found {
		return header
	}
	kept := make([]byte, 0, len(header))
	read := 0
	for f := range message.Fields(header) {
		if !bytes.EqualFold(f.Name, []byte(name)) {
			kept = append(kept, f.Raw...)
		}
		read += len(f.Raw)
	}
	return append(kept, header[read:]...)
}

// maxWhy bounds the octets of what is said of a message in Junk.
const maxWhy = 700

// appendWhy appends the field that says why a message is in somebody's Junk, or was refused. Its octets are the same for
// all recipients, so where there are several it tells what is true for all: not what one account's filter has learned,
// nor whom it blocks.
func (e *examination) appendWhy(dst []byte) []byte {
	i := slices.IndexFunc(e.parties, func(p party) bool { return p.verdict.Action == mailauth.Junk || p.verdict.KeepCopy })
	if i < 0 {
		return dst
	}
	v := &e.parties[i].verdict
	why := []string{"for one of its recipients"}
	if len(e.parties) == 1 || v.Rule != "junk" && v.Rule != "sender" {
		why = slices.Clone(v.Reasons)
	}
	text := strings.Join(append(why, e.words...), "; ")
	if len(text) > maxWhy {
		text = strings.ToValidUTF8(text[:maxWhy], "") + " ..."
	}
	return message.AppendField(dst, junkField, text)
}

// keepCopies keeps a message that is refused for what it says, where its recipients find it for some days: the filter may be wrong. That
// the copy cannot be stored changes nothing for the sender.
func (e *examination) keepCopies(unicode bool, body *mailbox.Spool) {
	if e.checks.Rejected == nil {
		return
	}
	var accounts []mailbox.AccountID
	for _, p := range e.parties {
		if p.account != 0 && p.verdict.KeepCopy {
			accounts = append(accounts, p.account)
		}
	}
	if len(accounts) == 0 {
		return
	}
	s := e.session
	head := e.stored(unicode)
	err := e.checks.Rejected.Keep(s.ctx(), accounts, s.tx.Received, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return fmt.Errorf("the header of a refused message: %w", err)
		}
		_, err := body.WriteTo(w)
		return err
	})
	if err != nil {
		s.log.Warn("smtp: no copy of a refused message was kept", "id", s.tx.ID, "err", err)
		return
	}
	e.noteKept(accounts)
}

// Rejected keeps copies of mail that was refused for what it says; *local.Courier is one.
type Rejected interface {
	// Keep stores a copy for each account, which write writes.
	Keep(ctx context.Context, accounts []mailbox.AccountID, came time.Time, write func(io.Writer) error) error
}
