package mailbox

import (
	"cmp"
	"encoding/binary"
	"fmt"
	mathbits "math/bits"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/log"
)

// Messages and bodies are packed: one value holds those of a run of numbers, so
// a flag change of 100,000 messages rewrites 400 values and a load reads as
// many. What is written once (messages) and what changes (flags) are apart.

// Numbers per value, as powers of two. 256 messages make values of about 3 KB
// and 1.3 KB; see docs/STORAGE.md for the measurements.
const (
	chunkBits     = 8
	bodyChunkBits = 6
)

// chunkKey names the packed values of a mailbox's messages UID>>chunkBits.
type chunkKey struct {
	Mailbox ID
	Number  uint32
}

func chunkOf(id ID, uid goimap.UID) chunkKey {
	return chunkKey{Mailbox: id, Number: uint32(uid) >> chunkBits}
}

func (k chunkKey) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(k.Mailbox))
	return binary.BigEndian.AppendUint32(dst, k.Number)
}

func (k chunkKey) compare(o chunkKey) int {
	return cmp.Or(cmp.Compare(k.Mailbox, o.Mailbox), cmp.Compare(k.Number, o.Number))
}

// What one message takes in the packed values, in bytes: most have a little more, so
// that lists of this length are decoded without growing.
const (
	usualAdded   = 8
	usualFlagged = 4
)

// appendMessageChunk appends the value of bucket messages: the part of each
// message that never changes.
func appendMessageChunk(dst []byte, list []added) []byte {
	var before added
	for i := range list {
		dst = appendAdded(dst, &list[i], &before)
		before = list[i]
	}
	return dst
}

// decodeMessageChunk appends the messages of value to dst, without flags.
func decodeMessageChunk(dst []added, value []byte) ([]added, error) {
	r := fieldReader{rest: value}
	dst = slices.Grow(dst, len(value)/usualAdded)
	var before added
	for len(r.rest) > 0 {
		var m added
		r.added(&m, &before)
		if r.bad || m.UID <= before.UID {
			return dst, fmt.Errorf("%w: malformed messages", errDatabase)
		}
		dst = append(dst, m)
		before = m
	}
	return dst, nil
}

// flagged is the part of a message that changes.
type flagged struct {
	UID    goimap.UID
	Flags  FlagSet
	ModSeq ModSeq
}

func appendFlagChunk(dst []byte, list []flagged) []byte {
	var uid goimap.UID
	var modseq ModSeq
	for i := range list {
		m := &list[i]
		dst = binary.AppendUvarint(dst, uint64(uint32(m.UID-uid)))
		dst = appendFlags(dst, m.Flags)
		dst = binary.AppendVarint(dst, int64(m.ModSeq-modseq))
		uid, modseq = m.UID, m.ModSeq
	}
	return dst
}

func decodeFlagChunk(dst []flagged, value []byte) ([]flagged, error) {
	r := fieldReader{rest: value}
	dst = slices.Grow(dst, len(value)/usualFlagged)
	var m flagged
	for len(r.rest) > 0 {
		before := m.UID
		r.flagged(&m)
		if r.bad || m.UID <= before {
			return dst, fmt.Errorf("%w: malformed flags", errDatabase)
		}
		dst = append(dst, m)
	}
	return dst, nil
}

// flagged moves m from one message of a value of bucket flags to the next.
func (r *fieldReader) flagged(m *flagged) {
	m.UID += goimap.UID(r.uint32())
	m.Flags = r.flags()
	m.ModSeq += ModSeq(r.int64())
}

// bodyChunk names the packed value of the bodies ID>>bodyChunkBits.
type bodyChunk uint64

func bodyChunkOf(id BodyID) bodyChunk { return bodyChunk(id >> bodyChunkBits) }

func (n bodyChunk) append(dst []byte) []byte { return binary.BigEndian.AppendUint64(dst, uint64(n)) }

func (n bodyChunk) compare(o bodyChunk) int { return cmp.Compare(n, o) }

// storedBody is what state.db knows of a body.
type storedBody struct {
	ID    BodyID
	Refs  uint64  // messages, deleted messages within retention, and room entries that hold it
	Died  log.LSN // of the record that took the last reference, while Refs is 0
	Lost  bool    // referenced, but the record that brought it was damaged: there is no place
	Place log.Place
}

// The ways a body is stored, on disk.
const (
	bodyInline = 0
	bodyBig    = 1
	bodyLost   = 2
)

