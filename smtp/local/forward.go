package local

import (
	"fmt"
	"slices"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/journal"
	"mailstead/smtp/queue"
)

// onward puts a message into the queue for all its addresses elsewhere, by the record that
// stores it. Those to whom it is handed on have a reverse-path of their own (RFC 5321 section 3.9);
// the message itself stays as it is, so that its signatures do.
func (c *Courier) onward(p *plan, e queue.Envelope, body mailbox.BodyID) []mailbox.RoomChange {
	var envelopes []queue.Envelope
	for _, address := range p.remote {
		by := p.by[address]
		from := e.From
		if by.Address != "" {
			from = c.directory.ReversePath(e.From, by)
		}
		i := slices.IndexFunc(envelopes, func(o queue.Envelope) bool { return o.From == from })
		if i < 0 {
			i = len(envelopes)
			next := e
			next.From, next.Recipients = from, nil
			if by.List != "" { // it sends in its own name: wishes of others end here (RFC 3461 section 5.2.7.3)
				next.EnvelopeID, next.Return, next.Wishes, next.Proven = "", "", nil, true
			}
			envelopes = append(envelopes, next)
		}
		envelopes[i].Recipients = append(envelopes[i].Recipients, address)
	}
	var changes []mailbox.RoomChange
	for _, o := range envelopes {
		changes = append(changes, c.queue.Add(o)(body)...)
	}
	if len(p.news) > 0 {
		e.Recipients = nil
		changes = append(changes, c.queue.Add(p.tell(e))(body)...)
	}
	return changes
}

// forwards reports whether mail of an account goes elsewhere, too.
func (p *plan) forwards(a mailbox.AccountID) bool {
	for _, by := range p.by {
		if by.Account == a && a != 0 {
			return true
		}
	}
	return false
}

// withhold takes addresses out of a plan to which this message is not to be handed on.
// Whoever would have nothing of it then keeps it in Junk: the account that forwards, or for an
// alias the postmaster. SMTP has one answer for all, so there was no other way to
// tell the sender.
func (c *Courier) withhold(p *plan, t Transaction) error {
	if len(t.Withhold) == 0 {
		return nil
	}
	var held []string
	p.remote = slices.DeleteFunc(p.remote, func(address string) bool {
		by, led := p.by[address]
		stays := led && slices.Contains(t.Withhold, by.Account)
		if stays {
			held = append(held, address)
			if by.Account != 0 {
				p.keepAsJunk(directory.Delivery{Account: by.Account, Name: by.Address})
			}
		}
		return stays
	})
	if slices.ContainsFunc(t.Recipients, func(r Recipient) bool { return p.left(r) }) {
		route, err := c.directory.Resolve("postmaster")
		if err != nil {
			return fmt.Errorf("local: who is postmaster: %w", err)
		}
		for _, d := range route.Local {
			p.keepAsJunk(d)
		}
	}
	if len(held) > 0 {
		c.journal.AddFor(journal.Event{Step: journal.Withheld, ID: t.ID}, held)
	}
	return nil
}

// keepAsJunk plans a copy in Junk, unless there is one planned.
func (p *plan) keepAsJunk(d directory.Delivery) {
	if slices.ContainsFunc(p.local, func(o directory.Delivery) bool { return o.Account == d.Account }) {
		return
	}
	p.local = append(p.local, d)
	p.junk = append(slices.Clip(p.junk), d.Account)
}

// left reports whether nobody has a message for a recipient.
func (p *plan) left(r Recipient) bool {
	if len(r.Route.Local) > 0 {
		return false
	}
	for _, a := range r.Route.Remote {
		if slices.Contains(p.remote, a) || r.Route.By[a].Account != 0 {
			return false
		}
	}
	return true
}

// routeQueued is where queued mail for an address of this server goes.
func (c *Courier) routeQueued(address string, m queue.Message) (directory.Route, error) {
	if m.Filing[address].Here {
		d, err := c.directory.Owner(address)
		return directory.Route{Local: []directory.Delivery{d}}, err
	}
	route, err := c.directory.ResolveQueued(address)
	if err == nil && route.Bounces && m.From != "" {
		return directory.Route{}, &Refusal{550, "5.7.1", "This address takes notices of delivery only"}
	}
	return route, err
}

// onward is what the sender wants to hear of each of those that a recipient leads to, and of the recipient.
func (r *Recipient) onward() (queue.Wish, queue.Action) {
	for _, by := range r.Route.By {
		if by.List == "" {
			continue
		}
		if r.Wish.Notify&queue.NotifySuccess != 0 {
			return queue.Wish{}, queue.ActionDelivered
		}
		return queue.Wish{}, ""
	}
	return r.Wish.Onward(len(r.Route.Local) + len(r.Route.Remote))
}

// isJunk reports whether the copy of an account goes to Junk.
func (p *plan) isJunk(a mailbox.AccountID) bool { return slices.Contains(p.junk, a) }
