package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/journal"
)

// journalFolder is where the journal of messages is, in the server's folder.
const journalFolder = "journal"

func journalDir(dir string) string { return filepath.Join(dir, journalFolder) }

// logCommand is `mailstead log`. It reads the journal's files itself, whether a
// server runs or not: a question about mail is most urgent when the server
// has no answers.
type logCommand struct {
	place
	format
	Message string `placeholder:"ID" help:"A Message-ID, the id that the server gave when it took the message, or one of the queue."`
	From    string `placeholder:"ADDRESS" help:"Messages from this address, or from this domain."`
	To      string `placeholder:"ADDRESS" help:"Messages to this address or account, or to this domain."`
	Since   string `placeholder:"TIME" help:"Messages of which something is known since then: a date, a time of RFC 3339, or a span like 90m, 12h or 7d."`
	Limit   int    `default:"100" help:"How many messages, the newest; 0 = all."`
	Reverse bool   `help:"The newest message first."`

	Conversation bool `help:"With what was said to other servers and by them, a line each, but for the messages themselves."`
}

// Run prints what is known of messages, the oldest first.
func (c logCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return usage("--limit must not be negative")
	}
	s, err := c.place.settings()
	if err != nil {
		return err
	}
	flushJournal(ctx, s.Dir, log)
	found, lost, err := journal.Stories(journalDir(s.Dir), journal.Filter{
		Message: c.Message, From: c.From, To: c.To, Since: since, Limit: c.Limit, Said: c.Conversation,
	})
	if errors.Is(err, journal.ErrNone) {
		err = ownFolder(s.Dir) // a folder without mail yet, or none of a server
	}
	if err != nil {
		return err
	}
	if lost > 0 {
		log.Warn("the journal is not whole: steps could not be written", "count", lost)
	}
	if c.Reverse {
		slices.Reverse(found)
	}
	if c.JSON {
		return print(std.out, c.format, found, nil, nil)
	}
	return printStories(std.out, found)
}

// flushTime is how long is waited for what a running server has not written yet.
const flushTime = 5 * time.Second

// flushJournal has a running server write what it knows. What is in the files is
// shown in any case.
func flushJournal(ctx context.Context, dir string, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	answer, err := ask(ctx, dir, request{Action: "log flush", Params: []byte("{}")}, unheard)
	if answer.Failure != nil {
		err = answer.Failure
	}
	if err != nil && !errors.Is(err, errNoServer) {
		log.Warn("the running server does not answer; the newest steps may be missing", "err", err)
	}
}

// logFlush writes what waits to be written into the journal.
func (a *admin) logFlush(ctx context.Context, _ nothing) (nothing, error) {
	return nothing{}, a.journal.Flush(ctx)
}

// parseSince reads a time: a date (of UTC), a time of RFC 3339, or how long ago.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	span := text
	if days, ok := strings.CutSuffix(text, "d"); ok {
		span = days + "h"
	}
	d, err := time.ParseDuration(span)
	if err != nil || d < 0 {
		return time.Time{}, usage("--since: %.40q is no date, no time and no span", text)
	}
	if span != text {
		d *= 24
	}
	return now.Add(-d), nil
}

// printStories prints messages, the steps of each below its first line.
func printStories(w io.Writer, all []journal.Story) error {
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, "message", s.ID)
		for _, e := range s.Steps {
			if _, err := fmt.Fprintf(w, "  %s  %s\n", e.At.Format(time.RFC3339), e); err != nil {
				return err
			}
			for _, line := range e.Said {
				fmt.Fprintln(w, "     ", journal.Printable(line))
			}
		}
	}
	return nil
}
