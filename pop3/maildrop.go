package pop3

import (
	"context"
	"fmt"
	"strconv"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// maildrop is INBOX as it was at login: numbers and sizes stay for the session.
type maildrop struct {
	box         *mailbox.Mailbox
	uidValidity uint32
	messages    []message
	deleted     int   // messages marked
	size        int64 // octets of the unmarked
}

// message is one of the maildrop: what the listings need, and nothing more,
// since there may be hundreds of thousands.
type message struct {
	uid     goimap.UID
	body    mailbox.BodyID
	size    int64
	deleted bool
}

// rowsAtATime is how many rows are asked of the store in one go: it holds a
// lock meanwhile.
const rowsAtATime = 1000

func openMaildrop(ctx context.Context, store *mailbox.Store, account mailbox.AccountID) (*maildrop, error) {
	box, err := store.OpenMailbox(ctx, account, "INBOX")
	if err != nil {
		return nil, fmt.Errorf("open INBOX: %w", err)
	}
	info, err := box.Info()
	if err != nil {
		box.Close()
		return nil, fmt.Errorf("open INBOX: %w", err)
	}
	view := box.View(false)
	d := &maildrop{box: box, uidValidity: info.UIDValidity, messages: make([]message, 0, view.Len())}
	var rows []mailbox.Row
	for from := uint32(1); from <= view.Len(); from += rowsAtATime {
		rows = view.Rows(rows[:0], from, from+rowsAtATime-1)
		for _, r := range rows {
			d.messages = append(d.messages, message{uid: r.UID, body: r.Body, size: r.Size})
			d.size += r.Size
		}
	}
	return d, nil
}

func (d *maildrop) close() { d.box.Close() }

// message returns the message that a command's argument names.
func (d *maildrop) message(arg string) (*message, error) {
	n, err := strconv.ParseUint(arg, 10, 32)
	if err != nil {
		return nil, refuse("a message number is needed")
	}
	if n == 0 || n > uint64(len(d.messages)) {
		return nil, refuse("no such message, there are %d", len(d.messages))
	}
	m := &d.messages[n-1]
	if m.deleted {
		return nil, refuse("message %d is marked as deleted", n)
	}
	return m, nil
}

// mark marks a message as deleted.
func (d *maildrop) mark(m *message) {
	m.deleted = true
	d.deleted++
	d.size -= m.size
}

// unmark takes all marks back.
func (d *maildrop) unmark() {
	for i := range d.messages {
		if m := &d.messages[i]; m.deleted {
			m.deleted = false
			d.size += m.size
		}
	}
	d.deleted = 0
}

// update removes what is marked: the UPDATE state of RFC 1939 section 6.
// Messages that others removed meanwhile are no error.
func (d *maildrop) update(ctx context.Context) error {
	if d.deleted == 0 {
		return nil
	}
	uids := make([]goimap.UID, 0, d.deleted)
	for _, m := range d.messages {
		if m.deleted {
			uids = append(uids, m.uid)
		}
	}
	if _, err := d.box.Expunge(ctx, uids, false); err != nil {
		return fmt.Errorf("remove deleted messages: %w", err)
	}
	return nil
}
