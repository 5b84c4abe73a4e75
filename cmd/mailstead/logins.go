package main

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"

	"mailstead/mailbox/directory/loginlog"
)

type accountLoginsCommand struct {
	place
	format
	Address string `arg:"" help:"An address of the account."`
	Limit   uint16 `default:"100" placeholder:"N" help:"So many lines at most; 0 for all."`
}

func (c accountLoginsCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]loginlog.Line](ctx, c.place, log, "account logins", loginsParams{c.Address, int(c.Limit)})
	if err != nil {
		return err
	}
	heads := []string{"FIRST", "LAST", "COUNT", "BY", "FROM", "PROGRAM", "WITH", "RESULT"}
	return print(std.out, c.format, rows, heads, func(l loginlog.Line) []any {
		with := cmp.Or(l.App, "own password")
		if l.Result == loginlog.Wrong {
			with = "-"
		}
		programs := cmp.Or(strings.Join(l.Clients, ", "), "-")
		return []any{l.First.Format(time.RFC3339), l.Last.Format(time.RFC3339), l.Count, l.Protocol, cmp.Or(l.Remote, "many networks"), programs, with, l.Result}
	})
}

// loginsParams are an account and how many lines are wanted; 0 = all.
type loginsParams struct {
	Name  string `json:"name"`
	Limit int    `json:"limit"`
}

func (a *admin) accountLogins(ctx context.Context, p loginsParams) ([]loginlog.Line, error) {
	return a.directory.Logins(ctx, p.Name, p.Limit)
}
