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
	// warmSize is how much of a stored index is read ahead of its use, in octets: those of
	// all but unusual messages are shorter, and lookupSize of them stay in the processor's
	// cache, which reads cacheLine octets of memory at a time.
	warmSize  = 2 << 10
	cacheLine = 64

	nowhere BodyID = math.MaxUint64 // no body has it
)

// indexLookup finds the stored indexes of bodies.
type indexLookup struct {
	cursor *bbolt.Cursor
	ahead  readAheadTx
	at     BodyID // that the look-up is at
	value  []byte
	values [lookupSize][]byte // as they are stored, in the order asked for; nil = none

	// Neighbours come from the cursor some at a time, twice as many each time: to look at
	// a key waits for memory, and waits for one after the other unless the keys are at hand
	// together.
	nearKeys, nearValues [lookupSize][]byte
	from, to             int // of the neighbours: those that find has not come to
	stride               int // how many come next
}

// lookUp finds the indexes of at most lookupSize bodies, and has what they begin with in
// the processor's cache.
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
	warm(l.values[:len(bodies)], warmSize)
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
		l.step()
	}
	if l.at != id {
		return nil
	}
	return l.value
}

// seek moves to the first body from id on, by way of the tree.
func (l *indexLookup) seek(id BodyID) {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(id))
	l.from, l.to, l.stride = 0, 0, 1
	found, value := l.cursor.Seek(key[:])
	l.ahead.want(value)
	l.moved(found, value)
}

// step moves to the next body.
func (l *indexLookup) step() {
	if l.from == l.to {
		l.readNear()
	}
	l.moved(l.nearKeys[l.from], l.nearValues[l.from])
	l.from++
}

// readNear takes the next neighbours from the cursor.
func (l *indexLookup) readNear() {
	l.from, l.to = 0, l.stride
	for i := range l.to {
		l.nearKeys[i], l.nearValues[i] = l.cursor.Next()
		l.ahead.want(l.nearValues[i])
	}
	warm(l.nearKeys[:l.to], 1)
	l.stride = min(2*l.stride, lookupSize)
}

// moved notes where the look-up is.
func (l *indexLookup) moved(key, value []byte) {
	l.at, l.value = nowhere, nil
	if len(key) == 8 {
		l.at, l.value = BodyID(binary.BigEndian.Uint64(key)), value
	}
}

// warm reads an octet of each cache line that the values have in their first size octets: no
// read depends on another, so that the processor waits for many of them at once. What
// walks through them afterwards would wait for line after line. The sum is of no use, but
// has the compiler keep the reads.
//
//go:noinline
func warm(values [][]byte, size int) (sum byte) {
	for _, b := range values {
		for at := 0; at < min(len(b), size); at += cacheLine {
			sum += b[at]
		}
	}
	return sum
}
