package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/transfer"
)

// exportCommand is `mailstead export`.
type exportCommand struct {
	Files exportFilesCommand `cmd:"" default:"withargs" help:"Write an account's mail to files: Maildir or mbox. The word files may be left out."`
	IMAP  exportIMAPCommand  `cmd:"" name:"imap" help:"Bring an account's mail to another server by IMAP. Done again, it brings what is new."`
}

// exportFilesCommand is `mailstead export files`.
type exportFilesCommand struct {
	place
	quiet
	Account string   `arg:"" help:"An address of the account."`
	To      string   `arg:"" name:"folder" help:"Where the files go." type:"path"`
	Format  string   `default:"maildir" enum:"maildir,mbox" placeholder:"FORMAT" help:"maildir or mbox."`
	Mailbox []string `sep:"none" placeholder:"MAILBOX" help:"Only this mailbox and those below it; may be repeated."`
}

// exportParams are what the server has to know of it.
type exportParams struct {
	Account   string   `json:"account"`
	Mailboxes []string `json:"mailboxes,omitempty"`
}

// finishingSink is a sink that has an end.
type finishingSink interface {
	transfer.Sink
	Finish() (transfer.Totals, error)
}

func (c exportFilesCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	show := newShown(std, c.quiet, "exporting")
	o := transfer.ExportOptions{Dir: c.To, Report: show.problem, Progress: show.progress}
	var sink finishingSink = transfer.NewMaildirSink(o)
	if c.Format == "mbox" {
		sink = transfer.NewMboxSink(o)
	}
	p := exportParams{c.Account, c.Mailbox}
	err := exportTo(ctx, c.place, log, p, sink)
	if errors.Is(err, transfer.ErrFileExists) {
		return &failure{Exit: exitExists, Text: c.To + ": " + transfer.ErrFileExists.Error()}
	}
	return finishExport(std, show, sink, err)
}

// exportTo sends mail to a sink, by the running server or without one.
func exportTo(ctx context.Context, at place, log *slog.Logger, p exportParams, sink transfer.Sink) error {
	server, err := at.settings()
	if err != nil {
		return err
	}
	err = exportOver(ctx, server.Dir, p, sink)
	if errors.Is(err, errNoServer) {
		err = alone(&server, log, func(a *admin) error { return a.export(ctx, p, sink) })
	}
	return err
}

// finishExport ends an export, whose error so far is err, and says what was done.
func finishExport(std streams, show *shown, sink finishingSink, err error) error {
	var totals transfer.Totals
	if err == nil {
		totals, err = sink.Finish()
	}
	show.bar.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%d messages exported, %d were there already, %d left out, %s\n",
		totals.Messages, totals.Known, totals.Failed, amount(totals.Octets, octets))
	return leftOut(totals)
}

// leftOut is the failure of an action that went on to its end without some of the mail.
func leftOut(t transfer.Totals) error {
	if t.Failed == 0 {
		return nil
	}
	return &failure{Exit: exitFailed, Text: fmt.Sprintf("%d left out", t.Failed)}
}

// importCommand is `mailstead import`.
type importCommand struct {
	Files importFilesCommand `cmd:"" default:"withargs" help:"Put the mail of a Maildir, an mbox file, or a folder of either into an account. The word files may be left out."`
	IMAP  importIMAPCommand  `cmd:"" name:"imap" help:"Put the mail of an account of another server into one here, by IMAP. Done again, it takes what is new."`
}

// importFilesCommand is `mailstead import files`.
type importFilesCommand struct {
	place
	quiet
	Account string `arg:"" help:"An address of the account."`
	From    string `arg:"" name:"path" help:"A Maildir, an mbox file, or a folder of either." type:"path"`
	Format  string `default:"auto" enum:"auto,maildir,mbox" placeholder:"FORMAT" help:"maildir or mbox; auto looks."`
	Into    string `placeholder:"MAILBOX" help:"Put all folders below this mailbox, under their own names."`
	DryRun  bool   `help:"Only count what would be done."`
}

