package mailbox

import (
	"errors"
	"testing"

	"go.etcd.io/bbolt"
)

// TestSeals: a value is read under its key and in its bucket only, and whole.
func TestSeals(t *testing.T) {
	d := newDisk(t)
	w := &writer{t: t, d: d}
	w.ops(opAccount{Account: 1}, opAccount{Account: 2}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1})
	get := func(name, key []byte) error {
		return d.state.View(func(tx *bbolt.Tx) error {
			if tableOf(tx, name).Get(key) == nil {
				return errors.New("not there")
			}
			return nil
		})
	}
	move := func(to, toKey, from, fromKey []byte, bit byte) {
		err := d.state.Update(func(tx *bbolt.Tx) error {
			stored := append([]byte{}, tx.Bucket(from).Get(fromKey)...)
			stored[0] ^= bit
			return tx.Bucket(to).Put(toKey, stored)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	one, two := idKey(AccountID(1)), idKey(AccountID(2))
	if err := errors.Join(get(bucketAccounts, one), get(bucketAccounts, two), d.check()); err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func(){
		"under another key":  func() { move(bucketAccounts, two, bucketAccounts, one, 0) },
		"in another bucket":  func() { move(bucketAccounts, two, bucketMailboxes, one, 0) },
		"with a flipped bit": func() { move(bucketAccounts, two, bucketAccounts, two, 4) },
		"shorter than a seal": func() {
			_ = d.state.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketAccounts).Put(two, []byte{1}) })
		},
	} {
		harm()
		if err := get(bucketAccounts, two); !errors.Is(err, errDatabase) {
			t.Errorf("%s: %v", name, err)
		}
		if err := get(bucketAccounts, one); err != nil {
			t.Errorf("%s, its neighbour: %v", name, err)
		}
		if err := d.check(); !errors.Is(err, errDatabase) {
			t.Errorf("%s, checked: %v", name, err)
		}
		w.ops(opLimits{Account: 1}) // others are changed as ever
		err := d.state.Update(func(tx *bbolt.Tx) error {
			return tableOf(tx, bucketAccounts).Put(two, storedAccount{made: 1}.append(nil))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := d.check(); err != nil {
		t.Error(err)
	}
}
