// Package directory knows who is here: domains, accounts with their
// addresses, aliases, passwords, and the one way to log in for all protocols.
package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory/loginlog"
	"mailstead/mailbox/directory/srs"
)

// Errors that callers decide on.
var (
	ErrNotLocal    = errors.New("directory: not a domain of this server") // RCPT: relaying, 550 5.7.1 unless logged in
	ErrNoSuch      = errors.New("directory: no such entry")               // RCPT: 550 5.1.1
	ErrExists      = errors.New("directory: exists already")
	ErrAddress     = errors.New("directory: malformed address") // 501 5.1.3
	ErrInUse       = errors.New("directory: still in use")
	ErrTangle      = errors.New("directory: alias leads to too many addresses") // 451: a change of the aliases helps
	ErrPassword    = errors.New("directory: password not allowed")              // not UTF-8, NUL, empty, SASLprep refuses
	ErrCredentials = errors.New("directory: wrong user name or password")
	ErrMechanism   = errors.New("directory: mechanism not offered here")
	ErrMalformed   = errors.New("directory: malformed authentication exchange")
	ErrLoop        = errors.New("directory: it would lead back to where it comes from")
	ErrBinding     = errors.New("directory: channel binding does not match")
	ErrRefusesMail = errors.New("directory: the account takes no mail") // RCPT: 550 5.2.1
)

// room is where the directory's state is kept in the store. Its keys:
//
//	domain/NAME      Domain
//	account/ID       accountRecord
//	alias/ADDRESS    Alias
//	removed/ID       removedRecord, until the account's mail is past retention
//	sent/ID          sent: what the account has sent, as long
//	masked/ADDRESS   maskedRecord, also of removed accounts for as long
//	secret           random bytes that salts of unknown users are made of
//	srs              random bytes that return addresses of handed-on mail are made with
const (
	room        = "directory"
	domainKey   = "domain/"
	accountKey  = "account/"
	aliasKey    = "alias/"
	removedKey  = "removed/"
	secretKey   = "secret"
	srsKey      = "srs"
	secretBytes = 32
)

// Options of a directory; zero values are good.
type Options struct {
	Sending Sending // what accounts may send that have no limits of their own; zero fields are those of DefaultSending
	Now     func() time.Time
	Logger  *slog.Logger
}

// Directory is safe for concurrent use. Its state lives in a room of the store
// and, whole, in memory: a server has tens of accounts, not millions.
type Directory struct {
	store  *mailbox.Store
	log    *slog.Logger
	now    func() time.Time
	secret []byte
	srs    *srs.Rewriter

	sending  Sending
	sendings sendings
	throttle *throttle
	verified *verified
	logins   logins
	judged   loginTally
	logbook  *loginlog.Log
	arrived  arrived       // at masked addresses
	hashing  chan struct{} // bounds the memory that password hashing takes
	relief   *time.Timer   // gives that memory back

	change sync.Mutex // one administrator at a time: read, decide, write to the store, then update below
	mu     sync.RWMutex
	names  names
}

// names is the directory's content, in the forms that are looked up.
type names struct {
	domains   map[string]Domain // by folded name
	accounts  map[mailbox.AccountID]*accountRecord
	addresses map[address]*accountRecord // first and further addresses
	aliases   map[address]Alias
	masked    map[address]maskedRecord // those of removed accounts, too
	now       func() time.Time         // nil = time.Now
}

func (n *names) time() time.Time {
	if n.now == nil {
		return time.Now()
	}
	return n.now()
}

// Domain is a domain of this server.
type Domain struct {
	Name     string `json:"name"`
	CatchAll string `json:"catch_all,omitempty"` // the account's name
	AliasOf  string `json:"alias_of,omitempty"`  // the domain it stands for: every address of that is one of this, too
}

// Entry is an account as administrators see it.
type Entry struct {
	ID        mailbox.AccountID `json:"id"`
	Name      string            `json:"name"`
	Addresses []string          `json:"addresses"` // further ones
	Created   time.Time         `json:"created"`
	// Hidden are IMAP capabilities that the account's clients are not told of, in upper case.
	Hidden []string `json:"hidden_capabilities,omitempty"`
	// Disabled says that nobody may log in, and why; nil = the account is enabled. It does not change: an edit makes a new one.
	Disabled *Disabled `json:"disabled,omitempty"`
}

