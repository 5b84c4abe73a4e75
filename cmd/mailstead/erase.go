package main

import (
	"context"
	"fmt"
	"log/slog"
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
	fmt.Fprintf(std.out, "%s is erased.\nBackups made before now still contain it.\n", result.Name)
	for _, left := range result.Left {
		fmt.Fprintf(std.out, "It may still be in %s.\n", left)
	}
	return nil
}

// erasedAccount is the result of an erasure.
type erasedAccount struct {
	Name string   `json:"name"`
	Left []string `json:"left"` // what may still hold something of it
}

func (a *admin) accountErase(ctx context.Context, p name, tell report) (erasedAccount, error) {
	if e, err := a.directory.Account(p.Name); err == nil { // of one that was removed before nothing is left
		t, err := a.filter()
		if err != nil {
			return erasedAccount{}, err
		}
		if err := t.Forget(ctx, e.ID); err != nil {
			return erasedAccount{}, err
		}
	}
	e, result, err := a.directory.EraseAccount(ctx, p.Name, func(doing string, done, total int64) {
		tell(progress{Doing: doing, Done: done, Total: total, Unit: octets})
	})
	return erasedAccount{Name: e.Name, Left: result.Left}, err
}
