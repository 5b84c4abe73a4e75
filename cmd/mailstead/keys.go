package main

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

// keyRoom is where the keys for DKIM are kept in the store: under the domain in
// A-labels, a slash and the selector, in PKCS #8.
const keyRoom = "dkim"

// Each domain signs with two keys: one that every receiver knows, and one whose
// signatures are small (RFC 8463 section 3). The selectors say which is which,
// and leave room for others that come after them.
var newKeys = []struct {
	selector string
	make     func() (crypto.Signer, error)
}{
	{"mailstead-rsa", mailauth.NewRSAKey},
	{"mailstead-ed25519", mailauth.NewEd25519Key},
}

// keyring has the keys of all domains. Its methods may be called at the same
// time.
type keyring struct {
	store  *mailbox.Store
	change sync.Mutex // of whoever makes or removes keys
	mu     sync.RWMutex
	keys   map[string][]mailauth.SigningKey // guarded by mu; slices do not change
}

// openKeyring reads the keys.
func openKeyring(store *mailbox.Store) (*keyring, error) {
	k := &keyring{store: store, keys: map[string][]mailauth.SigningKey{}}
	err := store.Room(keyRoom).Each("", func(name string, value []byte) error {
		domain, selector, _ := strings.Cut(name, "/")
		private, err := mailauth.ParsePrivateKey(value)
		if err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
		k.keys[domain] = append(k.keys[domain], mailauth.SigningKey{Domain: domain, Selector: selector, Private: private})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keys for DKIM: %w", err)
	}
	return k, nil
}

// of gives the keys of a domain in A-labels.
func (k *keyring) of(domain string) []mailauth.SigningKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[domain]
}

// ofHost gives the keys of a host's domain, or of the nearest one above it.
func (k *keyring) ofHost(host string) []mailauth.SigningKey {
	for domain := keyDomain(host); domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		if keys := k.of(domain); len(keys) > 0 {
			return keys
		}
	}
	return nil
}

// signNotice signs a notice of a host, as queue.Options.Sign wants it.
func (k *keyring) signNotice(host string) func(start []byte, rest func(io.Writer) error) ([]byte, error) {
	return func(start []byte, rest func(io.Writer) error) ([]byte, error) {
		keys := k.ofHost(host)
		if len(keys) == 0 {
			return nil, nil
		}
		s := mailauth.NewSigner(keys, time.Now(), start)
		if err := rest(s); err != nil {
			return nil, err
		}
		return s.Finish()
	}
}

// keyDomain is a domain of the directory as DKIM names it.
func keyDomain(domain string) string {
	if ascii, err := dns.ASCII(domain); err == nil {
		return ascii
	}
	return strings.ToLower(domain)
}

// ensure makes the keys of a domain that has none.
func (k *keyring) ensure(ctx context.Context, domain string) error {
	k.change.Lock()
	defer k.change.Unlock()
	domain = keyDomain(domain)
	if len(k.of(domain)) > 0 {
		return nil
	}
	var made []mailauth.SigningKey
	var changes []mailbox.RoomChange
	for _, n := range newKeys {
		private, err := n.make()
		if err != nil {
			return fmt.Errorf("make a key for %s: %w", domain, err)
		}
		value, err := mailauth.MarshalPrivateKey(private)
		if err != nil {
			return fmt.Errorf("make a key for %s: %w", domain, err)
		}
		made = append(made, mailauth.SigningKey{Domain: domain, Selector: n.selector, Private: private})
		changes = append(changes, mailbox.RoomChange{Room: keyRoom, Key: domain + "/" + n.selector, Value: value})
	}
	if err := k.store.Change(ctx, changes...); err != nil {
		return fmt.Errorf("keep the keys of %s: %w", domain, err)
	}
	k.set(domain, made)
	return nil
}

// remove forgets the keys of a domain.
func (k *keyring) remove(ctx context.Context, domain string) error {
	k.change.Lock()
	defer k.change.Unlock()
	domain = keyDomain(domain)
	var changes []mailbox.RoomChange
	for _, key := range k.of(domain) {
		changes = append(changes, mailbox.RoomChange{Room: keyRoom, Key: domain + "/" + key.Selector})
	}
	if len(changes) == 0 {
		return nil
	}
	if err := k.store.Change(ctx, changes...); err != nil {
		return fmt.Errorf("remove the keys of %s: %w", domain, err)
	}
	k.set(domain, nil)
	return nil
}

func (k *keyring) set(domain string, keys []mailauth.SigningKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(keys) == 0 {
		delete(k.keys, domain)
	} else {
		k.keys[domain] = keys
	}
}
