package directory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailstead/mailbox"
)

// Errors of masked addresses.
var (
	ErrSwitchedOff = errors.New("directory: the address is switched off")               // RCPT: 550 5.1.1
	ErrTimeOver    = errors.New("directory: the address was for a time, which is over") // RCPT: 550 5.1.1
	ErrMasked      = errors.New("directory: no such kind of masked address")
)

const (
	// maxMasked bounds the masked addresses of an account; all of them are in memory, some 300 bytes each.
	maxMasked = 1000
	// maskedKey is where masked addresses are kept, each under itself.
	maskedKey = "masked/"
)

// Masked is an address made at random that leads to an account: for those who are not to know another one.
type Masked struct {
	Address string    `json:"address"`
	Account string    `json:"account"` // its name
	Label   string    `json:"label"`   // what it is for; "" = nobody said
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // mail is refused from then on; zero = never
	Off     bool      `json:"off"`              // mail is refused
	Letters int       `json:"letters"`          // that came to it
	LastUse time.Time `json:"last_use,omitzero"`
}

// maskedRecord is a masked address as it is kept.
type maskedRecord struct {
	Account mailbox.AccountID `json:"account"`
	Label   string            `json:"label,omitempty"`
	Created time.Time         `json:"created"`
	Expires time.Time         `json:"expires,omitzero"`
	Off     bool              `json:"off,omitempty"`
	letters
}

// letters are what came to a masked address.
type letters struct {
	Letters int       `json:"letters,omitempty"`
	LastUse time.Time `json:"last_use,omitzero"`
}

// plus adds up what came.
func (l letters) plus(o letters) letters {
	l.Letters += o.Letters
	if o.LastUse.After(l.LastUse) {
		l.LastUse = o.LastUse
	}
	return l
}

// maskedAddress is a record with its address; one that is nobody's is to be removed.
type maskedAddress struct {
	at address
	maskedRecord
}

func (n *names) setMasked(v maskedAddress) {
	if v.Account == 0 {
		delete(n.masked, v.at)
		return
	}
	n.masked[v.at] = v.maskedRecord
}

// readMasked takes over what was kept of one.
func (n *names) readMasked(text string, value []byte) error {
	at, err := parseAddress(text)
	if err != nil {
		return err
	}
	v := maskedAddress{at: at}
	if err := json.Unmarshal(value, &v.maskedRecord); err != nil {
		return err
	}
	n.setMasked(v)
	return nil
}

// state is nil for an address that takes mail, else why it does not.
func (m maskedRecord) state(now time.Time) error {
	switch {
	case m.Off:
		return ErrSwitchedOff
	case !m.Expires.IsZero() && !now.Before(m.Expires):
		return ErrTimeOver
	}
	return nil
}

// unmask goes on from a masked address to its account. That of a removed one leads nowhere, also not to a catch-all account.
func (w *walk) unmask(at address, m maskedRecord, detail string, by Leading) error {
	a, err := w.accounts[m.Account], m.state(w.time())
	switch {
	case a == nil:
		w.refuse(ErrNoSuch)
		return nil
	case err != nil:
		w.refuse(err)
		return nil
	}
	w.route.Masked = append(w.route.Masked, at.String())
	return w.account(a, detail, by)
}

// AddMasked makes a masked address for an account, at its own domain or at another of this server. A zero
// expires is never. ErrNoSuch, ErrNotLocal, ErrAliasDomain, ErrMasked, ErrTooMany.
func (d *Directory) AddMasked(ctx context.Context, account, label, domain string, expires time.Time) (Masked, error) {
	d.change.Lock()
	defer d.change.Unlock()
	a, err := d.find(account)
	if err != nil {
		return Masked{}, err
	}
	if err := CheckMaskedLabel(label); err != nil {
		return Masked{}, err
	}
	if err := d.checkEnd(expires); err != nil {
		return Masked{}, err
	}
	if err := d.roomForMasked(a); err != nil {
		return Masked{}, err
	}
	_, own, _ := strings.Cut(a.Name, "@")
	at, err := d.unguessed(cmp.Or(domain, own))
	if err != nil {
		return Masked{}, err
	}
	v := maskedAddress{at, maskedRecord{Account: a.ID, Label: label, Created: d.now().UTC(), Expires: expires.UTC()}}
	if err := d.keepMasked(ctx, v); err != nil {
		return Masked{}, err
	}
	return v.describe(a.Name, letters{}), nil
}

func validLabel(label string) bool {
	return label != "" && len(label) <= maxLabel && utf8.ValidString(label) &&
		!strings.ContainsFunc(label, func(c rune) bool { return !unicode.IsPrint(c) })
}

func (d *Directory) checkEnd(expires time.Time) error {
	if !expires.IsZero() && !expires.After(d.now()) {
		return problem(ErrMasked, "that end is in the past")
	}
	return nil
}

func (d *Directory) roomForMasked(a *accountRecord) error {
	if n := d.countMasked(a.ID); n >= maxMasked {
		return problem(ErrTooMany, "%s has %d masked addresses, and can have no more; remove some first", a.Name, n)
	}
	return nil
}

