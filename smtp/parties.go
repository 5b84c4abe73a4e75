package smtp

import (
	"slices"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/local"
	"mailstead/smtp/mailauth"
)

// Senders are the lists of senders that accounts have; mailbox/directory says
// what each method promises.
type Senders interface {
	Standing(a mailbox.AccountID, addresses ...string) directory.List
	IsForwarder(a mailbox.AccountID, h directory.Hop) bool
}

// standing is the account's word on a sender, as the rules know it.
func (c *Checks) standing(a mailbox.AccountID, addresses ...string) mailauth.Standing {
	if c.Senders == nil {
		return ""
	}
	switch c.Senders.Standing(a, addresses...) {
	case directory.Blocked:
		return mailauth.SenderBlocked
	case directory.Allowed:
		return mailauth.SenderAllowed
	}
	return ""
}

// blockedByAll reports whether everybody behind a recipient has blocked the
// reverse-path.
func (s *session) blockedByAll(to directory.Route) bool {
	c := s.server.o.Checks
	if c == nil || s.tx.From == "" || len(to.Local) == 0 || len(to.Remote) > 0 {
		return false
	}
	return !slices.ContainsFunc(to.Local, func(d directory.Delivery) bool {
		return c.standing(d.Account, s.tx.From) != mailauth.SenderBlocked
	})
}

// party is one for whom a message is judged: an account, or those elsewhere.
type party struct {
	account mailbox.AccountID // 0: addresses elsewhere that an alias leads to
	keeps   bool              // has a copy here; the others only hand the message on
	onward  bool              // hands it on
	opinion Opinion
	verdict mailauth.Verdict
}

// appendParties appends all to whom recipients lead, each once, to an empty list.
func appendParties(all []party, recipients []local.Recipient) []party {
	of := func(a mailbox.AccountID) *party {
		i := slices.IndexFunc(all, func(p party) bool { return p.account == a })
		if i < 0 {
			i = len(all)
			all = append(all, party{account: a})
		}
		return &all[i]
	}
	elsewhere := false
	for _, r := range recipients {
		for _, d := range r.Route.Local {
			of(d.Account).keeps = true
		}
		for _, address := range r.Route.Remote {
			if by := r.Route.By[address].Account; by != 0 {
				of(by).onward = true
			} else {
				elsewhere = true
			}
		}
	}
	if elsewhere {
		all = append(all, party{onward: true})
	}
	return all
}

// accountsOf are those of parties, in their order, with room for one more.
func accountsOf(parties []party) []mailbox.AccountID {
	accounts := make([]mailbox.AccountID, len(parties), len(parties)+1)
	for i, p := range parties {
		accounts[i] = p.account
	}
	return accounts
}

// settle makes one decision of those for each party, as SMTP has one reply for
// all of them. What nobody takes is refused, or deferred if that may help one of them.
// What somebody takes is taken for all, as nothing may be lost: copies that would
// have been refused go to Junk, and those that would have been deferred come with the others.
func settle(parties []party) mailauth.Verdict {
	var whole mailauth.Verdict
	for _, p := range parties {
		if v := p.verdict; whole.Action == "" || milder(v.Action, whole.Action) {
			whole = v
		}
	}
	if whole.Action == mailauth.Defer || whole.Action == mailauth.Refuse {
		return whole
	}
	for i := range parties {
		switch v := &parties[i].verdict; v.Action {
		case mailauth.Refuse:
			v.Action = mailauth.Junk
		case mailauth.Defer:
			v.Action = mailauth.Accept
		}
	}
	return whole
}

// actions are in the order of how hard they are.
var actions = []mailauth.Action{mailauth.Accept, mailauth.Junk, mailauth.Defer, mailauth.Refuse}

func milder(a, than mailauth.Action) bool {
	return slices.Index(actions, a) < slices.Index(actions, than)
}
