package main

import (
	"context"
	"log/slog"
	"strings"

	"mailstead/mailbox/directory"
)

// aliasCommand is `mailstead alias`.
type aliasCommand struct {
	Add    aliasAddCommand    `cmd:"" help:"Make an alias, or give it further members."`
	Remove aliasRemoveCommand `cmd:"" help:"Take members from an alias, or remove all of it."`
	List   aliasListCommand   `cmd:"" help:"List the aliases."`
	Show   aliasShowCommand   `cmd:"" help:"Show one alias."`
}

type aliasAddCommand struct {
	place
	Address string   `arg:"" help:"The alias's address."`
	Member  []string `arg:"" help:"Addresses it leads to, here or elsewhere."`
}

func (c aliasAddCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "alias add", aliasParams{c.Address, c.Member})
	return err
}

type aliasRemoveCommand struct {
	place
	Address string   `arg:"" help:"The alias's address."`
	Member  []string `arg:"" optional:"" help:"Members to take away; none removes the alias."`
}

func (c aliasRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "alias remove", aliasParams{c.Address, c.Member})
	return err
}

type aliasListCommand struct {
	place
	format
}

func (c aliasListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]directory.Alias](ctx, c.place, log, "alias list", nothing{})
	if err != nil {
		return err
	}
	return printAliases(std, c.format, rows)
}

type aliasShowCommand struct {
	place
	format
	Address string `arg:"" help:"The alias's address."`
}

func (c aliasShowCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	row, err := call[directory.Alias](ctx, c.place, log, "alias show", name{c.Address})
	if err != nil {
		return err
	}
	return printAliases(std, c.format, []directory.Alias{row})
}

func printAliases(std streams, f format, rows []directory.Alias) error {
	return print(std.out, f, rows, []string{"ALIAS", "MEMBERS"}, func(a directory.Alias) []any {
		return []any{a.Address, strings.Join(a.Members, " ")}
	})
}
