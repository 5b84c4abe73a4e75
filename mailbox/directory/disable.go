package directory

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxReason bounds why an account is disabled, in octets: it stands in one line of a reply.
const maxReason = 200

// Disabled says since when nobody may log in to an account, and why.
type Disabled struct {
	Since       time.Time `json:"since"`
	Reason      string    `json:"reason,omitempty"`
	RefusesMail bool      `json:"refuses_mail,omitempty"` // mail is not taken either
}

// DisabledError says to somebody with a right password that the account is disabled.
type DisabledError struct {
	Reason string // printable ASCII, for replies of all protocols; "" where none can be said
}

// Error is the text of the reply.
func (e *DisabledError) Error() string {
	if e.Reason == "" {
		return "this account is disabled"
	}
	return "this account is disabled: " + e.Reason
}

func isDisabled(err error) bool {
	_, ok := errors.AsType[*DisabledError](err)
	return ok
}

// said is the reason as any protocol can say it. Most have UTF-8 in replies only where the client asked
// for it (RFC 6531 section 3.7.4.2, RFC 6855 section 3), and those that log in did not yet.
func (v *Disabled) said() string {
	if strings.ContainsFunc(v.Reason, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return ""
	}
	return v.Reason
}

// DisableAccount has logins to an account refused, and ends its sessions. Mail is received on, unless
// refuseMail is set: then it is refused (550). Said again, it changes reason and refuseMail. ErrNoSuch, ErrExists
// where nothing changes, ErrReason.
func (d *Directory) DisableAccount(ctx context.Context, account, reason string, refuseMail bool) error {
	if err := CheckReason(reason); err != nil {
		return err
	}
	a, err := d.editAccount(ctx, account, func(a *accountRecord) error {
		now := &Disabled{Since: d.now().UTC(), Reason: reason, RefusesMail: refuseMail}
		if was := a.Disabled; was != nil {
			if now.Since = was.Since; *now == *was {
				return problem(ErrExists, "%s is disabled already, since %s", a.Name, was.Since.Format(time.DateOnly))
			}
		}
		a.Disabled = now
		return nil
	})
	if err == nil {
		d.logins.endAll(a.ID)
	}
	return err
}

// CheckReason fails with ErrReason where an account cannot be disabled for that.
func CheckReason(reason string) error {
	if len(reason) > maxReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return problem(ErrReason, "the reason is to be one line of %d printable octets at most", maxReason)
	}
	return nil
}

// EnableAccount ends that. ErrNoSuch, ErrExists for one that is not disabled.
func (d *Directory) EnableAccount(ctx context.Context, account string) error {
	return d.edit(ctx, account, func(a *accountRecord) error {
		if a.Disabled == nil {
			return problem(ErrExists, "%s is not disabled", a.Name)
		}
		a.Disabled = nil
		return nil
	})
}

// takesMail reports whether mail for the account is taken.
func (a *accountRecord) takesMail() bool { return a.Disabled == nil || !a.Disabled.RefusesMail }
