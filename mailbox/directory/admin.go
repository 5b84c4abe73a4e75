package directory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"mailstead/mailbox"
)

// put is the change that keeps v under key.
func put(key string, v any) mailbox.RoomChange {
	value, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("directory: %T cannot be kept: %v", v, err)) // our own types always can
	}
	return mailbox.RoomChange{Room: room, Key: key, Value: value}
}

func remove(key string) mailbox.RoomChange { return mailbox.RoomChange{Room: room, Key: key} }

func accountPath(id mailbox.AccountID) string {
	return accountKey + strconv.FormatUint(uint64(id), 10)
}

// AddDomain adds a domain. ErrExists, ErrAddress.
func (d *Directory) AddDomain(ctx context.Context, name string) error {
	d.change.Lock()
	defer d.change.Unlock()
	name = foldDomain(name)
	if !validDomain(name) {
		return ErrAddress
	}
	if d.IsLocal(name) {
		return ErrExists
	}
	return d.keepDomain(ctx, Domain{Name: name})
}

func (d *Directory) keepDomain(ctx context.Context, v Domain) error {
	if err := d.store.Change(ctx, put(domainKey+v.Name, v)); err != nil {
		return fmt.Errorf("keep domain %s: %w", v.Name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names.domains[v.Name] = v
	return nil
}

// RemoveDomain removes a domain without accounts and aliases. ErrNoSuch, ErrInUse.
func (d *Directory) RemoveDomain(ctx context.Context, name string) error {
	d.change.Lock()
	defer d.change.Unlock()
	name = foldDomain(name)
	if !d.IsLocal(name) {
		return ErrNoSuch
	}
	for addr := range d.names.addresses {
		if addr.domain == name {
			return ErrInUse
		}
	}
	for addr := range d.names.aliases {
		if addr.domain == name {
			return ErrInUse
		}
	}
	if err := d.store.Change(ctx, remove(domainKey+name)); err != nil {
		return fmt.Errorf("remove domain %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names.domains, name)
	return nil
}

// SetCatchAll leads unknown addresses of domain to account; "" ends that. ErrNoSuch.
func (d *Directory) SetCatchAll(ctx context.Context, domain, account string) error {
	d.change.Lock()
	defer d.change.Unlock()
	v, ok := d.names.domains[foldDomain(domain)]
	if !ok {
		return ErrNoSuch
	}
	v.CatchAll = ""
	if account != "" {
		a, err := d.Account(account)
		if err != nil {
			return err
		}
		v.CatchAll = a.Name
	}
	return d.keepDomain(ctx, v)
}

// Domains lists the domains by name.
func (d *Directory) Domains() []Domain {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.SortedFunc(maps.Values(d.names.domains), func(a, b Domain) int { return cmp.Compare(a.Name, b.Name) })
}

// Domain returns one domain. ErrNoSuch.
func (d *Directory) Domain(name string) (Domain, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	v, ok := d.names.domains[foldDomain(name)]
	if !ok {
		return Domain{}, ErrNoSuch
	}
	return v, nil
}

// free checks an address that is to be made: its domain is ours and nobody has it.
func (d *Directory) free(s string) (address, error) {
	addr, err := newAddress(s)
	if err != nil {
		return address{}, err
	}
	if _, ok := d.names.domains[addr.domain]; !ok {
		return address{}, ErrNotLocal
	}
	if _, ok := d.names.addresses[addr]; ok {
		return address{}, ErrExists
	}
	if _, ok := d.names.aliases[addr]; ok {
		return address{}, ErrExists
	}
	return addr, nil
}

// AddAccount makes an account with its mailboxes. Its domain must exist.
// ErrExists, ErrAddress, ErrNotLocal, ErrPassword.
func (d *Directory) AddAccount(ctx context.Context, name, password string) (Account, error) {
	c, err := d.hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	d.change.Lock()
	defer d.change.Unlock()
	addr, err := d.free(name)
	if err != nil {
		return Account{}, err
	}
	record := &accountRecord{Entry: Entry{Name: addr.String(), Addresses: []string{}, Created: d.now().UTC()}, Password: c}
	_, err = d.store.CreateAccount(ctx, func(id mailbox.AccountID) []mailbox.RoomChange {
		record.ID = id
		return []mailbox.RoomChange{put(accountPath(id), record)}
	})
	if err != nil {
		return Account{}, fmt.Errorf("make account %s: %w", addr, err)
	}
	d.replace(record)
	return Account{ID: record.ID, Name: record.Name}, nil
}

// replace makes a record, which is on disk, the present one.
func (d *Directory) replace(a *accountRecord) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names.dropAccount(a)
	d.names.addAccount(a)
}

// hash makes credentials, within the bound for hashing.
func (d *Directory) hash(ctx context.Context, password string) (credentials, error) {
	prepared, err := preparePassword(password)
	if err != nil {
		return credentials{}, err
	}
	done, err := d.turnToHash(ctx)
	if err != nil {
		return credentials{}, err
	}
	defer done()
	return newCredentials(prepared)
}

// edit changes a copy of an account's record and keeps it.
func (d *Directory) edit(ctx context.Context, name string, f func(*accountRecord) error) error {
	d.change.Lock()
	defer d.change.Unlock()
	old, err := d.find(name)
	if err != nil {
		return err
	}
	record := *old
	record.Addresses, record.Forward.To = slices.Clone(old.Addresses), slices.Clone(old.Forward.To)
	if err := f(&record); err != nil {
		return err
	}
	if err := d.store.Change(ctx, put(accountPath(record.ID), &record)); err != nil {
		return fmt.Errorf("keep account %s: %w", record.Name, err)
	}
	d.replace(&record)
	return nil
}

func (d *Directory) find(name string) (*accountRecord, error) {
	addr, err := parseAddress(name)
	if err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a := d.names.addresses[addr]; a != nil {
		return a, nil
	}
	return nil, ErrNoSuch
}

// SetPassword replaces the password; app passwords stay. ErrNoSuch, ErrPassword.
func (d *Directory) SetPassword(ctx context.Context, name, password string) error {
	a, err := d.find(name)
	if err != nil {
		return err
	}
	var c credentials
	if apps := slices.DeleteFunc(slices.Clone(a.Password.Verifiers), func(v verifier) bool { return v.App == nil }); len(apps) == 0 {
		c, err = d.hash(ctx, password)
	} else {
		c = credentials{Salt: a.Password.Salt, Count: a.Password.Count}
		var v verifier
		v, err = d.hashBeside(ctx, password, c)
		c.Verifiers = append([]verifier{v}, apps...)
	}
	if err != nil {
		return err
	}
	return d.edit(ctx, name, func(r *accountRecord) error {
		if r.Password.unlike(a.Password) {
			return errChanged
		}
		r.Password = c
		return nil
	})
}

// unlike tells whether two states of an account's passwords are of different passwords.
func (c credentials) unlike(o credentials) bool {
	return !slices.EqualFunc(c.Verifiers, o.Verifiers, func(a, b verifier) bool { return bytes.Equal(a.Argon2id, b.Argon2id) })
}

// HasPassword reports whether password is one of the account's, for an
// administrator who sets it again: no throttle, no delay. ErrNoSuch.
func (d *Directory) HasPassword(ctx context.Context, name, password string) (bool, error) {
	a, err := d.find(name)
	if err != nil {
		return false, err
	}
	prepared, err := preparePassword(password)
	if err != nil {
		return false, err
	}
	done, err := d.turnToHash(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	return a.Password.verify(prepared), nil
}

// AddAddress gives an account a further address. ErrNoSuch, ErrExists, ErrAddress, ErrNotLocal.
func (d *Directory) AddAddress(ctx context.Context, account, further string) error {
	return d.edit(ctx, account, func(a *accountRecord) error {
		addr, err := d.free(further)
		if err != nil {
			return err
		}
		a.Addresses = append(a.Addresses, addr.String())
		return nil
	})
}

// RemoveAddress takes a further address back; the first one stays. ErrNoSuch, ErrInUse.
func (d *Directory) RemoveAddress(ctx context.Context, account, further string) error {
	return d.edit(ctx, account, func(a *accountRecord) error {
		addr, err := parseAddress(further)
		if err != nil {
			return err
		}
		if addr.String() == a.Name {
			return ErrInUse
		}
		i := slices.Index(a.Addresses, addr.String())
		if i < 0 {
			return ErrNoSuch
		}
		a.Addresses = slices.Delete(a.Addresses, i, i+1)
		return nil
	})
}

// RemoveAccount removes an account with all its mail, its addresses and its
// place in aliases and catch-alls. RestoreAccount brings it back while its mail
// is retained. ErrNoSuch.
func (d *Directory) RemoveAccount(ctx context.Context, name string) error {
	d.change.Lock()
	defer d.change.Unlock()
	a, err := d.find(name)
	if err != nil {
		return err
	}
	changes := []mailbox.RoomChange{remove(accountPath(a.ID)), d.keepRemoved(a)}
	var aliases []Alias
	for _, v := range d.names.aliases {
		kept := slices.DeleteFunc(slices.Clone(v.Members), func(m string) bool { return d.owns(a, m) })
		gone := v.Owner != "" && d.owns(a, v.Owner)
		if len(kept) < len(v.Members) || gone {
			if v.Members = kept; gone {
				v.Owner = ""
			}
			aliases = append(aliases, v)
			changes = append(changes, keepAlias(v))
		}
	}
	forwarding, unforward := d.withoutForwardsTo(a)
	changes = append(changes, unforward...)
	var domains []Domain
	for _, v := range d.names.domains {
		if v.CatchAll == a.Name {
			v.CatchAll = ""
			domains = append(domains, v)
			changes = append(changes, put(domainKey+v.Name, v))
		}
	}
	if err := d.store.DeleteAccount(ctx, a.ID, changes...); err != nil {
		return fmt.Errorf("remove account %s: %w", a.Name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names.dropAccount(a)
	for _, v := range aliases {
		d.names.setAlias(v)
	}
	for _, v := range domains {
		d.names.domains[v.Name] = v
	}
	for _, r := range forwarding {
		d.names.dropAccount(r)
		d.names.addAccount(r)
	}
	return nil
}

// owns reports whether address is one of a's.
func (d *Directory) owns(a *accountRecord, address string) bool {
	owner, err := d.find(address)
	return err == nil && owner.ID == a.ID
}

// Accounts lists the accounts by name.
func (d *Directory) Accounts() []Entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	entries := make([]Entry, 0, len(d.names.accounts))
	for _, a := range d.names.accounts {
		entries = append(entries, a.Entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries
}

// Account finds an account by any of its addresses. ErrNoSuch.
func (d *Directory) Account(name string) (Entry, error) {
	a, err := d.find(name)
	if err != nil {
		return Entry{}, ErrNoSuch
	}
	return a.Entry, nil
}

// keepAlias keeps an alias, or ends it when it leads nowhere.
func keepAlias(v Alias) mailbox.RoomChange {
	if len(v.Members) == 0 {
		return remove(aliasKey + v.Address)
	}
	return put(aliasKey+v.Address, v)
}

func (n *names) setAlias(v Alias) {
	addr, err := parseAddress(v.Address)
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
		return err
	}
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
		member, err := parseAddress(m)
		if err != nil {
			return fmt.Errorf("member %q: %w", m, err)
		}
		if memberIndex(v.Members, member) < 0 {
			v.Members = append(v.Members, d.memberText(member, m))
		}
	}
	switch {
	case len(v.Members) == before:
		return ErrExists
	case len(v.Members) >= maxExpansion:
		return ErrTangle
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
func memberIndex(members []string, member address) int {
	return slices.IndexFunc(members, func(m string) bool {
		a, err := parseAddress(m)
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
	addr, err := parseAddress(name)
	if err != nil {
		return err
	}
	v, ok := d.names.aliases[addr]
	if !ok {
		return ErrNoSuch
	}
	kept := slices.Clone(v.Members)
	for _, m := range members {
		member, err := parseAddress(m)
		if err != nil {
			return fmt.Errorf("member %q: %w", m, err)
		}
		i := memberIndex(kept, member)
		if i < 0 {
			return ErrNoSuch
		}
		kept = slices.Delete(kept, i, i+1)
	}
	if len(members) == 0 {
		kept = nil
	}
	v.Members = kept
	return d.commitAlias(ctx, v)
}

// Alias returns one alias. ErrNoSuch.
func (d *Directory) Alias(name string) (Alias, error) {
	addr, err := parseAddress(name)
	if err != nil {
		return Alias{}, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	v, ok := d.names.aliases[addr]
	if !ok {
		return Alias{}, ErrNoSuch
	}
	return v, nil
}

// Aliases lists the aliases by address.
func (d *Directory) Aliases() []Alias {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.SortedFunc(maps.Values(d.names.aliases), func(a, b Alias) int { return cmp.Compare(a.Address, b.Address) })
}
