package directory

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
)

const (
	// maxAppPasswords is how many an account has at most: SCRAM tries all of them, and somebody who has that many
	// devices forgets what they are for.
	maxAppPasswords = 20
	maxLabel        = 64 // octets: a line of a list

	// An app password is four groups of five of the 32 characters of base32: 100 bits, which nobody
	// guesses, and which can be typed into a phone.
	appGroups    = 4
	appGroupSize = 5

	// noteUseEvery is how often a use of an app password is written down: a phone logs in every few minutes.
	noteUseEvery = time.Hour
)

// Scopes are what an app password can be for.
var Scopes = []string{"imap", "pop3", "smtp"}

// ErrAppPassword says that an app password cannot be as somebody wants it.
var ErrAppPassword = errors.New("directory: no such kind of app password")

// errChanged says that the passwords of an account were changed while one more was hashed.
var errChanged = errors.New("directory: the account's passwords were changed at the same time; try again")

// AppPassword is a password of an account for one device or program. The password itself is known when it is made
// only.
type AppPassword struct {
	Label   string    `json:"label"`           // names it within the account, in any case
	Scope   []string  `json:"scope,omitempty"` // of Scopes; none = all
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`   // it is none any more from then on; zero = never
	LastUse *Use      `json:"last_use,omitempty"` // to the hour; nil = none
}

// Use is when and from where a password was used.
type Use struct {
	At       time.Time `json:"at"`
	Protocol string    `json:"protocol"` // of Scopes
	Remote   string    `json:"remote"`   // address
}

// AddAppPassword makes an app password and returns it. Scope is some of Scopes, none for all; a zero expires is
// never. ErrNoSuch, ErrExists, ErrTooMany, ErrAppPassword.
func (d *Directory) AddAppPassword(ctx context.Context, account, label string, scope []string, expires time.Time) (string, error) {
	app, err := d.newAppPassword(label, scope, expires)
	if err != nil {
		return "", err
	}
	a, err := d.find(account)
	if err != nil {
		return "", err
	}
	password := generatePassword()
	v, err := d.hashBeside(ctx, password, a.Password)
	if err != nil {
		return "", err
	}
	v.App = &app
	return password, d.edit(ctx, account, func(r *accountRecord) error {
		switch list := r.Password.apps(); {
		case !bytes.Equal(r.Password.Salt, a.Password.Salt):
			return errChanged
		case slices.ContainsFunc(list, func(o AppPassword) bool { return strings.EqualFold(o.Label, label) }):
			return problem(ErrExists, "%s has an app password %s already; take another label, or remove that one first", r.Name, quoted(label))
		case len(list) >= maxAppPasswords:
			return problem(ErrTooMany, "%s has %d app passwords, and can have no more; remove some first", r.Name, maxAppPasswords)
		}
		r.Password.Verifiers = append(slices.Clone(r.Password.Verifiers), v)
		return nil
	})
}

func (d *Directory) newAppPassword(label string, scope []string, expires time.Time) (AppPassword, error) {
	bad := func(why string) (AppPassword, error) {
		return AppPassword{}, problem(ErrAppPassword, "that is no app password that can be made: %s", why)
	}
	if !validLabel(label) {
		return bad(fmt.Sprintf("its label is to have 1 to %d printable octets", maxLabel))
	}
	for _, s := range scope {
		if !slices.Contains(Scopes, s) {
			return bad("it is for some of " + strings.Join(Scopes, ", "))
		}
	}
	if !expires.IsZero() && !expires.After(d.now()) {
		return bad("its end is in the past")
	}
	scope = slices.Compact(slices.Sorted(slices.Values(scope)))
	return AppPassword{Label: label, Scope: scope, Created: d.now().UTC(), Expires: expires.UTC()}, nil
}

// generatePassword makes an app password.
func generatePassword() string {
	text := strings.ToLower(rand.Text())
	var groups []string
	for i := range appGroups {
		groups = append(groups, text[i*appGroupSize:(i+1)*appGroupSize])
	}
	return strings.Join(groups, "-")
}

// hashBeside makes the verifier of a password that is to stand beside others: with their salt and count.
func (d *Directory) hashBeside(ctx context.Context, password string, c credentials) (verifier, error) {
	prepared, err := preparePassword(password)
	if err != nil {
		return verifier{}, err
	}
	done, err := d.turnToHash(ctx)
	if err != nil {
		return verifier{}, err
	}
	defer done()
	return newVerifier(prepared, c)
}

// RemoveAppPassword takes an app password back, and ends the sessions that logged in with it. ErrNoSuch.
func (d *Directory) RemoveAppPassword(ctx context.Context, account, label string) error {
	var id mailbox.AccountID
	err := d.edit(ctx, account, func(r *accountRecord) error {
		i := slices.IndexFunc(r.Password.Verifiers, func(v verifier) bool { return v.App != nil && strings.EqualFold(v.App.Label, label) })
		if i < 0 {
			return problem(ErrNoSuch, "%s has no app password %s; mailstead account app-password list %s has them", r.Name, quoted(label), r.Name)
		}
		id, label = r.ID, r.Password.Verifiers[i].App.Label
		r.Password.Verifiers = slices.Delete(slices.Clone(r.Password.Verifiers), i, i+1)
		return nil
	})
	if err == nil {
		d.logins.end(id, label)
	}
	return err
}

// AppPasswords lists the app passwords of an account, the oldest first. ErrNoSuch.
func (d *Directory) AppPasswords(account string) ([]AppPassword, error) {
	a, err := d.find(account)
	if err != nil {
		return nil, err
	}
	return a.Password.apps(), nil
}

func (c credentials) apps() []AppPassword {
	list := []AppPassword{}
	for _, v := range c.Verifiers {
		if v.App != nil {
			list = append(list, *v.App)
		}
	}
	return list
}

// scopeOf is what a login by a protocol needs an app password to be for.
func scopeOf(protocol string) string {
	if protocol == "submission" {
		return "smtp"
	}
	return protocol
}

// admits tells whether a password that is right may be used like this.
func (v verifier) admits(at Attempt, now time.Time) bool {
	return v.App == nil || (v.App.Expires.IsZero() || now.Before(v.App.Expires)) &&
		(len(v.App.Scope) == 0 || slices.Contains(v.App.Scope, scopeOf(at.Protocol)))
}

// admit makes t's account the one that logged in with one of its passwords, if that may be used so, and notes
// the use. ErrCredentials, *DisabledError.
func (d *Directory) admit(ctx context.Context, t *try, v verifier) error {
	label := ""
	if v.App != nil {
		label = v.App.Label
	}
	t.account.App = label
	if !v.admits(t.at, d.now()) {
		d.log.Info("an app password was used for what it is not for, or after its end", "account", t.account.Name, "label", v.App.Label, "protocol", t.at.Protocol)
		return ErrCredentials
	}
	// First what ends the session, then the look at what would have ended it.
	t.account.Ends = d.logins.of(t.account.ID, label)
	if err := d.stands(t.account.ID, v); err != nil || v.App == nil {
		return err
	}
	if last := v.App.LastUse; last == nil || d.now().Sub(last.At).Abs() >= noteUseEvery {
		if err := d.noteUse(ctx, t, v); err != nil {
			d.log.Warn("the use of an app password could not be written down", "account", t.account.Name, "label", v.App.Label, "err", err)
		}
	}
	return nil
}

// stands asks whether a password is still one of the account's, and the account is not disabled. ErrCredentials,
// *DisabledError.
func (d *Directory) stands(id mailbox.AccountID, v verifier) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	a := d.names.accounts[id]
	switch {
	case a == nil || !slices.ContainsFunc(a.Password.Verifiers, func(o verifier) bool { return bytes.Equal(o.Argon2id, v.Argon2id) }):
		return ErrCredentials
	case a.Disabled != nil:
		return &DisabledError{Reason: a.Disabled.said()}
	}
	return nil
}

// noteUse writes down when and from where an app password was used.
func (d *Directory) noteUse(ctx context.Context, t *try, v verifier) error {
	use := &Use{At: d.now().UTC(), Protocol: scopeOf(t.at.Protocol), Remote: t.at.Remote.String()}
	return d.edit(ctx, t.account.Name, func(r *accountRecord) error {
		r.Password.Verifiers = slices.Clone(r.Password.Verifiers)
		for i, o := range r.Password.Verifiers {
			if o.App != nil && bytes.Equal(o.Argon2id, v.Argon2id) {
				app := *o.App
				app.LastUse = use
				r.Password.Verifiers[i].App = &app
			}
		}
		return nil
	})
}

// logins has what ends when a password is taken back, or the account.
type logins struct {
	mu  sync.Mutex
	all map[appName]lifetime
}

// appName names a password: an app password by its label, the account's own by none.
type appName struct {
	account mailbox.AccountID
	label   string
}

type lifetime struct {
	context.Context
	end context.CancelFunc
}

// of is done when the sessions of a password are to end.
func (l *logins) of(account mailbox.AccountID, label string) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := appName{account, label}
	life, ok := l.all[key]
	if !ok {
		life.Context, life.end = context.WithCancel(context.Background())
		if l.all == nil {
			l.all = map[appName]lifetime{}
		}
		l.all[key] = life
	}
	return life.Context
}

// end ends the sessions that logged in with an app password.
func (l *logins) end(account mailbox.AccountID, label string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := appName{account, label}
	if life, ok := l.all[key]; ok {
		life.end()
		delete(l.all, key)
	}
}

// endAll ends all sessions of an account.
func (l *logins) endAll(account mailbox.AccountID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, life := range l.all {
		if key.account == account {
			life.end()
			delete(l.all, key)
		}
	}
}
