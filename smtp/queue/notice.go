package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/journal"
)

// settle writes an entry as an attempt has left it. Where somebody has to be told
// of recipients, the notice about them is stored by the same record, so neither is ever
// there without the other; there is one for each kind of news.
func (q *Queue) settle(ctx context.Context, id entryID, e entry) (entry, error) {
	written := false
	for _, news := range []Action{ActionFailed, ActionDelivered, ActionDelayed} {
		about := e.about(news, q.o.Limits.Delay)
		if len(about) == 0 {
			continue
		}
		after := e.afterTelling(news)
		to, kind := e.whomToTell(news, about)
		if kind == ordinary {
			q.untold(id, &e, news, about)
			e, written = after, false
			continue
		}
		err := q.tell(ctx, id, &after, q.noticeOf(&e, news, about, to, kind))
		if errors.Is(err, mailbox.ErrClosed) {
			return e, err
		}
		if err != nil { // what is known is kept; the notice is made at the next attempt
			q.log.Error("queue: a notice could not be stored", "id", id, "to", to, "err", err)
			if soonest := q.o.Now().Add(delays[0]).UTC(); e.Next.Before(soonest) {
				e.Next = soonest
			}
			written = false
			continue
		}
		e, written = after, true
	}
	if written {
		return e, nil
	}
	return e, q.write(ctx, id, &e)
}

// untold logs what nobody hears of who could.
func (q *Queue) untold(id entryID, e *entry, news Action, about []recipient) {
	level := slog.LevelInfo // nobody wants to know, or may
	if news == ActionFailed && about[0].Notify.ofFailure() {
		level = slog.LevelError
	}
	q.log.Log(context.Background(), level, "queue: nobody is told what became of mail", "id", id, "from", e.From,
		"recipient", about[0].Address, "recipients", len(about), "became", string(news), "last", about[0].Last.String())
}

// about returns the recipients of whom there is news of a kind; ActionDelivered stands for all that is
// good. Mail counts as delayed when it has been tried for longer than patience.
func (e *entry) about(news Action, patience time.Duration) (list []recipient) {
	for _, r := range e.Recipients {
		wanted := false
		switch news {
		case ActionFailed:
			wanted = r.Failed
		case ActionDelivered:
			wanted = r.Done != ""
		case ActionDelayed:
			wanted = !r.decided() && !e.DelayTold && e.Waited >= patience && r.Last != nil &&
				(r.Notify&NotifyDelay != 0 || r.Notify == 0 && e.Account != 0)
		}
		if wanted {
			list = append(list, r)
		}
	}
	return list
}

// afterTelling is the entry when somebody knows of the recipients that about returns.
func (e *entry) afterTelling(news Action) entry {
	after := *e
	after.DelayTold = e.DelayTold || news == ActionDelayed
	after.Recipients = slices.DeleteFunc(slices.Clone(e.Recipients), func(r recipient) bool {
		return news == ActionFailed && r.Failed || news == ActionDelivered && r.Done != ""
	})
	return after
}

func (q *Queue) write(ctx context.Context, id entryID, e *entry) error {
	if err := q.store.Change(ctx, e.change(id)); err != nil {
		return fmt.Errorf("queue: write entry %v: %w", id, err)
	}
	return nil
}

// whomToTell decides who hears of news. The sender, only if we know that
// the message is theirs: who has logged in, and who has proven to be the reverse-path's domain. What else came from outside, and
// could not be forwarded, goes to the postmaster, since its reverse-path may be
// forged (RFC 5321 section 6.2); so do our own notices that failed. The null
// reverse-path is never answered (RFC 5321 section 6.1): the failure of a
// user's read receipt, of a notice to the postmaster, and of a report is only logged
// (ordinary is returned), and so is what the sender does not want to hear of. Only failures are worth
// a postmaster's time.
func (e *entry) whomToTell(news Action, about []recipient) (to string, kind noticeKind) {
	known := e.Account != 0 || e.Proven
	unwanted := !slices.ContainsFunc(about, func(r recipient) bool { return r.Notify.ofFailure() })
	switch {
	case e.Notice == toPostmaster || e.Report:
		return "", ordinary
	case e.Notice == toSender && news == ActionFailed:
		return "postmaster", toPostmaster
	case news == ActionFailed && unwanted:
		return "", ordinary
	case known && e.From != "" && e.Notice == ordinary:
		return e.From, toSender
	case news == ActionFailed && e.Account == 0:
		return "postmaster", toPostmaster
	}
	return "", ordinary
}

// noticeOf collects what a notice says.
func (q *Queue) noticeOf(e *entry, news Action, about []recipient, to string, kind noticeKind) *notice {
	now := q.o.Now()
	if news == ActionFailed && kind == toSender {
		about = slices.DeleteFunc(about, func(r recipient) bool { return !r.Notify.ofFailure() }) // RFC 3461 section 5.2.8
	}
	n := &notice{
		hostname: q.o.Hostname, to: to, kind: kind, news: news, about: e.Notice, from: e.From, recipients: about,
		received: e.Received.In(now.Location()), now: now, utf8: e.UTF8, eightBit: e.EightBit,
		envelopeID: e.EnvelopeID, id: rand.Text(), boundary: rand.Text(),
	}
	if news == ActionDelayed {
		n.retryUntil = now.Add(max(Lifetime-e.Waited, 0))
	}
	n.whole = kind == toPostmaster || news == ActionFailed && e.returnsWhole()
	return n
}

// maxReturned bounds the messages that are returned whole, in octets: senders have them.
const maxReturned = 1 << 20

// returnsWhole reports whether the sender gets the whole message back that failed. What demanded
// safe connections is not sent on its way once more (RFC 8689 section 5).
func (e *entry) returnsWhole() bool {
	return e.Return == ReturnFull && e.Size <= maxReturned && e.TLS != TLSRequired
}

// tell stores the notice for delivery and, by the same record, the entry it is about.
// The postmaster gets the whole message, since nobody else has it any more.
func (q *Queue) tell(ctx context.Context, id entryID, e *entry, n *notice) error {
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
	q.log.Info("queue: a notice is queued", "id", id, "to", n.to, "news", string(n.news))
	q.o.Journal.Add(journal.Event{Step: journal.Notified, At: n.now, ID: e.Transaction, Queue: id.String(), Verdict: string(n.news), To: []string{n.to}})
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