// Alias is an address that leads to others, here or elsewhere. Members elsewhere
// keep the spelling they were given (RFC 5321 section 2.4).
type Alias struct {
	Address string   `json:"address"`
	Members []string `json:"members"`
	// MembersOnly says that others may not write to it.
	MembersOnly bool `json:"members_only,omitempty"`
	// Owner is told of what could not be delivered to members elsewhere; "" = the
	// sender of each message is.
	Owner string `json:"owner,omitempty"`
}

// accountRecord is an account as it is kept.
type accountRecord struct {
	Entry
	Password credentials `json:"password"`
	Senders  senders     `json:"senders,omitzero"`
	Sending  Sending     `json:"sending,omitzero"` // limits of its own
	Forward  forward     `json:"forward,omitzero"`
	Vacation *Vacation   `json:"vacation,omitempty"` // does not change: an edit makes a new one
	Former   []former    `json:"former,omitempty"`   // addresses it had
}

// Open loads the directory from the store.
func Open(s *mailbox.Store, o Options) (*Directory, error) {
	d := &Directory{
		store:    s,
		log:      o.Logger,
		now:      o.Now,
		sending:  o.Sending.or(DefaultSending),
		sendings: sendings{sent: map[mailbox.AccountID]sent{}},
		verified: newVerified(),
		hashing:  make(chan struct{}, maxHashing),
		relief:   newRelief(),
		names: names{
			domains:   map[string]Domain{},
			accounts:  map[mailbox.AccountID]*accountRecord{},
			addresses: map[address]*accountRecord{},
			aliases:   map[address]Alias{},
			masked:    map[address]maskedRecord{},
			now:       o.Now,
		},
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	if d.now == nil {
		d.now = time.Now
	}
	d.throttle = newThrottle(d.now)
	d.logbook = loginlog.New(s, d.now)
	err := d.loadDomains()
	if err == nil {
		err = d.load()
	}
	if err != nil {
		return nil, fmt.Errorf("load directory: %w", err)
	}
	s.AtPurge(d.forgetRemoved)
	if d.secret, err = d.loadSecret(secretKey, secretBytes); err != nil {
		return nil, err
	}
	key, err := d.loadSecret(srsKey, srs.SecretSize)
	if err != nil {
		return nil, err
	}
	d.srs = srs.New(key, d.now)
	return d, nil
}

// newRelief is the timer that is set after each hash.
func newRelief() *time.Timer {
	t := time.AfterFunc(hashingRest, debug.FreeOSMemory)
	t.Stop()
	return t
}

// loadDomains comes first: what addresses are the same depends on them.
func (d *Directory) loadDomains() error {
	return d.store.Room(room).Each(domainKey, func(key string, value []byte) error {
		var v Domain
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("entry %q: %w", key, err)
		}
		d.names.domains[strings.TrimPrefix(key, domainKey)] = v
		return nil
	})
}

func (d *Directory) load() error {
	return d.store.Room(room).Each("", func(key string, value []byte) error {
		kind, rest, _ := strings.Cut(key, "/")
		var err error
		switch kind + "/" {
		case accountKey:
			v := &accountRecord{}
			if err = json.Unmarshal(value, v); err == nil {
				d.names.addAccount(v)
			}
		case sentKey:
			err = d.sendings.read(rest, value)
		case aliasKey:
			var v Alias
			if err = json.Unmarshal(value, &v); err == nil {
				d.names.setAlias(v)
			}
		case maskedKey:
			err = d.names.readMasked(rest, value)
		}
		if err != nil {
			return fmt.Errorf("entry %q: %w", key, err)
		}
		return nil
	})
}

func (n *names) addAccount(a *accountRecord) {
	n.accounts[a.ID] = a
	for _, s := range append([]string{a.Name}, a.Addresses...) {
		if addr, err := n.parse(s); err == nil {
			n.addresses[addr] = a
		}
	}
}

func (n *names) dropAccount(a *accountRecord) {
	delete(n.accounts, a.ID)
	for addr, owner := range n.addresses {
		if owner.ID == a.ID {
			delete(n.addresses, addr)
		}
	}
}

// loadSecret reads a secret of the server, or makes it at the first start.
func (d *Directory) loadSecret(key string, size int) ([]byte, error) {
	value, ok, err := d.store.Room(room).Get(key)
	if err != nil {
		return nil, fmt.Errorf("read the directory's secret: %w", err)
	}
	if ok {
		return value, nil
	}
	value = randomBytes(size)
	err = d.store.Change(context.Background(), mailbox.RoomChange{Room: room, Key: key, Value: value})
	if err != nil {
		return nil, fmt.Errorf("keep the directory's secret: %w", err)
	}
	return value, nil
}
