package directory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory/loginlog"
)

// Account is who logged in.
type Account struct {
	ID   mailbox.AccountID
	Name string // the address it was made with
	App  string // the label of the app password they logged in with; "" = the account's own
	// Ends is done when the session is to end: the password is taken back that they logged in with, or the account is
	// disabled, renamed or removed.
	Ends context.Context
}

// Attempt says where and how somebody tries to log in.
type Attempt struct {
	Protocol string // "imap", "pop3", "submission"
	Remote   netip.Addr
	TLS      *tls.ConnectionState // nil without; channel bindings come from it
	Shown    *x509.Certificate    // the server's own in that; nil = not known
	Client   string               // what the mail program says of itself; "" = nothing, or not yet
}

// Login checks user name (any address of the account) and password. A wrong
// one is answered after the throttle's delay; the reply and its time are the
// same for an unknown user. ErrCredentials, or a temporary error.
func (d *Directory) Login(ctx context.Context, at Attempt, user, password string) (Account, error) {
	t := d.try(at, user)
	prepared, _ := preparePassword(password) // one that is not allowed is a wrong one, later
	if v, ok := d.verified.find(t, prepared); ok {
		err := d.admit(ctx, t, v)
		switch {
		case err == nil:
			d.throttle.passed(t.keys[0])
			d.judged.note(at.Protocol, true)
			d.note(t, loginlog.OK)
			return t.account, nil
		case isDisabled(err):
			d.judged.note(at.Protocol, false)
			d.note(t, loginlog.Disabled)
			return Account{}, err
		}
	}
	if err := d.throttle.wait(ctx, t.keys[:]...); err != nil {
		return Account{}, err
	}
	v, right, err := d.judge(ctx, t, prepared)
	if err != nil {
		return Account{}, err
	}
	if !right {
		return Account{}, d.refuse(ctx, t)
	}
	if err := d.admit(ctx, t, v); err != nil {
		return Account{}, d.notAdmitted(ctx, t, err)
	}
	d.accept(t)
	return t.account, nil
}

// notAdmitted is the end of an attempt with a right password: that the account is disabled is said to
// whoever has it, anything else is a wrong one.
func (d *Directory) notAdmitted(ctx context.Context, t *try, err error) error {
	if isDisabled(err) {
		d.throttle.passed(t.keys[0])
		d.throttle.refund(t.keys[1])
		d.judged.note(t.at.Protocol, false)
		d.note(t, loginlog.Disabled)
		return err
	}
	t.notFor = true
	return d.refuse(ctx, t)
}

// try is one attempt to log in as somebody, who may not exist.
type try struct {
	at          Attempt
	asked       time.Time
	keys        [2]string // of the throttle: address, user name
	known       bool
	account     Account
	credentials credentials // a decoy when unknown
	notFor      bool        // the password is right, and may not be used so
}

// note takes down what became of an attempt to log in to an account. Of names that nobody has, nothing is.
func (d *Directory) note(t *try, result loginlog.Result) {
	if t.known {
		d.logbook.Note(t.login(result))
	}
}

func (t *try) login(result loginlog.Result) loginlog.Login {
	return loginlog.Login{Account: t.account.ID, Protocol: t.at.Protocol, Remote: t.at.Remote, Client: t.at.Client, App: t.account.App, Result: result}
}

// try looks the user up. Nothing it does tells known from unknown.
func (d *Directory) try(at Attempt, user string) *try {
	t := &try{at: at, asked: d.now()}
	name := strings.ToLower(user)
	d.mu.RLock()
	if addr, err := d.names.parse(user); err == nil {
		name = addr.String()
		if a := d.names.addresses[addr]; a != nil {
			t.known, t.account, t.credentials = true, Account{ID: a.ID, Name: a.Name}, a.Password
			name = a.Name // all addresses of an account count as one
		}
	}
	d.mu.RUnlock()
	if !t.known {
		t.credentials = d.decoy(name)
	}
	t.keys = [2]string{addressKey(at.Remote), userMark + name[:min(len(name), maxAddress)]}
	return t
}

