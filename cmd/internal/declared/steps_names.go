package declared

import (
	"fmt"
	"slices"
)

// addDomains makes domains, also of those that stood for another.
func (p *planner) addDomains() {
	for _, name := range sorted(p.now.Domains) {
		was, is := p.now.Domains[name], p.to.Domains[name]
		if _, stays := p.to.Domains[name]; stays && was.AliasOf != "" && is.AliasOf != was.AliasOf {
			p.step("domain alias remove", params{"name": name}, fmt.Sprintf("- domain %s: stands for %s", name, was.AliasOf))
			delete(p.now.Domains, name)
		}
	}
	for _, name := range sorted(p.to.Domains) {
		if _, ok := p.now.Domains[name]; !ok && p.to.Domains[name].AliasOf == "" {
			p.step("domain add", params{"name": name}, "+ domain "+name)
			p.now.Domains[name] = Domain{}
		}
	}
}

func (p *planner) rename(from, to string) {
	p.step("account rename", params{"name": from, "new": to}, fmt.Sprintf("~ account %s: its name is %s", from, to))
	p.now.rename(from, to)
}

// clearCatchAlls ends those that are to be none.
func (p *planner) clearCatchAlls() {
	for _, name := range sorted(p.now.Domains) {
		d := p.now.Domains[name]
		if is, stays := p.to.Domains[name]; stays && d.CatchAll != "" && is.CatchAll == "" {
			p.step("domain catch-all", params{"domain": name, "account": ""}, fmt.Sprintf("- domain %s: catch-all %s", name, d.CatchAll))
			d.CatchAll = ""
			p.now.Domains[name] = d
		}
	}
}

func (p *planner) addAliasDomains() {
	for _, name := range sorted(p.to.Domains) {
		d := p.to.Domains[name]
		was, ok := p.now.Domains[name]
		if d.AliasOf == "" || was.AliasOf == d.AliasOf {
			continue
		}
		sign := "+"
		if ok {
			sign = "~"
		}
		p.step("domain alias add", params{"alias": name, "domain": d.AliasOf}, fmt.Sprintf("%s domain %s: stands for %s", sign, name, d.AliasOf))
		p.now.Domains[name] = Domain{AliasOf: d.AliasOf, NoReports: was.NoReports}
	}
}

