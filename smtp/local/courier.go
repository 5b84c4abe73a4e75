package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/journal"
	"mailstead/smtp/queue"
	"mailstead/smtp/report"
)

// Directory says where an address leads; mailbox/directory is one.
type Directory interface {
	Resolve(address string) (directory.Route, error)
	ResolveQueued(address string) (directory.Route, error)
	Owner(address string) (directory.Delivery, error)
	ReversePath(sender string, by directory.Leading) string
}

// Queue takes what goes elsewhere or has to be tried again; *queue.Queue is one.
type Queue interface {
	Add(queue.Envelope) func(mailbox.BodyID) []mailbox.RoomChange
	Wake()
}

// Options are what a courier works with; Store and Directory are needed.
type Options struct {
	Store     *mailbox.Store
	Directory Directory
	Journal   *journal.Journal // is told where each copy is; nil = nobody is
	Reports   *report.Desk     // reads reports that were delivered; nil = nobody does
	Replies   *Replies         // answers for who is away; nil = nobody does
	Now       func() time.Time // nil = time.Now
	Logger    *slog.Logger     // nil = none
}

// Courier brings messages into mailboxes. It is the SMTP server's acceptor and
// the queue's courier for domains of this server.
type Courier struct {
	store     *mailbox.Store
	directory Directory
	queue     Queue
	journal   *journal.Journal
	reports   *report.Desk
	replies   *Replies
	now       func() time.Time
	log       *slog.Logger
}

