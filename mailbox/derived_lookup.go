package mailbox

import (
	"encoding/binary"
	"math"

	"go.etcd.io/bbolt"
)

const (
	// lookupSize is how many indexes are looked up at a time, in the order of their keys.
	// Bodies that came by several connections at once lie in another order than their
	// messages: to search the tree for each of them takes an eighth of a FETCH of headers.
	lookupSize = 64
	// lookupNear is how many keys behind the last one are looked at before the tree is
	// searched.
	lookupNear = 4

	nowhere BodyID = math.MaxUint64 // no body has it
)

// indexLookup finds the stored indexes of bodies.
type indexLookup struct {
	cursor *bbolt.Cursor
	at     BodyID // that the cursor is at
	value  []byte
	values [lookupSize][]byte // as they are stored, in the order asked for; nil = none
}

// lookUp finds the indexes of at most lookupSize bodies.
func (l *indexLookup) lookUp(bodies []BodyID) {
	var order [lookupSize]uint8 // by body; most are in their places already
	for i, id := range bodies {
		at := i
		for ; at > 0 && bodies[order[at-1]] > id; at-- {
			order[at] = order[at-1]
		}
		order[at] = uint8(i)
	}
	for _, i := range order[:len(bodies)] {
		l.values[i] = l.find(bodies[i])
	}
}

// find returns the stored index of a body, nil for none.
func (l *indexLookup) find(id BodyID) []byte {
	if l.at > id {
		l.seek(id)
	}
	for n := 0; l.at < id; n++ {
		if n == lookupNear {
			l.seek(id)
			break
		}
		l.moved(l.cursor.Next())
	}
	if l.at != id {
		return nil
	}
	return l.value
}

func (l *indexLookup) seek(id BodyID) {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(id))
	l.moved(l.cursor.Seek(key[:]))
}

// moved notes where the cursor is.
func (l *indexLookup) moved(key, value []byte) {
	l.at, l.value = nowhere, nil
	if len(key) == 8 {
		l.at, l.value = BodyID(binary.BigEndian.Uint64(key)), value
	}
}
