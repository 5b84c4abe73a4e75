package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"mailstead/mailbox/directory"
)

// appPasswordCommand is `mailstead account app-password`.
type appPasswordCommand struct {
	Add    appPasswordAddCommand    `cmd:"" help:"Make a password for one device or program, and print it, once."`
	List   appPasswordListCommand   `cmd:"" help:"List the app passwords of an account, with their last use."`
	Remove appPasswordRemoveCommand `cmd:"" help:"Take an app password back, and end what is logged in with it."`
}

type appPasswordAddCommand struct {
	place
	Scope   []string `placeholder:"PROTOCOL" help:"For some of imap, pop3 and smtp only."`
	Expires string   `placeholder:"DATE" help:"It counts until this day, like 2026-12-31 (UTC), or for so many days, like 90d."`
	Account string   `arg:"" help:"An address of the account."`
	Label   string   `arg:"" help:"What it is for, say: phone."`
}

func (c appPasswordAddCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	end, err := parseEnd(c.Expires, time.Now())
	if err != nil {
		return err
	}
	made, err := call[madePassword](ctx, c.place, log, "account app-password add", appPasswordParams{c.Account, c.Label, c.Scope, end})
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out, made.Password)
	return nil
}

// parseEnd reads a day, or a number of days from now; "" is never.
func parseEnd(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if text, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.ParseUint(text, 10, 16); err == nil {
			return now.UTC().AddDate(0, 0, int(days)), nil
		}
	}
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, usage("%.40q is no day like 2026-12-31, and no number of days like 90d", s)
	}
	return day, nil
}

type appPasswordListCommand struct {
	place
	format
	Account string `arg:"" help:"An address of the account."`
}

func (c appPasswordListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]directory.AppPassword](ctx, c.place, log, "account app-password list", name{c.Account})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"LABEL", "FOR", "MADE", "UNTIL", "LAST USE"}, func(p directory.AppPassword) []any {
		scope, until, use := "all", "-", "-"
		if len(p.Scope) > 0 {
			scope = strings.Join(p.Scope, " ")
		}
		if !p.Expires.IsZero() {
			until = p.Expires.Format(time.RFC3339)
		}
		if u := p.LastUse; u != nil {
			use = fmt.Sprintf("%s by %s from %s", u.At.Format(time.RFC3339), u.Protocol, u.Remote)
		}
		return []any{p.Label, scope, p.Created.Format(time.RFC3339), until, use}
	})
}

type appPasswordRemoveCommand struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Label   string `arg:"" help:"The label of the password."`
}

func (c appPasswordRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account app-password remove", appPasswordParams{Account: c.Account, Label: c.Label})
	return err
}

// appPasswordParams name an app password, or describe a new one.
type appPasswordParams struct {
	Account string    `json:"account"`
	Label   string    `json:"label"`
	Scope   []string  `json:"scope"`
	Expires time.Time `json:"expires,omitzero"`
}

// madePassword is a new password.
type madePassword struct {
	Password string `json:"password"`
}

func (a *admin) appPasswordAdd(ctx context.Context, p appPasswordParams) (madePassword, error) {
	password, err := a.directory.AddAppPassword(ctx, p.Account, p.Label, p.Scope, p.Expires)
	return madePassword{password}, err
}

func (a *admin) appPasswordList(_ context.Context, p name) ([]directory.AppPassword, error) {
	return a.directory.AppPasswords(p.Name)
}

func (a *admin) appPasswordRemove(ctx context.Context, p appPasswordParams) (nothing, error) {
	return nothing{}, a.directory.RemoveAppPassword(ctx, p.Account, p.Label)
}
