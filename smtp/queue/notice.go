package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mailstead/mailbox"
	"mailstead/smtp/journal"
)

// settle writes an entry as an attempt has left it. Where recipients have
// failed, the notice about them is stored by the same record, so neither is ever
// there without the other.
func (q *Queue) settle(ctx context.Context, id entryID, e entry) (entry, error) {
	failed := e.failed()
	if len(failed) == 0 {
		return e, q.write(ctx, id, &e)
	}
	done := e
	done.Recipients = slices.Clone(e.Recipients)
	done.dropFailed()
	to, kind := e.whomToTell()
	if kind == ordinary {
		q.log.Error("queue: mail is given up and nobody can be told", "id", id, "from", e.From,
			"recipient", failed[0].Address, "recipients", len(failed), "err", failed[0].Last.String())
		return done, q.write(ctx, id, &done)
	}
	err := q.tell(ctx, id, &done, q.noticeOf(&e, failed, to, kind))
	if err == nil {
		return done, nil
	}
	if errors.Is(err, mailbox.ErrClosed) {
		return e, err
	}
	// What is known is kept; the notice is made at the next attempt.
	q.log.Error("queue: a failure notice could not be stored", "id", id, "to", to, "err", err)
	if soonest := q.o.Now().Add(delays[0]).UTC(); e.Next.Before(soonest) {
		e.Next = soonest
	}
	return e, q.write(ctx, id, &e)
}

func (q *Queue) write(ctx context.Context, id entryID, e *entry) error {
	if err := q.store.Change(ctx, e.change(id)); err != nil {
		return fmt.Errorf("queue: write entry %v: %w", id, err)
	}
	return nil
}

// whomToTell decides who hears of a failure: the sender only if we know that
// the message is theirs, which is when they have logged in. What came from outside, and
// could not be forwarded, goes to the postmaster, since its reverse-path may be
// forged (RFC 5321 section 6.2); so do our own notices that failed. The null
// reverse-path is never answered (RFC 5321 section 6.1): the failure of a
// user's read receipt, and of a notice to the postmaster, is only logged
// (ordinary is returned).
func (e *entry) whomToTell() (to string, kind noticeKind) {
	switch {
	case e.Notice == toPostmaster:
		return "", ordinary
	case e.Notice == toSender || e.Account == 0:
		return "postmaster", toPostmaster
	case e.From == "":
		return "", ordinary
	}
	return e.From, toSender
}

// noticeOf collects what a notice says.
func (q *Queue) noticeOf(e *entry, failed []recipient, to string, kind noticeKind) *notice {
	now := q.o.Now()
	return &notice{
		hostname: q.o.Hostname, to: to, kind: kind, about: e.Notice, from: e.From, recipients: failed,
		received: e.Received.In(now.Location()), now: now, utf8: e.UTF8, eightBit: e.EightBit,
		id: rand.Text(), boundary: rand.Text(),
	}
}

// tell stores the notice for delivery and, by the same record, the entry it is about.
// The postmaster gets the whole message, since nobody else has it any more;
// the sender its header.
func (q *Queue) tell(ctx context.Context, id entryID, e *entry, n *notice) error {
	n.whole = n.kind == toPostmaster
	err := q.tellOnce(ctx, id, e, n)
	if errors.Is(err, mailbox.ErrTooBig) && n.whole {
		n.whole = false
		err = q.tellOnce(ctx, id, e, n)
	}
	return err
}

func (q *Queue) tellOnce(ctx context.Context, id entryID, e *entry, n *notice) error {
	b := q.store.NewBody()
	defer b.Abort()
	if err := q.writeNotice(b, e.Body, n); err != nil {
		return err
	}
	env := Envelope{
		Recipients: []string{n.to}, Size: b.Size(), EightBit: n.hasEightBit(), UTF8: !isASCII(n.to), Received: n.now,
		Transaction: e.Transaction,
	}
	if e.TLS == TLSRequired {
		env.TLS = TLSRequired // RFC 8689 section 5: a notice is protected like the message
	}
	_, err := q.store.Deliver(ctx, b, nil, func(body mailbox.BodyID) []mailbox.RoomChange {
		return append(q.add(env, n.kind)(body), e.change(id))
	})
	if err != nil {
		return fmt.Errorf("queue: store a notice: %w", err)
	}
	q.log.Info("queue: a failure notice is queued", "id", id, "to", n.to)
	q.o.Journal.Add(journal.Event{Step: journal.Notified, At: n.now, ID: e.Transaction, Queue: id.String(), To: []string{n.to}})
	q.Wake()
	return nil
}

// writeNotice writes the notice with what it returns of the message. A message
// that cannot be read any more is not returned.
func (q *Queue) writeNotice(w io.Writer, body mailbox.BodyID, n *notice) error {
	b, err := q.store.OpenBody(body)
	if err != nil {
		q.log.Error("queue: the message of a notice cannot be read", "err", err)
		n.whole, n.header = false, nil
		return q.writeSigned(w, n, eof)
	}
	defer b.Close()
	if n.header, err = readHeader(io.NewSectionReader(b, 0, b.Size())); err != nil {
		q.log.Error("queue: the header of a notice's message cannot be read", "err", err)
	}
	return q.writeSigned(w, n, func() io.Reader { return io.NewSectionReader(b, 0, b.Size()) })
}

func eof() io.Reader { return strings.NewReader("") }

// writeSigned writes a notice with its signatures in front. original gives the message from its
// beginning. A notice that cannot be signed is sent all the same.
func (q *Queue) writeSigned(w io.Writer, n *notice, original func() io.Reader) error {
	if q.o.Sign != nil {
		fields, err := q.o.Sign(n.head(), func(w io.Writer) error { return n.writeReturned(w, original()) })
		if err != nil {
			q.log.Error("queue: a notice was not signed", "err", err)
		}
		if _, err := w.Write(fields); err != nil {
			return fmt.Errorf("queue: write a notice: %w", err)
		}
	}
	return n.write(w, original())
}
