package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"mailstead/mailbox/directory"
)

// accountLimitsCommand is `mailstead account limits`.
type accountLimitsCommand struct {
	place
	format
	Address    string    `arg:"" help:"An address of the account."`
	Messages   *dayLimit `help:"Messages that it may send in a day." placeholder:"N|none|usual"`
	Recipients *dayLimit `help:"Recipients that it may send to in a day." placeholder:"N|none|usual"`
	Strangers  *dayLimit `help:"Of those, recipients that it has never written to." placeholder:"N|none|usual"`
}

// dayLimit is a limit of a directory.Sending as people write it: a number, none, or usual.
type dayLimit int

// UnmarshalText reads one.
func (l *dayLimit) UnmarshalText(text []byte) error {
	switch string(text) {
	case "none":
		*l = directory.Unlimited
		return nil
	case "usual":
		*l = 0
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil || n == 0 {
		return fmt.Errorf("%.40q is not a number above 0, nor none or usual", text)
	}
	*l = dayLimit(n)
	return nil
}

func (c accountLimitsCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]limitInfo](ctx, c.place, log, "account limits", limitParams{c.Address, (*int)(c.Messages), (*int)(c.Recipients), (*int)(c.Strangers)})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"A DAY", "LIMIT", "USED"}, func(l limitInfo) []any {
		limit := strconv.Itoa(l.Limit)
		if l.Limit == directory.Unlimited {
			limit = "none"
		}
		return []any{l.Of, limit, l.Used}
	})
}

// limitParams are limits; one that is nil stays as it is.
type limitParams struct {
	Account    string `json:"account"`
	Messages   *int   `json:"messages,omitempty"`
	Recipients *int   `json:"recipients,omitempty"`
	Strangers  *int   `json:"strangers,omitempty"`
}

// limitInfo is one limit of an account.
type limitInfo struct {
	Of    string `json:"of"`
	Limit int    `json:"limit"` // -1 = none
	Used  int    `json:"used"`
}

func (a *admin) accountLimits(ctx context.Context, p limitParams) ([]limitInfo, error) {
	if p.Messages != nil || p.Recipients != nil || p.Strangers != nil {
		err := a.directory.EditSending(ctx, p.Account, func(own *directory.Sending) {
			for _, l := range []struct {
				to   *int
				from *int
			}{{&own.Messages, p.Messages}, {&own.Recipients, p.Recipients}, {&own.Strangers, p.Strangers}} {
				if l.from != nil {
					*l.to = *l.from
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	limit, used, err := a.directory.Sending(p.Account)
	if err != nil {
		return nil, err
	}
	return []limitInfo{
		{"messages", limit.Messages, used.Messages}, {"recipients", limit.Recipients, used.Recipients}, {"strangers", limit.Strangers, used.Strangers},
	}, nil
}
