package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mailstead/cmd/internal/check"
	"mailstead/mailbox"
	"mailstead/mailbox/backup"
)

// backupCommand is `mailstead backup`. The server makes the snapshot; this
// process copies it, with its own rights.
type backupCommand struct {
	place
	quiet
	Folder string `arg:"" optional:"" type:"path" help:"The backup folder: a new or empty one, or one with backups."`
	To     string `placeholder:"-" help:"Write one archive to the standard output instead: -."`
	Keep   int    `default:"7" placeholder:"NUMBER" help:"How many backups the folder keeps; 0 keeps all."`
	Follow bool   `help:"Go on: ship the log as it is written, until interrupted."`
}

func (c backupCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	switch {
	case c.Keep < 0:
		return usage("--keep must not be negative")
	case c.To == "" && c.Folder == "":
		return usage("expected a backup folder, or --to -")
	case c.To != "" && (c.To != "-" || c.Folder != "" || c.Follow):
		return usage("--to - stands alone")
	}
	bar := c.bar(std)
	o := backup.Options{Keep: c.Keep, Progress: copying(bar)}
	if c.Follow {
		return c.follow(ctx, std, log, bar, o)
	}
	src, release, err := c.snapshot(ctx, log, bar, false)
	if err != nil {
		return err
	}
	copied := false
	defer func() { release(copied) }()
	if c.To != "" {
		r, err := backup.WriteArchive(ctx, std.out, src, o)
		bar.end()
		if copied = err == nil; copied {
			fmt.Fprintf(std.err, "archive: %d files, %s\n", r.Files, amount(r.Size, octets))
		}
		return err
	}
	r, err := backup.Write(ctx, c.Folder, src, o)
	bar.end()
	if err != nil {
		return err
	}
	copied = true
	return c.tell(std, r)
}

// copying shows how much is copied.
func copying(bar *progressBar) backup.Progress {
	return func(done, total int64) {
		bar.show(progress{Doing: "copying", Done: done, Total: total, Unit: octets})
	}
}

func (c backupCommand) tell(std streams, r backup.Report) error {
	for _, w := range r.Warnings {
		fmt.Fprintln(std.err, "mailstead:", w)
	}
	_, err := fmt.Fprintf(std.out, "%s: %d files, %s; %d copied, %s; %d old ones removed\n", r.Manifest,
		r.Files, amount(r.Size, octets), r.Copied, amount(r.Written, octets), r.Removed)
	return err
}

// snapshotResult is a snapshot, and whether it was made without a server.
type snapshotResult struct {
	Snapshot mailbox.Snapshot `json:"snapshot"`
	Complete bool             `json:"complete"`
}

func (a *admin) backupSnapshot(ctx context.Context, _ nothing, tell report) (snapshotResult, error) {
	tell(progress{Doing: "making a snapshot", Unit: octets})
	snap, err := a.store.Snapshot(ctx)
	return snapshotResult{Snapshot: snap, Complete: a.alone}, err
}

// dropParams name a snapshot that is not needed any more.
type dropParams struct {
	Name   string `json:"name"`
	Copied bool   `json:"copied"` // it is in a backup
}

func (a *admin) backupDrop(ctx context.Context, p dropParams) (nothing, error) {
	err := a.store.DropSnapshot(p.Name)
	if p.Copied {
		err = errors.Join(err, check.NoteBackup(ctx, a.store, time.Now()))
	}
	return nothing{}, err
}

// backupLog is asked by who ships the log, again and again: what was written until shortly before is in a backup.
func (a *admin) backupLog(ctx context.Context, _ nothing) ([]mailbox.LogSegment, error) {
	return a.store.Log(), check.NoteBackup(ctx, a.store, time.Now())
}

// snapshot has one made and holds it until release is called, which is told whether it was copied. Where a server
// must do it, ErrNoSource says that none runs.
func (c backupCommand) snapshot(ctx context.Context, log *slog.Logger, bar *progressBar, served bool) (backup.Source, func(copied bool), error) {
	settings, err := c.settings()
	if err != nil {
		return backup.Source{}, nil, err
	}
	dir := settings.Dir
	var made snapshotResult
	if served {
		err = c.served(ctx, dir, "backup snapshot", bar.show, &made)
	} else {
		made, err = callLong[snapshotResult](ctx, c.place, log, bar.show, "backup snapshot", nothing{})
	}
	bar.end()
	if err != nil {
		return backup.Source{}, nil, err
	}
	hold, err := mailbox.HoldSnapshot(made.Snapshot.Dir)
	if err != nil {
		return backup.Source{}, nil, err
	}
	release := func(copied bool) {
		if err := errors.Join(hold.Close(), c.drop(dir, made.Snapshot, copied)); err != nil {
			log.Warn("the snapshot stays for a while", "error", err)
		}
	}
	beside, err := c.beside(dir, log)
	if err != nil {
		release(false)
		return backup.Source{}, nil, err
	}
	return backup.Source{Snapshot: made.Snapshot, Beside: beside, Complete: made.Complete}, release, nil
}

// served asks the running server. ErrNoSource when there is none, or none any more.
func (c backupCommand) served(ctx context.Context, dir, action string, show report, result any) error {
	answer, err := ask(ctx, dir, request{Action: action, Params: json.RawMessage("{}")}, show)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errNoServer), isCutOff(err), answer.Failure != nil && answer.Failure.Text == serverStopping:
		return backup.ErrNoSource
	case err != nil:
		return err
	case answer.Failure != nil:
		return answer.Failure
	}
	return json.Unmarshal(answer.Result, result)
}

