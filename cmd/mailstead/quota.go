package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"mailstead/cmd/internal/declared"
	"mailstead/mailbox"
)

// accountQuotaCommand is `mailstead account quota`.
type accountQuotaCommand struct {
	place
	Address  string `arg:"" help:"An address of the account."`
	Storage  string `help:"Limit of octets: 500MB, 5GB. What is there already stays." placeholder:"SIZE" xor:"storage"`
	Messages *int64 `help:"Limit of messages." placeholder:"N" xor:"messages"`
	None     bool   `help:"No limit." xor:"storage,messages"`
}

func (c accountQuotaCommand) Run(ctx context.Context, log *slog.Logger) error {
	p := quotaParams{Account: c.Address, Messages: c.Messages}
	if c.Storage != "" {
		n, err := declared.ParseOctets(c.Storage)
		if err != nil {
			return usage("--storage: %v", err)
		}
		p.Storage = &n
	}
	switch {
	case c.None:
		p.Storage, p.Messages = new(int64), new(int64)
	case p.Storage == nil && p.Messages == nil:
		return usage("say --storage, --messages or --none")
	}
	_, err := call[nothing](ctx, c.place, log, "account quota", p)
	return err
}

// quotaParams are limits; one that is nil stays as it is, 0 is none.
type quotaParams struct {
	Account  string `json:"account"`
	Storage  *int64 `json:"storage,omitempty"` // octets
	Messages *int64 `json:"messages,omitempty"`
}

func (a *admin) accountQuota(ctx context.Context, p quotaParams) (nothing, error) {
	e, err := a.directory.Account(p.Account)
	if err != nil {
		return nothing{}, err
	}
	q, err := a.store.Quota(e.ID)
	if err != nil {
		return nothing{}, fmt.Errorf("account %s: %w", e.Name, err)
	}
	if p.Storage != nil {
		q.Storage = *p.Storage
	}
	if p.Messages != nil {
		q.Messages = *p.Messages
	}
	if q.Storage < 0 || q.Messages < 0 {
		return nothing{}, usage("a limit cannot be negative")
	}
	if err := a.store.SetQuota(ctx, e.ID, q); err != nil {
		return nothing{}, fmt.Errorf("account %s: %w", e.Name, err)
	}
	return nothing{}, nil
}

// quotaText is a quota as people read it.
func quotaText(q mailbox.Quota) string {
	var parts []string
	if q.Storage > 0 {
		parts = append(parts, amount(q.Storage, octets))
	}
	if q.Messages > 0 {
		parts = append(parts, fmt.Sprint(q.Messages, " messages"))
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}
