package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/mailauth"
	"mailstead/smtp/queue"
)

const (
	// Reports are sent some time after the day's end: all servers of the world at once would be too many for whoever
	// reads them (RFC 8460 section 4.1).
	earliest = 15 * time.Minute
	spread   = 4 * time.Hour
	// tryFor is how long after the day's end a report is worth something, and what goes wrong is tried again.
	tryFor = 48 * time.Hour
	// sendTime is for all that has to be looked up for one report.
	sendTime = 3 * time.Minute
	// again is when what went wrong is tried again.
	again = time.Hour
)

// errNobody says that nobody wants a report, or may get it.
var errNobody = errors.New("nobody wants it")

// due is when the report about a day and domain is sent: always the same time for the same two.
func (k key) due(from string) time.Time {
	h := fnv.New64a()
	io.WriteString(h, from+" "+k.String())
	return k.begin().Add(24*time.Hour + earliest + time.Duration(h.Sum64()%uint64(spread)))
}

// sendDue sends what is due. What fails for now stays for the next time.
func (r *Reporter) sendDue(ctx context.Context) {
	from := r.o.From()
	now := r.o.Now()
	today := now.UTC().Format(dayFormat)
	r.mu.Lock()
	keys := slices.Concat(r.dmarc.before(today), r.tls.before(today))
	r.mu.Unlock()
	for _, k := range keys {
		if ctx.Err() != nil {
			return
		}
		if now.Before(k.due(from)) || now.Before(r.later[k]) {
			continue
		}
		delete(r.later, k)
		err := r.send(ctx, from, k)
		switch {
		case err == nil:
			continue
		case errors.Is(err, errNobody) || now.Sub(k.end()) > tryFor:
			r.log.Info("feedback: a report is not sent", "kind", k.kind, "domain", k.domain, "day", k.day, "why", err)
			err = r.forget(ctx, k)
		default:
			r.later[k] = now.Add(again)
			r.log.Warn("feedback: a report is tried again later", "kind", k.kind, "domain", k.domain, "day", k.day, "err", err)
		}
		if errors.Is(err, mailbox.ErrClosed) {
			return
		}
	}
}

// send makes one report and hands it to the queue.
func (r *Reporter) send(ctx context.Context, from string, k key) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	switch {
	case from == "":
		return errors.New("no domain of this server has keys to sign it")
	case k.kind == DMARC:
		return r.sendDMARC(ctx, from, k)
	}
	return r.sendTLS(ctx, from, k)
}

func (r *Reporter) sendDMARC(ctx context.Context, from string, k key) error {
	d := mailauth.DMARC{Resolver: r.o.Resolver}
	published, ok, err := d.Published(ctx, k.domain)
	if err != nil {
		return err
	}
	if !ok || published.Reports == "" {
		return errNobody
	}
	to, err := d.ReportAddresses(ctx, k.domain, published.Reports)
	if err != nil {
		return err
	}
	r.mu.Lock()
	c := r.dmarc.of[k]
	rows, rest := c.list(), c.rest
	r.mu.Unlock()
	report, err := dmarcReport(k, from, published, rows, rest, r.aligned(ctx))
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // what could not be looked up is no failure of theirs
	}
	packed, err := pack(report)
	if err != nil {
		return err
	}
	return r.mail(ctx, from, k, to, packed, sum(rows)+rest)
}

func (r *Reporter) sendTLS(ctx context.Context, from string, k key) error {
	to, err := r.wantsTLS(ctx, k.domain)
	if err != nil {
		return err
	}
	if len(to.mail)+len(to.web) == 0 {
		return errNobody
	}
	r.mu.Lock()
	rows := r.tls.of[k].list()
	r.mu.Unlock()
	report, err := tlsReport(k, from, rows, r.lines(ctx))
	if err != nil {
		return err
	}
	packed, err := pack(report)
	if err != nil {
		return err
	}
	var posted []string
	var failed error
	for _, url := range to.web {
		if err := r.post(ctx, url, packed); err != nil {
			failed = err
			r.log.Info("feedback: a report could not be posted", "domain", k.domain, "url", url, "err", err)
			continue
		}
		posted = append(posted, url)
	}
	switch {
	case len(to.mail) > 0:
		err = r.mail(ctx, from, k, to.mail, packed, sum(rows), posted...)
		if errors.Is(err, errNobody) && len(posted) > 0 {
			return r.done(ctx, k, posted, sum(rows))
		}
		return err
	case len(posted) > 0:
		return r.done(ctx, k, posted, sum(rows))
	}
	return failed
}

func sum[R comparable](rows []counts[R]) (n int64) {
	for _, c := range rows {
		n += c.N
	}
	return n
}

