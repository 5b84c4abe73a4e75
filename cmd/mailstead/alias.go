package main

import (
	"cmp"
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
	Masked maskedCommand      `cmd:"" help:"Addresses made at random that lead to an account."`
}

type aliasAddCommand struct {
	place
	Address     string   `arg:"" help:"The alias's address."`
	Member      []string `arg:"" optional:"" help:"Addresses it leads to, here or elsewhere; none changes only what the options say."`
	MembersOnly bool     `xor:"who" help:"Only members may write to it."`
	Open        bool     `xor:"who" help:"Everybody may, as at first."`
	Owner       string   `xor:"owner" placeholder:"ADDRESS" help:"Who hears of what could not be delivered to members elsewhere, in place of who wrote."`
	NoOwner     bool     `xor:"owner" help:"Who wrote hears of that, as at first."`
}

func (c aliasAddCommand) Run(ctx context.Context, log *slog.Logger) error {
	p := aliasParams{Address: c.Address, Members: c.Member}
	if c.MembersOnly || c.Open {
		p.MembersOnly = &c.MembersOnly
	}
	if c.Owner != "" || c.NoOwner {
		p.Owner = &c.Owner
	}
	if len(p.Members) == 0 && p.MembersOnly == nil && p.Owner == nil {
		return usage("say a member, --members-only, --open, --owner or --no-owner")
	}
	_, err := call[nothing](ctx, c.place, log, "alias add", p)
	return err
}

type aliasRemoveCommand struct {
	place
	Address string   `arg:"" help:"The alias's address."`
	Member  []string `arg:"" optional:"" help:"Members to take away; none removes the alias."`
}

func (c aliasRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "alias remove", aliasParams{Address: c.Address, Members: c.Member})
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
	return print(std.out, f, rows, []string{"ALIAS", "WRITERS", "OWNER", "MEMBERS"}, func(a directory.Alias) []any {
		writers := "all"
		if a.MembersOnly {
			writers = "members"
		}
		return []any{a.Address, writers, cmp.Or(a.Owner, "-"), strings.Join(a.Members, " ")}
	})
}
