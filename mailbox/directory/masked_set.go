package directory

import "context"

// SetMasked makes a masked address that has its name from elsewhere, from a file that declares it say, or gives one that is there
// another label, end and switch. Its end may be past: then it refuses mail. What came to it and when it was made is not taken from m.
// ErrNoSuch, ErrNotLocal, ErrAliasDomain, ErrAddress, ErrMasked, ErrTooMany; ErrExists where nothing changes and where the
// address is something else; that of an account which was removed is free for this.
func (d *Directory) SetMasked(ctx context.Context, m Masked) (Masked, error) {
	d.change.Lock()
	defer d.change.Unlock()
	a, err := d.find(m.Account)
	if err != nil {
		return Masked{}, err
	}
	if err := CheckMaskedLabel(m.Label); err != nil {
		return Masked{}, err
	}
	v, err := d.maskedFor(a, m.Address)
	if err != nil {
		return Masked{}, err
	}
	was := v.maskedRecord
	v.Account, v.Label, v.Expires, v.Off = a.ID, m.Label, m.Expires.UTC(), m.Off
	if v.maskedRecord == was {
		return Masked{}, problem(ErrExists, "%s is that already", v.at)
	}
	if err := d.keepMasked(ctx, v); err != nil {
		return Masked{}, err
	}
	return v.describe(a.Name, d.arrived.of(v.at)), nil
}

// maskedFor is the masked address of an account, or a new one that is nobody's yet.
func (d *Directory) maskedFor(a *accountRecord, text string) (maskedAddress, error) {
	at, err := d.names.parse(text)
	if m, ok := d.names.masked[at]; err == nil && ok && m.Account == a.ID {
		return maskedAddress{at, m}, nil
	} else if err != nil || !ok || d.names.accounts[m.Account] != nil {
		at, err = d.free(text)
	}
	if err == nil {
		err = d.roomForMasked(a)
	}
	return maskedAddress{at, maskedRecord{Created: d.now().UTC()}}, err
}

// CheckMaskedLabel fails with ErrMasked where a masked address cannot have that label; "" is none.
func CheckMaskedLabel(label string) error {
	if label != "" && !validLabel(label) {
		return problem(ErrMasked, "the label is to have %d printable octets at most", maxLabel)
	}
	return nil
}