// mail signs a report and puts it into the queue by the record that ends its counts. Addresses for which it is too large
// are left out. Its reverse-path is the null one: nobody hears of a report that fails.
func (r *Reporter) mail(ctx context.Context, from string, k key, to []mailauth.ReportAddress, packed []byte, n int64, posted ...string) error {
	l := letter{key: k, from: from, now: r.o.Now(), packed: packed, explain: explanation(k, from)}
	for _, a := range to {
		l.to = append(l.to, a.Address)
	}
	size := int64(len(l.bytes()))
	l.to = nil
	for _, a := range to {
		if a.MaxSize == 0 || size <= a.MaxSize {
			l.to = append(l.to, a.Address)
		}
	}
	if len(l.to) == 0 {
		return fmt.Errorf("%w of %d octets", errNobody, size)
	}
	text := l.bytes()
	head := headerEnd(text)
	fields, err := r.o.Sign(from, text[:head], func(w io.Writer) error {
		_, err := w.Write(text[head:])
		return err
	})
	if err != nil {
		return fmt.Errorf("feedback: sign a report: %w", err)
	}
	if len(fields) == 0 {
		return errors.New("it could not be signed")
	}
	b := r.o.Store.NewBody()
	defer b.Abort()
	if _, err := b.Write(append(fields, text...)); err != nil {
		return fmt.Errorf("feedback: store a report: %w", err)
	}
	env := queue.Envelope{Recipients: l.to, Size: b.Size(), Received: l.now, Report: true}
	if k.kind == TLS {
		env.TLS = queue.TLSOptional // RFC 8460 section 3: the report has to arrive whatever is wrong with encryption
	}
	_, err = r.o.Store.Deliver(ctx, b, nil, func(body mailbox.BodyID) []mailbox.RoomChange {
		return append(r.sender.Add(env)(body), r.ended(k, append(l.to, posted...), n)...)
	})
	if err != nil {
		return fmt.Errorf("feedback: store a report: %w", err)
	}
	r.drop(k)
	r.sender.Wake()
	r.log.Info("feedback: a report is queued", "kind", k.kind, "domain", k.domain, "day", k.day, "to", l.to)
	return nil
}

// done notes a report that was posted.
func (r *Reporter) done(ctx context.Context, k key, to []string, n int64) error {
	if err := r.o.Store.Change(ctx, r.ended(k, to, n)...); err != nil {
		return fmt.Errorf("feedback: note a report: %w", err)
	}
	r.drop(k)
	return nil
}

// forget ends counts that nobody is told.
func (r *Reporter) forget(ctx context.Context, k key) error {
	if err := r.o.Store.Change(ctx, mailbox.RoomChange{Room: roomName, Key: countPrefix + k.String()}); err != nil {
		return fmt.Errorf("feedback: forget counts: %w", err)
	}
	r.drop(k)
	return nil
}

func (r *Reporter) drop(k key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dmarc.drop(k)
	r.tls.drop(k)
}

// Sent is a report that was sent.
type Sent struct {
	Day    string    `json:"day"` // YYYY-MM-DD, of UTC
	Kind   Kind      `json:"kind"`
	Domain string    `json:"domain"`
	To     []string  `json:"to"`    // addresses and URLs
	Count  int64     `json:"count"` // messages, or connections
	At     time.Time `json:"at"`
}

// ended are the changes that end counts, as they were sent.
func (r *Reporter) ended(k key, to []string, n int64) []mailbox.RoomChange {
	value, err := json.Marshal(Sent{k.begin().Format(time.DateOnly), k.kind, k.domain, to, n, r.o.Now().UTC().Truncate(time.Second)})
	if err != nil {
		panic(fmt.Sprintf("feedback: a note of plain values does not become JSON: %v", err))
	}
	return []mailbox.RoomChange{
		{Room: roomName, Key: countPrefix + k.String()},
		{Room: roomName, Key: sentPrefix + k.String(), Value: value},
	}
}

// EachSent calls f with the reports that were sent in the last 30 days, by the day that they are about, until f
// returns an error, which is then EachSent's.
func EachSent(store *mailbox.Store, f func(Sent) error) error {
	return store.Room(roomName).Each(sentPrefix, func(_ string, value []byte) error {
		var s Sent
		if json.Unmarshal(value, &s) != nil {
			return nil // of another version
		}
		return f(s)
	})
}

// tidy forgets what was sent long ago.
func (r *Reporter) tidy(ctx context.Context) {
	first := sentPrefix + r.o.Now().Add(-keepSent).UTC().Format(dayFormat)
	var old []mailbox.RoomChange
	stop := errors.New("enough")
	err := r.o.Store.Room(roomName).Each(sentPrefix, func(name string, _ []byte) error {
		if strings.Compare(name, first) >= 0 || len(old) == changes {
			return stop
		}
		old = append(old, mailbox.RoomChange{Room: roomName, Key: name})
		return nil
	})
	if len(old) == 0 || err != nil && !errors.Is(err, stop) {
		return
	}
	if err := r.o.Store.Change(ctx, old...); err != nil && !errors.Is(err, mailbox.ErrClosed) {
		r.log.Warn("feedback: old notes stay", "err", err)
	}
}
