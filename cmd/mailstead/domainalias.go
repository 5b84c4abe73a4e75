package main

import (
	"context"
	"log/slog"
)

// domainAliasCommand is `mailstead domain alias`.
type domainAliasCommand struct {
	Add    domainAliasAddCommand    `cmd:"" help:"Have every address of a domain be one of another, too."`
	Remove domainAliasRemoveCommand `cmd:"" help:"Remove a domain that stands for another."`
}

type domainAliasAddCommand struct {
	place
	Alias  string `arg:"" help:"The alias domain: a new one, or one without addresses."`
	Domain string `arg:"" help:"The domain it is to stand for."`
}

func (c domainAliasAddCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "domain alias add", domainAliasParams{c.Alias, c.Domain})
	return err
}

type domainAliasRemoveCommand struct {
	place
	Alias string `arg:"" help:"The alias domain."`
}

func (c domainAliasRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "domain alias remove", name{c.Alias})
	return err
}

// domainAliasParams are an alias domain and what it stands for.
type domainAliasParams struct {
	Alias  string `json:"alias"`
	Domain string `json:"domain"`
}

func (a *admin) domainAliasAdd(ctx context.Context, p domainAliasParams) (nothing, error) {
	if err := a.directory.AddAliasDomain(ctx, p.Alias, p.Domain); err != nil {
		return nothing{}, err
	}
	return nothing{}, a.domainMade(ctx, p.Alias)
}

func (a *admin) domainAliasRemove(ctx context.Context, p name) (nothing, error) {
	if err := a.directory.RemoveAliasDomain(ctx, p.Name); err != nil {
		return nothing{}, err
	}
	return nothing{}, a.domainGone(ctx, p.Name)
}
