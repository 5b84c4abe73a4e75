package main

import (
	"context"
	"log/slog"
)

// accountCapabilityCommand is `mailstead account capability`.
type accountCapabilityCommand struct {
	place
	Address string   `arg:"" help:"An address of the account."`
	Hide    []string `help:"IMAP capabilities that its clients are not told of, with commas between." placeholder:"NAME"`
	Show    []string `help:"IMAP capabilities that they are told of again." placeholder:"NAME"`
}

func (c accountCapabilityCommand) Run(ctx context.Context, log *slog.Logger) error {
	if len(c.Hide)+len(c.Show) == 0 {
		return usage("say --hide or --show")
	}
	_, err := call[nothing](ctx, c.place, log, "account capability", capabilityParams{Account: c.Address, Hide: c.Hide, Show: c.Show})
	return err
}

// capabilityParams are names of IMAP capabilities.
type capabilityParams struct {
	Account string   `json:"account"`
	Hide    []string `json:"hide,omitempty"`
	Show    []string `json:"show,omitempty"`
}

func (a *admin) accountCapability(ctx context.Context, p capabilityParams) (nothing, error) {
	return nothing{}, a.directory.SetCapabilities(ctx, p.Account, p.Hide, p.Show)
}
