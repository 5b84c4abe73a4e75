package mailbox

import (
	"errors"
	"slices"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"
)

// sparseMailbox has so many chunks of one message each that neither the second goroutine
// nor the queue in front of it has all of them.
func sparseMailbox(t *testing.T) *disk {
	d := newDisk(t)
	w := writer{t: t, d: d}
	w.ops(opAccount{Account: 1}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1}, opMailbox{ID: 2, Account: 1, Name: "Next", UIDValidity: 2})
	list := make([]added, loadBeside+3*loadBatch/2)
	for i := range list {
		uid := goimap.UID(i+1) << chunkBits
		list[i] = testMessage(uid, 1, FlagSet{uint64(i) % 5})
	}
	next := append([]added(nil), list[:1]...)
	w.apply(appliedRecord{Body: 1, Place: place(1), Ops: []op{opAdd{Mailbox: 1, Messages: list}, opAdd{Mailbox: 2, Messages: next}}})
	return d
}

// TestOpenBeside opens a mailbox with two goroutines; messagesOf compares.
func TestOpenBeside(t *testing.T) {
	d := sparseMailbox(t)
	if n := len(messagesOf(t, d, 1)); n != loadBeside+3*loadBatch/2 {
		t.Errorf("%d messages", n)
	}
	if n := len(messagesOf(t, d, 2)) + len(messagesOf(t, d, 3)); n != 1 {
		t.Errorf("%d messages in the next mailbox and one that is not there", n)
	}
	m, _, err := d.openMessages(2, 7)
	if err != nil || cap(m.uids) < 8 || cap(m.zone) < 8 {
		t.Errorf("room for %d, error %v", cap(m.uids), err)
	}
}

// TestOpenDamaged opens a mailbox with two goroutines of which one finds damage, early and
// late, or both do.
func TestOpenDamaged(t *testing.T) {
	d := sparseMailbox(t)
	for _, c := range []struct {
		name   string
		damage func(*bbolt.Tx, []byte) error
	}{
		{"a broken seal of messages", breakSeal(bucketMessages)},
		{"a broken seal of flags", breakSeal(bucketFlags)},
		{"other messages", func(tx *bbolt.Tx, key []byte) error {
			return tableOf(tx, bucketMessages).Put(key, appendMessageChunk(nil, []added{testMessage(1, 1, FlagSet{})}))
		}},
		{"flags of more messages", func(tx *bbolt.Tx, key []byte) error {
			return tableOf(tx, bucketFlags).Put(key, appendFlagChunk(nil, []flagged{{UID: 1}, {UID: 2}, {UID: 1 << 20}}))
		}},
		{"no flags", func(tx *bbolt.Tx, key []byte) error { return tx.Bucket(bucketFlags).Delete(key) }},
		{"no messages", func(tx *bbolt.Tx, key []byte) error { return tx.Bucket(bucketMessages).Delete(key) }},
		{"neither", func(tx *bbolt.Tx, key []byte) error {
			return errors.Join(tx.Bucket(bucketFlags).Delete(key), tx.Bucket(bucketMessages).Delete(key))
		}},
	} {
		for _, at := range []goimap.UID{1, loadBeside} {
			key := chunkOf(1, at<<chunkBits).append(nil)
			var was [2][]byte
			update(t, d, func(tx *bbolt.Tx) error {
				was = [2][]byte{slices.Clone(tx.Bucket(bucketMessages).Get(key)), slices.Clone(tx.Bucket(bucketFlags).Get(key))}
				return c.damage(tx, key)
			})
			if _, _, err := d.openMessages(1, 0); !errors.Is(err, errDatabase) {
				t.Errorf("%s, chunk %d: %v", c.name, at, err)
			}
			update(t, d, func(tx *bbolt.Tx) error {
				return errors.Join(tx.Bucket(bucketMessages).Put(key, was[0]), tx.Bucket(bucketFlags).Put(key, was[1]))
			})
		}
	}
}

func update(t *testing.T, d *disk, f func(*bbolt.Tx) error) {
	t.Helper()
	if err := d.state.Update(f); err != nil {
		t.Fatal(err)
	}
}

// breakSeal flips a bit of a value.
func breakSeal(bucket []byte) func(*bbolt.Tx, []byte) error {
	return func(tx *bbolt.Tx, key []byte) error {
		value := slices.Clone(tx.Bucket(bucket).Get(key))
		value[0] ^= 1
		return tx.Bucket(bucket).Put(key, value)
	}
}