// isCutOff reports whether the server ended before it had answered.
func isCutOff(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// dropTime is how long the removal of a snapshot is waited for.
const dropTime = time.Minute

// drop removes a snapshot that was copied, also when the copying was interrupted.
func (c backupCommand) drop(dir string, snap mailbox.Snapshot, copied bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), dropTime)
	defer cancel()
	params, err := json.Marshal(dropParams{snap.Name, copied})
	if err != nil {
		return err
	}
	answer, err := ask(ctx, dir, request{Action: "backup drop", Params: params}, unheard)
	if errors.Is(err, errNoServer) {
		return os.RemoveAll(snap.Dir)
	}
	if err == nil && answer.Failure != nil {
		err = answer.Failure
	}
	return err
}

// besideLimit is the largest file beside the store that is taken along, in
// octets: keys, certificates and settings are far smaller.
const besideLimit = 1 << 20

// beside lists the files of the server's folder but the store and the journal,
// which is to be gone after its days, and the configuration file.
func (c backupCommand) beside(dir string, log *slog.Logger) ([]backup.Beside, error) {
	var list []backup.Beside
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if path == storeDir(dir) || path == journalDir(dir) || path != dir && backup.IsBackup(path) {
				return fs.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		if info.Size() > besideLimit {
			log.Warn("too large to be something of the server's: it is not in the backup", "file", path)
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		list = append(list, backup.Beside{Name: filepath.ToSlash(rel), Path: path})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the server's folder: %w", err)
	}
	if config := c.Config; c.Dir == "" {
		if config == "" {
			config = defaultConfig
		}
		list = append(list, backup.Beside{Name: filepath.Base(defaultConfig), Path: config})
	}
	return list, nil
}

// follow ships the log as it is written.
func (c backupCommand) follow(ctx context.Context, std streams, log *slog.Logger, bar *progressBar, o backup.Options) error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	dir, first, begun := settings.Dir, true, false
	f := backup.Following{
		Store: storeDir(dir),
		Snapshot: func(ctx context.Context) (backup.Source, func(), error) {
			served := !first
			first, begun = false, false
			src, release, err := c.snapshot(ctx, log, bar, served)
			return src, func() { release(begun) }, err
		},
		Log: func(ctx context.Context) (segments []mailbox.LogSegment, err error) {
			return segments, c.served(ctx, dir, "backup log", unheard, &segments)
		},
		Begun: func(r backup.Report) {
			begun = true
			bar.end()
			if err := c.tell(std, r); err != nil {
				log.Warn("the report could not be written", "error", err)
			}
		},
	}
	err = backup.Follow(ctx, c.Folder, f, o)
	bar.end()
	return err
}

// restoreCommand is `mailstead restore`.
type restoreCommand struct {
	quiet
	Backup          string `arg:"" help:"The backup folder, or - for an archive from the standard input."`
	Dir             string `arg:"" type:"path" help:"The server's folder. It must not have a store."`
	Manifest        string `placeholder:"NAME" help:"Restore this one of the folder's backups; the newest, and what was followed since, by default."`
	KeepUIDValidity bool   `name:"keep-uidvalidity" help:"Leave the mailboxes' UIDVALIDITY as it was: the server moves, its backup was made while none ran, and the old one is never started again."`
	Damaged         bool   `help:"Restore what there is, although files are damaged or missing."`
}

func (c restoreCommand) Run(ctx context.Context, std streams) error {
	bar := c.bar(std)
	o := backup.RestoreOptions{Dir: c.Dir, Manifest: c.Manifest, KeepValidity: c.KeepUIDValidity, Damaged: c.Damaged, Progress: copying(bar)}
	var r backup.Restored
	var err error
	if c.Backup == "-" {
		if c.Manifest != "" {
			return usage("an archive is one backup: --manifest is for folders")
		}
		r, err = backup.RestoreArchive(ctx, std.in, o)
	} else {
		r, err = backup.Restore(ctx, c.Backup, o)
	}
	bar.end()
	if err != nil {
		return err
	}
	for _, p := range r.Problems {
		fmt.Fprintln(std.err, "mailstead: damaged:", p)
	}
	for _, name := range r.Left {
		fmt.Fprintf(std.err, "mailstead: %s was there, and is left as it is\n", name)
	}
	fmt.Fprintf(std.out, "restored the backup of %s, %s, to %s\n", r.Manifest.Time.Local().Format(time.RFC3339), amount(r.Size, octets), c.Dir)
	if r.Renewed {
		fmt.Fprintln(std.out, "mail programs will load the mailboxes anew (new UIDVALIDITY)")
	}
	return nil
}

// verifyBackup proves a backup folder.
func (c verifyCommand) verifyBackup(ctx context.Context, std streams) error {
	bar := c.bar(std)
	v, err := backup.Verify(ctx, c.Backup, c.Manifest, func(done, total int64) {
		bar.show(progress{Doing: "reading", Done: done, Total: total, Unit: octets})
	})
	bar.end()
	if err != nil {
		return err
	}
	found := make([]finding, len(v.Problems))
	for i, p := range v.Problems {
		found[i] = finding{Where: "backup", What: p}
	}
	if err := print(std.out, c.format, found, []string{"WHERE", "WHAT"}, func(f finding) []any { return []any{f.Where, f.What} }); err != nil {
		return err
	}
	if n := len(found); n > 0 {
		return &failure{Exit: exitFailed, Text: fmt.Sprintf("%d findings: the backup of %s cannot be restored whole", n, v.Manifest.Time.Local().Format(time.RFC3339))}
	}
	if !c.JSON {
		fmt.Fprintf(std.out, "whole: the backup of %s, %d files, %s\n", v.Manifest.Time.Local().Format(time.RFC3339), v.Files, amount(v.Size, octets))
	}
	return nil
}
