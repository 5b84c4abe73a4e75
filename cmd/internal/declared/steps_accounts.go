package declared

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox/directory"
)

// senderList is a list of senders, with the actions on it.
type senderList struct {
	what, add, remove string
	of                func(a *Account) *[]string
}

var senderLists = []senderList{
	{"may send as", "account grant send-as", "account revoke send-as", func(a *Account) *[]string { return &a.SendAs }},
	{"blocks", "account block add", "account block remove", func(a *Account) *[]string { return &a.Block }},
	{"allows", "account allow add", "account allow remove", func(a *Account) *[]string { return &a.Allow }},
	{"has the forwarder", "account forwarder add", "account forwarder remove", func(a *Account) *[]string { return &a.Forwarders }},
}

// changeAccounts sets what stands for itself.
func (p *planner) changeAccounts() {
	for _, name := range sorted(p.to.Accounts) {
		was, is := p.now.Accounts[name], p.to.Accounts[name]
		p.quota(name, was, is)
		p.sending(name, was.Sending, is.Sending)
		p.capabilities(name, was.Hidden, is.Hidden)
		p.senders(name, was, is)
		p.vacation(name, was.Vacation, is.Vacation)
		p.disabled(name, was.Disabled, is.Disabled)
		is.Forward, is.ForwardNoKeep, is.Addresses = was.Forward, was.ForwardNoKeep, was.Addresses
		p.now.Accounts[name] = is
	}
}

func (p *planner) quota(name string, was, is Account) {
	if was.Quota == is.Quota && was.QuotaMessages == is.QuotaMessages {
		return
	}
	var lines []string
	of := "account " + name
	if was.Quota != is.Quota {
		lines = append(lines, changed(of, "quota", octets(was.Quota), octets(is.Quota)))
	}
	if was.QuotaMessages != is.QuotaMessages {
		lines = append(lines, changed(of, "quota of messages", count(was.QuotaMessages), count(is.QuotaMessages)))
	}
	p.step("account quota", params{"account": name, "storage": is.Quota, "messages": is.QuotaMessages}, lines...)
}

// count is a limit of a number, 0 for none.
func count(n int64) string {
	if n == 0 {
		return none
	}
	return fmt.Sprint(n)
}

func (p *planner) sending(name string, was, is directory.Sending) {
	if was == is {
		return
	}
	say := func(n int) string {
		switch n {
		case 0:
			return "as usual"
		case directory.Unlimited:
			return none
		}
		return fmt.Sprint(n)
	}
	var lines []string
	before := sendingLimits(was)
	for i, l := range sendingLimits(is) {
		if l.n != before[i].n {
			lines = append(lines, changed("account "+name, strings.ReplaceAll(l.key, "_", " "), say(before[i].n), say(l.n)))
		}
	}
	p.step("account limits", params{"account": name, "messages": is.Messages, "recipients": is.Recipients, "strangers": is.Strangers}, lines...)
}

func (p *planner) capabilities(name string, was, is []string) {
	hide, show := without(is, was), without(was, is)
	if len(hide)+len(show) == 0 {
		return
	}
	of := " account " + name + ": hidden capability "
	p.step("account capability", params{"account": name, "hide": hide, "show": show}, slices.Concat(each("+"+of, hide), each("-"+of, show))...)
}

// senders adds before it takes away: who is allowed now is not blocked any more, and the other way round.
func (p *planner) senders(name string, was, is Account) {
	step := func(sign, action, what, entry string) {
		p.step(action, params{"account": name, "address": entry}, fmt.Sprintf("%s account %s: %s %s", sign, name, what, entry))
	}
	for _, l := range senderLists {
		for _, entry := range without(*l.of(&is), *l.of(&was)) {
			step("+", l.add, l.what, entry)
		}
	}
	was.Block, was.Allow = without(was.Block, is.Allow), without(was.Allow, is.Block)
	for _, l := range senderLists {
		for _, entry := range without(*l.of(&was), *l.of(&is)) {
			step("-", l.remove, l.what, entry)
		}
	}
}

