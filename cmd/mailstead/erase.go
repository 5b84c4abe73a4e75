package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"mailstead/mailbox/directory"
	"mailstead/mailbox/transfer"
	"mailstead/smtp/dns"
	"mailstead/smtp/journal"
	"mailstead/smtp/local"
)

// accountEraseCommand is `mailstead account erase`.
type accountEraseCommand struct {
	place
	quiet
	Address string `arg:"" help:"An address of the account."`
	Yes     bool   `required:"" help:"Nothing of it can be restored."`
}

func (c accountEraseCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	bar := c.quiet.bar(std)
	result, err := callLong[erasedAccount](ctx, c.place, log, bar.show, "account erase", name{c.Address})
	bar.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s is erased.\n%d lines of the journal of messages are gone with it.\nBackups made before now still contain it.\n", result.Name, result.Lines)
	for _, left := range result.Left {
		fmt.Fprintf(std.out, "It may still be in %s.\n", left)
	}
	return nil
}

// erasedAccount is the result of an erasure.
type erasedAccount struct {
	Name  string   `json:"name"`
	Lines int      `json:"journal_lines"` // of the journal of messages that are gone
	Left  []string `json:"left"`          // what may still hold something of it
}

func (a *admin) accountErase(ctx context.Context, p name, tell report) (erasedAccount, error) {
	if e, err := a.directory.Account(p.Name); err == nil { // of one that was removed before nothing is left
		t, err := a.filter()
		if err != nil {
			return erasedAccount{}, err
		}
		if err := errors.Join(t.Forget(ctx, e.ID), a.routes.Forget(ctx, e.ID), transfer.ForgetTaken(ctx, a.store, e.ID), local.ForgetReplies(ctx, a.store, e.ID)); err != nil {
			return erasedAccount{}, err
		}
	}
	lines := 0
	e, result, err := a.directory.EraseAccount(ctx, p.Name, func(_ directory.Entry, addresses []string) (err error) {
		lines, err = a.eraseFromJournal(ctx, spellings(addresses))
		return err
	}, func(doing string, done, total int64) {
		tell(progress{Doing: doing, Done: done, Total: total, Unit: octets})
	})
	return erasedAccount{Name: e.Name, Lines: lines, Left: result.Left}, err
}

// eraseFromJournal has the journal forget addresses: the server's, or its folder where none runs.
func (a *admin) eraseFromJournal(ctx context.Context, addresses []string) (lines int, err error) {
	if a.alone {
		return journal.Erase(a.journalDir, addresses)
	}
	return a.journal.Erase(ctx, addresses)
}

// spellings are addresses as clients may write them: their domains in A-labels, too.
func spellings(addresses []string) (all []string) {
	for _, address := range addresses {
		all = append(all, address)
		local, domain, _ := strings.Cut(address, "@")
		if ascii, err := dns.ASCII(domain); err == nil && ascii != domain {
			all = append(all, local+"@"+ascii)
		}
	}
	return all
}
