package directory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailstead/mailbox"
)

// keepAlias keeps an alias, or ends it when it leads nowhere.
func keepAlias(v Alias) mailbox.RoomChange {
	if len(v.Members) == 0 {
		return remove(aliasKey + v.Address)
	}
	return put(aliasKey+v.Address, v)
}

func (n *names) setAlias(v Alias) {
	addr, err := n.parse(v.Address)
	if err != nil {
		return
	}
	if len(v.Members) == 0 {
		delete(n.aliases, addr)
		return
	}
	n.aliases[addr] = v
}

// AddAlias makes or extends an alias. ErrExists when all members are there or
// an account has the address; ErrAddress, ErrNotLocal, ErrTangle.
func (d *Directory) AddAlias(ctx context.Context, name string, members ...string) error {
	d.change.Lock()
	defer d.change.Unlock()
	addr, err := newAddress(name)
	if err != nil {
		return addressProblem(name)
	}
	addr = d.names.canonical(addr)
	v, ok := d.names.aliases[addr]
	if !ok {
		if _, err := d.free(name); err != nil {
			return err
		}
		v = Alias{Address: addr.String()}
	}
	v.Members = slices.Clone(v.Members)
	before := len(v.Members)
	for _, m := range members {
		member, err := d.names.parse(m)
		if err != nil {
			return addressProblem(m)
		}
		if member == addr {
			return problem(ErrLoop, "%s cannot lead to itself", addr)
		}
		if d.names.memberIndex(v.Members, member) < 0 {
			if d.leadsToAlias(member, addr) {
				return problem(ErrLoop, "%s leads back to %s: their mail would go round; see mailstead alias show %s", member, addr, member)
			}
			v.Members = append(v.Members, d.memberText(member, m))
		}
	}
	switch {
	case len(v.Members) == before:
		return problem(ErrExists, "%s leads there already", addr)
	case len(v.Members) >= maxExpansion:
		return problem(ErrTangle, "%s would lead to too many addresses; %d is the most", addr, maxExpansion-1)
	}
	return d.commitAlias(ctx, v)
}

// memberText is how a member is kept: an address of this server in the form that
// is compared; of one elsewhere only the domain, since what its local part
// means is that server's matter (RFC 5321 section 2.4).
func (d *Directory) memberText(member address, given string) string {
	if _, ok := d.names.domains[member.domain]; ok {
		return member.String()
	}
	return given[:strings.LastIndexByte(given, '@')+1] + member.domain
}

// memberIndex is where a member stands in whatever spelling, -1 for nowhere.
func (n *names) memberIndex(members []string, member address) int {
	return slices.IndexFunc(members, func(m string) bool {
		a, err := n.parse(m)
		return err == nil && a == member
	})
}

func (d *Directory) commitAlias(ctx context.Context, v Alias) error {
	if err := d.store.Change(ctx, keepAlias(v)); err != nil {
		return fmt.Errorf("keep alias %s: %w", v.Address, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names.setAlias(v)
	return nil
}

// RemoveAlias removes members, or the whole alias when none is named or left.
// ErrNoSuch.
func (d *Directory) RemoveAlias(ctx context.Context, name string, members ...string) error {
	d.change.Lock()
	defer d.change.Unlock()
	v, err := d.findAlias(name)
	if err != nil {
		return err
	}
	kept := slices.Clone(v.Members)
	for _, m := range members {
		member, err := d.names.parse(m)
		if err != nil {
			return addressProblem(m)
		}
		i := d.names.memberIndex(kept, member)
		if i < 0 {
			return problem(ErrNoSuch, "%s does not lead to %s", v.Address, member)
		}
		kept = slices.Delete(kept, i, i+1)
	}
	if len(members) == 0 {
		kept = nil
	}
	v.Members = kept
	return d.commitAlias(ctx, v)
}

// Alias returns one alias. ErrNoSuch, ErrAddress.
func (d *Directory) Alias(name string) (Alias, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.findAlias(name)
}

// findAlias is Alias for those who hold a lock.
func (d *Directory) findAlias(name string) (Alias, error) {
	addr, err := d.names.parse(name)
	if err != nil {
		return Alias{}, addressProblem(name)
	}
	v, ok := d.names.aliases[addr]
	if !ok {
		return Alias{}, problem(ErrNoSuch, "%s is no alias; mailstead alias list has them", addr)
	}
	return v, nil
}

// leadsToAlias reports whether mail for an address comes through an alias, by other aliases.
func (d *Directory) leadsToAlias(at, alias address) bool {
	if _, ok := d.names.domains[at.domain]; !ok {
		return false
	}
	w := walk{names: &d.names, seen: map[address]bool{at: true}, queue: []step{{at: at}}}
	for ; len(w.queue) > 0; w.queue = w.queue[1:] {
		if w.step(w.queue[0]) != nil {
			return false // too many to know; Resolve ends loops
		}
	}
	return w.seen[alias]
}

// Aliases lists the aliases by address.
func (d *Directory) Aliases() []Alias {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.SortedFunc(maps.Values(d.names.aliases), func(a, b Alias) int { return cmp.Compare(a.Address, b.Address) })
}
