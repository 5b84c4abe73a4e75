package directory

import (
	"errors"
	"strings"

	"github.com/xdg-go/stringprep"

	"mailstead/mailbox"
)

// ErrIdentifier says that a text is no access identifier at all.
var ErrIdentifier = errors.New("directory: malformed access identifier")

// anyone is the identifier of everybody who has an account (RFC 4314 section 2).
const anyone = "anyone"

// Identifier finds out who an access identifier of RFC 4314 section 2 means: "anyone", or
// any address of an account; with a dash in front its rights are to be taken away. Rights
// are left for the caller to set. ErrIdentifier, ErrNoSuch.
func (d *Directory) Identifier(text string) (mailbox.Grant, error) {
	prepared, err := stringprep.SASLprep.Prepare(text) // RFC 4314 section 3
	if err != nil || prepared == "" {
		return mailbox.Grant{}, ErrIdentifier
	}
	name, negative := strings.CutPrefix(prepared, "-")
	if name == "" {
		return mailbox.Grant{}, ErrIdentifier
	}
	g := mailbox.Grant{Account: mailbox.Anyone, Negative: negative}
	if name == anyone {
		return g, nil
	}
	a, err := d.Account(name)
	if err != nil {
		return mailbox.Grant{}, err
	}
	g.Account = a.ID
	return g, nil
}

// IdentifierOf is the identifier of an entry of an access control list; ok is false where
// its account is gone.
func (d *Directory) IdentifierOf(g mailbox.Grant) (identifier string, ok bool) {
	identifier = anyone
	if g.Account != mailbox.Anyone {
		if identifier, ok = d.NameOf(g.Account); !ok {
			return "", false
		}
	}
	if g.Negative {
		identifier = "-" + identifier
	}
	return identifier, true
}

// NameOf is the name of an account; ok is false where there is none.
func (d *Directory) NameOf(id mailbox.AccountID) (name string, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	a := d.names.accounts[id]
	if a == nil {
		return "", false
	}
	return a.Name, true
}
