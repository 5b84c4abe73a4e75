package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"mailstead/mailbox"
)

var errStopping = errors.New("this server is stopping")

// Run delivers what is in the queue until ctx ends or Close is called. It then
// gives attempts under way the grace of Options, so that a message whose last
// octet is out is not sent again, breaks the others off, and returns when all
// have ended and their results are on disk. It is called once.
func (q *Queue) Run(ctx context.Context) {
	q.mu.Lock()
	closed := q.closed
	if !closed {
		q.runs.Add(1)
	}
	q.mu.Unlock()
	if closed {
		return
	}
	defer q.runs.Done()
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for q.wait(ctx, timer) {
		if next := q.begin(work); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(min(next.Sub(q.o.Now()), maxSleep))
		}
	}
	q.finish(stop)
}

// maxSleep bounds the trust in the timer's clock, which stands still while the
// machine is suspended and knows nothing of a corrected time.
const maxSleep = 10 * time.Minute

// wait returns when there may be something to begin; false is the end.
func (q *Queue) wait(ctx context.Context, timer *time.Timer) bool {
	select {
	case <-ctx.Done():
		return false
	case <-q.closing:
		return false
	case <-q.kick:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// finish waits for the attempts under way.
func (q *Queue) finish(stop context.CancelCauseFunc) {
	ended := make(chan struct{})
	go func() {
		q.attempts.Wait()
		close(ended)
	}()
	grace := time.NewTimer(q.o.Limits.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		stop(errStopping)
		<-ended
	}
}

// Close ends Run and returns when it has ended. The store has to be open
// until then.
func (q *Queue) Close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.closing)
	}
	q.mu.Unlock()
	q.runs.Wait()
}

// begin starts the attempts that may start now, and returns when the next
// entry will be due, zero for never.
func (q *Queue) begin(ctx context.Context) time.Time {
	q.adopt()
	q.mu.Lock()
	defer q.mu.Unlock()
	next := q.board.lineUp(q.o.Now(), q.reachable)
	for j := q.board.start(); j != nil; j = q.board.start() {
		q.attempts.Go(func() { q.attempt(ctx, j) })
	}
	return next
}

// reachable reports whether there is anything at the end of a way on the board.
func (q *Queue) reachable(way string) bool {
	return !q.o.Disabled || bySmarthost(way) || q.isLocal(way)
}

func (q *Queue) isLocal(destination string) bool {
	return destination == "" || q.o.IsLocal(destination)
}

// attempt tries an entry once.
func (q *Queue) attempt(ctx context.Context, j *job) {
	e, err := q.load(j.id)
	if err == nil && !e.Held {
		var outcomes []Outcome
		if open := e.open(); len(open) > 0 {
			outcomes = q.deliver(ctx, j, e, open)
		}
		q.release(j)
		e, err = q.note(ctx, j, outcomes)
	}
	if err != nil && !errors.Is(err, ErrNoSuch) {
		q.log.Error("queue: an entry could not be read, or its attempt not noted; it is tried again", "id", j.id, "err", err)
		e.Next = q.o.Now().Add(delays[0])
	}
	q.mu.Lock()
	q.board.finish(j)
	switch {
	case errors.Is(err, ErrNoSuch) || err == nil && len(e.Recipients) == 0:
		q.board.remove(j)
	case err != nil: // which way it goes is not known
		q.board.schedule(j, e.Next)
	default:
		q.board.move(j, q.way(&e))
		if j.again {
			e.Next = q.o.Now()
		}
		q.board.schedule(j, q.due(&e))
	}
	j.again = false
	q.mu.Unlock()
	q.Wake()
}

// due is when an entry is to be tried next. What was put off by a clock that was wrong then, and has been set back
// since, during the attempt even, does not wait for it.
func (q *Queue) due(e *entry) time.Time {
	if latest := q.o.Now().Add(longest); e.Next.After(latest) {
		return latest
	}
	return e.Next
}

// release has the next entry tried at the destination of one whose attempt is
// to be written down.
func (q *Queue) release(j *job) {
	q.mu.Lock()
	q.board.release(j)
	q.mu.Unlock()
	q.Wake()
}

// outageTime is for how long a destination that did not answer is not asked
// for other entries: less than the shortest delay, so each entry asks itself
// when its time has come and the others are not waited for.
const outageTime = 4 * time.Minute

// deliver has a courier deliver to the recipients. While the destination is
// known to be out of reach, that is the outcome.
func (q *Queue) deliver(ctx context.Context, j *job, e entry, open []string) []Outcome {
	if o, out := q.outage(j.to); out {
		outcomes := make([]Outcome, len(open))
		for i, address := range open {
			outcomes[i] = o
			outcomes[i].Recipient = address
		}
		return outcomes
	}
	courier := q.o.Remote
	if q.isLocal(e.Destination) {
		courier = q.o.Local
	}
	outcomes := q.call(ctx, courier, j, e, open)
	if ctx.Err() == nil {
		q.noteOutage(j.to, outcomes)
	}
	return outcomes
}

