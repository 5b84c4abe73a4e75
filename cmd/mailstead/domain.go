package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"mailstead/mailbox/directory"
)

// domainCommand is `mailstead domain`.
type domainCommand struct {
	Add      domainAddCommand      `cmd:"" help:"Add a domain."`
	Remove   domainRemoveCommand   `cmd:"" help:"Remove a domain that has no accounts and aliases."`
	List     domainListCommand     `cmd:"" help:"List the domains."`
	Show     domainShowCommand     `cmd:"" help:"Show one domain."`
	CatchAll domainCatchAllCommand `cmd:"" name:"catch-all" help:"Lead addresses that nobody has to an account."`
	Alias    domainAliasCommand    `cmd:"" help:"Domains that stand for another."`
	Reports  domainReportsCommand  `cmd:"" help:"Reports that are sent to other domains."`
	DKIM     domainDKIMCommand     `cmd:"" name:"dkim" help:"The keys that a domain's mail is signed with."`
}

type domainAddCommand struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c domainAddCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "domain add", name{c.Domain})
	return err
}

type domainRemoveCommand struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c domainRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "domain remove", name{c.Domain})
	return err
}

type domainListCommand struct {
	place
	format
}

func (c domainListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]directory.Domain](ctx, c.place, log, "domain list", nothing{})
	if err != nil {
		return err
	}
	return printDomains(std, c.format, rows)
}

type domainShowCommand struct {
	place
	format
	Domain string `arg:"" help:"The domain."`
}

func (c domainShowCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	d, err := call[domainDetails](ctx, c.place, log, "domain show", name{c.Domain})
	if err != nil {
		return err
	}
	if c.JSON {
		return print(std.out, c.format, []domainDetails{d}, nil, nil)
	}
	if err := printDomains(std, c.format, []directory.Domain{d.Domain}); err != nil {
		return err
	}
	if !d.Reports {
		if _, err := fmt.Fprint(std.out, "\n; Other domains are sent no reports about mail for and from this one.\n"); err != nil {
			return err
		}
	}
	return printRecords(std.out, d.Records)
}

func printDomains(std streams, f format, rows []directory.Domain) error {
	return print(std.out, f, rows, []string{"DOMAIN", "CATCH-ALL", "STANDS FOR"}, func(d directory.Domain) []any {
		return []any{d.Name, cmp.Or(d.CatchAll, "-"), cmp.Or(d.AliasOf, "-")}
	})
}

type domainCatchAllCommand struct {
	place
	Domain  string `arg:"" help:"The domain."`
	Account string `arg:"" optional:"" help:"The account; none ends it."`
}

func (c domainCatchAllCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "domain catch-all", catchAllParams{c.Domain, c.Account})
	return err
}