func (s *storedBody) way() uint64 {
	switch {
	case s.Lost:
		return bodyLost
	case s.Place.Big:
		return bodyBig
	}
	return bodyInline
}

func appendBodyChunk(dst []byte, list []storedBody) []byte {
	var before storedBody
	for i := range list {
		s := &list[i]
		dst = binary.AppendUvarint(dst, uint64(s.ID)&(1<<bodyChunkBits-1))
		dst = binary.AppendUvarint(dst, s.Refs)
		if s.Refs == 0 {
			dst = binary.AppendUvarint(dst, uint64(s.Died))
		}
		dst = binary.AppendUvarint(dst, s.way())
		if !s.Lost {
			dst = binary.AppendVarint(dst, int64(s.Place.Segment)-int64(before.Place.Segment))
			dst = binary.AppendUvarint(dst, uint64(s.Place.Offset))
			dst = binary.AppendUvarint(dst, uint64(s.Place.Size))
		}
		before = *s
	}
	return dst
}

// decodeBodyChunk appends the bodies of value, which is chunk number's, to dst.
func decodeBodyChunk(dst []storedBody, number bodyChunk, value []byte) ([]storedBody, error) {
	r := bodyReader{number: number, fields: fieldReader{rest: value}}
	for r.next() {
		dst = append(dst, r.body)
	}
	return dst, r.err()
}

// bodyReader goes through a value of bucket bodies.
type bodyReader struct {
	number bodyChunk
	fields fieldReader
	body   storedBody // the one next moved to
}

// next moves to the next body; false at the end and before damage.
func (r *bodyReader) next() bool {
	if len(r.fields.rest) == 0 {
		return false
	}
	before := r.body
	r.body = storedBody{ID: BodyID(r.number)<<bodyChunkBits | BodyID(r.fields.uint64()), Refs: r.fields.uint64()}
	if r.body.Refs == 0 {
		r.body.Died = log.LSN(r.fields.uint64())
	}
	r.place(before.Place.Segment)
	if r.body.ID <= before.ID || bodyChunkOf(r.body.ID) != r.number {
		r.fields.fail()
	}
	return !r.fields.bad
}

func (r *bodyReader) place(segment uint32) {
	s := &r.body
	switch way := r.fields.uint64(); way {
	case bodyInline, bodyBig:
		s.Place.Big = way == bodyBig
		s.Place.Segment = uint32(int64(segment) + r.fields.int64())
		s.Place.Offset = r.fields.uint32()
		s.Place.Size = int64(r.fields.uint64())
	case bodyLost:
		s.Lost = true
	default:
		r.fields.fail()
	}
}

func (r *bodyReader) err() error {
	if r.fields.bad {
		return fmt.Errorf("%w: malformed bodies", errDatabase)
	}
	return nil
}

// findBody returns where id is, or belongs, in list.
func findBody(list []storedBody, id BodyID) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(s storedBody, id BodyID) int {
		return cmp.Compare(s.ID, id)
	})
}

// uidBits is a set of UIDs of one chunk, by their low bits.
type uidBits [1 << chunkBits / 64]uint64

func (u *uidBits) set(from, to uint32) {
	for i := from; i <= to; i++ {
		u[i>>6] |= 1 << (i & 63)
	}
}

func (u *uidBits) count() (n int) {
	for _, word := range u {
		n += mathbits.OnesCount64(word)
	}
	return n
}

func (u *uidBits) has(uid goimap.UID) bool {
	low := uint32(uid) & (1<<chunkBits - 1)
	return u[low>>6]>>(low&63)&1 != 0
}

// eachChunk calls f for every chunk that ranges touch below UID below, with
// those of its UIDs that are in them. Ascending ranges touch each chunk once.
func eachChunk(ranges []uidRange, below goimap.UID, f func(number uint32, hit *uidBits) error) error {
	const mask = 1<<chunkBits - 1
	var hit uidBits
	number, some := uint32(0), false
	for _, u := range ranges {
		if u.First >= below || u.First > u.Last {
			continue
		}
		first, last := uint32(u.First), uint32(min(u.Last, below-1))
		for n := first >> chunkBits; n <= last>>chunkBits; n++ {
			if some && n != number {
				if err := f(number, &hit); err != nil {
					return err
				}
				hit = uidBits{}
			}
			number, some = n, true
			from, to := uint32(0), uint32(mask)
			if n == first>>chunkBits {
				from = first & mask
			}
			if n == last>>chunkBits {
				to = last & mask
			}
			hit.set(from, to)
		}
	}
	if !some {
		return nil
	}
	return f(number, &hit)
}
