package directory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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
	given := name
	if name = foldDomain(name); !validDomain(name) {
		return domainProblem(given)
	}
	if v, ok := d.names.domains[name]; ok {
		if v.AliasOf != "" {
			return problem(ErrExists, "%s is a domain of this server already: it stands for %s", name, v.AliasOf)
		}
		return problem(ErrExists, "%s is a domain of this server already", name)
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

// SetCatchAll leads unknown addresses of domain to account; "" ends that. ErrNoSuch, ErrAliasDomain.
func (d *Directory) SetCatchAll(ctx context.Context, domain, account string) error {
	d.change.Lock()
	defer d.change.Unlock()
	v, err := d.Domain(domain)
	if err != nil {
		return err
	}
	if v.AliasOf != "" {
		return problem(ErrAliasDomain, "%s stands for %s; set the catch-all there, and it is one of both: mailstead domain catch-all %s", v.Name, v.AliasOf, v.AliasOf)
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
		return Domain{}, noDomain(name)
	}
	return v, nil
}

// free checks an address that is to be made: its domain is ours and nobody has it. ErrAddress, ErrNotLocal,
// ErrAliasDomain, ErrExists.
func (d *Directory) free(s string) (address, error) {
	addr, err := newAddress(s)
	if err != nil {
		return address{}, addressProblem(s)
	}
	v, ok := d.names.domains[addr.domain]
	switch {
	case !ok:
		return address{}, problem(ErrNotLocal, "%s is no domain of this server; add it first: mailstead domain add %s", addr.domain, addr.domain)
	case v.AliasOf != "":
		return address{}, problem(ErrAliasDomain, "%s stands for %s; make %s@%s, and it is the same at both", v.Name, v.AliasOf, addr.local, v.AliasOf)
	}
	if a := d.names.addresses[addr]; a != nil {
		return address{}, problem(ErrExists, "%s exists already: it is an address of the account %s", addr, a.Name)
	}
	if _, ok := d.names.aliases[addr]; ok {
		return address{}, problem(ErrExists, "%s exists already: it is an alias; mailstead alias show %s tells where it leads", addr, addr)
	}
	if _, ok := d.names.masked[addr]; ok {
		return address{}, problem(ErrExists, "%s exists already: it is a masked address", addr)
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
	_, err := d.editAccount(ctx, name, f)
	return err
}

// editAccount is edit, and returns the record.
func (d *Directory) editAccount(ctx context.Context, name string, f func(*accountRecord) error) (*accountRecord, error) {
	d.change.Lock()
	defer d.change.Unlock()
	old, err := d.find(name)
	if err != nil {
		return nil, err
	}
	record := *old
	record.Addresses, record.Forward.To = slices.Clone(old.Addresses), slices.Clone(old.Forward.To)
	if err := f(&record); err != nil {
		return nil, err
	}
	if err := d.store.Change(ctx, put(accountPath(record.ID), &record)); err != nil {
		return nil, fmt.Errorf("keep account %s: %w", record.Name, err)
	}
	d.replace(&record)
	return &record, nil
}

// find finds an account by any of its addresses. ErrNoSuch, ErrAddress.
func (d *Directory) find(name string) (*accountRecord, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	addr, err := d.names.parse(name)
	if err != nil {
		return nil, addressProblem(name)
	}
	if a := d.names.addresses[addr]; a != nil {
		return a, nil
	}
	return nil, noAccount(addr.String())
}

// noAccount is the error for an account that is not here.
func noAccount(name string) error {
	return problem(ErrNoSuch, "%s is no address of an account; mailstead account list has them", quoted(name))
}

// addressProblem says what is wrong with a text that is no address that can be used here.
func addressProblem(s string) error {
	local, domain, _ := strings.Cut(s, "@")
	why := "it is to be like ann@example.org"
	switch {
	case !utf8.ValidString(s):
		why = "it is not UTF-8"
	case local == "" || domain == "":
	case strings.ContainsAny(local, "\"\\ "):
		why = "a name with spaces or quotes cannot be typed into every mail program; take a dot or a hyphen"
	case strings.Contains(local, "+"):
		why = "what stands behind a plus is a detail: every address has all of them without being told"
	case len(local) > 64:
		why = "what is in front of the @ has 64 octets at most"
	case !validDomain(foldDomain(domain)):
		why = "what is behind the @ is no domain name"
	}
	return problem(ErrAddress, "%s is no address that can be used here: %s", quoted(s), why)
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
		addr, err := d.names.parse(further)
		if err != nil {
			return addressProblem(further)
		}
		if addr.String() == a.Name {
			return problem(ErrInUse, "%s is still in use: it is the account's name; give it another first: mailstead account rename %s NEW", addr, addr)
		}
		i := slices.Index(a.Addresses, addr.String())
		if i < 0 {
			return problem(ErrNoSuch, "%s is no further address of %s", addr, a.Name)
		}
		a.Addresses = slices.Delete(a.Addresses, i, i+1)
		a.leave(addr.String(), d.now())
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
	r := revision{changes: []mailbox.RoomChange{remove(accountPath(a.ID)), d.keepRemoved(a)}}
	for _, v := range d.names.aliases {
		kept := slices.DeleteFunc(slices.Clone(v.Members), func(m string) bool { return d.owns(a, m) })
		gone := v.Owner != "" && d.owns(a, v.Owner)
		if len(kept) < len(v.Members) || gone {
			if v.Members = kept; gone {
				v.Owner = ""
			}
			r.alias(v)
		}
	}
	d.withoutForwardsTo(a, &r)
	for _, v := range d.names.domains {
		if v.CatchAll == a.Name {
			v.CatchAll = ""
			r.domain(v)
		}
	}
	if err := d.store.DeleteAccount(ctx, a.ID, r.changes...); err != nil {
		return fmt.Errorf("remove account %s: %w", a.Name, err)
	}
	d.mu.Lock()
	d.names.dropAccount(a)
	d.mu.Unlock()
	d.show(&r)
	d.logins.endAll(a.ID)
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
	if errors.Is(err, ErrAddress) {
		return Entry{}, noAccount(name)
	}
	if err != nil {
		return Entry{}, err
	}
	return a.Entry, nil
}
