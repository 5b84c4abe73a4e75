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
	"strings"
	"text/tabwriter"

	"mailstead/mailbox"
)

// upgradeCommand is `mailstead upgrade`. It is meant to be run with the new binary, and looks at the files themselves: the
// server that runs is of before, and nothing that it says can depend on what only the new one knows.
type upgradeCommand struct {
	place
	Check bool `help:"Only say what the next start would do; exit status 5 where it would change formats."`
	JSON  bool `name:"json" help:"With --check: print one JSON object."`
}

// upgradeState is what `mailstead upgrade --check` says.
type upgradeState struct {
	This    string       `json:"this"`                  // version of this program
	Program string       `json:"last_opened_by"`        // that had the store open last; "" = not known
	Formats []formatHere `json:"formats"`               // by file
	Copy    int64        `json:"copy_bytes"`            // of state.db, before it is brought up; 0 = none is made
	Need    int64        `json:"need_bytes"`            // that have to be free for that
	Free    int64        `json:"free_bytes"`            // that are
	Copies  []string     `json:"copies_of_before"`      // within the store's folder, newest first
	Refused string       `json:"would_not_start_since"` // "" = it would start
}

// formatHere is a format as the store has it.
type formatHere struct {
	Name   string `json:"name"`
	File   string `json:"file"` // within the store's folder; "" = there is none
	Has    int    `json:"has"`  // version; 0 = there is none
	Writes int    `json:"writes"`
	Oldest int    `json:"oldest_read"`
	Step   string `json:"next_start"`
}

func (c upgradeCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	if c.JSON && !c.Check {
		return usage("--json goes with --check")
	}
	s, err := c.settings()
	if err != nil {
		return err
	}
	if _, err := os.Stat(storeDir(s.Dir)); err != nil {
		return fmt.Errorf("no server's folder: %w", err)
	}
	i, err := mailbox.Inspect(storeDir(s.Dir), mailbox.Options{Logger: log})
	if err != nil {
		return err
	}
	if err := c.print(std.out, &i); err != nil {
		return err
	}
	if err := i.Err(); err != nil {
		return err
	}
	switch {
	case c.Check && i.Pending():
		return &failure{Exit: exitWould, Text: "the next start with this program changes formats"}
	case c.Check:
		return nil
	}
	return c.restart(ctx, std, log)
}

func (c upgradeCommand) print(w io.Writer, i *mailbox.Inspection) error {
	u := stateOfUpgrade(i)
	if c.JSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(u)
	}
	return u.write(w)
}

func stateOfUpgrade(i *mailbox.Inspection) upgradeState {
	u := upgradeState{This: version, Program: i.Program, Formats: []formatHere{}, Copy: i.Copy, Need: i.Need, Free: i.Free, Copies: append([]string{}, i.Kept...)}
	for _, f := range i.Found {
		u.Formats = append(u.Formats, formatHere{f.Name, f.File, f.Version, f.Writes, f.Oldest, string(f.Step)})
	}
	if err := i.Err(); err != nil {
		u.Refused = err.Error()
	}
	return u
}

// write writes it as people read it.
func (u *upgradeState) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FILES\tHAVE\tWRITTEN\tNEXT START")
	for _, f := range u.Formats {
		has := "-"
		if f.Has > 0 {
			has = fmt.Sprint(f.Has)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\n", f.Name, has, f.Writes, f.Step)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var lines []string
	if u.Program != "" {
		lines = append(lines, "the folder was last opened by mailstead "+u.Program)
	}
	lines = append(lines, "this is mailstead "+u.This)
	if u.Copy > 0 {
		lines = append(lines, fmt.Sprintf("state.db is copied before: %d MB have to be free for both, %d MB are", megabytes(u.Need), u.Free/1e6))
	}
	for _, name := range u.Copies {
		lines = append(lines, "copy of before: "+name)
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// megabytes are so many octets, rounded up.
func megabytes(n int64) int64 { return (n + 1e6 - 1) / 1e6 }

// restart has the running server executed anew from its binary, and looks whether that is this one.
func (c upgradeCommand) restart(ctx context.Context, std streams, log *slog.Logger) error {
	err := restartCommand{c.place}.Run(ctx, std, log)
	if errors.Is(err, errNotRunning) {
		_, err = fmt.Fprintln(std.out, "no server is running: the next start does it")
		return err
	}
	if err != nil {
		return err
	}
	s, err := c.settings()
	if err != nil {
		return err
	}
	f, err := askStatus(ctx, s.Dir)
	if err != nil {
		return err
	}
	if f.Version != version {
		return &failure{Exit: exitFailed, Text: fmt.Sprintf("the server runs version %s: its binary is another one than this, of version %s; put this one in its place", f.Version, version)}
	}
	_, err = fmt.Fprintf(std.out, "the server runs version %s\n", f.Version)
	return err
}

// checkFormats is what a start with the folder would be refused with for the formats that it has. What this user may not read
// is not looked at.
func checkFormats(dir string, log *slog.Logger) error {
	i, err := mailbox.Inspect(storeDir(dir), mailbox.Options{Logger: log})
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	return i.Err()
}
