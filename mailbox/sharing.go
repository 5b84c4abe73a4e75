package mailbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// OtherUsers is the first level of the names under which accounts see mailboxes that
// others share with them (RFC 2342). No mailbox can have it, or a name below it.
const OtherUsers = "Other Users"

// isOthersName reports whether a canonical name is one of what others share.
func isOthersName(name string) bool {
	return name == OtherUsers || strings.HasPrefix(name, OtherUsers+"/")
}

// Permit has a change made only if an account has the rights for it when the change is
// decided on. ErrRights otherwise.
type Permit struct {
	Account AccountID
	Rights  Rights
}

// rights are those of user on the mailbox.
func (l *listing) rights(user AccountID) Rights { return rightsOf(l.grants, user, l.box.account) }

// permits asks whether all permits are given on a mailbox. ErrRights.
func (l *listing) permits(permits []Permit) error {
	for _, p := range permits {
		if !l.rights(p.Account).Has(p.Rights) {
			return ErrRights
		}
	}
	return nil
}

// permitted returns the listing of an open mailbox that is to be changed, where all permits
// are given on it. ErrGone, ErrRights.
func (d *decision) permitted(b *box, permits []Permit) (*listing, error) {
	l := d.s.pending.listings[b.id]
	if b.pending.gone || l == nil {
		return nil, ErrGone
	}
	return l, l.permits(permits)
}

// permitsBelow asks the same of the nearest existing level above a name. Where there is
// none, all is the owner's (RFC 4314 section 4, CREATE).
func (a *account) permitsBelow(owner AccountID, name string, permits []Permit) error {
	if l := a.above(name); l != nil {
		return l.permits(permits)
	}
	for _, p := range permits {
		if p.Account != owner {
			return ErrRights
		}
	}
	return nil
}

// above returns the nearest existing level above a name, or nil.
func (a *account) above(name string) *listing {
	for _, p := range slices.Backward(parents(name)) {
		if l := a.names[p]; l != nil {
			return l
		}
	}
	return nil
}

// Access describes the mailbox name of account a as user sees it, with the rights that
// user has. ErrNoAccount, ErrNoMailbox.
func (s *Store) Access(user, a AccountID, name string) (Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, err := s.durable.find(a, canonicalName(name))
	if err != nil {
		return Info{}, err
	}
	return s.info(user, l), nil
}

// AccessAbove returns the rights that user has on the nearest existing mailbox above a
// name of account a, which need not exist: they say what may be made under the name.
// Without such a mailbox the owner has all. ErrNoAccount.
func (s *Store) AccessAbove(user, a AccountID, name string) (Rights, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc := s.durable.accounts[a]
	switch {
	case acc == nil:
		return 0, ErrNoAccount
	case acc.above(canonicalName(name)) != nil:
		return acc.above(canonicalName(name)).rights(user), nil
	case user == a:
		return AllRights, nil
	}
	return 0, nil
}

// Shared returns the mailboxes of others on which user has any right, in no order; names
// are those in the owners' accounts. What is about the owner alone is left out:
// subscription and special use.
func (s *Store) Shared(user AccountID) []Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []Info
	for _, l := range s.durable.shared {
		if l.box.account != user && l.rights(user) != 0 {
			list = append(list, s.info(user, l))
		}
	}
	return list
}

// Rights are those that user has on the open mailbox now; none when it was deleted.
func (m *Mailbox) Rights(user AccountID) Rights {
	m.s.mu.RLock()
	defer m.s.mu.RUnlock()
	if l := m.s.durable.listings[m.box.id]; l != nil {
		return l.rights(user)
	}
	return 0
}

// Grants returns the access control list of a mailbox, the owner first, who is in it
// with all that he has, whether that is written down or not. ErrNoAccount, ErrNoMailbox.
func (s *Store) Grants(a AccountID, name string) ([]Grant, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, err := s.durable.find(a, canonicalName(name))
	if err != nil {
		return nil, err
	}
	own := Grant{Account: a, Rights: AllRights}
	list := []Grant{own}
	for _, g := range l.grants {
		if compareGrants(g, own) == 0 {
			list[0] = g
		} else {
			list = append(list, g)
		}
	}
	return list, nil
}

// ChangeRights changes one entry of a mailbox's access control list; durable when it
// returns. An account that is not there cannot be given anything.
// ErrNoAccount, ErrNoMailbox, ErrRights, ErrLimit.
func (s *Store) ChangeRights(ctx context.Context, a AccountID, name string, c RightsChange, permits ...Permit) error {
	name = canonicalName(name)
	return s.write(ctx, urgent, baseNeed+maxGrants*grantNeed, nil, func(d *decision) error {
		l, err := s.pending.find(a, name)
		if err != nil {
			return err
		}
		if err := l.permits(permits); err != nil {
			return err
		}
		if c.Account != Anyone && s.pending.accounts[c.Account] == nil {
			return fmt.Errorf("%w: to be given rights", ErrNoAccount)
		}
		grants, err := c.apply(l.grants, a)
		if err != nil {
			return err
		}
		if !slices.Equal(grants, l.grants) {
			d.grant(l.box, grants)
		}
		return nil
	})
}

// grantNeed bounds what an entry takes in a record, in bytes.
const grantNeed = 8

// grant decides that a mailbox gets an access control list.
func (d *decision) grant(b *box, grants []Grant) {
	d.change(b) // sessions that have it open look at their rights
	d.ops = append(d.ops, opRights{Mailbox: b.id, Grants: grants})
}

// inherited is the list that a new mailbox gets: that of the nearest level above it
// (RFC 4314 section 4, CREATE).
func (a *account) inherited(name string) []Grant {
	if l := a.above(name); l != nil {
		return l.grants
	}
	return nil
}

// appendAudience adds the accounts that b is shared with.
func (c *catalogue) appendAudience(list []AccountID, b *box) []AccountID {
	l := c.shared[b.id]
	if l == nil {
		return list
	}
	for _, g := range l.grants {
		switch {
		case g.Negative:
		case g.Account == Anyone:
			for a := range c.accounts {
				list = append(list, a)
			}
		default:
			list = append(list, g.Account)
		}
	}
	return list
}

// changesRights reports whether o says who may see a mailbox.
func changesRights(o op) bool {
	_, ok := o.(opRights)
	return ok
}
