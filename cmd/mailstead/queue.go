package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mailstead/smtp/queue"
)

// queueCommand is `mailstead queue`.
type queueCommand struct {
	List    queueListCommand    `cmd:"" help:"List the mail that is on its way out."`
	Show    queueShowCommand    `cmd:"" help:"Show one entry, with what other servers said."`
	Retry   queueRetryCommand   `cmd:"" help:"Try an entry now, or all of them."`
	Hold    queueHoldCommand    `cmd:"" help:"Keep an entry from being tried."`
	Release queueReleaseCommand `cmd:"" help:"End the holding of an entry."`
	Remove  queueRemoveCommand  `cmd:"" help:"Remove an entry. Nobody is told."`
}

type queueListCommand struct {
	place
	format
}

func (c queueListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]queue.Info](ctx, c.place, log, "queue list", nothing{})
	if err != nil {
		return err
	}
	heads := []string{"ID", "STATE", "FROM", "TO", "OCTETS", "TRIES", "NEXT", "LAST ERROR"}
	return print(std.out, c.format, rows, heads, func(i queue.Info) []any {
		return []any{i.ID, i.State, "<" + i.From + ">", strings.Join(i.Recipients, " "), i.Size, i.Attempts, nextAttempt(i), i.LastError}
	})
}

func nextAttempt(i queue.Info) string {
	if i.NextAttempt == nil {
		return "-"
	}
	return i.NextAttempt.Format(time.RFC3339)
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
	fmt.Fprintf(std.out, "entry        %s, %s\nfrom         <%s>\nto           %s\nreceived     %s\noctets       %d\ntries        %d\nnext try     %s\n",
		d.ID, d.State, d.From, strings.Join(d.Recipients, " "), d.Received.Format(time.RFC3339), d.Size, d.Attempts, nextAttempt(d.Info))
	for _, e := range d.Errors {
		fmt.Fprintf(std.out, "\n%s, %s\n  %s\n", e.Recipient, e.At.Format(time.RFC3339), e.Text)
		if e.Host != "" {
			fmt.Fprintf(std.out, "  said by %s\n", e.Host)
		}
	}
	return nil
}

type queueRetryCommand struct {
	place
	ID string `arg:"" help:"The entry, or all."`
}

func (c queueRetryCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "queue retry", name{c.ID})
	return err
}

type queueHoldCommand struct {
	place
	ID string `arg:"" help:"The entry."`
}

func (c queueHoldCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "queue hold", name{c.ID})
	return err
}

type queueReleaseCommand struct {
	place
	ID string `arg:"" help:"The entry."`
}

func (c queueReleaseCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "queue release", name{c.ID})
	return err
}

type queueRemoveCommand struct {
	place
	ID string `arg:"" help:"The entry."`
}

func (c queueRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "queue remove", name{c.ID})
	return err
}
