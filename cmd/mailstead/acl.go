package main

import (
	"context"
	"log/slog"

	"mailstead/mailbox"
)

// mailboxACLCommand is `mailstead mailbox acl`.
type mailboxACLCommand struct {
	place
	format
	Account string  `arg:"" help:"An address of the account."`
	Mailbox string  `arg:"" help:"Name of the mailbox."`
	Who     *string `arg:"" optional:"" help:"Whose rights are changed: an address of an account here, or anyone; with a - in front, what is taken from them."`
	Rights  *string `arg:"" optional:"" help:"The letters of RFC 4314 out of lrswipkxtea; with + or - in front, added or taken. Empty: none."`
}

func (c mailboxACLCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	p := aclParams{Account: c.Account, Mailbox: c.Mailbox}
	if c.Who != nil {
		if c.Rights == nil {
			return usage("say the rights, too; '' for none")
		}
		p.Change, p.Who, p.Rights = true, *c.Who, *c.Rights
	}
	rows, err := call[[]aclEntry](ctx, c.place, log, "mailbox acl", p)
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"WHO", "RIGHTS"}, func(e aclEntry) []any { return []any{e.Who, e.Rights} })
}

// aclParams name a mailbox, and the change of its access control list, if any.
type aclParams struct {
	Account string `json:"account"`
	Mailbox string `json:"mailbox"`
	Change  bool   `json:"change,omitempty"`
	Who     string `json:"who,omitempty"`
	Rights  string `json:"rights,omitempty"`
}

// aclEntry says who has which rights on a mailbox.
type aclEntry struct {
	Who    string `json:"who"`
	Rights string `json:"rights"`
}

// mailboxACL returns the access control list as it is after the change.
func (a *admin) mailboxACL(ctx context.Context, p aclParams) ([]aclEntry, error) {
	e, err := a.directory.Account(p.Account)
	if err != nil {
		return nil, err
	}
	if p.Change {
		if err := a.changeRights(ctx, e.ID, p); err != nil {
			return nil, err
		}
	}
	grants, err := a.store.Grants(e.ID, p.Mailbox)
	list := []aclEntry{}
	for _, g := range grants {
		if who, ok := a.directory.IdentifierOf(g); ok {
			list = append(list, aclEntry{Who: who, Rights: g.Rights.String()})
		}
	}
	return list, err
}

func (a *admin) changeRights(ctx context.Context, owner mailbox.AccountID, p aclParams) error {
	op, rights, ok := mailbox.ParseRightsChange(p.Rights)
	if !ok {
		return usage("%.40q are no rights", p.Rights)
	}
	who, err := a.directory.Identifier(p.Who)
	if err != nil {
		return err
	}
	who.Rights = rights
	return a.store.ChangeRights(ctx, owner, p.Mailbox, mailbox.RightsChange{Grant: who, Op: op})
}