func (d *Directory) countMasked(id mailbox.AccountID) (n int) {
	for _, m := range d.names.masked {
		if m.Account == id {
			n++
		}
	}
	return n
}

// unguessed is a free address that nobody guesses and people can read out.
func (d *Directory) unguessed(domain string) (address, error) {
	for {
		at, err := d.free(syllables() + "@" + domain)
		if !errors.Is(err, ErrExists) {
			return at, err
		}
	}
}

// syllables makes a local part of two words with three syllables each: 36 bits, which is too many for whoever asks
// a mail server for names, see Limits of package smtp.
func syllables() string {
	const consonants, vowels = "bdfghjklmnprstvz", "aeio"
	var b strings.Builder
	for i, r := range randomBytes(6) {
		if i == 3 {
			b.WriteByte('-')
		}
		b.WriteByte(consonants[r>>4])
		b.WriteByte(vowels[r&3])
	}
	return b.String()
}

func (d *Directory) keepMasked(ctx context.Context, v maskedAddress) error {
	var r revision
	r.mask(v)
	if err := d.commit(ctx, &r); err != nil {
		return fmt.Errorf("keep masked address %s: %w", v.at, err)
	}
	return nil
}

// describe is a masked address as people see it.
func (v maskedAddress) describe(account string, more letters) Masked {
	l := v.letters.plus(more)
	return Masked{
		Address: v.at.String(), Account: account, Label: v.Label, Created: v.Created, Expires: v.Expires, Off: v.Off,
		Letters: l.Letters, LastUse: l.LastUse,
	}
}

// MaskedAddresses lists those of an account, or of all where it is "", the oldest first. ErrNoSuch.
func (d *Directory) MaskedAddresses(account string) ([]Masked, error) {
	var of *accountRecord
	if account != "" {
		var err error
		if of, err = d.find(account); err != nil {
			return nil, err
		}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := []Masked{}
	for at, m := range d.names.masked {
		if a := d.names.accounts[m.Account]; a != nil && (of == nil || of.ID == a.ID) {
			list = append(list, maskedAddress{at, m}.describe(a.Name, d.arrived.of(at)))
		}
	}
	slices.SortFunc(list, func(a, b Masked) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Address, b.Address))
	})
	return list, nil
}

// SwitchMasked has mail to a masked address refused, or taken again; a non-nil expires sets its end, too.
// ErrNoSuch, ErrExists where nothing changes, ErrTimeOver for one whose end is past, ErrMasked.
func (d *Directory) SwitchMasked(ctx context.Context, masked string, on bool, expires *time.Time) error {
	d.change.Lock()
	defer d.change.Unlock()
	v, err := d.findMasked(masked)
	if err != nil {
		return err
	}
	was := v.maskedRecord
	v.Off = !on
	if expires != nil {
		if err := d.checkEnd(*expires); err != nil {
			return err
		}
		v.Expires = expires.UTC()
	}
	switch {
	case on && errors.Is(v.state(d.now()), ErrTimeOver):
		return problem(ErrTimeOver, "%s was for a time, which is over since %s; give it another: --expires 30d, or --expires never", v.at, v.Expires.Format(time.DateOnly))
	case v.maskedRecord == was:
		return problem(ErrExists, "%s is that already", v.at)
	}
	return d.keepMasked(ctx, v)
}

// RemoveMasked removes a masked address; what is on its way to it still arrives. ErrNoSuch.
func (d *Directory) RemoveMasked(ctx context.Context, masked string) error {
	d.change.Lock()
	defer d.change.Unlock()
	v, err := d.findMasked(masked)
	if err != nil {
		return err
	}
	a := *d.names.accounts[v.Account]
	a.leave(v.at.String(), d.now())
	var r revision
	r.mask(maskedAddress{at: v.at})
	r.account(&a)
	if err := d.commit(ctx, &r); err != nil {
		return fmt.Errorf("remove masked address %s: %w", v.at, err)
	}
	d.arrived.take(v.at)
	return nil
}

// findMasked finds that of an account that is there.
func (d *Directory) findMasked(masked string) (maskedAddress, error) {
	at, err := d.names.parse(masked)
	if err != nil {
		return maskedAddress{}, addressProblem(masked)
	}
	m, ok := d.names.masked[at]
	if !ok || d.names.accounts[m.Account] == nil {
		return maskedAddress{}, problem(ErrNoSuch, "%s is no masked address; mailstead alias masked list has them", at)
	}
	return maskedAddress{at, m}, nil
}

// forgetMasked ends the masked addresses of an account whose mail is past retention.
func (d *Directory) forgetMasked(id mailbox.AccountID) (changes []mailbox.RoomChange) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for at, m := range d.names.masked {
		if m.Account == id {
			changes = append(changes, remove(maskedKey+at.String()))
			delete(d.names.masked, at)
		}
	}
	return changes
}
