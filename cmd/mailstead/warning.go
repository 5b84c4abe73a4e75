package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
)

// overSendingText is what an owner reads whose account has reached a limit. Its arguments are the account, the limit,
// what it is of, and the account again, twice.
const overSendingText = `The account %s has reached its limit of %d %s a day.
What goes beyond it is refused for now; what was accepted is sent.

If that was you, and you need more, your administrator can allow it:

    mailstead account limits %s

If it was not you, somebody has your password. Change it at once:

    mailstead account password %s
`

// tellOverSending writes a letter to an account that has reached a limit of what it may send, and to the postmaster: who has
// the password can delete the one, and not the other.
func (s *server) tellOverSending(id mailbox.AccountID, o *directory.OverSending) {
	name := ""
	for _, a := range s.directory.Accounts() {
		if a.ID == id {
			name = a.Name
		}
	}
	s.log.Warn("an account has reached a limit of what it may send", "account", name, "limit", o.Limit, "of", o.What)
	text := fmt.Sprintf(overSendingText, name, o.Limit, o.What, name, name)
	if err := s.warn(context.Background(), []string{name, "postmaster"}, name+" has reached its limit of "+o.What+" a day", text); err != nil {
		s.log.Error("nobody could be told of it", "account", name, "err", err)
	}
}

// warn puts a letter of the server into the INBOXes of addresses of ours, each account's once, and makes changes with it.
func (s *server) warn(ctx context.Context, addresses []string, subject, text string, changes ...mailbox.RoomChange) error {
	var targets []mailbox.Target
	now := time.Now()
	for _, address := range addresses {
		route, err := s.directory.Resolve(address)
		if err != nil {
			return fmt.Errorf("warn %s: %w", address, err)
		}
		for _, d := range route.Local {
			if !slices.ContainsFunc(targets, func(t mailbox.Target) bool { return t.Account == d.Account }) {
				targets = append(targets, mailbox.Target{Account: d.Account, Name: "INBOX", Date: now})
			}
		}
	}
	b := s.store.NewBody()
	defer b.Abort()
	if _, err := b.Write(s.warning(addresses[0], subject, text, now)); err != nil {
		return fmt.Errorf("warn %s: %w", addresses[0], err)
	}
	placed, err := s.store.Deliver(ctx, b, targets, func(mailbox.BodyID) []mailbox.RoomChange { return changes })
	for _, p := range placed {
		if p.Err != nil {
			s.log.Warn("a warning found no place", "subject", subject, "err", p.Err)
		}
	}
	return err
}

// warning is that letter.
func (s *server) warning(to, subject, text string, now time.Time) []byte {
	host := s.settings.Hostname
	header := "Return-Path: <>\r\nFrom: mailstead <postmaster@" + host + ">\r\nTo: <" + to + ">\r\nSubject: " + subject +
		"\r\nDate: " + now.Format("Mon, 2 Jan 2006 15:04:05 -0700") + "\r\nMessage-ID: <" + rand.Text() + "@" + host +
		">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	return []byte(header + strings.ReplaceAll(text, "\n", "\r\n"))
}
