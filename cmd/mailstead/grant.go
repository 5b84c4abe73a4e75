package main

import (
	"context"
	"log/slog"
)

// grantCommand is `mailstead account grant`.
type grantCommand struct {
	SendAs grantSendAsCommand `cmd:"" help:"Let an account send as an address or a domain that is not its own."`
	List   grantListCommand   `cmd:"" help:"Print as whom an account may send."`
}

// revokeCommand is `mailstead account revoke`.
type revokeCommand struct {
	SendAs revokeSendAsCommand `cmd:"" help:"End that an account may send as an address or a domain."`
}

type grantSendAsCommand struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Sender  string `arg:"" help:"An address, or a domain with all below it."`
}

func (c grantSendAsCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account grant send-as", addressParams{c.Account, c.Sender})
	return err
}

type revokeSendAsCommand struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Sender  string `arg:"" help:"What was granted."`
}

func (c revokeSendAsCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account revoke send-as", addressParams{c.Account, c.Sender})
	return err
}

type grantListCommand struct {
	place
	format
	Account string `arg:"" help:"An address of the account."`
}

func (c grantListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]sender](ctx, c.place, log, "account grant list", name{c.Account})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"MAY SEND AS"}, func(s sender) []any { return []any{s.Sender} })
}
