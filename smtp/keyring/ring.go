// Package keyring keeps the keys by which domains sign their mail (DKIM, RFC 6376), and exchanges them
// for new ones without breaking the signatures of mail that is on its way.
//
// A key goes through these states, each of them on disk before it counts, and each step one record:
//
//	waiting   made; its record is to be published. It signs nothing.
//	signing   its record was seen in the DNS, or is said to be there: mail is signed with it.
//	old       another one signs; its record stays, as mail that it has signed is still on its way.
//	retired   no mail with its signature can be on its way any more: the key is deleted, its record may go.
//
// A retired key is forgotten once its record is gone. A crash leaves a key in the state before or after a
// step, never between two; whoever asks for a rotation again gets the one that is under way.
package keyring

import (
	"cmp"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

// roomName is the room of the store with the keys: under the domain in A-labels, a slash and the
// selector. The value is JSON, or a private key in PKCS #8, as they were before there were states.
const roomName = "dkim"

// State is where a key is in its life.
type State string

// The states.
const (
	Waiting State = "waiting"
	Signing State = "signing"
	Old     State = "old"
	Retired State = "retired"
)

// Key is what is known of a key, but for the key itself.
type Key struct {
	Domain    string    // in A-labels
	Selector  string    // s=
	Algorithm string    // "rsa" or "ed25519"
	State     State     //
	Since     time.Time // it is in this state; zero for keys of before there were states
	Until     time.Time // an old key's record is needed at least until then
	Record    string    // text of the TXT record
}

// Name is the domain name of the record, without final dot.
func (k Key) Name() string { return k.Selector + "._domainkey." + k.Domain }

// ErrNoKeys says that a domain has no keys here.
var ErrNoKeys = errors.New("keyring: the domain has no keys")

// Options are what a ring works with. Each field may be zero.
type Options struct {
	// Lookup gives the TXT records of a name as they are now: without a cache, so that what was missing is found
	// as soon as it is there. nil = the DNS cannot be asked, and nothing is exchanged without being told so.
	Lookup func(ctx context.Context, name string) ([]string, error)
	// Waits reports whether a message is still here that came before a time. Default: none is.
	Waits  func(before time.Time) (bool, error)
	Times  Times
	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger     // nil = none
}

// Times are how long is waited between the steps of an exchange. Each that is zero has its default.
type Times struct {
	FirstLook time.Duration // after which a record that is missing is looked for again; twice that the next time, and so on. 1 minute
	LastLook  time.Duration // at most. 1 hour
	// Confirm is after which what was seen is looked at again, before it counts: not all servers of a zone follow at once. 5 minutes.
	Confirm time.Duration
	// RareLook is after which it is looked again whether mail of an old key's time has left, and the record of a retired key, too. 12 hours.
	RareLook time.Duration
	// Flight is how long a message may be on its way from here. 5 days, as long as RFC 5321 section 4.5.4.1 wants a queue to keep it.
	Flight time.Duration
	// Margin is how long an old key's record stays beyond that: the recipient's own servers may hand mail on, and each keeps it
	// for days, too. 7 days.
	Margin time.Duration
}

func (t Times) withDefaults() Times {
	return Times{
		FirstLook: cmp.Or(t.FirstLook, time.Minute),
		LastLook:  cmp.Or(t.LastLook, time.Hour),
		Confirm:   cmp.Or(t.Confirm, 5*time.Minute),
		RareLook:  cmp.Or(t.RareLook, 12*time.Hour),
		Flight:    cmp.Or(t.Flight, 5*24*time.Hour),
		Margin:    cmp.Or(t.Margin, 7*24*time.Hour),
	}
}

// Ring has the keys of all domains. Its methods may be called at the same time.
type Ring struct {
	store  *mailbox.Store
	o      Options
	kick   chan struct{} // there is something new to look for
	change sync.Mutex    // of whoever makes, exchanges or removes keys

	mu      sync.RWMutex
	all     map[string][]entry               // guarded by mu; slices do not change
	signing map[string][]mailauth.SigningKey // of them, those that sign; likewise

	watched map[string]*watch // only Run and what it calls look at it
}

// entry is a key with what is kept of it.
type entry struct {
	kept
	domain, selector string
	private          crypto.Signer // nil for a retired one
}

// kept is the value of an entry in the room.
type kept struct {
	State State     `json:"state"`
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Key   []byte    `json:"key,omitempty"`  // PKCS #8, in DER
	Text  string    `json:"text,omitempty"` // of the record of a retired key
}

// Open reads the keys. A key that cannot be read is an error: without it mail would leave unsigned, silently.
func Open(store *mailbox.Store, o Options) (*Ring, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Times = o.Times.withDefaults()
	if o.Waits == nil {
		o.Waits = func(time.Time) (bool, error) { return false, nil }
	}
	r := &Ring{
		store: store, o: o, kick: make(chan struct{}, 1),
		all: map[string][]entry{}, signing: map[string][]mailauth.SigningKey{}, watched: map[string]*watch{},
	}
	found := map[string][]entry{}
	err := store.Room(roomName).Each("", func(name string, value []byte) error {
		e, err := decode(name, value)
		if err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
		found[e.domain] = append(found[e.domain], e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	for domain, entries := range found {
		r.set(domain, entries)
	}
	return r, nil
}

// decode reads an entry of the room.
func decode(name string, value []byte) (entry, error) {
	domain, selector, _ := strings.Cut(name, "/")
	e := entry{domain: domain, selector: selector, kept: kept{State: Signing, Key: value}}
	if len(value) > 0 && value[0] == '{' { // PKCS #8 begins with 0x30
		e.kept = kept{}
		if err := json.Unmarshal(value, &e.kept); err != nil {
			return e, err
		}
	}
	if e.State == Retired {
		return e, nil
	}
	var err error
	e.private, err = mailauth.ParsePrivateKey(e.Key)
	return e, err
}

// put is the change that writes an entry.
func (e entry) put() mailbox.RoomChange {
	value, err := json.Marshal(e.kept)
	if err != nil {
		panic(fmt.Sprintf("keyring: an entry of plain values does not become JSON: %v", err))
	}
	return mailbox.RoomChange{Room: roomName, Key: e.domain + "/" + e.selector, Value: value}
}

// drop is the change that removes it.
func (e entry) drop() mailbox.RoomChange {
	return mailbox.RoomChange{Room: roomName, Key: e.domain + "/" + e.selector}
}

// signer is the key as it signs.
func (e entry) signer() mailauth.SigningKey {
	return mailauth.SigningKey{Domain: e.domain, Selector: e.selector, Private: e.private}
}

// text is that of the record.
func (e entry) text() string {
	if e.private == nil {
		return e.Text
	}
	text, err := mailauth.KeyRecord(e.private.Public())
	if err != nil {
		return "" // it was read, or made, as a key for DKIM
	}
	return text
}

func (e entry) key() Key {
	k := Key{Domain: e.domain, Selector: e.selector, State: e.State, Since: e.Since, Until: e.Until, Record: e.text(), Algorithm: "rsa"}
	if strings.Contains(k.Record, "k=ed25519;") {
		k.Algorithm = "ed25519"
	}
	return k
}

// set takes over what is on disk for a domain.
func (r *Ring) set(domain string, entries []entry) {
	var signing []mailauth.SigningKey
	for _, e := range entries {
		if e.State == Signing {
			signing = append(signing, e.signer())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(entries) == 0 {
		delete(r.all, domain)
	} else {
		r.all[domain] = entries
	}
	if len(signing) == 0 {
		delete(r.signing, domain)
	} else {
		r.signing[domain] = signing
	}
}

// entries are those of a domain in A-labels; not to be changed.
func (r *Ring) entries(domain string) []entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.all[domain]
}

// Of gives the keys that sign for a domain in A-labels; they are not to be changed.
func (r *Ring) Of(domain string) []mailauth.SigningKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.signing[domain]
}

// OfHost gives the keys of a host's domain, or of the nearest one above it.
func (r *Ring) OfHost(host string) []mailauth.SigningKey {
	for domain := Domain(host); domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		if keys := r.Of(domain); len(keys) > 0 {
			return keys
		}
	}
	return nil
}

// Sign gives the fields with signatures of a domain, or of the nearest one above it that has keys, to be put in
// front of a message: start is its header and the beginning of its body, rest writes what follows. It gives
// nothing where nobody has keys.
func (r *Ring) Sign(domain string, start []byte, rest func(io.Writer) error) ([]byte, error) {
	keys := r.OfHost(domain)
	if len(keys) == 0 {
		return nil, nil
	}
	s := mailauth.NewSigner(start)
	if err := rest(s); err != nil {
		return nil, err
	}
	return s.Finish(keys, r.o.Now())
}

// Keys gives what is known of a domain's keys, those that sign first. ErrNoKeys.
func (r *Ring) Keys(domain string) ([]Key, error) {
	entries := r.entries(Domain(domain))
	if len(entries) == 0 {
		return nil, ErrNoKeys
	}
	keys := make([]Key, len(entries))
	for i, e := range entries {
		keys[i] = e.key()
	}
	slices.SortFunc(keys, compare)
	return keys, nil
}

// order is that in which keys are shown.
var order = []State{Signing, Waiting, Old, Retired}

func compare(a, b Key) int {
	if by := slices.Index(order, a.State) - slices.Index(order, b.State); by != 0 {
		return by
	}
	return strings.Compare(a.Selector, b.Selector)
}

// Domain is a domain as DKIM names it, in lower case and A-labels.
func Domain(domain string) string {
	if ascii, err := dns.ASCII(domain); err == nil {
		return ascii
	}
	return strings.ToLower(domain)
}

// Remove forgets all keys of a domain.
func (r *Ring) Remove(ctx context.Context, domain string) error {
	r.change.Lock()
	defer r.change.Unlock()
	domain = Domain(domain)
	var changes []mailbox.RoomChange
	for _, e := range r.entries(domain) {
		changes = append(changes, e.drop())
	}
	if len(changes) == 0 {
		return nil
	}
	if err := r.store.Change(ctx, changes...); err != nil {
		return fmt.Errorf("remove the keys of %s: %w", domain, err)
	}
	r.set(domain, nil)
	return nil
}
