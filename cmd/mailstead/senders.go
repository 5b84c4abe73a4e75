package main

import (
	"context"
	"log/slog"

	"mailstead/mailbox/directory"
)

// listName says which of an account's lists of senders a command is about.
type listName interface{ list() directory.List }

type (
	blockList     struct{}
	allowList     struct{}
	forwarderList struct{}
)

func (blockList) list() directory.List     { return directory.Blocked }
func (allowList) list() directory.List     { return directory.Allowed }
func (forwarderList) list() directory.List { return directory.Forwarders }

// sendersCommand is `mailstead account block` and its sisters.
type sendersCommand[L listName] struct {
	Add    senderAddCommand[L]    `cmd:"" help:"Put a sender on the list."`
	Remove senderRemoveCommand[L] `cmd:"" help:"Take a sender off the list."`
	List   senderListCommand[L]   `cmd:"" help:"Print the list."`
}

// senderAction is the name of an action on a list.
func senderAction[L listName](verb string) string {
	var l L
	return "account " + string(l.list()) + " " + verb
}

type senderAddCommand[L listName] struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Sender  string `arg:"" help:"An address, or a domain with all below it."`
}

func (c senderAddCommand[L]) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, senderAction[L]("add"), addressParams{c.Account, c.Sender})
	return err
}

type senderRemoveCommand[L listName] struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Sender  string `arg:"" help:"An entry of the list."`
}

func (c senderRemoveCommand[L]) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, senderAction[L]("remove"), addressParams{c.Account, c.Sender})
	return err
}

type senderListCommand[L listName] struct {
	place
	format
	Account string `arg:"" help:"An address of the account."`
}

func (c senderListCommand[L]) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]sender](ctx, c.place, log, senderAction[L]("list"), name{c.Account})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"SENDER"}, func(s sender) []any { return []any{s.Sender} })
}

// sender is an entry of a list.
type sender struct {
	Sender string `json:"sender"`
}

// senderAdd, senderRemove and senderList are the actions on a list.
func senderAdd(l directory.List) func(*admin, context.Context, addressParams) (nothing, error) {
	return func(a *admin, ctx context.Context, p addressParams) (nothing, error) {
		return nothing{}, a.directory.AddSender(ctx, p.Account, l, p.Address)
	}
}

func senderRemove(l directory.List) func(*admin, context.Context, addressParams) (nothing, error) {
	return func(a *admin, ctx context.Context, p addressParams) (nothing, error) {
		return nothing{}, a.directory.RemoveSender(ctx, p.Account, l, p.Address)
	}
}

func senderList(l directory.List) func(*admin, context.Context, name) ([]sender, error) {
	return func(a *admin, _ context.Context, p name) ([]sender, error) {
		entries, err := a.directory.Senders(p.Name, l)
		rows := make([]sender, len(entries))
		for i, e := range entries {
			rows[i] = sender{e}
		}
		return rows, err
	}
}
