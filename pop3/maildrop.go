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

	located     mailbox.Bodies
	first, some int    // the index of the first message with its body there, and how many
	last        uint32 // number of the message opened last
}

// message is one of the maildrop: what the listings need, and nothing more,
// since there may be hundreds of thousands.
type message struct {
	uid     goimap.UID
	number  uint32 // from 1 on
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
			d.messages = append(d.messages, message{uid: r.UID, number: uint32(len(d.messages) + 1), body: r.Body, size: r.Size})
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

// lookAhead is how many bodies are looked up at a time for a client that takes one
// message after the other. They cost less than 3 KB a session.
const lookAhead = 32

// open opens the body of a message; see [mailbox.Bodies.Open] about buf.
func (d *maildrop) open(store *mailbox.Store, m *message, buf []byte) (*mailbox.Body, error) {
	n := int(m.number) - 1
	if n < d.first || n >= d.first+d.some {
		d.some = 0
		ahead := d.messages[n : n+1]
		if m.number == d.last+1 {
			ahead = d.messages[n:min(n+lookAhead, len(d.messages))]
		}
		if err := d.locate(store, ahead); err != nil {
			return nil, err
		}
		d.first, d.some = n, len(ahead)
	}
	d.last = m.number
	return d.located.Open(n-d.first, buf)
}

// locate finds out where the bodies of messages are.
func (d *maildrop) locate(store *mailbox.Store, messages []message) error {
	wanted := make([]mailbox.Message, 0, lookAhead)
	for i := range messages {
		wanted = append(wanted, mailbox.Message{UID: messages[i].uid, Body: messages[i].body})
	}
	return store.LocateBodies(wanted, &d.located)
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
