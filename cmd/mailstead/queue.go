package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/queue"
)

// queueCommand is `mailstead queue`.
type queueCommand struct {
	List         queueListCommand         `cmd:"" help:"List the mail that is on its way out."`
	Destinations queueDestinationsCommand `cmd:"" help:"Show what waits for each destination, and why."`
	Show         queueShowCommand         `cmd:"" help:"Show one entry, with what other servers said."`
	Retry        queueRetryCommand        `cmd:"" help:"Try entries now."`
	Hold         queueHoldCommand         `cmd:"" help:"Keep entries from being tried."`
	Release      queueReleaseCommand      `cmd:"" help:"End the holding of entries."`
	Drop         queueDropCommand         `cmd:"" help:"Remove entries. Nobody is told."`
	Reroute      queueRerouteCommand      `cmd:"" help:"Send an entry another way, or all of them."`
}

// queueFilter says which entries are meant.
type queueFilter struct {
	To   string `placeholder:"DOMAIN" help:"Mail to this domain, or to this address."`
	From string `placeholder:"DOMAIN" help:"Mail from this domain, or from this address; <> is the sender of notices."`
	Held bool   `help:"Mail that is held."`
}

func (f queueFilter) selection() queue.Selection {
	return queue.Selection{To: f.To, From: f.From, Held: f.Held}
}

type queueListCommand struct {
	place
	format
	queueFilter
}

func (c queueListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]queue.Info](ctx, c.place, log, "queue list", c.selection())
	if err != nil {
		return err
	}
	heads := []string{"ID", "STATE", "FROM", "TO", "OCTETS", "TRIES", "NEXT", "LAST ERROR"}
	return print(std.out, c.format, rows, heads, func(i queue.Info) []any {
		return []any{i.ID, i.State, "<" + i.From + ">", strings.Join(i.Recipients, " "), i.Size, i.Attempts, nextAttempt(i), i.LastError}
	})
}

type queueDestinationsCommand struct {
	place
	format
}

func (c queueDestinationsCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]queue.DestinationInfo](ctx, c.place, log, "queue destinations", nothing{})
	if err != nil {
		return err
	}
	heads := []string{"DESTINATION", "BY", "WAITING", "TRYING", "HELD", "OCTETS", "OLDEST", "NEXT", "OUT OF REACH UNTIL", "LAST ERROR"}
	return print(std.out, c.format, rows, heads, func(d queue.DestinationInfo) []any {
		return []any{
			cmp.Or(d.Destination, "this server"), cmp.Or(d.Via, "-"), d.Entries - d.Trying - d.Held, d.Trying, d.Held, d.Size,
			d.Oldest.Format(time.RFC3339), timeOrDash(d.NextAttempt), timeOrDash(d.OutUntil), d.LastError,
		}
	})
}

func nextAttempt(i queue.Info) string { return timeOrDash(i.NextAttempt) }

func timeOrDash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

type queueShowCommand struct {
	place
	format
	ID string `arg:"" help:"The entry."`
}

func (c queueShowCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	d, err := call[queue.Details](ctx, c.place, log, "queue show", name{c.ID})
	if err != nil {
		return err
	}
	if c.JSON {
		return print(std.out, c.format, []queue.Details{d}, nil, nil)
	}
	printEntry(std.out, &d)
	return nil
}