// New returns a courier. It needs UseQueue before its first message.
func New(o Options) *Courier {
	c := &Courier{store: o.Store, directory: o.Directory, journal: o.Journal, reports: o.Reports, replies: o.Replies, now: o.Now, log: o.Logger}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// UseQueue sets the queue, which is made after the courier since it sends
// through it.
func (c *Courier) UseQueue(q Queue) { c.queue = q }

// HasSpace says whether a message of n octets would find space now. mailbox.ErrNoSpace.
func (c *Courier) HasSpace(n int64) error { return c.store.HasSpace(n) }

// HasQuota says whether a message of n octets, 0 when its size is not known, may go
// where a recipient leads: an alias is full when all behind it are, else the queue
// tries those that are again. mailbox.ErrOverQuota.
func (c *Courier) HasQuota(to directory.Route, n int64) error {
	if len(to.Local) == 0 || len(to.Remote) > 0 {
		return nil
	}
	for _, d := range to.Local {
		if !errors.Is(c.store.HasQuota(d.Account, n), mailbox.ErrOverQuota) {
			return nil
		}
	}
	return mailbox.ErrOverQuota
}

// NewBody begins a message.
func (c *Courier) NewBody() *mailbox.NewBody { return c.store.NewBody() }

// NewSpool begins to hold a message that cannot be stored before its end.
func (c *Courier) NewSpool() *mailbox.Spool { return c.store.NewSpool() }

// Accept takes responsibility for a message from a session: when it returns
// nil, each recipient has it in a mailbox or in the queue, on disk. Otherwise
// nobody has it: *Refusal, or an error of the store.
func (c *Courier) Accept(ctx context.Context, t Transaction, b *mailbox.NewBody) error {
	p := planFor(t.Recipients)
	p.junk, p.changes = t.Junk, t.Changes
	if t.From == "" || t.Account == 0 && !t.Proven { // RFC 3461 section 5.2; and nobody else's name is written to
		p.news = nil
	}
	if err := c.withhold(&p, t); err != nil {
		return err
	}
	targets := c.targets(p, t.Received)
	e := queue.Envelope{
		From: t.From, Recipients: p.remote, Account: t.Account, Size: b.Size(),
		EightBit: t.EightBit, UTF8: t.UTF8, TLS: t.TLS, Received: t.Received, Transaction: t.ID,
		EnvelopeID: t.EnvelopeID, Return: t.Return, Proven: t.Proven, Wishes: p.wishes,
	}
	settle := c.answers(&p, &t, b)
	id, failed, err := c.takeAll(ctx, p, targets, e, b)
	settle(failed)
	if err == nil && t.Report && c.reports != nil {
		err = c.reports.Take(ctx, id) // before the 250: whoever hears nothing sends it again
	}
	return err
}

// take stores the copies of one message: mailboxes and queue in one record,
// then, in rare cases, what some of them refused. It returns the stored body.
func (c *Courier) take(ctx context.Context, p plan, targets []mailbox.Target, e queue.Envelope, b *mailbox.NewBody) (mailbox.BodyID, error) {
	id, _, err := c.takeAll(ctx, p, targets, e, b)
	return id, err
}

// takeAll is take, and says how each copy failed; nothing of any where nothing was stored.
func (c *Courier) takeAll(ctx context.Context, p plan, targets []mailbox.Target, e queue.Envelope, b *mailbox.NewBody) (id mailbox.BodyID, failed []error, err error) {
	changes := func(body mailbox.BodyID) []mailbox.RoomChange {
		id = body
		if len(p.remote)+len(p.news) == 0 {
			return p.changes
		}
		return append(p.withCopies(c.onward(&p, e, body)), p.changes...)
	}
	placed, err := c.store.Deliver(ctx, b, targets, changes)
	if err == nil && len(p.remote) == 0 && wereMoved(targets, placed) {
		placed, err = c.store.Deliver(ctx, b, targets, changes)
	}
	if err != nil {
		return 0, nil, err
	}
	failed = make([]error, len(placed))
	for i, pl := range placed {
		if failed[i] = pl.Err; pl.Err != nil {
			c.log.Warn("local: mailbox refused a message", "account", p.local[i].Name, "err", pl.Err)
		}
	}
	v := judge(p, failed, e.Account != 0)
	if v.refuse != nil {
		return 0, failed, v.refuse
	}
	c.noteFiled(p, targets, failed, e.Transaction)
	if err := c.retain(ctx, p, v, e, id); err != nil {
		return 0, failed, err
	}
	if len(p.remote)+len(p.news)+len(v.queue) > 0 {
		c.queue.Wake()
	}
	return id, failed, nil
}

// fileAsJunk turns the copies of some accounts to Junk, where there is one.
func (c *Courier) fileAsJunk(targets []mailbox.Target, accounts []mailbox.AccountID) {
	for i := range targets {
		if !slices.Contains(accounts, targets[i].Account) {
			continue
		}
		if junk, err := c.store.SpecialUse(targets[i].Account, goimap.MailboxAttrJunk); err == nil {
			targets[i].Name = junk.Name
		}
	}
}

func targetsOf(accounts []directory.Delivery, date time.Time) []mailbox.Target {
	targets := make([]mailbox.Target, len(accounts))
	for i, d := range accounts {
		targets[i] = mailbox.Target{Account: d.Account, Name: inbox, Date: date}
	}
	return targets
}

// retain keeps the copies that were refused on their own. An error makes the
// sender come again: some have the message twice then, but nobody has lost it.
func (c *Courier) retain(ctx context.Context, p plan, v verdict, e queue.Envelope, id mailbox.BodyID) error {
	again := v.queue
	for _, d := range v.divert {
		place, err := c.divert(ctx, d, e.Received, id)
		if err != nil {
			c.log.Error("local: a refused copy found no other place", "account", d.Name, "err", err)
			again = append(again, d.Name)
			continue
		}
		c.journal.Add(journal.Event{Step: journal.Filed, ID: e.Transaction, Mailbox: place, To: []string{d.Name}})
	}
	if len(again) == 0 {
		return nil
	}
	e.Recipients, e.Filing = again, p.filing(again)
	return c.store.Change(ctx, c.queue.Add(e)(id)...)
}

// divert puts a copy that an account refused for good into its Junk, or where
// there is none into the postmaster's INBOX, and says in words which it was.
func (c *Courier) divert(ctx context.Context, d directory.Delivery, date time.Time, id mailbox.BodyID) (place string, err error) {
	var targets []mailbox.Target
	if junk, err := c.store.SpecialUse(d.Account, goimap.MailboxAttrJunk); err == nil {
		targets = []mailbox.Target{{Account: d.Account, Name: junk.Name, Date: date}}
		place = junk.Name
	} else {
		route, err := c.directory.Resolve("postmaster")
		if err != nil {
			return "", fmt.Errorf("local: who is postmaster: %w", err)
		}
		targets = targetsOf(route.Local, date)
		place = "the postmaster's INBOX, instead"
	}
	body, err := c.store.OpenBody(id)
	if err != nil {
		return "", fmt.Errorf("local: reading the message back: %w", err)
	}
	defer body.Close()
	b := c.store.NewBody()
	defer b.Abort()
	if _, err := body.WriteTo(b); err != nil {
		return "", fmt.Errorf("local: copying the message: %w", err)
	}
	return place, c.deliverSome(ctx, b, targets)
}

// deliverSome stores a copy in each target; an error when none took it.
func (c *Courier) deliverSome(ctx context.Context, b *mailbox.NewBody, targets []mailbox.Target) error {
	placed, err := c.store.Deliver(ctx, b, targets, nil)
	if err != nil {
		return err
	}
	err = mailbox.ErrNoMailbox
	for _, pl := range placed {
		if pl.Err == nil {
			return nil
		}
		err = pl.Err
	}
	return err
}

// Deliver brings queued mail to recipients of this server: what was refused
// for a time at first, to where it would have gone then, and the server's own notices.
func (c *Courier) Deliver(ctx context.Context, _ string, m queue.Message) []queue.Outcome {
	outcomes := make([]queue.Outcome, len(m.Recipients))
	for i, address := range m.Recipients {
		told, err := c.deliverQueued(ctx, address, m)
		if err != nil {
			c.log.Warn("local: queued mail was not delivered", "recipient", address, "err", err)
		}
		outcomes[i] = outcome(address, refusalOf(err))
		outcomes[i].Told = told
	}
	return outcomes
}

// deliverQueued is Deliver for one recipient. Each has its own body: several
// recipients of one queued message are rare here. It returns what the queue may tell the sender of it.
func (c *Courier) deliverQueued(ctx context.Context, address string, m queue.Message) (queue.Action, error) {
	route, err := c.routeQueued(address, m)
	if err != nil {
		return "", err
	}
	p := planFor([]Recipient{{Address: address, Route: route, Wish: m.Wishes[address]}})
	p.file(m.Filing[address])
	told := p.queueTells()
	b := c.store.NewBody()
	defer b.Abort()
	if err := copyQueued(b, m); err != nil {
		return "", err
	}
	e := queue.Envelope{
		From: m.From, Recipients: p.remote, Account: m.Account, Size: b.Size(),
		EightBit: m.EightBit, UTF8: m.UTF8, TLS: m.TLS, Received: c.now(), Transaction: m.Transaction,
		EnvelopeID: m.EnvelopeID, Return: m.Return, Proven: m.Proven, Wishes: p.wishes,
	}
	_, err = c.take(ctx, p, c.targets(p, e.Received), e, b)
	return told, err
}

var returnPath = []byte("Return-Path: <")

// copyQueued writes a queued message with a Return-Path in front, which it has
// already if it was meant for mailboxes only (RFC 5321 section 4.4).
func copyQueued(w io.Writer, m queue.Message) error {
	src, err := m.Open()
	if err != nil {
		return fmt.Errorf("local: opening the queued message: %w", err)
	}
	defer src.Close()
	r := bufio.NewReaderSize(src, 64<<10)
	if start, _ := r.Peek(len(returnPath)); !bytes.EqualFold(start, returnPath) {
		if _, err := fmt.Fprintf(w, "Return-Path: <%s>\r\n", m.From); err != nil {
			return err
		}
	}
	if _, err := r.WriteTo(w); err != nil {
		return fmt.Errorf("local: copying the queued message: %w", err)
	}
	return nil
}
