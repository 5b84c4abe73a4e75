package local

import (
	"errors"
	"maps"
	"slices"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/queue"
)

// plan is where the copies of a message go: each account and each address
// elsewhere once, by however many recipients it was reached.
type plan struct {
	local  []directory.Delivery
	remote []string
	by     map[string]directory.Leading // who leads to addresses of remote; whoever is not here was written to

	details map[mailbox.AccountID][]string // plus-details of accounts; none for one that was reached without, too
	junk    []mailbox.AccountID            // those whose copy goes to Junk
	changes []mailbox.RoomChange           // made with the record that stores the message

	wishes map[string]queue.Wish // of addresses elsewhere, and of accounts by name; none for those of whom nothing was said
	news   []news
}

// news is a recipient of whom the sender wants to hear.
type news struct {
	queue.Settled
	copy int // in plan.local: only where it is there; -1 = in any case
}

// filing says of accounts, by name, where the queue is to bring their copies.
func (p *plan) filing(names []string) map[string]queue.Filing {
	var all map[string]queue.Filing
	for _, d := range p.local {
		f := queue.Filing{Junk: slices.Contains(p.junk, d.Account), Details: p.details[d.Account], Here: p.forwards(d.Account)}
		if !slices.Contains(names, d.Name) || !f.Junk && !f.Here && len(f.Details) == 0 {
			continue
		}
		if all == nil {
			all = map[string]queue.Filing{}
		}
		all[d.Name] = f
	}
	return all
}

// file is filing's counterpart: the copies of a queued message, for one recipient,
// go where they were to go at first.
func (p *plan) file(f queue.Filing) {
	for _, d := range p.local {
		if f.Junk {
			p.junk = append(p.junk, d.Account)
		}
		if len(f.Details) > 0 {
			p.details[d.Account] = f.Details
		}
	}
}

func planFor(recipients []Recipient) plan {
	var p plan
	local, remote := map[mailbox.AccountID]bool{}, map[string]bool{}
	direct := map[string]bool{}
	for _, r := range recipients {
		onward, action := r.onward()
		if action != "" {
			p.news = append(p.news, news{queue.Settled{Recipient: r.Address, Action: action, Wish: r.Wish}, -1})
		}
		for _, d := range r.Route.Local {
			p.addDetail(d.Account, d.Detail)
			if !local[d.Account] {
				local[d.Account] = true
				p.local = append(p.local, d)
			}
			p.wish(d.Name, onward)
			if onward.Notify&queue.NotifySuccess != 0 {
				at := slices.IndexFunc(p.local, func(o directory.Delivery) bool { return o.Account == d.Account })
				p.news = append(p.news, news{queue.Settled{Recipient: r.Address, Action: queue.ActionDelivered, Wish: r.Wish}, at})
			}
		}
		for _, a := range r.Route.Remote {
			p.wish(a, onward)
			if !remote[a] {
				remote[a] = true
				p.remote = append(p.remote, a)
			}
			if by, led := r.Route.By[a]; !led {
				direct[a] = true
			} else if _, known := p.by[a]; !known {
				p.lead(a, by)
			}
		}
	}
	maps.DeleteFunc(p.by, func(a string, _ directory.Leading) bool { return direct[a] })
	return p
}

// wish notes what is wanted to be heard of a copy; the first word on it counts.
func (p *plan) wish(address string, w queue.Wish) {
	if _, known := p.wishes[address]; known || w == (queue.Wish{}) {
		return
	}
	if p.wishes == nil {
		p.wishes = map[string]queue.Wish{}
	}
	p.wishes[address] = w
}

// lead notes through whom mail gets to an address elsewhere.
func (p *plan) lead(address string, by directory.Leading) {
	if p.by == nil {
		p.by = map[string]directory.Leading{}
	}
	p.by[address] = by
}

// verdict is what becomes of a message after its copies were tried.
type verdict struct {
	refuse *Refusal             // nothing was taken; the sender hears of it
	queue  []string             // accounts to be tried again by the queue
	divert []directory.Delivery // accounts whose copy goes to Junk or to the postmaster
}

// judge decides on the copies that failed; failed[i] belongs to p.local[i]. If
// none was taken the message is refused: for now unless all are for good,
// so that the sender's server, which still has it, comes again. If some were, it is ours, and
// nothing may be lost: what failed for now is queued. What failed for good is
// queued too when a user sent it, for the queue then tells that user; a
// stranger is told nothing, the address may be forged.
func judge(p plan, failed []error, user bool) verdict {
	var v verdict
	var last *Refusal
	taken := len(p.remote) > 0
	for i, d := range p.local {
		r := refusalOf(failed[i])
		switch {
		case r == nil:
			taken = true
			continue
		case user || r.Code < 500:
			v.queue = append(v.queue, d.Name)
		default:
			v.divert = append(v.divert, d)
		}
		if last == nil || r.Code < last.Code {
			last = r
		}
	}
	if !taken {
		if last == nil { // an alias that leads nowhere any more
			last = &Refusal{550, "5.1.1", "No such user here"}
		}
		return verdict{refuse: last}
	}
	return v
}

// refusalOf says an error of the store in SMTP's words; nil stays nil.
func refusalOf(err error) *Refusal {
	if err == nil {
		return nil
	}
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	for _, k := range storeErrors {
		if errors.Is(err, k.err) {
			return &k.refusal
		}
	}
	return &Refusal{451, "4.3.0", "Local trouble, try again later"}
}

var storeErrors = []struct {
	err     error
	refusal Refusal
}{
	{mailbox.ErrOverQuota, Refusal{452, "4.2.2", "Mailbox is full"}},
	{mailbox.ErrNoSpace, Refusal{452, "4.3.1", "Not enough disk space, try again later"}},
	{mailbox.ErrTooBig, Refusal{552, "5.3.4", "Message too big"}},
	{mailbox.ErrNoAccount, Refusal{550, "5.1.1", "No such user here"}},
	{mailbox.ErrNoMailbox, Refusal{550, "5.1.1", "No such user here"}},
	{directory.ErrRefusesMail, Refusal{550, "5.2.1", "This mailbox takes no mail"}},
	{directory.ErrSwitchedOff, Refusal{550, "5.1.1", "This address is not in use any more"}},
	{directory.ErrTimeOver, Refusal{550, "5.1.1", "This address was for a limited time, which is over"}},
	{directory.ErrNoSuch, Refusal{550, "5.1.1", "No such user here"}},
	{directory.ErrNotLocal, Refusal{550, "5.1.2", "Not a domain of this server"}},
	{directory.ErrAddress, Refusal{501, "5.1.3", "Malformed address"}},
}

// outcome is a refusal, or nil for success, as the queue wants to hear it.
func outcome(recipient string, r *Refusal) queue.Outcome {
	if r == nil {
		return queue.Outcome{Recipient: recipient, Status: queue.Delivered, Code: 250, Enhanced: "2.1.5", Text: "Delivered"}
	}
	status := queue.Temporary
	if r.Code >= 500 {
		status = queue.Permanent
	}
	return queue.Outcome{Recipient: recipient, Status: status, Code: r.Code, Enhanced: r.Enhanced, Text: r.Text}
}