// judge hashes the password and remembers it when it is right. A mail program
// that opens all its connections at once pays for one: the others find it
// remembered when their turn comes.
func (d *Directory) judge(ctx context.Context, t *try, prepared string) (v verifier, right bool, err error) {
	done, err := d.turnToHash(ctx)
	if err != nil {
		return verifier{}, false, err
	}
	defer done()
	if v, ok := d.verified.find(t, prepared); ok {
		return v, true, nil
	}
	if v, right = t.credentials.find(prepared); !right || !t.known || prepared == "" {
		return verifier{}, false, nil
	}
	d.verified.add(t.account.ID, v, prepared)
	return v, true, nil
}

// hashingRest is how long after the last hash its memory goes back to the
// system: at once would cost a collection each in a burst of logins.
const hashingRest = time.Second

// turnToHash waits until a password may be hashed; done ends the turn. Each
// hash leaves 19 MiB of garbage, which a small server's collector would not
// look at for hours.
func (d *Directory) turnToHash(ctx context.Context) (done func(), err error) {
	select {
	case d.hashing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return func() {
		<-d.hashing
		d.relief.Reset(hashingRest)
	}, nil
}

// refuse counts the failure and returns when it may be answered.
func (d *Directory) refuse(ctx context.Context, t *try) error {
	delay := d.throttle.failed(t.keys[:]...)
	d.judged.note(t.at.Protocol, false)
	if t.notFor {
		d.note(t, loginlog.NotFor)
	} else {
		d.note(t, loginlog.Wrong)
	}
	d.log.Info("login refused", "protocol", t.at.Protocol, "remote", t.at.Remote, "user", t.keys[1])
	timer := time.NewTimer(delay - d.now().Sub(t.asked))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ErrCredentials
}

func (d *Directory) accept(t *try) {
	d.throttle.passed(t.keys[0])
	d.throttle.refund(t.keys[1])
	d.judged.note(t.at.Protocol, true)
	d.note(t, loginlog.OK)
	d.log.Debug("login", "protocol", t.at.Protocol, "remote", t.at.Remote, "account", t.account.Name)
}

// maxVerified bounds the remembered logins; above it all are forgotten.
const maxVerified = 1024

// verified remembers passwords that were checked, so that a phone that
// connects every minute does not pay argon2 each time. What is kept is a
// keyed hash over account, verifier and password: without the key, which is only
// in this process, it can neither be read nor guessed at, and a password that was changed
// or taken back has no verifier any more.
type verified struct {
	key  []byte
	mu   sync.Mutex
	sums map[[sha256.Size]byte]struct{}
}

func newVerified() *verified {
	return &verified{key: randomBytes(sha256.Size), sums: map[[sha256.Size]byte]struct{}{}}
}

func (v *verified) sum(a mailbox.AccountID, of verifier, prepared string) (s [sha256.Size]byte) {
	m := hmac.New(sha256.New, v.key)
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(a)))
	m.Write(of.Argon2id)
	m.Write([]byte(prepared))
	m.Sum(s[:0])
	return s
}

// find gives the verifier of a password that was right before.
func (v *verified) find(t *try, prepared string) (verifier, bool) {
	if prepared == "" || !t.known {
		return verifier{}, false
	}
	for _, of := range t.credentials.Verifiers {
		if v.has(v.sum(t.account.ID, of, prepared)) {
			return of, true
		}
	}
	return verifier{}, false
}

func (v *verified) has(s [sha256.Size]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.sums[s]
	return ok
}

func (v *verified) add(a mailbox.AccountID, of verifier, prepared string) {
	s := v.sum(a, of, prepared)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.sums) >= maxVerified {
		clear(v.sums)
	}
	v.sums[s] = struct{}{}
}
