// Package declared has what is edited by commands - domains, accounts, aliases, masked addresses and routes - as one file that
// people write and keep: how it is read (Parse), how it is written (Render), and what is to be done so that a server is as the
// file says (File.Plan). All of it is values; who acts on them is the command.
//
// A file adds and sets. What it does not name stays as it is, entries of lists and settings among it; only with Options.Prune a
// server becomes all that the file says, and nothing else.
package declared

import (
	"maps"
	"slices"
	"strings"

	"mailstead/mailbox/directory"
	"mailstead/smtp/route"
)

// Setup is all of it, as a server has it or is to have it. Addresses of this server are in the form that is compared, lists
// ascending; nothing in it is secret.
type Setup struct {
	// DefaultQuota is how many octets an account may hold for which nothing was said; 0 = no limit.
	DefaultQuota int64
	Domains      map[string]Domain
	Accounts     map[string]Account // by name
	Aliases      map[string]Alias
	Masked       map[string]Masked
	Routes       map[string]Route
}

// Domain is a domain of the server.
type Domain struct {
	AliasOf   string // the domain it stands for; "" = none
	CatchAll  string // name of an account; "" = none
	NoReports bool
}

// Account is an account with all that was set for it.
type Account struct {
	Addresses     []string // further ones
	Quota         int64    // octets; 0 = no limit
	QuotaMessages int64    // 0 = no limit
	Sending       directory.Sending
	Forward       []string
	ForwardNoKeep bool // no copy is kept
	SendAs        []string
	Block         []string
	Allow         []string
	Forwarders    []string
	Hidden        []string // capabilities of IMAP
	Disabled      *Disabled
	Vacation      *directory.Vacation
	Apps          []string // labels of app passwords: to know of them, none is made
}

// Disabled says that nobody may log in to an account, and why.
type Disabled struct {
	Reason     string
	RefuseMail bool
}

// Alias is an address that leads to others.
type Alias struct {
	Members     []string
	MembersOnly bool
	Owner       string // "" = none
}

// Masked is a masked address.
type Masked struct {
	Account string // its name
	Label   string
	Expires string // RFC 3339 in UTC; "" = never
	Off     bool
}

// Route is a way of mail, without its password.
type Route struct {
	To, Accounts, From []string // accounts by their names
	After              int
	Hop                route.Hop
	User, CA, Pin      string
}

// clone is a copy whose maps can be changed. Lists are shared: none is changed in place.
func (s *Setup) clone() Setup {
	c := *s
	c.Domains, c.Accounts, c.Aliases = cloned(s.Domains), cloned(s.Accounts), cloned(s.Aliases)
	c.Masked, c.Routes = cloned(s.Masked), cloned(s.Routes)
	return c
}

func cloned[V any](m map[string]V) map[string]V {
	c := maps.Clone(m)
	if c == nil {
		c = map[string]V{}
	}
	return c
}

// sorted are the names of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// domainOf is what stands behind the last @.
func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// fold is an address in the form that is compared: one at an alias domain is that of the domain it stands for.
func (s *Setup) fold(address string) string {
	compared, _, err := directory.CheckMember(address)
	if err != nil {
		return address
	}
	if of := s.Domains[domainOf(compared)].AliasOf; of != "" {
		return strings.TrimSuffix(compared, domainOf(compared)) + of
	}
	return compared
}

// member is an address as it is kept where mail is led to it.
func (s *Setup) member(address string) string {
	folded := s.fold(address)
	if _, ours := s.Domains[domainOf(folded)]; ours {
		return folded
	}
	if _, elsewhere, err := directory.CheckMember(address); err == nil {
		return elsewhere
	}
	return address
}

// members are addresses as they are kept, in order, each once.
func (s *Setup) members(list []string) []string {
	var all []string
	seen := map[string]bool{}
	for _, m := range list {
		if folded := s.fold(m); !seen[folded] {
			seen[folded] = true
			all = append(all, s.member(m))
		}
	}
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(s.fold(a), s.fold(b)) })
	return all
}

// Normal is s in the form that is compared: whoever leads mail to an address names it as it is kept.
func (s *Setup) Normal() Setup {
	n := s.clone()
	for name, a := range n.Accounts {
		a.Forward = n.members(a.Forward)
		if len(a.Forward) == 0 {
			a.ForwardNoKeep = false
		}
		for _, list := range []*[]string{&a.Addresses, &a.SendAs, &a.Block, &a.Allow, &a.Forwarders, &a.Hidden, &a.Apps} {
			*list = ordered(*list)
		}
		n.Accounts[name] = a
	}
	for name, a := range n.Aliases {
		a.Members = n.members(a.Members)
		if a.Owner != "" {
			a.Owner = n.member(a.Owner)
		}
		n.Aliases[name] = a
	}
	for name, r := range n.Routes {
		r.To, r.Accounts, r.From = ordered(r.To), ordered(r.Accounts), ordered(r.From)
		n.Routes[name] = r
	}
	return n
}

// ordered is a list in order, each entry once; nil for an empty one.
func ordered(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 0 {
		return nil
	}
	return all
}

// without are the entries of a list that are not in another.
func without(list, other []string) []string {
	var all []string
	for _, v := range list {
		if !slices.Contains(other, v) {
			all = append(all, v)
		}
	}
	return all
}

// owners gives the account that has an address.
func (s *Setup) owners() map[string]string {
	of := map[string]string{}
	for name, a := range s.Accounts {
		of[name] = name
		for _, further := range a.Addresses {
			of[further] = name
		}
	}
	return of
}

// uses says of each address what it is.
func (s *Setup) uses() map[string]string {
	uses := map[string]string{}
	for address, name := range s.owners() {
		uses[address] = "an address of the account " + name
	}
	for address := range s.Aliases {
		uses[address] = "an alias"
	}
	for address, m := range s.Masked {
		uses[address] = "a masked address of the account " + m.Account
	}
	return uses
}
