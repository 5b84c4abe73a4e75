package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"mailstead/mailbox/directory"
)

// maskedCommand is `mailstead alias masked`.
type maskedCommand struct {
	Add    maskedAddCommand    `cmd:"" help:"Make an address at random that leads to an account, and print it."`
	List   maskedListCommand   `cmd:"" help:"List them, with how many letters came."`
	Off    maskedOffCommand    `cmd:"" help:"Refuse mail to one."`
	On     maskedOnCommand     `cmd:"" help:"Take it again, or for another time."`
	Remove maskedRemoveCommand `cmd:"" help:"Remove one for good."`
}

type maskedAddCommand struct {
	place
	Account string `arg:"" help:"An address of the account."`
	Label   string `placeholder:"TEXT" help:"What it is for, say: shop."`
	Domain  string `placeholder:"DOMAIN" help:"At another domain of this server than the account's."`
	Expires string `placeholder:"DATE" help:"It takes mail until this day, like 2026-12-31 (UTC), or for so many days, like 30d."`
}

func (c maskedAddCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	end, err := parseEnd(c.Expires, time.Now())
	if err != nil {
		return err
	}
	made, err := call[directory.Masked](ctx, c.place, log, "alias masked add", maskedParams{Account: c.Account, Label: c.Label, Domain: c.Domain, Expires: end})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, made.Address)
	return err
}

type maskedListCommand struct {
	place
	format
	Account string `arg:"" optional:"" help:"An address of the account; none lists those of all."`
}

func (c maskedListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]directory.Masked](ctx, c.place, log, "alias masked list", name{c.Account})
	if err != nil {
		return err
	}
	now := time.Now()
	heads := []string{"MASKED", "ACCOUNT", "LABEL", "STATE", "MADE", "UNTIL", "LETTERS", "LAST"}
	return print(std.out, c.format, rows, heads, func(m directory.Masked) []any {
		state := "on"
		switch {
		case m.Off:
			state = "off"
		case !m.Expires.IsZero() && !now.Before(m.Expires):
			state = "over"
		}
		return []any{m.Address, m.Account, cmp.Or(m.Label, "-"), state, m.Created.Format(time.DateOnly), dayText(m.Expires), m.Letters, dayText(m.LastUse)}
	})
}

// dayText is a day in a cell, or none.
func dayText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.DateOnly)
}

type maskedOffCommand struct {
	place
	Address string `arg:"" help:"The masked address."`
}

func (c maskedOffCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "alias masked off", maskedOnParams{Name: c.Address})
	return err
}

type maskedOnCommand struct {
	place
	Address string `arg:"" help:"The masked address."`
	Expires string `placeholder:"DATE" help:"Until this day, for so many days, or never; without, as before."`
}

func (c maskedOnCommand) Run(ctx context.Context, log *slog.Logger) error {
	p := maskedOnParams{Name: c.Address}
	switch c.Expires {
	case "":
	case "never":
		p.Expires = &time.Time{}
	default:
		end, err := parseEnd(c.Expires, time.Now())
		if err != nil {
			return err
		}
		p.Expires = &end
	}
	_, err := call[nothing](ctx, c.place, log, "alias masked on", p)
	return err
}

type maskedRemoveCommand struct {
	place
	Address string `arg:"" help:"The masked address."`
}

func (c maskedRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "alias masked remove", name{c.Address})
	return err
}

// maskedParams describe a new masked address.
type maskedParams struct {
	Account string    `json:"account"`
	Label   string    `json:"label"`
	Domain  string    `json:"domain"` // "" = the account's
	Expires time.Time `json:"expires,omitzero"`
	// Address is that of one which a file declares: it is made so, or changed. "" = one is made at random.
	Address string `json:"address,omitempty"`
	Off     bool   `json:"off,omitempty"` // goes with Address
}

// maskedOnParams are a masked address and its new end; nil leaves that.
type maskedOnParams struct {
	Name    string     `json:"name"`
	Expires *time.Time `json:"expires,omitempty"`
}

func (a *admin) maskedAdd(ctx context.Context, p maskedParams) (directory.Masked, error) {
	if p.Address != "" {
		return a.directory.SetMasked(ctx, directory.Masked{Address: p.Address, Account: p.Account, Label: p.Label, Expires: p.Expires, Off: p.Off})
	}
	return a.directory.AddMasked(ctx, p.Account, p.Label, p.Domain, p.Expires)
}

func (a *admin) maskedList(_ context.Context, p name) ([]directory.Masked, error) {
	return a.directory.MaskedAddresses(p.Name)
}

func (a *admin) maskedOff(ctx context.Context, p maskedOnParams) (nothing, error) {
	return nothing{}, a.directory.SwitchMasked(ctx, p.Name, false, nil)
}

func (a *admin) maskedOn(ctx context.Context, p maskedOnParams) (nothing, error) {
	return nothing{}, a.directory.SwitchMasked(ctx, p.Name, true, p.Expires)
}

func (a *admin) maskedRemove(ctx context.Context, p name) (nothing, error) {
	return nothing{}, a.directory.RemoveMasked(ctx, p.Name)
}
