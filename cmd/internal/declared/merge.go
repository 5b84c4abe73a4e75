package declared

import (
	"fmt"
	"slices"

	"mailstead/mailbox/directory"
)

// Options of Plan.
type Options struct {
	Prune         bool // what the file does not name is taken away, but no account
	PruneAccounts bool // accounts, too
}

// merge is what a server is to have that has now, whose accounts are named as in the file. Notes are for people.
func (f *File) merge(now Setup, o Options) (to Setup, notes []string) {
	to = now.clone()
	if o.Prune {
		to = f.kept(&now, o)
	}
	for _, name := range sorted(f.domains) {
		to.Domains[name] = f.domains[name].said.over(base(now.Domains, name, o, Domain{}))
	}
	usual := Account{Quota: now.DefaultQuota}
	for _, name := range sorted(f.accounts) {
		was, ok := now.Accounts[name]
		if !ok {
			was = usual
		}
		a := was
		if o.Prune {
			a = usual
		}
		a = f.accounts[name].said.over(a)
		a.Apps = was.Apps
		to.Accounts[name] = a
	}
	for _, name := range sorted(f.aliases) {
		to.Aliases[name] = f.aliases[name].said.over(base(now.Aliases, name, o, Alias{}))
	}
	for _, name := range sorted(f.masked) {
		to.Masked[name] = f.masked[name].said.over(base(now.Masked, name, o, Masked{}))
	}
	for _, name := range sorted(f.routes) {
		to.Routes[name] = f.routes[name].said.route()
	}
	to.nameAccounts()
	if o.Prune {
		notes = to.dropGone(&now)
	}
	return to.Normal(), notes
}

// base is what a table of the file is laid over.
func base[T any](now map[string]T, name string, o Options, usual T) T {
	if v, ok := now[name]; ok && !o.Prune {
		return v
	}
	return usual
}

// kept is what stays of now with Prune, whatever the file says: accounts that may not be removed, with what is theirs.
func (f *File) kept(now *Setup, o Options) Setup {
	to := Setup{DefaultQuota: now.DefaultQuota}
	to = to.clone()
	if o.PruneAccounts {
		return to
	}
	need := func(address string) {
		domain := domainOf(address)
		if d, ok := now.Domains[domain]; ok {
			to.Domains[domain] = d
		}
	}
	for name, a := range now.Accounts {
		if _, named := f.accounts[name]; named {
			continue
		}
		to.Accounts[name] = a
		for _, address := range append([]string{name}, a.Addresses...) {
			need(address)
		}
	}
	for address, m := range now.Masked {
		if _, ok := to.Accounts[m.Account]; ok {
			to.Masked[address] = m
			need(address)
		}
	}
	return to
}

// nameAccounts has whoever names an account by another of its addresses name it by its name.
func (s *Setup) nameAccounts() {
	owners := s.owners()
	name := func(given string) string {
		if owner, ok := owners[s.fold(given)]; ok {
			return owner
		}
		return given
	}
	for key, d := range s.Domains {
		d.CatchAll = name(d.CatchAll)
		s.Domains[key] = d
	}
	for key, m := range s.Masked {
		m.Account = name(m.Account)
		s.Masked[key] = m
	}
	for key, r := range s.Routes {
		r.Accounts = slices.Clone(r.Accounts)
		for i, a := range r.Accounts {
			r.Accounts[i] = name(a)
		}
		s.Routes[key] = r
	}
}

// dropGone takes out of s what leads to accounts that now has and s does not, as their removal does.
func (s *Setup) dropGone(now *Setup) (notes []string) {
	gone := map[string]bool{}
	here := s.uses()
	for address, name := range now.owners() {
		if _, stays := s.Accounts[name]; !stays && here[address] == "" {
			gone[address] = true
		}
	}
	is := func(address string) bool { return gone[s.fold(address)] }
	for name, a := range s.Aliases {
		left := slices.DeleteFunc(slices.Clone(a.Members), is)
		if len(left) < len(a.Members) {
			notes = append(notes, fmt.Sprintf("the alias %s does not lead to accounts that are removed any more", name))
		}
		if a.Members = left; is(a.Owner) {
			a.Owner = ""
		}
		if s.Aliases[name] = a; len(left) == 0 {
			delete(s.Aliases, name)
		}
	}
	for name, a := range s.Accounts {
		a.Forward = slices.DeleteFunc(slices.Clone(a.Forward), is)
		a.ForwardNoKeep = a.ForwardNoKeep && len(a.Forward) > 0
		s.Accounts[name] = a
	}
	for name, d := range s.Domains {
		if d.CatchAll != "" && is(d.CatchAll) {
			d.CatchAll = ""
			s.Domains[name] = d
		}
	}
	slices.Sort(notes)
	return notes
}

func (t domainText) over(d Domain) Domain {
	if t.AliasOf != "" {
		d.AliasOf = t.AliasOf
	}
	if t.CatchAll != nil {
		d.CatchAll = *t.CatchAll
	}
	if t.Reports != nil {
		d.NoReports = !*t.Reports
	}
	return d
}

func (t accountText) over(a Account) Account {
	a.Addresses = ordered(a.Addresses, t.Addresses)
	if t.Quota != nil {
		a.Quota = t.quota
	}
	if t.QuotaMessages != nil {
		a.QuotaMessages = *t.QuotaMessages
	}
	for _, l := range []struct{ said, limit *int }{{t.Messages, &a.Sending.Messages}, {t.Recipients, &a.Sending.Recipients}, {t.Strangers, &a.Sending.Strangers}} {
		if l.said == nil {
			continue
		}
		if *l.limit = *l.said; *l.said == 0 {
			*l.limit = directory.Unlimited
		}
	}
	a.Forward = slices.Concat(a.Forward, t.Forward)
	if t.ForwardKeep != nil {
		a.ForwardNoKeep = !*t.ForwardKeep
	}
	a.SendAs, a.Forwarders, a.Hidden = ordered(a.SendAs, t.SendAs), ordered(a.Forwarders, t.Forwarders), ordered(a.Hidden, t.Hidden)
	a.Block, a.Allow = ordered(without(a.Block, t.Allow), t.Block), ordered(without(a.Allow, t.Block), t.Allow)
	if t.Disabled != nil {
		a.Disabled = t.disabled(a.Disabled)
	}
	if t.Vacation != nil {
		v := t.Vacation.vacation()
		a.Vacation = &v
	}
	return a
}

// disabled is what a file that says whether an account is disabled makes of how it is now.
func (t accountText) disabled(now *Disabled) *Disabled {
	if !*t.Disabled {
		return nil
	}
	var d Disabled
	if now != nil {
		d = *now
	}
	if t.DisabledReason != "" {
		d.Reason = t.DisabledReason
	}
	if t.RefuseMail != nil {
		d.RefuseMail = *t.RefuseMail
	}
	return &d
}

func (t aliasText) over(a Alias) Alias {
	a.Members = slices.Concat(a.Members, t.Members)
	if t.MembersOnly != nil {
		a.MembersOnly = *t.MembersOnly
	}
	if t.Owner != nil {
		a.Owner = *t.Owner
	}
	return a
}

func (t maskedText) over(m Masked) Masked {
	m.Account = t.Account
	if t.Label != nil {
		m.Label = *t.Label
	}
	if t.Expires != nil {
		m.Expires = Moment(*t.Expires)
	}
	if t.Off != nil {
		m.Off = *t.Off
	}
	return m
}

func (t routeText) route() Route {
	return Route{To: t.To, Accounts: t.Accounts, From: t.From, After: t.After, Hop: t.hop, User: t.User, CA: t.CA, Pin: t.Pin}
}
