package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"mailstead/mailbox"
)

// accountCommand is `mailstead account`.
type accountCommand struct {
	Add         accountAddCommand         `cmd:"" help:"Add an account; the password is asked for, or read from standard input."`
	Remove      accountRemoveCommand      `cmd:"" help:"Remove an account with all its mail; it can be restored for some days."`
	Rename      accountRenameCommand      `cmd:"" help:"Give an account another name; the old one stays as a further address."`
	Disable     accountDisableCommand     `cmd:"" help:"Refuse logins to an account, and end its sessions."`
	Enable      accountEnableCommand      `cmd:"" help:"End that."`
	Logins      accountLoginsCommand      `cmd:"" help:"Who logged in to an account, and who tried to."`
	Erase       accountEraseCommand       `cmd:"" help:"Remove an account, and everything of it from the disk at once."`
	List        accountListCommand        `cmd:"" help:"List the accounts."`
	ListDeleted accountListDeletedCommand `cmd:"" help:"List the removed accounts that can be restored."`
	Restore     accountRestoreCommand     `cmd:"" help:"Restore a removed account with its mail, addresses and password."`
	Show        accountShowCommand        `cmd:"" help:"Show one account."`
	Password    accountPasswordCommand    `cmd:"" help:"Set an account's password."`
	Quota       accountQuotaCommand       `cmd:"" help:"Limit what an account may hold."`
	Limits      accountLimitsCommand      `cmd:"" help:"Limit what an account may send in a day."`
	Capability  accountCapabilityCommand  `cmd:"" help:"Hide IMAP capabilities from an account's clients."`
	Junk        accountJunkCommand        `cmd:"" help:"What an account has taught the junk filter."`
	Address     addressCommand            `cmd:"" help:"Further addresses of an account."`

	Block       sendersCommand[blockList]     `cmd:"" help:"Senders whose mail an account refuses."`
	Allow       sendersCommand[allowList]     `cmd:"" help:"Senders whose mail is not filed into Junk."`
	Forward     forwardCommand                `cmd:"" help:"Hand an account's mail on to other addresses."`
	Forwarder   sendersCommand[forwarderList] `cmd:"" help:"Hosts that hand on what was sent to an account elsewhere."`
	AppPassword appPasswordCommand            `cmd:"" help:"Passwords for single devices and programs."`

	Grant  grantCommand  `cmd:"" help:"What an account may do beyond the usual."`
	Revoke revokeCommand `cmd:"" help:"Take back what was granted."`

	Vacation vacationCommand `cmd:"" help:"Automatic replies while an account's owner is away."`
}

type accountAddCommand struct {
	place
	Address string `arg:"" help:"The account's address, which is also its user name."`
}

func (c accountAddCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	password, err := readPassword(std)
	if err != nil {
		return err
	}
	_, err = call[nothing](ctx, c.place, log, "account add", passwordParams{c.Address, password})
	return err
}

type accountPasswordCommand struct {
	place
	Address string `arg:"" help:"An address of the account."`
}

func (c accountPasswordCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	password, err := readPassword(std)
	if err != nil {
		return err
	}
	_, err = call[nothing](ctx, c.place, log, "account password", passwordParams{c.Address, password})
	return err
}

type accountRemoveCommand struct {
	place
	Address string `arg:"" help:"An address of the account."`
}

func (c accountRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account remove", name{c.Address})
	return err
}

type accountListCommand struct {
	place
	format
}

func (c accountListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]accountInfo](ctx, c.place, log, "account list", nothing{})
	if err != nil {
		return err
	}
	return printAccounts(std, c.format, rows)
}

type accountShowCommand struct {
	place
	format
	Address string `arg:"" help:"An address of the account."`
}

func (c accountShowCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	row, err := call[accountInfo](ctx, c.place, log, "account show", name{c.Address})
	if err != nil {
		return err
	}
	return printAccounts(std, c.format, []accountInfo{row})
}

func printAccounts(std streams, f format, rows []accountInfo) error {
	heads := []string{"ACCOUNT", "MESSAGES", "OCTETS", "QUOTA", "SINCE", "LAST LOGIN", "STATE", "FURTHER ADDRESSES"}
	return print(std.out, f, rows, heads, func(a accountInfo) []any {
		login := "-"
		if a.LastLogin != nil {
			login = a.LastLogin.Last.Format(time.RFC3339)
		}
		return []any{a.Name, a.Messages, a.Size, quotaText(mailbox.Quota{Storage: a.QuotaSize, Messages: a.QuotaMessages}), a.Created.Format(time.DateOnly), login, stateText(a.Disabled), strings.Join(a.Addresses, " ")}
	})
}

// addressCommand is `mailstead account address`.
type addressCommand struct {
	Add    addressAddCommand    `cmd:"" help:"Give an account a further address."`
	Remove addressRemoveCommand `cmd:"" help:"Take a further address back."`
}

type addressAddCommand struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Address string `arg:"" help:"The further address."`
}

func (c addressAddCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account address add", addressParams{c.Account, c.Address})
	return err
}

type addressRemoveCommand struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Address string `arg:"" help:"The further address."`
}

func (c addressRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account address remove", addressParams{c.Account, c.Address})
	return err
}
