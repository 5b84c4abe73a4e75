package main

import (
	"context"
	"log/slog"
)

// forwardCommand is `mailstead account forward`.
type forwardCommand struct {
	Add    forwardAddCommand    `cmd:"" help:"Hand an account's mail on to other addresses."`
	Remove forwardRemoveCommand `cmd:"" help:"End that, for some addresses or for all."`
	List   forwardListCommand   `cmd:"" help:"Print where an account's mail is handed on to."`
}

type forwardAddCommand struct {
	place
	Account string   `arg:"" help:"An address of the account."`
	Address []string `arg:"" optional:"" help:"Where to, here or elsewhere; none changes only what is kept."`
	Keep    bool     `xor:"keep" help:"Keep a copy, as is done from the beginning."`
	NoKeep  bool     `xor:"keep" help:"Keep no copy."`
}

func (c forwardAddCommand) Run(ctx context.Context, log *slog.Logger) error {
	p := forwardParams{Account: c.Account, Addresses: c.Address}
	if c.Keep || c.NoKeep {
		p.Keep = &c.Keep
	} else if len(c.Address) == 0 {
		return usage("say where to forward to, --keep or --no-keep")
	}
	_, err := call[nothing](ctx, c.place, log, "account forward add", p)
	return err
}

type forwardRemoveCommand struct {
	place
	Account string   `arg:"" help:"An address of the account."`
	Address []string `arg:"" optional:"" help:"Addresses that get no more; none ends all."`
}

func (c forwardRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account forward remove", forwardParams{Account: c.Account, Addresses: c.Address})
	return err
}

type forwardListCommand struct {
	place
	format
	Account string `arg:"" help:"An address of the account."`
}

func (c forwardListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]forwardRow](ctx, c.place, log, "account forward list", name{c.Account})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"FORWARD TO", "COPY KEPT"}, func(r forwardRow) []any {
		return []any{r.To, map[bool]string{true: "yes", false: "no"}[r.Keep]}
	})
}

// forwardRow is an address that an account's mail is handed on to.
type forwardRow struct {
	To   string `json:"to"`
	Keep bool   `json:"keep"` // the account keeps a copy
}

type forwardParams struct {
	Account   string   `json:"account"`
	Addresses []string `json:"addresses"`
	Keep      *bool    `json:"keep,omitempty"`
}

func (a *admin) forwardAdd(ctx context.Context, p forwardParams) (nothing, error) {
	return nothing{}, a.directory.AddForward(ctx, p.Account, p.Keep, p.Addresses...)
}

func (a *admin) forwardRemove(ctx context.Context, p forwardParams) (nothing, error) {
	return nothing{}, a.directory.RemoveForward(ctx, p.Account, p.Addresses...)
}

func (a *admin) forwardList(_ context.Context, p name) ([]forwardRow, error) {
	f, err := a.directory.Forwarding(p.Name)
	rows := []forwardRow{}
	for _, to := range f.To {
		rows = append(rows, forwardRow{to, f.Keep})
	}
	return rows, err
}