// call is the call of the courier. One that breaks has delivered nothing, as far as
// we know, and must not take the server with it.
func (q *Queue) call(ctx context.Context, c Courier, j *job, e entry, open []string) (outcomes []Outcome) {
	defer func() {
		if p := recover(); p != nil {
			q.log.Error("queue: the courier broke", "id", j.id, "panic", p, "stack", string(debug.Stack()))
			outcomes = nil
		}
	}()
	heard := q.listen(j.id, &e, open)
	defer heard.note()
	return c.Deliver(ctx, e.Destination, Message{
		From: e.From, Recipients: open, Account: e.Account, Size: e.Size, EightBit: e.EightBit, UTF8: e.UTF8, TLS: e.TLS,
		Route: q.route(&e), Transaction: e.Transaction, Filing: e.filing(), Report: e.Report,
		EnvelopeID: e.EnvelopeID, Return: e.Return, Wishes: e.wishes(), Proven: e.Proven, Tell: heard.tell(),
		Open: func() (io.ReadCloser, error) { return q.openBody(e.Body) },
	})
}

// outage returns what is said of every entry while the destination is out of reach.
func (q *Queue) outage(d *destination) (Outcome, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return d.outage.outcome, q.o.Now().Before(d.outage.until)
}

// noteOutage remembers whether a destination could be reached, and how much it can take.
func (q *Queue) noteOutage(d *destination, outcomes []Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.outage = outage{}
	q.board.heed(d, responseOf(outcomes))
	if unreachable(outcomes) {
		d.outage = outage{until: q.o.Now().Add(outageTime), outcome: outcomes[0]}
	}
}

// unreachable reports whether no server has answered at all, or a smarthost does not know us: then the same
// would become of any other message. The codes are 4.4.1 (no answer from host)
// and 4.4.3 (directory server failure) of RFC 3463 section 3.5, and 4.7.8 (authentication credentials invalid) of RFC
// 4954 section 6. A server that was not asked because its TLS policy could not be found out is no outage: the next
// message may demand less, and the next look-up find it.
func unreachable(outcomes []Outcome) bool {
	for _, o := range outcomes {
		unasked := o.Security.Policy != "" && o.Enhanced != badLogin
		if o.Status != Temporary || o.Code != 0 || unasked || !slices.Contains(outages, o.Enhanced) {
			return false
		}
	}
	return len(outcomes) > 0
}

// badLogin is said by a smarthost that was asked, whatever policy its name has.
const badLogin = "4.7.8"

var outages = []string{"4.4.1", "4.4.3", badLogin}

// openBody opens a message as couriers read it.
func (q *Queue) openBody(id mailbox.BodyID) (io.ReadCloser, error) {
	b, err := q.store.OpenBody(id)
	if err != nil {
		return nil, fmt.Errorf("queue: open the message: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(b, 0, b.Size()), b}, nil
}

// writeAgain is how long to wait before a result is written again that found
// no room: without it on disk, who has the message would get it twice.
const writeAgain = time.Minute

// note writes down how an attempt ended, before it counts, and returns the
// entry as it is then.
func (q *Queue) note(ctx context.Context, j *job, outcomes []Outcome) (e entry, err error) {
	err = q.untilRoom(ctx, func() error {
		e, err = q.noteOnce(ctx, j, outcomes)
		return err
	})
	return e, err
}

// untilRoom calls write until the disk has room for it or ctx ends.
func (q *Queue) untilRoom(ctx context.Context, write func() error) error {
	for {
		err := write()
		if !errors.Is(err, mailbox.ErrNoSpace) {
			return err
		}
		q.log.Warn("queue: the disk is full, a result waits to be written", "err", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(writeAgain):
		}
	}
}

func (q *Queue) noteOnce(ctx context.Context, j *job, outcomes []Outcome) (entry, error) {
	j.edit.Lock()
	defer j.edit.Unlock()
	e, err := q.load(j.id)
	if err != nil {
		return entry{}, err
	}
	if ctx.Err() != nil {
		if !e.keep(outcomes, q.o.Now()) {
			return e, nil
		}
	} else {
		e.record(outcomes, q.o.Now(), q.o.Rand())
		q.fallBack(&e, outcomes, q.o.Now())
	}
	// The result is written also when the queue is stopping.
	left, err := q.settle(context.WithoutCancel(ctx), j.id, e)
	if err == nil && len(outcomes)+len(e.open()) > 0 { // not where somebody only had to be told
		q.report(j.id, &e, outcomes)
		q.noteAttempt(j.id, &e, outcomes)
	}
	return left, err
}

// report logs an attempt, which left e before anybody was told of it.
func (q *Queue) report(id entryID, e *entry, outcomes []Outcome) {
	level, delivered := slog.LevelInfo, 0
	for _, o := range outcomes {
		if o.Status == Delivered {
			delivered++
		}
	}
	attrs := []any{
		"id", id, "destination", e.Destination, "attempt", e.Attempts,
		"delivered", delivered, "failed", len(e.failed()), "waiting", len(e.open()),
	}
	if last := e.last(); last != nil {
		level = slog.LevelWarn
		attrs = append(attrs, "err", last.String())
	}
	q.log.Log(context.Background(), level, "queue: attempt", attrs...)
}

// last is the latest failure of a recipient; nil without.
func (e *entry) last() *failure {
	var last *failure
	for _, r := range e.Recipients {
		if r.Last != nil && (last == nil || r.Last.At.After(last.At)) {
			last = r.Last
		}
	}
	return last
}
