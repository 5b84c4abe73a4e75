package directory

import (
	"cmp"
	"maps"
	"slices"
)

// Snapshot is all that administrators have set up here, at one moment; its lists are in order.
type Snapshot struct {
	Domains  []Domain
	Accounts []AccountSetup
	Aliases  []Alias
	Masked   []Masked // of accounts that are there
}

// AccountSetup is an account with all that was set for it; its secrets are left out.
type AccountSetup struct {
	Entry
	Sending  Sending // limits of its own; 0 = the usual one
	Forward  Forwarding
	Vacation *Vacation         // nil = none
	Lists    map[List][]string // its lists of senders, each ascending
	Apps     []AppPassword     // the oldest first
}

// Snapshot gives all of it.
func (d *Directory) Snapshot() Snapshot {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := Snapshot{
		Domains: slices.SortedFunc(maps.Values(d.names.domains), func(a, b Domain) int { return cmp.Compare(a.Name, b.Name) }),
		Aliases: slices.SortedFunc(maps.Values(d.names.aliases), func(a, b Alias) int { return cmp.Compare(a.Address, b.Address) }),
	}
	for _, a := range d.names.accounts {
		s.Accounts = append(s.Accounts, a.setup())
	}
	slices.SortFunc(s.Accounts, func(a, b AccountSetup) int { return cmp.Compare(a.Name, b.Name) })
	for at, m := range d.names.masked {
		if a := d.names.accounts[m.Account]; a != nil {
			s.Masked = append(s.Masked, maskedAddress{at, m}.describe(a.Name, letters{}))
		}
	}
	slices.SortFunc(s.Masked, func(a, b Masked) int { return cmp.Compare(a.Address, b.Address) })
	return s
}

func (a *accountRecord) setup() AccountSetup {
	v := AccountSetup{
		Entry: a.Entry, Sending: a.Sending, Forward: a.Forward.describe(), Vacation: a.Vacation,
		Lists: map[List][]string{}, Apps: a.Password.apps(),
	}
	for _, list := range []List{Blocked, Allowed, Forwarders, SendAs} {
		v.Lists[list] = a.Senders.list(list)
	}
	return v
}
