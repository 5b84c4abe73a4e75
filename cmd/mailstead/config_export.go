package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"mailstead/cmd/internal/declared"
	"mailstead/mailbox"
	"mailstead/mailbox/directory"
)

type configExportCommand struct {
	place
}

func (c configExportCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	now, err := call[exported](ctx, c.place, log, "config export", nothing{})
	if err != nil {
		return err
	}
	for _, note := range now.Notes {
		fmt.Fprintln(std.err, "mailstead: note:", note)
	}
	_, err = io.WriteString(std.out, declared.Render(now.Setup))
	return err
}

// exported is what administrators have set up on a server, with what a file cannot say of it.
type exported struct {
	Setup declared.Setup `json:"setup"`
	Notes []string       `json:"notes"`
}

func (a *admin) configExport(context.Context, nothing) (exported, error) {
	d := a.directory.Snapshot()
	all := exported{Notes: []string{}, Setup: declared.Setup{
		Domains: map[string]declared.Domain{}, Accounts: map[string]declared.Account{}, Aliases: map[string]declared.Alias{},
		Masked: map[string]declared.Masked{}, Routes: map[string]declared.Route{},
	}}
	usual, err := a.settings.newAccountQuota()
	if err != nil {
		return exported{}, fmt.Errorf("quota: %w", err)
	}
	s := &all.Setup
	s.DefaultQuota = usual.Storage
	for _, v := range d.Domains {
		s.Domains[v.Name] = declared.Domain{AliasOf: v.AliasOf, CatchAll: v.CatchAll, NoReports: !a.feedback.Reports(v.Name)}
	}
	names := map[mailbox.AccountID]string{}
	for _, v := range d.Accounts {
		q, err := a.store.Quota(v.ID)
		if err != nil {
			return exported{}, fmt.Errorf("account %s: %w", v.Name, err)
		}
		names[v.ID] = v.Name
		s.Accounts[v.Name] = declaredAccount(v, q)
	}
	for _, v := range d.Aliases {
		s.Aliases[v.Address] = declared.Alias{Members: v.Members, MembersOnly: v.MembersOnly, Owner: v.Owner}
	}
	for _, v := range d.Masked {
		s.Masked[v.Address] = declared.Masked{Account: v.Account, Label: v.Label, Expires: declared.Moment(v.Expires), Off: v.Off}
	}
	a.exportRoutes(&all, names)
	all.Setup = s.Normal()
	return all, nil
}

// declaredAccount is an account as files have it.
func declaredAccount(v directory.AccountSetup, q mailbox.Quota) declared.Account {
	account := declared.Account{
		Addresses: v.Addresses, Quota: q.Storage, QuotaMessages: q.Messages, Sending: v.Sending,
		Forward: v.Forward.To, ForwardNoKeep: !v.Forward.Keep,
		SendAs: v.Lists[directory.SendAs], Block: v.Lists[directory.Blocked], Allow: v.Lists[directory.Allowed], Forwarders: v.Lists[directory.Forwarders],
		Hidden: v.Hidden, Vacation: v.Vacation,
	}
	if v.Disabled != nil {
		account.Disabled = &declared.Disabled{Reason: v.Disabled.Reason, RefuseMail: v.Disabled.RefusesMail}
	}
	for _, app := range v.Apps {
		account.Apps = append(account.Apps, app.Label)
	}
	return account
}

// exportRoutes leaves out routes that are for nobody any more: without their accounts they would be for everybody.
func (a *admin) exportRoutes(all *exported, names map[mailbox.AccountID]string) {
	for _, r := range a.routes.List() {
		v := declared.Route{To: r.To, From: r.From, After: r.After, Hop: r.Hop, User: r.Login.User, CA: r.Trust.CA, Pin: r.Trust.Pin}
		for _, id := range r.Accounts {
			if name, ok := names[id]; ok {
				v.Accounts = append(v.Accounts, name)
			}
		}
		if len(r.Accounts) > 0 && len(v.Accounts) == 0 {
			all.Notes = append(all.Notes, fmt.Sprintf("the route %s is left out: all its accounts were removed; mailstead route remove %s", r.Name, r.Name))
			continue
		}
		all.Setup.Routes[r.Name] = v
	}
	slices.Sort(all.Notes)
}
