package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Room is the named, durable key-value state of another part of the server.
type Room struct {
	s    *Store
	name string
}

// RoomChange sets or deletes one key of a room.
type RoomChange struct {
	Room, Key string // 1 to MaxRoomName and 1 to MaxRoomKey bytes
	Value     []byte // nil deletes
	Body      BodyID // the entry holds this body: its bytes stay while the entry names it; 0 = none
	With      int    // for Deliver: 1 + the target without whose copy the change is not made; 0 = in any case
}

// Room returns the room of that name. It need not be made.
func (s *Store) Room(name string) *Room { return &Room{s: s, name: name} }

// Change makes all changes as one record and returns when it is on disk.
// Concurrent changes of one key: the later call wins; callers that read and
// then write lock for themselves. It may use the reserve of a nearly full
// disk, since administration and the queue's end of a message make room.
// ErrRoomKey, ErrNoSpace, ErrClosed.
func (s *Store) Change(ctx context.Context, changes ...RoomChange) error {
	if err := checkRooms(changes); err != nil {
		return err
	}
	return s.write(ctx, urgent, roomNeed(changes), nil, func(d *decision) error {
		d.rooms(changes)
		return nil
	})
}

// roomNeed bounds the metadata of changes in bytes.
func roomNeed(changes []RoomChange) int {
	n := baseNeed
	for _, c := range changes {
		n += len(c.Room) + len(c.Key) + len(c.Value) + roomOpNeed
	}
	return n
}

// Get returns the durable value, which is the caller's; ok is false when there
// is none. With an error, which is temporary to the outside, nobody knows
// whether there is one.
func (r *Room) Get(key string) (value []byte, ok bool, err error) {
	if v, ok := r.s.overlay.room(r.name, key); ok {
		return bytes.Clone(v.value), v.value != nil, nil
	}
	e, ok, err := r.s.disk.roomGet(r.name, key)
	if err != nil {
		return nil, false, fmt.Errorf("mailbox: reading room %s: %w", r.name, err)
	}
	return e.Value, ok, nil
}

// roomPageSize is how many pairs Each reads at a time.
const roomPageSize = 256

// Each calls f with the durable pairs whose key begins with prefix, by key,
// until f returns an error, which is then Each's. Values are f's to keep.
// Nothing is locked while f runs; what changes meanwhile is seen or not. Any
// other error says that the pairs from there on could not be read.
func (r *Room) Each(prefix string, f func(key string, value []byte) error) error {
	after, more := "", true
	for more {
		page, next, behind, err := r.page(prefix, after)
		if err != nil {
			return fmt.Errorf("mailbox: reading room %s: %w", r.name, err)
		}
		for _, p := range page {
			if err := f(p.Key, p.Value); err != nil {
				return err
			}
		}
		after, more = next, behind
	}
	return nil
}

// page returns some of the pairs above after, and whether there may be more behind next.
func (r *Room) page(prefix, after string) (page []roomEntry, next string, more bool, err error) {
	// The overlay is looked at first: what leaves it is on disk by then.
	keys, values := r.s.overlay.roomRange(r.name, prefix, after)
	page, err = r.s.disk.roomPage(r.name, prefix, after, roomPageSize)
	if err != nil {
		return nil, "", false, err
	}
	if more = len(page) == roomPageSize; more {
		next = page[len(page)-1].Key
		cut, found := slices.BinarySearch(keys, next)
		if found {
			cut++
		}
		keys = keys[:cut]
	}
	return mergePairs(page, keys, values), next, more, nil
}

// mergePairs lays the overlay's keys, sorted, over a page.
func mergePairs(page []roomEntry, keys []string, values map[string]roomValue) []roomEntry {
	if len(keys) == 0 {
		return page
	}
	merged := make([]roomEntry, 0, len(page)+len(keys))
	for _, p := range page {
		if _, ok := values[p.Key]; !ok {
			merged = append(merged, p)
		}
	}
	for _, key := range keys {
		if v := values[key].value; v != nil {
			merged = append(merged, roomEntry{Key: key, Value: bytes.Clone(v)})
		}
	}
	slices.SortFunc(merged, func(x, y roomEntry) int { return strings.Compare(x.Key, y.Key) })
	return merged
}