// changeDomains comes when all accounts are there.
func (p *planner) changeDomains() {
	for _, name := range sorted(p.to.Domains) {
		was, d := p.now.Domains[name], p.to.Domains[name]
		if d.CatchAll != was.CatchAll {
			p.step("domain catch-all", params{"domain": name, "account": d.CatchAll}, changed("domain "+name, "catch-all", was.CatchAll, d.CatchAll))
		}
		if d.NoReports != was.NoReports {
			p.step("domain reports", params{"domain": name, "on": !d.NoReports}, changed("domain "+name, "reports", onOff(!was.NoReports), onOff(!d.NoReports)))
		}
		p.now.Domains[name] = d
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// changed is the line of a value that is new or another.
func changed(of, what, was, is string) string {
	if was == "" {
		return fmt.Sprintf("+ %s: %s %s", of, what, is)
	}
	return fmt.Sprintf("~ %s: %s %s, was %s", of, what, is, was)
}

// addAccounts makes accounts, and gives all their addresses.
func (p *planner) addAccounts() {
	for _, name := range sorted(p.to.Accounts) {
		if _, ok := p.now.Accounts[name]; !ok {
			s := p.step("account add", params{"name": name}, "+ account "+name)
			s.Password = &Password{For: name, File: p.file.accounts[name].said.PasswordFile}
			p.now.Accounts[name] = Account{Quota: p.now.DefaultQuota}
		}
	}
	for _, name := range sorted(p.to.Accounts) {
		a := p.now.Accounts[name]
		for _, further := range without(p.to.Accounts[name].Addresses, a.Addresses) {
			p.step("account address add", params{"account": name, "address": further}, fmt.Sprintf("+ account %s: address %s", name, further))
			a.Addresses = ordered(a.Addresses, []string{further})
		}
		p.now.Accounts[name] = a
	}
}

// changeAliases comes when all accounts and domains are there. An alias comes after those it is to lead to: what is refused
// as a loop would then be one in the end, too.
func (p *planner) changeAliases() {
	leads := func(name string) []string { return p.to.Aliases[name].Members }
	for _, name := range leafFirst(sorted(p.to.Aliases), leads) {
		was, exists := p.now.Aliases[name]
		is := p.to.Aliases[name]
		if more := p.now.lacking(was.Members, is.Members); len(more) > 0 {
			lines := each("+ alias "+name+": member ", more)
			if !exists {
				lines = append([]string{"+ alias " + name}, lines...)
			}
			p.step("alias add", params{"address": name, "members": more}, lines...)
		}
		if less := p.now.lacking(is.Members, was.Members); len(less) > 0 {
			p.step("alias remove", params{"address": name, "members": less}, each("- alias "+name+": member ", less)...)
		}
		p.aliasSettings(name, was, is)
		p.now.Aliases[name] = is
	}
}

func (p *planner) aliasSettings(name string, was, is Alias) {
	of := "alias " + name
	if was.MembersOnly != is.MembersOnly {
		writers := map[bool]string{true: "members only", false: "all"}
		p.step("alias add", params{"address": name, "members_only": is.MembersOnly}, changed(of, "writers", writers[was.MembersOnly], writers[is.MembersOnly]))
	}
	if p.now.fold(was.Owner) == p.now.fold(is.Owner) {
		return
	}
	line := changed(of, "owner", was.Owner, is.Owner)
	if is.Owner == "" {
		line = fmt.Sprintf("- %s: owner %s", of, was.Owner)
	}
	p.step("alias add", params{"address": name, "owner": is.Owner}, line)
}

// lacking are the addresses of a list that another one does not have, in whatever spelling.
func (s *Setup) lacking(has, list []string) (all []string) {
	for _, m := range list {
		if !slices.ContainsFunc(has, func(h string) bool { return s.fold(h) == s.fold(m) }) {
			all = append(all, m)
		}
	}
	return all
}

// each puts words in front of each entry.
func each(words string, list []string) (lines []string) {
	for _, v := range list {
		lines = append(lines, words+v)
	}
	return lines
}

// leafFirst orders names so that each comes after those it leads to, as far as nothing goes round; otherwise they stay in order.
func leafFirst(names []string, leads func(name string) []string) []string {
	var order []string
	known, seen := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	type visit struct {
		name string
		done bool // what it leads to was visited
	}
	for _, first := range names { // a stack of our own: files may have long chains
		for stack := []visit{{name: first}}; len(stack) > 0; {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if v.done {
				order = append(order, v.name)
				continue
			}
			if !known[v.name] || seen[v.name] {
				continue
			}
			seen[v.name] = true
			stack = append(stack, visit{v.name, true})
			for _, next := range slices.Backward(leads(v.name)) {
				stack = append(stack, visit{name: next})
			}
		}
	}
	return order
}

// changeMasked makes masked addresses, and changes those that are there.
func (p *planner) changeMasked() {
	for _, address := range sorted(p.to.Masked) {
		was, ok := p.now.Masked[address]
		is := p.to.Masked[address]
		if was == is {
			continue
		}
		with := params{"account": is.Account, "label": is.Label, "address": address, "off": is.Off}
		if is.Expires != "" {
			with["expires"] = is.Expires
		}
		line := fmt.Sprintf("+ masked %s: of %s", address, is.Account)
		if ok {
			line = fmt.Sprintf("~ masked %s: %s, was %s", address, is.say(), was.say())
		}
		p.step("alias masked add", with, line)
		p.now.Masked[address] = is
	}
}

// say is how a masked address is.
func (m Masked) say() string {
	text := onOff(!m.Off)
	if m.Expires != "" {
		text += " until " + m.Expires
	}
	if m.Label != "" {
		text += fmt.Sprintf(" (%s)", m.Label)
	}
	return text
}
