package mailbox

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"mailstead/mailbox/log"
)

// overlay is what is durable in the log and not yet in the databases, but for
// mailboxes, whose boxes have their own. Readers look here first and then on
// disk; an entry leaves only after the commit that has it, so nothing is
// ever in neither.
type overlay struct {
	mu      sync.RWMutex
	places  map[BodyID]log.Place
	indexes map[BodyID][]byte
	derived []derivedEntry // what derived.db is to get, in order
	bytes   int            // that derived takes
	last    log.LSN        // of the last published record
	rooms   map[string]map[string]roomValue
}

// roomValue is what a record said of a key. A nil value deletes.
type roomValue struct {
	value []byte
	lsn   log.LSN
}

func (o *overlay) init() {
	o.places = make(map[BodyID]log.Place)
	o.indexes = make(map[BodyID][]byte)
	o.rooms = make(map[string]map[string]roomValue)
}

// publish takes in a durable record.
func (o *overlay) publish(r *record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = r.entry.LSN
	if id := BodyID(r.entry.BodyID); id != 0 && !movesBody(r.ops) { // where it was it stays readable until the commit
		o.places[id] = r.entry.Place
		o.keepIndex(id, r.index)
	}
	for _, op := range r.ops {
		if c, ok := op.(opRoom); ok {
			o.setRoom(c, r.entry.LSN)
		}
	}
}

func (o *overlay) keepIndex(id BodyID, value []byte) {
	o.indexes[id] = value
	o.derived = append(o.derived, derivedEntry{Body: id, Value: value})
	o.bytes += len(value) + indexOverhead
}

// indexOverhead is about what an index takes beside its value, in bytes.
const indexOverhead = 128

func (o *overlay) setRoom(c opRoom, lsn log.LSN) {
	room := o.rooms[c.Room]
	if room == nil {
		room = make(map[string]roomValue)
		o.rooms[c.Room] = room
	}
	room[c.Key] = roomValue{value: c.Value, lsn: lsn}
}

// remade keeps an index that derived.db lacked.
func (o *overlay) remade(id BodyID, value []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.indexes[id]; !ok {
		o.keepIndex(id, value)
	}
}

// forget drops what state.db holds now: the records of batch, up to last.
func (o *overlay) forget(batch []*record, last log.LSN) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range batch {
		if !movesBody(r.ops) {
			delete(o.places, BodyID(r.entry.BodyID))
		}
		for _, op := range r.ops {
			if c, ok := op.(opRoom); ok {
				o.forgetRoom(c, last)
			}
		}
	}
}

func (o *overlay) forgetRoom(c opRoom, last log.LSN) {
	room := o.rooms[c.Room]
	if v, ok := room[c.Key]; ok && v.lsn <= last {
		delete(room, c.Key)
	}
	if len(room) == 0 {
		delete(o.rooms, c.Room)
	}
}

// forgetIndexes has derived.db forget indexes, behind everything that it is to
// get before.
func (o *overlay) forgetIndexes(ids []BodyID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		o.derived = append(o.derived, derivedEntry{Body: id})
	}
	o.bytes += len(ids) * indexOverhead
}

// unstored returns what derived.db lacks, and the LSN up to which it will have everything.
func (o *overlay) unstored() ([]derivedEntry, log.LSN) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Clone(o.derived), o.last
}

// stored drops entries, which are the first of derived, after their commit.
func (o *overlay) stored(entries []derivedEntry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range entries {
		delete(o.indexes, e.Body)
		o.bytes -= len(e.Value) + indexOverhead
	}
	o.derived = slices.Clone(o.derived[len(entries):])
}

// unstoredBytes is what derived.db lacks, in bytes of memory.
func (o *overlay) unstoredBytes() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.bytes
}

func (o *overlay) place(id BodyID) (log.Place, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	p, ok := o.places[id]
	return p, ok
}

func (o *overlay) index(id BodyID) ([]byte, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	v, ok := o.indexes[id]
	return v, ok
}

// lacksIndexes returns how many bodies there are before the first one whose index is here.
func (o *overlay) lacksIndexes(bodies []BodyID) int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for i, id := range bodies {
		if _, ok := o.indexes[id]; ok {
			return i
		}
	}
	return len(bodies)
}

// room returns what the overlay says of a key.
func (o *overlay) room(name, key string) (roomValue, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	v, ok := o.rooms[name][key]
	return v, ok
}

// roomRange returns what the overlay says of the keys with prefix that are
// above after, sorted.
func (o *overlay) roomRange(name, prefix, after string) (keys []string, values map[string]roomValue) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for key, v := range o.rooms[name] {
		if key > after && strings.HasPrefix(key, prefix) {
			if values == nil {
				values = make(map[string]roomValue)
			}
			values[key] = v
		}
	}
	return slices.Sorted(maps.Keys(values)), values
}
