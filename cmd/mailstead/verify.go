package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"mailstead/mailbox"
)

// verifyCommand is `mailstead verify`.
type verifyCommand struct {
	place
	format
	quiet
	Backup   string `arg:"" optional:"" type:"path" help:"A backup folder: prove it instead."`
	Manifest string `placeholder:"NAME" help:"Prove this one of the folder's backups; the newest by default."`
	Rebuild  bool   `help:"Make the databases again, from checkpoint and log; while no server runs."`
	Reindex  bool   `help:"Make the full-text index again, and verify nothing else."`
}

func (c verifyCommand) Run(ctx context.Context, std streams, logger *slog.Logger) error {
	switch {
	case c.Backup != "" && (c.Rebuild || c.Reindex):
		return usage("--rebuild and --reindex are not for backups: restore one")
	case c.Rebuild && c.Reindex:
		return usage("--rebuild makes all indexes again; it takes no --reindex")
	case c.Backup == "" && c.Manifest != "":
		return usage("--manifest is for a backup folder")
	case c.Backup != "":
		return c.verifyBackup(ctx, std)
	case c.Rebuild:
		return c.rebuild(std, logger)
	case c.Reindex:
		return c.reindex(ctx, std, logger)
	}
	bar := c.bar(std)
	result, err := callLong[verifyResult](ctx, c.place, logger, bar.show, "verify", nothing{})
	bar.end()
	if err != nil {
		return err
	}
	heads := []string{"WHERE", "WHAT", "ACCOUNT", "MAILBOX", "UID"}
	if err := print(std.out, c.format, result.Findings, heads, findingLine); err != nil {
		return err
	}
	if len(result.Findings) > 0 {
		return &failure{Exit: exitFailed, Text: fmt.Sprintf("%d findings; %d messages cannot be read", len(result.Findings), result.Unreadable)}
	}
	if !c.JSON {
		fmt.Fprintf(std.out, "whole: %d records, %d bodies, %d indexes\n", result.Records, result.Bodies, result.Indexes)
	}
	return nil
}

// reindex makes the full-text index again.
func (c verifyCommand) reindex(ctx context.Context, std streams, logger *slog.Logger) error {
	bar := c.bar(std)
	_, err := callLong[nothing](ctx, c.place, logger, bar.show, "verify --reindex", nothing{})
	bar.end()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, "the full-text index was made again")
	return err
}

func (a *admin) reindex(ctx context.Context, _ nothing, tell report) (nothing, error) {
	return nothing{}, a.store.RebuildSearch(ctx, func(done, total int64) {
		tell(progress{Doing: "reading messages", Done: done, Total: total, Unit: "items"})
	})
}

// verifyResult is what verifying came to.
type verifyResult struct {
	Findings   []finding `json:"findings"`
	Unreadable int       `json:"unreadable"` // messages
	Records    int64     `json:"records"`
	Bodies     int64     `json:"bodies"`
	Indexes    int64     `json:"indexes"`
}

// finding is damage, or a message that suffers from it.
type finding struct {
	Where    string `json:"where"` // log, state.db, derived.db, memory
	What     string `json:"what"`
	Segment  uint32 `json:"segment,omitempty"` // of the log
	Offset   int64  `json:"offset,omitempty"`  // in the segment, in octets
	End      int64  `json:"end,omitempty"`
	First    uint64 `json:"first_record,omitempty"`
	Last     uint64 `json:"last_record,omitempty"`
	Account  string `json:"account,omitempty"`
	Mailbox  string `json:"mailbox,omitempty"`
	UID      uint32 `json:"uid,omitempty"`
	Expunged bool   `json:"expunged,omitempty"` // it could have been restored
	Entry    string `json:"entry,omitempty"`    // of the queue, say, when it is no message of a mailbox
}

func findingLine(f finding) []any {
	where := f.Where
	if f.Segment != 0 {
		where = fmt.Sprintf("%s %d:%d", f.Where, f.Segment, f.Offset)
	}
	return []any{where, f.What, cmp.Or(f.Account, "-"), cmp.Or(f.Mailbox, f.Entry, "-"), f.UID}
}

func (a *admin) verify(ctx context.Context, _ nothing, tell report) (verifyResult, error) {
	found, err := a.store.Verify(ctx, mailbox.VerifyOptions{Rest: !a.alone, Progress: func(p mailbox.VerifyProgress) {
		unit := "items"
		if p.Octets {
			unit = octets
		}
		tell(progress{Doing: p.Step, Done: p.Done, Total: p.Total, Unit: unit})
	}})
	if err != nil {
		return verifyResult{}, err
	}
	names := map[mailbox.AccountID]string{}
	for _, e := range a.directory.Accounts() {
		names[e.ID] = e.Name
	}
	r := verifyResult{Findings: []finding{}, Records: found.Records, Bodies: found.Bodies, Indexes: found.Indexes}
	for i := range found.Findings {
		f := &found.Findings[i]
		one := finding{Where: f.Where, What: f.What, Segment: f.Segment, Offset: f.Offset, End: f.End}
		if f.First <= f.Last {
			one.First, one.Last = uint64(f.First), uint64(f.Last)
		}
		r.Unreadable += len(f.Hit) + f.HitMore
		if len(f.Hit) == 0 {
			r.Findings = append(r.Findings, one)
		}
		for _, h := range f.Hit {
			one.Account, one.Mailbox, one.UID, one.Expunged = names[h.Account], h.Mailbox, uint32(h.UID), h.Expunged
			if h.Room != "" {
				one.Entry = h.Room + " " + h.Key
			}
			r.Findings = append(r.Findings, one)
		}
	}
	return r, nil
}

// rebuild makes the databases again, and says from what.
func (c verifyCommand) rebuild(std streams, logger *slog.Logger) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	if err := ownFolder(s.Dir); err != nil {
		return err
	}
	o, err := storeOptions(&s, logger)
	if err != nil {
		return err
	}
	done, err := mailbox.Rebuild(storeDir(s.Dir), o)
	if err != nil {
		return err
	}
	from := "the first record of the log"
	if done.Checkpoint != 0 {
		from = fmt.Sprintf("the checkpoint of record %d", done.Checkpoint)
	}
	_, err = fmt.Fprintf(std.out, "state.db was made again from %s, up to record %d, in %v\n", from, done.Applied, done.Took.Round(time.Millisecond))
	return err
}
