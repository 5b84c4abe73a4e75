package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"mailstead/cmd/internal/declared"
	"mailstead/cmd/internal/setup"
	"mailstead/cmd/internal/tomlfile"
	"mailstead/mailbox/directory"
)

// applyCommand is `mailstead apply`.
type applyCommand struct {
	place
	File          string `arg:"" type:"path" help:"The file, as config export prints it; - is standard input."`
	DryRun        bool   `help:"Only say what would change, and end with status 5 if anything would."`
	Prune         bool   `help:"Take away what the file does not name, but no account."`
	PruneAccounts bool   `help:"With --prune: remove accounts, too, with all their mail."`
	IfUnchanged   bool   `help:"Only if the server is as it was when the file was exported."`
}

func (c applyCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	if c.PruneAccounts && !c.Prune {
		return usage("--prune-accounts goes with --prune")
	}
	f, err := c.read(std)
	if err != nil {
		return err
	}
	if c.IfUnchanged && f.State == "" {
		return usage("%s does not say which state it was exported from: --if-unchanged needs its line with state", c.File)
	}
	return inSession(ctx, c.place, log, func(do doer) error { return c.apply(std, f, do) })
}

// read reads the file, and says what is wrong with it.
func (c applyCommand) read(std streams) (*declared.File, error) {
	in := std.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, fileFailure(err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, declared.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.File, err)
	}
	f, all := declared.Parse(data)
	if len(all) > 0 {
		return nil, c.refused(std, all)
	}
	return f, nil
}

// refused is the end of a file with faults.
func (c applyCommand) refused(std streams, all tomlfile.Faults) error {
	if err := printFaults(std.err, c.File, all); err != nil {
		return err
	}
	return &failure{Exit: exitFailed, Text: fmt.Sprintf("%s cannot be applied; nothing was changed", c.File)}
}

func (c applyCommand) apply(std streams, f *declared.File, do doer) error {
	var now exported
	if err := do.get("config export", nothing{}, &now); err != nil {
		return err
	}
	if state := declared.Digest(now.Setup); c.IfUnchanged && state != f.State {
		return &failure{Exit: exitFailed, Text: fmt.Sprintf("somebody has changed the server since %s was exported: it is %s now; nothing was changed. See what: mailstead config export | diff %s -", c.File, state, c.File)}
	}
	plan, all := f.Plan(now.Setup, declared.Options{Prune: c.Prune, PruneAccounts: c.PruneAccounts})
	if len(all) > 0 {
		return c.refused(std, all)
	}
	for _, note := range append(now.Notes, plan.Notes...) {
		fmt.Fprintln(std.err, "mailstead: note:", note)
	}
	if c.DryRun {
		return c.tell(std, plan)
	}
	return c.perform(std, plan, do)
}

// tell says what would be done.
func (c applyCommand) tell(std streams, plan declared.Plan) error {
	for _, line := range plan.Lines() {
		if _, err := fmt.Fprintln(std.out, line); err != nil {
			return err
		}
	}
	if n := len(plan.Lines()); n > 0 {
		return &failure{Exit: exitWould, Text: fmt.Sprintf("%d changes would be made; none was", n)}
	}
	return nil
}

// perform does it, step by step, and stops at what fails.
func (c applyCommand) perform(std streams, plan declared.Plan, do doer) error {
	passwords, err := c.passwords(plan)
	if err != nil {
		return err
	}
	for i, step := range plan.Steps {
		with := maps.Clone(step.Params)
		if step.Password != nil {
			with["password"] = passwords[i]
		}
		if err := do.get(step.Action, with, nil); err != nil {
			return stopped(plan, i, err)
		}
		fmt.Fprintln(std.out, strings.Join(step.Lines, "\n"))
		if p := step.Password; p != nil && p.File == "" {
			fmt.Fprintf(std.out, "  its password, which is shown only now: %s\n", passwords[i])
		}
	}
	return nil
}

// passwords reads and makes those that the steps need, before anything is done.
func (c applyCommand) passwords(plan declared.Plan) (map[int]string, error) {
	all := map[int]string{}
	folder := "."
	if c.File != "-" {
		folder = filepath.Dir(c.File)
	}
	for i, step := range plan.Steps {
		if step.Password == nil {
			continue
		}
		all[i] = setup.GeneratePassword()
		if name := step.Password.Resolve(folder); name != "" {
			password, err := readPasswordFile(name)
			if err == nil {
				err = directory.CheckPassword(password)
			}
			if err != nil {
				return nil, &failure{Exit: failureOf(err).Exit, Text: fmt.Sprintf("the password of %s: %s: %s; nothing was changed", step.Password.For, name, failureOf(err).Text)}
			}
			all[i] = password
		}
	}
	return all, nil
}

// stopped says what was done before step i failed, and what was not.
func stopped(plan declared.Plan, i int, err error) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", strings.Join(plan.Steps[i].Lines, "; "), failureOf(err).Text)
	if i == 0 {
		b.WriteString("Nothing was changed.")
	} else {
		fmt.Fprintf(&b, "What is printed above was done. Mend the file or the server and say apply again: it goes on from there.")
	}
	b.WriteString(" Not done:")
	for _, s := range plan.Steps[i:] {
		for _, line := range s.Lines {
			b.WriteString("\n  " + line)
		}
	}
	return &failure{Exit: failureOf(err).Exit, Text: b.String()}
}

// doer performs actions, one after the other.
type doer func(action string, params json.RawMessage) (response, error)

// get performs one, and reads its result.
func (do doer) get(action string, params, result any) error {
	encoded, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	answer, err := do(action, encoded)
	switch {
	case err != nil:
		return err
	case answer.Failure != nil:
		return answer.Failure
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}

// inSession has f perform several actions: in the running server through its socket, or else here, where the store is opened for
// all of them.
func inSession(ctx context.Context, p place, log *slog.Logger, f func(doer) error) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	conn, err := dialControl(ctx, s.Dir)
	if errors.Is(err, errNoServer) {
		return alone(&s, log, func(a *admin) error {
			return f(func(action string, params json.RawMessage) (response, error) {
				if err := ctx.Err(); err != nil {
					return response{}, err
				}
				return a.do(ctx, request{action, params}, unheard), nil
			})
		})
	}
	if err != nil {
		return err
	}
	conn.Close() // each action has a connection of its own
	return f(func(action string, params json.RawMessage) (response, error) {
		return ask(ctx, s.Dir, request{action, params}, unheard)
	})
}