// printEntry prints an entry for people.
func printEntry(w io.Writer, d *queue.Details) {
	fmt.Fprintf(w, "entry        %s, %s\nfrom         <%s>\nto           %s\nreceived     %s\noctets       %d\ntries        %d\nnext try     %s\ngiven up     %s\n",
		d.ID, d.State, d.From, strings.Join(d.Recipients, " "), d.Received.Format(time.RFC3339), d.Size, d.Attempts, nextAttempt(d.Info), timeOrDash(d.GiveUp))
	for _, line := range []struct{ name, value string }{
		{"by", d.Via}, {"TLS", tlsDemands[d.TLS]}, {"ENVID", d.EnvelopeID}, {"RET", string(d.Return)},
	} {
		if line.value != "" {
			fmt.Fprintf(w, "%-12s %s\n", line.name, line.value)
		}
	}
	if d.DelayTold {
		fmt.Fprintln(w, "the sender was told that it takes long")
	}
	for _, r := range d.Wishes {
		fmt.Fprintf(w, "%s: NOTIFY %s, ORCPT %s\n", r.Recipient, cmp.Or(r.Notify, "-"), cmp.Or(r.Original, "-"))
	}
	for _, e := range d.Errors {
		fmt.Fprintf(w, "\n%s, %s\n  %s\n", e.Recipient, e.At.Format(time.RFC3339), e.Text)
		if e.Host != "" {
			fmt.Fprintf(w, "  said by %s\n", e.Host)
		}
	}
}

// tlsDemands are what senders demand of connections, in words.
var tlsDemands = map[queue.TLSDemand]string{
	queue.TLSRequired: "secure connections only, all the way (REQUIRETLS)",
	queue.TLSOptional: "any connection, whatever the recipient's domain wants (TLS-Required: No)",
}

// queueChoice says which entries a command is for: some, all, or those that fit.
type queueChoice struct {
	queueFilter
	IDs []string `arg:"" optional:"" name:"id" help:"Entries, or all."`
}

// selection is the choice, if it is one: nobody drops everything by leaving something out.
func (c queueChoice) selection() (queue.Selection, error) {
	filter := c.queueFilter.selection()
	all := slices.Equal(c.IDs, []string{"all"})
	fits := c.queueFilter != queueFilter{}
	switch {
	case len(c.IDs) == 0 && !fits:
		return filter, usage("say which entries: some by their IDs, all, or those that --to, --from or --held describe")
	case len(c.IDs) > 0 && fits:
		return filter, usage("entries are chosen by their IDs or by --to, --from and --held, not by both")
	case !all:
		filter.IDs = c.IDs
	}
	return filter, nil
}

// apply has something done to the entries, and says to how many.
func (c queueChoice) apply(ctx context.Context, p place, std streams, log *slog.Logger, act queue.Act) error {
	selection, err := c.selection()
	if err != nil {
		return err
	}
	done, err := call[queueActed](ctx, p, log, "queue "+string(act), selection)
	if err != nil {
		return err
	}
	entries := "entries"
	if done.Entries == 1 {
		entries = "entry"
	}
	_, err = fmt.Fprintf(std.out, "%s: %d %s\n", act, done.Entries, entries)
	return err
}

type queueRetryCommand struct {
	place
	queueChoice
}

func (c queueRetryCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	return c.apply(ctx, c.place, std, log, queue.ActRetry)
}

type queueHoldCommand struct {
	place
	queueChoice
}

func (c queueHoldCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	return c.apply(ctx, c.place, std, log, queue.ActHold)
}

type queueReleaseCommand struct {
	place
	queueChoice
}

func (c queueReleaseCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	return c.apply(ctx, c.place, std, log, queue.ActRelease)
}

type queueDropCommand struct {
	place
	queueChoice
}

func (c queueDropCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	return c.apply(ctx, c.place, std, log, queue.ActDrop)
}

func (a *admin) queueList(_ context.Context, s queue.Selection) ([]queue.Info, error) {
	return a.queue.Select(s)
}

func (a *admin) queueDestinations(context.Context, nothing) ([]queue.DestinationInfo, error) {
	return a.queue.Destinations()
}

func (a *admin) queueShow(_ context.Context, p name) (queue.Details, error) {
	return a.queue.Show(p.Name)
}

// queueActed is to how many entries something was done.
type queueActed struct {
	Entries int `json:"entries"`
}

// queueAct is the action that does something to entries.
func queueAct(act queue.Act) func(*admin, context.Context, queue.Selection) (queueActed, error) {
	return func(a *admin, ctx context.Context, s queue.Selection) (queueActed, error) {
		n, err := a.queue.Apply(ctx, s, act)
		return queueActed{n}, err
	}
}
