package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"
)

// Limits of rooms: bbolt takes keys of 1 to 32,768 bytes, and keys fill the
// pages that every search walks through.
const (
	MaxRoomName = 64   // bytes
	MaxRoomKey  = 1024 // bytes
)

func checkRoomKey(room, key string) error {
	if room == "" || len(room) > MaxRoomName || key == "" || len(key) > MaxRoomKey {
		return fmt.Errorf("%w: room %.64q, key %.64q", ErrRoomKey, room, key)
	}
	return nil
}

// checkRooms is asked before changes become a record: what was acknowledged
// must be possible to apply.
func checkRooms(changes []RoomChange) error {
	for _, c := range changes {
		if err := checkRoomKey(c.Room, c.Key); err != nil {
			return err
		}
	}
	return nil
}

// room sets or deletes a key. The new body is held before the old one is
// released, so one that stays is never without a reference.
func (a *applying) room(o opRoom) error {
	if err := checkRoomKey(o.Room, o.Key); err != nil {
		a.disk.logger.Error("a change of a room was passed over", "lsn", uint64(a.lsn), "error", err)
		return nil
	}
	b, err := a.roomBucket(o.Room)
	if err != nil {
		return err
	}
	before, err := decodeRoomEntry(b.Get([]byte(o.Key)))
	if err != nil {
		return err
	}
	if o.Value == nil {
		err = b.Delete([]byte(o.Key))
	} else {
		err = errors.Join(a.hold(o.Body), b.Put([]byte(o.Key), appendRoomEntry(nil, o.Body, o.Value)))
	}
	return errors.Join(err, a.release(before.Body))
}

func (a *applying) roomBucket(name string) (table, error) {
	if t, ok := a.rooms[name]; ok {
		return t, nil
	}
	b, err := a.tx.Bucket(bucketRooms).CreateBucketIfNotExists([]byte(name))
	t := newTable(b, []byte(name))
	a.rooms[name] = t
	return t, err
}

// roomOf is the table of a room; ok is false for a room that has no entry.
func roomOf(tx *bbolt.Tx, name string) (t table, ok bool) {
	b := tx.Bucket(bucketRooms).Bucket([]byte(name))
	return newTable(b, []byte(name)), b != nil
}

// roomEntry is a key of a room with what it has.
type roomEntry struct {
	Key   string
	Value []byte
	Body  BodyID // held by the entry; 0 = none
}

func appendRoomEntry(dst []byte, body BodyID, value []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(body)), value...)
}

// decodeRoomEntry returns an entry without key whose value is part of stored.
// No stored value is an entry without value.
func decodeRoomEntry(stored []byte) (roomEntry, error) {
	if stored == nil {
		return roomEntry{}, nil
	}
	r := fieldReader{rest: stored}
	body := BodyID(r.uint64())
	if r.bad {
		return roomEntry{}, fmt.Errorf("%w: malformed room entry", errDatabase)
	}
	return roomEntry{Value: r.rest, Body: body}, nil
}

// roomGet returns the entry of a key; ok is false when there is none. The value
// is a copy.
func (d *disk) roomGet(room, key string) (e roomEntry, ok bool, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		b, there := roomOf(tx, room)
		if !there {
			return nil
		}
		stored := b.Get([]byte(key))
		if stored == nil {
			return nil
		}
		if e, err = decodeRoomEntry(stored); err != nil {
			return fmt.Errorf("room %s, key %q: %w", room, key, err)
		}
		e.Key, e.Value, ok = key, append([]byte{}, e.Value...), true
		return nil
	})
	return e, ok, err
}

// roomPage returns up to limit entries whose key begins with prefix and sorts
// behind after, by key, from one short transaction. Values are copies. Fewer
// than limit means there are no more.
func (d *disk) roomPage(room, prefix, after string, limit int) (page []roomEntry, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		b, there := roomOf(tx, room)
		if !there {
			return nil
		}
		c := b.Cursor()
		key, stored := c.Seek([]byte(max(prefix, after)))
		if after != "" && string(key) == after {
			key, stored = c.Next()
		}
		for ; key != nil && len(page) < limit && strings.HasPrefix(string(key), prefix); key, stored = c.Next() {
			e, err := decodeRoomEntry(stored)
			if err != nil {
				return fmt.Errorf("room %s, key %q: %w", room, key, err)
			}
			page = append(page, roomEntry{Key: string(key), Value: append([]byte{}, e.Value...), Body: e.Body})
		}
		return nil
	})
	return page, err
}
