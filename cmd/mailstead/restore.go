package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
)

// What was deleted and can be restored: how it is listed, and brought back.

type accountRestoreCommand struct {
	place
	Address string `arg:"" help:"The name the account had."`
}

func (c accountRestoreCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	r, err := call[directory.RestoredAccount](ctx, c.place, log, "account restore", name{c.Address})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "restored %s with %d messages\n", r.Name, r.Messages)
	for _, address := range r.LeftOut {
		fmt.Fprintf(std.out, "left out %s: it is somebody else's, or of no domain of this server\n", address)
	}
	return err
}

type accountListDeletedCommand struct {
	place
	format
}

func (c accountListDeletedCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]directory.RemovedAccount](ctx, c.place, log, "account list-deleted", nothing{})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"ACCOUNT", "DELETED", "FURTHER ADDRESSES"}, func(a directory.RemovedAccount) []any {
		return []any{a.Name, a.Removed.Format(time.RFC3339), strings.Join(a.Addresses, " ")}
	})
}

// mailboxCommand is `mailstead mailbox`.
type mailboxCommand struct {
	List                mailboxListCommand                `cmd:"" help:"List the mailboxes of an account."`
	ACL                 mailboxACLCommand                 `cmd:"" name:"acl" help:"Show who has which rights on a mailbox, or change that."`
	ListDeleted         mailboxListDeletedCommand         `cmd:"" help:"List the deleted mailboxes that can be restored."`
	ListDeletedMessages mailboxListDeletedMessagesCommand `cmd:"" help:"List the deleted messages that can be restored."`
	Restore             mailboxRestoreCommand             `cmd:"" help:"Restore a deleted mailbox with what was in it."`
	RestoreMessages     mailboxRestoreMessagesCommand     `cmd:"" help:"Restore deleted messages into the mailbox Restored."`
}

type mailboxListCommand struct {
	place
	format
	Account string `arg:"" help:"An address of the account."`
}

func (c mailboxListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]mailboxInfo](ctx, c.place, log, "mailbox list", name{c.Account})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"MAILBOX", "MESSAGES", "UNSEEN", "OCTETS", "USE"}, func(m mailboxInfo) []any {
		return []any{m.Name, m.Messages, m.Unseen, m.Size, m.Use}
	})
}

type mailboxListDeletedCommand struct {
	place
	format
	Account string `arg:"" help:"An address of the account."`
}

func (c mailboxListDeletedCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]deletedMailbox](ctx, c.place, log, "mailbox list-deleted", name{c.Account})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"MAILBOX", "MESSAGES", "OCTETS", "DELETED"}, func(m deletedMailbox) []any {
		return []any{m.Name, m.Messages, m.Size, m.Deleted.Format(time.RFC3339)}
	})
}

type mailboxRestoreCommand struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Mailbox string `arg:"" help:"The name the mailbox had."`
}

func (c mailboxRestoreCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	r, err := call[restored](ctx, c.place, log, "mailbox restore", mailboxParams{c.Account, c.Mailbox})
	if err != nil {
		return err
	}
	return r.print(std)
}

// deletedChoice chooses deleted messages on the command line.
type deletedChoice struct {
	Account string    `arg:"" help:"An address of the account."`
	Since   time.Time `format:"2006-01-02" placeholder:"DATE" help:"Only messages received on this day (UTC) or later."`
	Before  time.Time `format:"2006-01-02" placeholder:"DATE" help:"Only messages received before this day (UTC)."`
	From    string    `placeholder:"TEXT" help:"Only messages with this in their From field."`
	Mailbox string    `placeholder:"NAME" help:"Only messages that were in this mailbox."`
}

func (c deletedChoice) params() deletedParams {
	return deletedParams{Account: c.Account, Since: c.Since, Before: c.Before, From: c.From, Mailbox: c.Mailbox}
}

type mailboxListDeletedMessagesCommand struct {
	place
	format
	deletedChoice
}

func (c mailboxListDeletedMessagesCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	return listDeleted(ctx, std, log, c.place, c.format, c.params())
}

type mailboxRestoreMessagesCommand struct {
	place
	deletedChoice
	DryRun bool `help:"List the messages, and restore none."`
}

func (c mailboxRestoreMessagesCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	if c.DryRun {
		return listDeleted(ctx, std, log, c.place, format{}, c.params())
	}
	r, err := call[restored](ctx, c.place, log, "mailbox restore-messages", c.params())
	if err != nil {
		return err
	}
	return r.print(std)
}

// listDeleted prints the messages that were chosen, fetched page by page.
func listDeleted(ctx context.Context, std streams, log *slog.Logger, where place, f format, p deletedParams) error {
	rows := []deletedMessage{}
	for more := true; more; more = p.After != "" {
		page, err := call[deletedPage](ctx, where, log, "mailbox list-deleted-messages", p)
		if err != nil {
			return err
		}
		rows, p.After = append(rows, page.Messages...), page.Next
	}
	heads := []string{"RECEIVED", "DELETED", "MAILBOX", "OCTETS", "FROM", "SUBJECT"}
	return print(std.out, f, rows, heads, func(m deletedMessage) []any {
		return []any{m.Received.Format(time.DateOnly), m.Deleted.Format(time.DateOnly), m.Mailbox, m.Size, m.From, m.Subject}
	})
}

