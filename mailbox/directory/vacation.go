package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailstead/mailbox"
)

// ErrVacation says what is wrong with an automatic reply.
var ErrVacation = errors.New("directory: that is no automatic reply")

// Bounds of automatic replies.
const (
	maxVacationText      = 16 << 10 // octets
	maxVacationSubject   = 200      // characters
	maxVacationAddresses = 20
	// DefaultVacationDays and MaxVacationDays are for how long nobody is answered again.
	DefaultVacationDays, MaxVacationDays = 7, 30
)

// Vacation is an automatic reply of an account.
type Vacation struct {
	From      time.Time `json:"from,omitzero"`       // mail of before is not answered
	Until     time.Time `json:"until,omitzero"`      // nor mail from then on; zero = until it is switched off
	Subject   string    `json:"subject,omitempty"`   // "" = that of the message, with "Auto:" in front
	Text      string    `json:"text"`                // UTF-8
	Days      int       `json:"days"`                // in which nobody is answered again, 1 to MaxVacationDays
	Addresses []string  `json:"addresses,omitempty"` // further ones that the owner is written to at: of aliases, and elsewhere
}

// check says what is wrong, and gives addresses the form that is compared. ErrVacation, ErrAddress.
func (v *Vacation) check() error {
	switch {
	case strings.TrimSpace(v.Text) == "" || len(v.Text) > maxVacationText || !utf8.ValidString(v.Text):
		return fmt.Errorf("%w: the text has 1 to %d octets of UTF-8", ErrVacation, maxVacationText)
	case strings.ContainsFunc(v.Text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }):
		return fmt.Errorf("%w: the text has control characters", ErrVacation)
	case utf8.RuneCountInString(v.Subject) > maxVacationSubject || strings.ContainsFunc(v.Subject, unicode.IsControl) || !utf8.ValidString(v.Subject):
		return fmt.Errorf("%w: the subject is one line of %d characters at most", ErrVacation, maxVacationSubject)
	case v.Days < 1 || v.Days > MaxVacationDays:
		return fmt.Errorf("%w: nobody is answered again for 1 to %d days", ErrVacation, MaxVacationDays)
	case !v.Until.IsZero() && !v.From.Before(v.Until):
		return fmt.Errorf("%w: it ends before it begins", ErrVacation)
	case len(v.Addresses) > maxVacationAddresses:
		return fmt.Errorf("%w: it has %d further addresses at most", ErrVacation, maxVacationAddresses)
	}
	for i, text := range v.Addresses {
		a, err := parseAddress(text)
		if err != nil {
			return addressProblem(text)
		}
		v.Addresses[i] = a.String()
	}
	return nil
}

// SetVacation sets the automatic reply of an account; nil ends it. ErrNoSuch, ErrVacation, ErrAddress.
func (d *Directory) SetVacation(ctx context.Context, account string, v *Vacation) error {
	if v != nil {
		checked := *v
		checked.Addresses = slices.Clone(v.Addresses)
		if err := checked.check(); err != nil {
			return err
		}
		v = &checked
	}
	return d.edit(ctx, account, func(a *accountRecord) error {
		if v == nil && a.Vacation == nil {
			return problem(ErrNoSuch, "%s has no automatic reply", a.Name)
		}
		a.Vacation = v
		return nil
	})
}

// Vacation is the automatic reply of an account. ErrNoSuch for none, and for no account.
func (d *Directory) Vacation(account string) (Vacation, error) {
	a, err := d.find(account)
	if err != nil {
		return Vacation{}, err
	}
	if a.Vacation == nil {
		return Vacation{}, problem(ErrNoSuch, "%s has no automatic reply", a.Name)
	}
	return *a.Vacation, nil
}

// Away is an automatic reply with whose it is.
type Away struct {
	Vacation
	Own []string // addresses of the account, its name first
}

// Away is the automatic reply of an account, if there is one at that time.
func (d *Directory) Away(id mailbox.AccountID, now time.Time) (Away, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	a := d.names.accounts[id]
	if a == nil || a.Vacation == nil || now.Before(a.Vacation.From) || !a.Vacation.Until.IsZero() && !now.Before(a.Vacation.Until) {
		return Away{}, false
	}
	own := d.names.spelled(append([]string{a.Name}, a.Addresses...))
	i := slices.Index(own, a.Name)
	own[0], own[i] = own[i], own[0]
	return Away{Vacation: *a.Vacation, Own: own}, true
}

// SameAddress reports whether two addresses are one here: in any case, and with a plus-detail or without on
// the first.
func SameAddress(written, own string) bool {
	w, err := parseAddress(written)
	o, e := parseAddress(own)
	if err != nil || e != nil {
		return false
	}
	base, _, _ := splitDetail(w.local)
	return w == o || address{base, w.domain} == o
}