// importParams are what the server has to know of it.
type importParams struct {
	Account string `json:"account"`
	From    string `json:"from,omitempty"` // a source that is asked again, see transfer.ImportOptions
	Into    string `json:"into,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func (c importFilesCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	p := importParams{Account: c.Account, Into: c.Into, DryRun: c.DryRun}
	source, single, err := c.source()
	if err != nil {
		return err
	}
	if single {
		p.Into = "" // the source says it itself
	}
	server, err := c.settings()
	if err != nil {
		return err
	}
	show := newShown(std, c.quiet, "importing")
	totals, err := importOver(ctx, server.Dir, p, source, show)
	if errors.Is(err, errNoServer) {
		err = alone(&server, log, func(a *admin) (err error) {
			totals, err = a.importMail(ctx, p, source, show.problem, show.progress)
			return err
		})
	}
	return finishImport(std, show, c.DryRun, totals, err)
}

// finishImport says what an import has done, whose error so far is err.
func finishImport(std streams, show *shown, dry bool, totals transfer.Totals, err error) error {
	show.bar.end()
	if failed, ok := errors.AsType[*failure](err); ok && failed.Exit != exitFailed {
		return err
	}
	done := "imported"
	if dry {
		done = "would be imported"
	}
	fmt.Fprintf(std.out, "%d messages %s, %d were there already, %d left out, %s\n",
		totals.Messages, done, totals.Known, totals.Failed, amount(totals.Octets, octets))
	if totals.Changed+totals.Removed > 0 {
		fmt.Fprintf(std.out, "%d have other flags now, %d are removed\n", totals.Changed, totals.Removed)
	}
	if err != nil {
		return fmt.Errorf("%w; what was imported stays, and is passed over when it is done again", err)
	}
	return leftOut(totals)
}

// source finds out what there is. single says that it is one mbox file, whose messages go
// into the mailbox of --into itself.
func (c importFilesCommand) source() (source transfer.Source, single bool, err error) {
	info, err := os.Stat(c.From)
	if err != nil {
		return nil, false, err
	}
	if !info.IsDir() {
		if c.Format == "maildir" {
			return nil, false, usage("%s is a file, and no Maildir", c.From)
		}
		return &transfer.MboxSource{Path: c.From, Into: c.Into}, c.Into != "", nil
	}
	maildir := c.Format == "maildir"
	if c.Format == "auto" {
		if maildir, err = holdsMaildir(c.From); err != nil {
			return nil, false, err
		}
	}
	if maildir {
		return &transfer.MaildirSource{Path: c.From}, false, nil
	}
	return &transfer.MboxSource{Path: c.From}, false, nil
}

// holdsMaildir says whether a folder is a Maildir or has one below it.
func holdsMaildir(path string) (found bool, err error) {
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "cur" || d.Name() == "new") && name != path {
			found = true
			return fs.SkipAll
		}
		return nil // what cannot be read is told when it is imported
	})
	return found, err
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// account finds the account that is meant.
func (a *admin) account(address string) (mailbox.AccountID, error) {
	e, err := a.directory.Account(address)
	if err != nil {
		return 0, failureOf(err)
	}
	return e.ID, nil
}

// export sends an account's mail.
func (a *admin) export(ctx context.Context, p exportParams, to transfer.Sink) error {
	id, err := a.account(p.Account)
	if err != nil {
		return err
	}
	err = (&transfer.Account{Store: a.store, ID: id, Only: p.Mailboxes}).Send(ctx, to)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return failureOf(err)
	}
	return err
}

func exportStream(a *admin, ctx context.Context, params json.RawMessage, _ *transfer.Decoder, to *transfer.Encoder) (any, error) {
	var p exportParams
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, usage("parameters: %v", err)
	}
	return nothing{}, a.export(ctx, p, to)
}

// importMail puts mail into an account. The totals are true also with an error.
func (a *admin) importMail(ctx context.Context, p importParams, from transfer.Source, problem func(transfer.Problem) error, tell func(transfer.Totals) error) (transfer.Totals, error) {
	id, err := a.account(p.Account)
	if err != nil {
		return transfer.Totals{}, err
	}
	if p.From != "" {
		if _, busy := a.importing.LoadOrStore(p.key(), true); busy {
			return transfer.Totals{}, &failure{Exit: exitExists, Text: "an import from " + p.From + " is under way; wait for its end, or end it"}
		}
		defer a.importing.Delete(p.key())
	}
	m := transfer.NewImporter(transfer.ImportOptions{
		Store: a.store, Account: id, From: p.From, Into: p.Into, DryRun: p.DryRun, Report: problem, Progress: spacedTotals(tell, time.Now),
	})
	if err := from.Send(ctx, m); err != nil {
		return m.Abandon(), err
	}
	return m.Finish(ctx)
}

// spacedTotals passes on so many that somebody who looks on sees them move.
func spacedTotals(tell func(transfer.Totals) error, now func() time.Time) func(transfer.Totals) error {
	told := now()
	return func(t transfer.Totals) error {
		at := now()
		if at.Sub(told) < reportEvery {
			return nil
		}
		told = at
		return tell(t)
	}
}

func importStream(a *admin, ctx context.Context, params json.RawMessage, from *transfer.Decoder, to *transfer.Encoder) (any, error) {
	var p importParams
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, usage("parameters: %v", err)
	}
	totals, err := a.importMail(ctx, p, from, to.Problem, to.Progress)
	if err == nil {
		return totals, nil
	}
	if failed := to.Progress(totals); failed != nil {
		return nil, failed
	}
	return nil, err
}
