package directory

import (
	"context"
	"slices"
	"strings"

	"mailstead/mailbox"
)

// bouncesSuffix makes of a list's local part that of the address for its notices.
const bouncesSuffix = "-bounces"

// SetMembersOnly says whether only members may write to an alias. ErrNoSuch.
func (d *Directory) SetMembersOnly(ctx context.Context, alias string, only bool) error {
	return d.editAlias(ctx, alias, func(v *Alias) error {
		v.MembersOnly = only
		return nil
	})
}

// SetOwner makes an alias a list with an owner (RFC 5321 section 3.9.2): what cannot be delivered to members
// elsewhere is told to the owner, not to who wrote. "" ends that. ErrNoSuch, ErrAddress, ErrLoop for the list itself.
func (d *Directory) SetOwner(ctx context.Context, alias, owner string) error {
	return d.editAlias(ctx, alias, func(v *Alias) error {
		v.Owner = ""
		if owner == "" {
			return nil
		}
		at, err := d.names.parse(owner)
		if err != nil {
			return addressProblem(owner)
		}
		local, isBounces := strings.CutSuffix(at.local, bouncesSuffix)
		own := isBounces && address{local, at.domain}.String() == v.Address
		if at.String() == v.Address || own || d.names.ownerOf(at) != "" {
			return problem(ErrLoop, "%s cannot own %s: its notices would come back to it; name an account, or an address elsewhere", at, v.Address)
		}
		v.Owner = d.memberText(at, owner)
		return nil
	})
}

func (d *Directory) editAlias(ctx context.Context, name string, change func(*Alias) error) error {
	d.change.Lock()
	defer d.change.Unlock()
	v, err := d.findAlias(name)
	if err != nil {
		return err
	}
	if err := change(&v); err != nil {
		return err
	}
	return d.commitAlias(ctx, v)
}

// ownerOf is the owner of the list whose address for notices this is; "" where it is none.
func (n *names) ownerOf(at address) string {
	local, ok := strings.CutSuffix(at.local, bouncesSuffix)
	if !ok {
		return ""
	}
	return n.aliases[address{local, at.domain}].Owner
}

// IsMember reports whether the writer with one of these addresses may write to a list of Route.Closed: its members,
// by the address that stands there or by any that gets to the same account, and its owner.
func (d *Directory) IsMember(list string, writers ...string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, err := d.names.parse(list)
	if err != nil {
		return false
	}
	alias := d.names.aliases[at]
	members, _ := d.names.resolve(at, false)
	return slices.ContainsFunc(writers, func(w string) bool {
		writer, err := d.names.parse(w)
		if err != nil {
			return false
		}
		base, _, _ := splitDetail(writer.local)
		plain := address{base, writer.domain}
		for _, listed := range [][]string{alias.Members, members.Remote, {alias.Owner}} {
			if d.names.memberIndex(listed, writer) >= 0 || d.names.memberIndex(listed, plain) >= 0 {
				return true
			}
		}
		a := d.names.addresses[writer]
		if a == nil {
			a = d.names.addresses[plain]
		}
		return a != nil && slices.ContainsFunc(members.Local, func(l Delivery) bool { return l.Account == a.ID })
	})
}

// HasMember reports whether an account of this server is a member of a list, or its owner.
func (d *Directory) HasMember(list string, id mailbox.AccountID) bool {
	d.mu.RLock()
	a := d.names.accounts[id]
	d.mu.RUnlock()
	return a != nil && d.IsMember(list, append([]string{a.Name}, a.Addresses...)...)
}
