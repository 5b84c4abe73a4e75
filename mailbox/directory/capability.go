package directory

import (
	"context"
	"errors"
	"slices"
	"strings"

	"mailstead/mailbox"
)

// ErrCapability says that a name is none of a capability that can be hidden.
var ErrCapability = errors.New("directory: no capability that can be hidden")

const (
	// maxCapability bounds a name in octets; the longest that is registered has 24.
	maxCapability = 64
	// maxHidden bounds the names of an account: more than there are capabilities.
	maxHidden = 128
)

// SetCapabilities hides IMAP capabilities from an account's clients, and shows others
// again: for a client that does better without them. A name without "=" means the
// capability with all its values: SORT is also SORT=DISPLAY. What is already so stays. It
// takes effect at the next login. ErrNoSuch, ErrCapability.
func (d *Directory) SetCapabilities(ctx context.Context, account string, hide, show []string) error {
	for _, name := range slices.Concat(hide, show) {
		if !validCapability(strings.ToUpper(name)) {
			return ErrCapability
		}
	}
	return d.edit(ctx, account, func(a *accountRecord) error {
		hidden := slices.Clone(a.Hidden) // sessions read the old one
		for _, name := range hide {
			hidden = append(hidden, strings.ToUpper(name))
		}
		slices.Sort(hidden)
		hidden = slices.DeleteFunc(slices.Compact(hidden), func(name string) bool {
			return slices.ContainsFunc(show, func(s string) bool { return strings.EqualFold(s, name) })
		})
		if len(hidden) > maxHidden {
			return ErrCapability
		}
		a.Hidden = hidden
		return nil
	})
}

// validCapability reports whether a name, in upper case, is an atom (RFC 3501 section 9)
// and not that of the protocol itself.
func validCapability(name string) bool {
	if name == "" || len(name) > maxCapability || name == "IMAP4REV1" || name == "IMAP4" {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
	})
}

// HiddenCapabilities are those that an account's clients are not to see, in upper case
// and ascending; the caller must not change them.
func (d *Directory) HiddenCapabilities(id mailbox.AccountID) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a := d.names.accounts[id]; a != nil {
		return a.Hidden
	}
	return nil
}
