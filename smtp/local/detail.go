package local

import (
	"errors"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/junk/training"
)

// targets are where the copies of a plan go: into INBOX, into the mailbox that a
// detail names, or into Junk for those that are judged to be junk.
func (c *Courier) targets(p plan, date time.Time) []mailbox.Target {
	targets := targetsOf(p.local, date)
	for i := range targets {
		if name, ok := c.mailboxFor(targets[i].Account, p.details[targets[i].Account]); ok {
			targets[i].Name = name
		}
	}
	c.fileAsJunk(targets, p.junk)
	return targets
}

// mailboxFor is the mailbox of an account that the first of details with one
// names (RFC 5233 section 4).
func (c *Courier) mailboxFor(a mailbox.AccountID, details []string) (string, bool) {
	if len(details) == 0 {
		return "", false
	}
	list, err := c.store.Mailboxes(a)
	if err != nil {
		return "", false // the delivery will say what is wrong
	}
	// Whoever knows an address can choose its detail: nobody is to put letters
	// into Sent or Drafts, or where they are not seen, or are gone in some days.
	list = slices.DeleteFunc(list, func(m mailbox.Info) bool { return m.SpecialUse != "" || m.Name == training.Rejects })
	for _, d := range details {
		if name, ok := named(list, d); ok {
			return name, true
		}
	}
	return "", false
}

// named finds the mailbox that a detail means: in any case, as local parts have
// none, and with dots for the slashes that few forms on the web let pass. A
// detail that could mean several means the one that is written like it, or none.
func named(list []mailbox.Info, detail string) (string, bool) {
	for _, form := range []func(string) string{
		func(s string) string { return s },
		strings.ToLower,
		func(s string) string { return strings.ReplaceAll(strings.ToLower(s), ".", "/") },
	} {
		var found []string
		for _, m := range list {
			if form(m.Name) == form(detail) {
				found = append(found, m.Name)
			}
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return found[0], true
		}
		return "", false
	}
	return "", false
}

// addDetail notes by which address an account was reached. The plain one says
// INBOX, and is obeyed whatever else there is: a letter to the person is to be
// where the person looks first.
func (p *plan) addDetail(a mailbox.AccountID, detail string) {
	if p.details == nil {
		p.details = map[mailbox.AccountID][]string{}
	}
	switch details, known := p.details[a]; {
	case detail == "" || known && details == nil:
		p.details[a] = nil
	case !slices.Contains(details, detail):
		p.details[a] = append(details, detail)
	}
}

// wereMoved turns targets whose mailbox was deleted a moment ago to INBOX, and
// reports whether nothing was stored and it is worth another try.
func wereMoved(targets []mailbox.Target, placed []mailbox.Placed) bool {
	moved := false
	for i, pl := range placed {
		if pl.Err == nil {
			return false
		}
		if errors.Is(pl.Err, mailbox.ErrNoMailbox) && targets[i].Name != inbox {
			targets[i].Name, moved = inbox, true
		}
	}
	return moved
}

// inbox is where mail goes that has no other place.
const inbox = "INBOX"