func (p *planner) vacation(name string, was, is *directory.Vacation) {
	switch {
	case is == nil && was == nil:
	case is == nil:
		p.step("account vacation off", params{"name": name}, fmt.Sprintf("- account %s: automatic reply", name))
	case was == nil:
		p.step("account vacation on", params{"account": name, "vacation": *is}, fmt.Sprintf("+ account %s: automatic reply%s", name, span(is)))
	case !sameVacation(*was, *is):
		p.step("account vacation on", params{"account": name, "vacation": *is}, fmt.Sprintf("~ account %s: automatic reply%s", name, span(is)))
	}
}

// span says when an automatic reply is made.
func span(v *directory.Vacation) (text string) {
	if !v.From.IsZero() {
		text += " from " + v.From.Format(time.RFC3339)
	}
	if !v.Until.IsZero() {
		text += " until " + v.Until.Format(time.RFC3339)
	}
	return text
}

func sameVacation(a, b directory.Vacation) bool {
	return a.From.Equal(b.From) && a.Until.Equal(b.Until) && a.Subject == b.Subject && a.Text == b.Text && a.Days == b.Days &&
		slices.Equal(ordered(a.Addresses), ordered(b.Addresses))
}

func (p *planner) disabled(name string, was, is *Disabled) {
	switch {
	case is == nil && was != nil:
		p.step("account enable", params{"name": name}, fmt.Sprintf("- account %s: disabled", name))
	case is != nil && (was == nil || *was != *is):
		line := fmt.Sprintf("account %s: disabled", name)
		if is.RefuseMail {
			line += ", refuses mail"
		}
		if is.Reason != "" {
			line += ": " + is.Reason
		}
		sign := "+ "
		if was != nil {
			sign = "~ "
		}
		p.step("account disable", params{"name": name, "reason": is.Reason, "refuse_mail": is.RefuseMail}, sign+line)
	}
}

// changeForwards comes when all aliases are as they are to be. An account comes after those it is to forward to, as in
// changeAliases.
func (p *planner) changeForwards() {
	owners := p.to.owners()
	leads := func(name string) (next []string) {
		list := p.to.Accounts[name].Forward
		if alias, ok := p.to.Aliases[name]; ok {
			list = alias.Members
		}
		for _, m := range list {
			m = p.to.fold(m)
			if owner, ok := owners[m]; ok {
				m = owner
			}
			next = append(next, m)
		}
		return next
	}
	for _, name := range leafFirst(slices.Concat(sorted(p.to.Accounts), sorted(p.to.Aliases)), leads) {
		if _, ok := p.to.Accounts[name]; ok {
			p.forward(name)
		}
	}
}

func (p *planner) forward(name string) {
	was, is := p.now.Accounts[name], p.to.Accounts[name]
	more, less := p.now.lacking(was.Forward, is.Forward), p.now.lacking(is.Forward, was.Forward)
	of := " account " + name + ": forwards to "
	switch {
	case len(is.Forward) == 0 && len(was.Forward) > 0:
		p.step("account forward remove", params{"account": name}, each("-"+of, less)...)
		less = nil
	case len(more) > 0 || is.ForwardNoKeep != was.ForwardNoKeep:
		lines := each("+"+of, more)
		if is.ForwardNoKeep != was.ForwardNoKeep {
			kept := map[bool]string{true: "no copy", false: "a copy"}
			lines = append(lines, changed("account "+name, "keeps", kept[was.ForwardNoKeep], kept[is.ForwardNoKeep]))
		}
		p.step("account forward add", params{"account": name, "addresses": more, "keep": !is.ForwardNoKeep}, lines...)
	}
	if len(less) > 0 {
		p.step("account forward remove", params{"account": name, "addresses": less}, each("-"+of, less)...)
	}
	was.Forward, was.ForwardNoKeep = is.Forward, is.ForwardNoKeep
	p.now.Accounts[name] = was
}
