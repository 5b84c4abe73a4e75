package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"mailstead/mailbox/directory"
)

type accountDisableCommand struct {
	place
	Address    string `arg:"" help:"An address of the account."`
	Reason     string `placeholder:"TEXT" help:"Why, in a line: who logs in with the right password is told, and administrators see it."`
	RefuseMail bool   `help:"Refuse mail for it, too; without, it is received on."`
}

func (c accountDisableCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account disable", disableParams{c.Address, c.Reason, c.RefuseMail})
	return err
}

type accountEnableCommand struct {
	place
	Address string `arg:"" help:"An address of the account."`
}

func (c accountEnableCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account enable", name{c.Address})
	return err
}

// disableParams are an account and why nobody is to log in.
type disableParams struct {
	Name       string `json:"name"`
	Reason     string `json:"reason"`
	RefuseMail bool   `json:"refuse_mail"`
}

func (a *admin) accountDisable(ctx context.Context, p disableParams) (nothing, error) {
	return nothing{}, a.directory.DisableAccount(ctx, p.Name, p.Reason, p.RefuseMail)
}

func (a *admin) accountEnable(ctx context.Context, p name) (nothing, error) {
	return nothing{}, a.directory.EnableAccount(ctx, p.Name)
}

// stateText says in a cell whether an account is disabled, since when and why.
func stateText(v *directory.Disabled) string {
	if v == nil {
		return "enabled"
	}
	text := "disabled since " + v.Since.Format(time.DateOnly)
	if v.RefusesMail {
		text += ", refuses mail"
	}
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	return text
}

type accountRenameCommand struct {
	place
	Old     string `arg:"" help:"An address of the account."`
	New     string `arg:"" help:"Its new name: an address that nobody has, or a further one of its own."`
	DropOld bool   `help:"Do not keep the old name as a further address."`
}

func (c accountRenameCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	e, err := call[directory.Entry](ctx, c.place, log, "account rename", renameParams{c.Old, c.New, c.DropOld})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "The account is %s now, which is also its user name: mail programs have to be told.\n", e.Name)
	return err
}

// renameParams are an account and its new name.
type renameParams struct {
	Name    string `json:"name"`
	New     string `json:"new"`
	DropOld bool   `json:"drop_old"`
}

func (a *admin) accountRename(ctx context.Context, p renameParams) (directory.Entry, error) {
	return a.directory.RenameAccount(ctx, p.Name, p.New, p.DropOld)
}
