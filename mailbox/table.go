package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"
)

// bbolt has checksums of its two first pages only. So each value of state.db, and each
// index of derived.db, is sealed: four bytes behind it are the CRC-32C of the bucket's
// name, the key and the value. A flipped bit within a value, and any in a page that has
// another key or value seem to be there, is seen by who reads it.

// sealSize is the length of a seal in bytes.
const sealSize = 4

// table is a bucket of sealed values. Reading one whose seal is broken panics with a
// sealError, which the transaction's database makes an error of.
type table struct {
	bucket *bbolt.Bucket
	name   []byte
	seed   uint32
}

// sealError says that a value is not what was stored under its key.
type sealError struct {
	name, key []byte
}

func (e *sealError) Error() string {
	return fmt.Sprintf("%v: %s, key %x: the checksum does not hold", errDatabase, e.name, e.key)
}

func (e *sealError) Unwrap() error { return errDatabase }

// tableOf is the bucket of that name, which is there in every database of the schema.
func tableOf(tx *bbolt.Tx, name []byte) table { return newTable(tx.Bucket(name), name) }

func newTable(b *bbolt.Bucket, name []byte) table {
	return table{bucket: b, name: name, seed: crc32.Checksum(name, castagnoli)}
}

func (t table) sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(t.seed, castagnoli, key), castagnoli, value)
}

// unseal returns what was put under key, which is part of stored; ok is false where the
// seal is broken.
func (t table) unseal(key, stored []byte) (value []byte, ok bool) {
	n := len(stored) - sealSize
	if n < 0 || binary.LittleEndian.Uint32(stored[n:]) != t.sum(key, stored[:n]) {
		return nil, false
	}
	return stored[:n:n], true
}

// opened is unseal of what is there, and nil of what is not.
func (t table) opened(key, stored []byte) []byte {
	if stored == nil {
		return nil
	}
	value, ok := t.unseal(key, stored)
	if !ok {
		panic(&sealError{name: t.name, key: bytes.Clone(key)})
	}
	return value
}

// Get returns the value of a key, nil for none. It is valid during the transaction.
func (t table) Get(key []byte) []byte { return t.opened(key, t.bucket.Get(key)) }

// Put stores a value. The key must not be changed before the transaction ends.
func (t table) Put(key, value []byte) error {
	return t.PutIn(key, append(make([]byte, 0, len(value)+sealSize), value...))
}

// PutIn is Put for a value that is given away: its seal is written behind it, into what its
// capacity leaves, and it must not be changed before the transaction ends.
func (t table) PutIn(key, value []byte) error {
	return t.bucket.Put(key, binary.LittleEndian.AppendUint32(value, t.sum(key, value)))
}

// Delete removes a key that may not be there.
func (t table) Delete(key []byte) error { return t.bucket.Delete(key) }

// ForEach calls f with every key and value, in order, until it returns an error. f must
// not change the table.
func (t table) ForEach(f func(key, value []byte) error) error {
	return t.bucket.ForEach(func(key, stored []byte) error { return f(key, t.opened(key, stored)) })
}

// Cursor is for going through the table in order.
func (t table) Cursor() tableCursor { return tableCursor{t, t.bucket.Cursor()} }

// tableCursor is a cursor of bbolt that opens seals. A nil key is the end.
type tableCursor struct {
	table  table
	cursor *bbolt.Cursor
}

func (c tableCursor) opened(key, stored []byte) ([]byte, []byte) {
	return key, c.table.opened(key, stored)
}

func (c tableCursor) First() (key, value []byte) { return c.opened(c.cursor.First()) }
func (c tableCursor) Next() (key, value []byte)  { return c.opened(c.cursor.Next()) }
func (c tableCursor) Seek(from []byte) (key, value []byte) {
	return c.opened(c.cursor.Seek(from))
}

// eachTable calls f with every table of sealed values that a database has, those of
// rooms included.
func eachTable(tx *bbolt.Tx, f func(table) error) error {
	for _, name := range append(stateSchema().buckets, bucketIndexes) {
		b := tx.Bucket(name)
		switch {
		case b == nil || string(name) == string(bucketMeta):
		case string(name) == string(bucketRooms):
			err := b.ForEachBucket(func(room []byte) error { return f(newTable(b.Bucket(room), room)) })
			if err != nil {
				return err
			}
		default:
			if err := f(newTable(b, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSeals returns what values of a database are not what was stored, at most so many
// as a check names. The page structure must be whole.
func checkSeals(tx *bbolt.Tx) (problems []error) {
	err := eachTable(tx, func(t table) error {
		return t.bucket.ForEach(func(key, stored []byte) error {
			if _, ok := t.unseal(key, stored); ok {
				return nil
			}
			problems = append(problems, &sealError{name: t.name, key: bytes.Clone(key)})
			if len(problems) >= maxProblems {
				return errTooMany
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, errTooMany) {
		problems = append(problems, err)
	}
	return problems
}

// checkContent returns what is wrong in a database of which the page structure is whole,
// as far as it says that something is not what was stored: broken seals, and messages
// that are not there. One of an older schema has no seals.
func checkContent(tx *bbolt.Tx) []error {
	want := derivedSchema().version
	state := tx.Bucket(bucketMessages) != nil
	if state {
		want = stateSchema().version
	}
	if had, err := schemaOf(tx); err != nil || had != want {
		return nil // opening it says so
	}
	problems := checkSeals(tx)
	if len(problems) > 0 || !state {
		return problems
	}
	err := eachDescription(tx, func(id ID, _ *diskMailbox) {
		err := readMessages(tx, id, new(readAhead).begin(tx, time.Now()), func([]Message) {})
		if err != nil && len(problems) < maxProblems {
			problems = append(problems, fmt.Errorf("mailbox %d: %w", id, err))
		}
	})
	if err != nil {
		problems = append(problems, err)
	}
	return problems
}

// errTooMany ends a check.
var errTooMany = errors.New("mailbox: too many problems")

// sealAll brings schema 1 of state.db, which had no seals, to 2.
func sealAll(tx *bbolt.Tx) error {
	meta := newTable(tx.Bucket(bucketMeta), bucketMeta)
	for _, key := range [][]byte{keyApplied, keyLast} {
		if value := meta.bucket.Get(key); value != nil {
			if err := meta.Put(key, bytes.Clone(value)); err != nil {
				return err
			}
		}
	}
	return eachTable(tx, table.sealAll)
}

func (t table) sealAll() error {
	var keys, values [][]byte // copies: bbolt may move what it has while it stores
	err := t.bucket.ForEach(func(key, stored []byte) error {
		keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(stored))
		return nil
	})
	if err != nil {
		return err
	}
	for i := range keys {
		if err := t.Put(keys[i], values[i]); err != nil {
			return err
		}
	}
	return nil
}
