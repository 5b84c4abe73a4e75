package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mailstead/mailbox"
	"mailstead/mailbox/directory/srs"
)

// maxForwards bounds where one account forwards to.
const maxForwards = 50

// forward is where an account hands its mail on to.
type forward struct {
	To   []string `json:"to,omitempty"`
	Keep bool     `json:"keep,omitempty"` // a copy
}

// Forwarding is where an account forwards to, as administrators see it.
type Forwarding struct {
	To   []string `json:"to"`   // empty for an account that does not forward
	Keep bool     `json:"keep"` // a copy stays in the account
}

// AddForward has an account forward to further addresses, here or elsewhere. With keep
// nil it keeps a copy as it did before, and at first. Without addresses only that is set.
// ErrNoSuch, ErrAddress, ErrExists where nothing changes, ErrLoop for an address that leads
// back to the account, ErrTooMany.
func (d *Directory) AddForward(ctx context.Context, account string, keep *bool, to ...string) error {
	return d.edit(ctx, account, func(a *accountRecord) error {
		before := forward{To: slices.Clone(a.Forward.To), Keep: a.Forward.Keep}
		switch {
		case keep != nil:
			a.Forward.Keep = *keep
		case len(before.To) == 0:
			a.Forward.Keep = true
		}
		for _, text := range to {
			next, err := d.names.parse(text)
			if err != nil {
				return addressProblem(text)
			}
			if d.leadsTo(next, a.ID) {
				return problem(ErrLoop, "%s leads back to %s: its mail would go round", quoted(text), a.Name)
			}
			if d.names.memberIndex(a.Forward.To, next) < 0 {
				a.Forward.To = append(a.Forward.To, d.memberText(next, text))
			}
		}
		switch {
		case len(a.Forward.To) == 0:
			return problem(ErrNoSuch, "%s does not forward; say to which address it is to", a.Name)
		case len(a.Forward.To) == len(before.To) && a.Forward.Keep == before.Keep:
			return problem(ErrExists, "%s forwards so already", a.Name)
		case len(a.Forward.To) > maxForwards:
			return problem(ErrTooMany, "an account forwards to %d addresses at most", maxForwards)
		}
		return nil
	})
}

// RemoveForward ends the forwarding of an account to addresses, or to all when none is
// named; what comes then is kept, if there is none left. ErrNoSuch, ErrAddress.
func (d *Directory) RemoveForward(ctx context.Context, account string, to ...string) error {
	return d.edit(ctx, account, func(a *accountRecord) error {
		if len(a.Forward.To) == 0 {
			return problem(ErrNoSuch, "%s does not forward", a.Name)
		}
		for _, text := range to {
			next, err := d.names.parse(text)
			if err != nil {
				return addressProblem(text)
			}
			i := d.names.memberIndex(a.Forward.To, next)
			if i < 0 {
				return problem(ErrNoSuch, "%s does not forward to %s", a.Name, next)
			}
			a.Forward.To = slices.Delete(a.Forward.To, i, i+1)
		}
		if len(to) == 0 || len(a.Forward.To) == 0 {
			a.Forward = forward{}
		}
		return nil
	})
}

// Forwarding says where an account forwards to. ErrNoSuch.
func (d *Directory) Forwarding(account string) (Forwarding, error) {
	a, err := d.find(account)
	if err != nil {
		return Forwarding{}, ErrNoSuch
	}
	return a.Forward.describe(), nil
}

func (f forward) describe() Forwarding {
	return Forwarding{To: append([]string{}, f.To...), Keep: f.Keep || len(f.To) == 0}
}

// leadsTo reports whether mail for an address gets to an account, kept there or not.
func (d *Directory) leadsTo(at address, id mailbox.AccountID) bool {
	n := &d.names
	at = n.canonical(at)
	w := walk{names: n, forwards: true, seen: map[address]bool{at: true}, queue: []step{{at: at}}}
	if _, ok := n.domains[at.domain]; !ok {
		return false
	}
	for ; len(w.queue) > 0; w.queue = w.queue[1:] {
		if w.step(w.queue[0]) != nil {
			return true // too many to know
		}
	}
	is := func(l Delivery) bool { return l.Account == id }
	return slices.ContainsFunc(w.route.Local, is) || slices.ContainsFunc(w.silent, is)
}

// withoutForwardsTo ends what other accounts forward to a. Those for whom nothing is left keep their mail.
func (d *Directory) withoutForwardsTo(a *accountRecord, r *revision) {
	for _, other := range d.names.accounts {
		to := slices.DeleteFunc(slices.Clone(other.Forward.To), func(m string) bool { return d.owns(a, m) })
		if other.ID == a.ID || len(to) == len(other.Forward.To) {
			continue
		}
		record := *other
		if record.Forward.To = to; len(to) == 0 {
			record.Forward = forward{}
		}
		r.account(&record)
	}
}

// Owner is the account that has an address, with a plus-detail or without, whatever it
// forwards. ErrNoSuch.
func (d *Directory) Owner(s string) (Delivery, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	addr, err := d.names.parse(s)
	if err != nil {
		return Delivery{}, err
	}
	if a := d.names.formerOwner(s, d.now()); a != nil {
		return Delivery{Account: a.ID, Name: a.Name}, nil
	}
	if a := d.names.addresses[addr]; a != nil {
		return Delivery{Account: a.ID, Name: a.Name}, nil
	}
	base, detail, _ := splitDetail(addr.local)
	if a := d.names.addresses[address{base, addr.domain}]; a != nil {
		return Delivery{Account: a.ID, Name: a.Name, Detail: detail}, nil
	}
	return Delivery{}, ErrNoSuch
}

// ReversePath is what mail of a sender is handed on with (RFC 5321 section 3.9): of a list, the
// address for its notices; else one at the domain of who hands it on that leads back to
// the sender, as the next server asks SPF about it. The null reverse-path stays, and a sender at a
// domain of this server is where notices belong already.
func (d *Directory) ReversePath(sender string, by Leading) string {
	if sender == "" {
		return ""
	}
	if by.List != "" {
		local, domain, _ := strings.Cut(by.List, "@")
		return local + bouncesSuffix + "@" + domain
	}
	if d.IsLocal(sender[strings.LastIndexByte(sender, '@')+1:]) {
		return sender
	}
	domain := by.Address[strings.LastIndexByte(by.Address, '@')+1:]
	return d.srs.Forward(sender, domain)
}

// returnRoute is where a return address of handed-on mail leads to: the sender. Callers hold mu.
// One that is forged or too old is nobody's, and no catch-all account's either. ErrNoSuch, ErrNotLocal.
func (d *Directory) returnRoute(given string, addr address) (Route, error) {
	if _, ok := d.names.domains[addr.domain]; !ok {
		return Route{}, ErrNotLocal
	}
	local, ok := unquote(given[:strings.LastIndexByte(given, '@')])
	if !ok {
		return Route{}, ErrAddress
	}
	sender, err := d.srs.Reverse(local)
	if err != nil {
		return Route{}, fmt.Errorf("%w: %w", ErrNoSuch, err)
	}
	to, err := d.names.parse(sender)
	if err != nil || srs.Is(to.local) && d.names.domains[to.domain].Name != "" {
		return Route{}, ErrNoSuch // a return address of a return address would go round here
	}
	route := Route{Remote: []string{sender}, By: map[string]Leading{sender: {Address: addr.String()}}}
	if _, ok := d.names.domains[to.domain]; ok {
		route, err = d.names.resolve(to, true)
	}
	route.Bounces = true
	return route, err
}