// mailboxInfo is a mailbox of an account.
type mailboxInfo struct {
	Name     string `json:"name"`
	Messages uint32 `json:"messages"`
	Unseen   uint32 `json:"unseen"`
	Size     int64  `json:"size"` // octets
	Use      string `json:"special_use"`
}

func (a *admin) mailboxList(_ context.Context, p name) ([]mailboxInfo, error) {
	e, err := a.directory.Account(p.Name)
	if err != nil {
		return nil, err
	}
	infos, err := a.store.Mailboxes(e.ID)
	list := make([]mailboxInfo, len(infos))
	for i, m := range infos {
		list[i] = mailboxInfo{m.Name, m.Messages, m.Unseen, m.Size, string(m.SpecialUse)}
	}
	return list, err
}

// deletedMailbox is a mailbox that can be restored.
type deletedMailbox struct {
	Name     string    `json:"name"`
	Messages int       `json:"messages"`
	Size     int64     `json:"size"` // octets
	Deleted  time.Time `json:"deleted"`
}

func (a *admin) mailboxListDeleted(_ context.Context, p name) ([]deletedMailbox, error) {
	e, err := a.directory.Account(p.Name)
	if err != nil {
		return nil, err
	}
	gone, err := a.store.DeletedMailboxes(e.ID)
	list := make([]deletedMailbox, len(gone))
	for i, m := range gone {
		list[i] = deletedMailbox{m.Name, m.Messages, m.Size, m.Deleted}
	}
	return list, err
}

type mailboxParams struct {
	Account string `json:"account"`
	Mailbox string `json:"mailbox"`
}

// restored says what was restored.
type restored struct {
	Mailbox  string `json:"mailbox"`
	Messages int    `json:"messages"`
}

func (r restored) print(std streams) error {
	_, err := fmt.Fprintf(std.out, "restored %d messages into %s\n", r.Messages, r.Mailbox)
	return err
}

func (a *admin) mailboxRestore(ctx context.Context, p mailboxParams) (restored, error) {
	e, err := a.directory.Account(p.Account)
	if err != nil {
		return restored{}, err
	}
	r, err := a.store.RestoreMailbox(ctx, e.ID, p.Mailbox)
	return restored(r), err
}

// deletedParams choose deleted messages.
type deletedParams struct {
	Account string    `json:"account"`
	Since   time.Time `json:"since"`
	Before  time.Time `json:"before"`
	From    string    `json:"from"`
	Mailbox string    `json:"mailbox"`
	After   string    `json:"after,omitempty"` // of a list: where the last page ended
}

func (p *deletedParams) filter() mailbox.DeletedFilter {
	return mailbox.DeletedFilter{Mailbox: p.Mailbox, Since: p.Since, Before: p.Before, From: p.From}
}

func (a *admin) mailboxRestoreMessages(ctx context.Context, p deletedParams) (restored, error) {
	e, err := a.directory.Account(p.Account)
	if err != nil {
		return restored{}, err
	}
	r, err := a.store.RestoreMessages(ctx, e.ID, p.filter())
	return restored(r), err
}

// deletedMessage is a message that can be restored.
type deletedMessage struct {
	Mailbox  string    `json:"mailbox"`
	Received time.Time `json:"received"`
	Deleted  time.Time `json:"deleted"`
	Size     int64     `json:"size"` // octets
	From     string    `json:"from"`
	Subject  string    `json:"subject"`
}

type deletedPage struct {
	Messages []deletedMessage `json:"messages"`
	Next     string           `json:"next"`
}

// deletedPageSize is about how many messages one answer lists.
const deletedPageSize = 1000

func (a *admin) mailboxListDeletedMessages(ctx context.Context, p deletedParams) (deletedPage, error) {
	e, err := a.directory.Account(p.Account)
	if err != nil {
		return deletedPage{}, err
	}
	list, next, err := a.store.DeletedMessages(ctx, e.ID, p.filter(), p.After, deletedPageSize)
	page := deletedPage{Messages: make([]deletedMessage, len(list)), Next: next}
	for i, m := range list {
		page.Messages[i] = deletedMessage{m.Mailbox, m.Received.UTC(), m.Deleted, m.Size, oneLine(m.From), oneLine(m.Subject)}
	}
	return page, err
}

// oneLine keeps what a stranger wrote from moving the terminal's cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

func (a *admin) accountRestore(ctx context.Context, p name) (directory.RestoredAccount, error) {
	return a.directory.RestoreAccount(ctx, p.Name)
}

func (a *admin) accountListDeleted(context.Context, nothing) ([]directory.RemovedAccount, error) {
	return a.directory.RemovedAccounts()
}
