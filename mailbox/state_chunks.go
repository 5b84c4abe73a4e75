package mailbox

import (
	"cmp"
	"encoding/binary"
	"fmt"
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
	var before flagged
	for len(r.rest) > 0 {
		m := flagged{UID: before.UID + goimap.UID(r.uint32()), Flags: r.flags(), ModSeq: before.ModSeq + ModSeq(r.int64())}
		if r.bad || m.UID <= before.UID {
			return dst, fmt.Errorf("%w: malformed flags", errDatabase)
		}
		dst = append(dst, m)
		before = m
	}
	return dst, nil
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
	r := fieldReader{rest: value}
	var before storedBody
	for first := true; len(r.rest) > 0; first = false {
		s := r.body(number, &before)
		if r.bad || !first && s.ID <= before.ID || bodyChunkOf(s.ID) != number {
			return dst, fmt.Errorf("%w: malformed bodies", errDatabase)
		}
		dst = append(dst, s)
		before = s
	}
	return dst, nil
}

func (r *fieldReader) body(number bodyChunk, before *storedBody) storedBody {
	s := storedBody{ID: BodyID(number)<<bodyChunkBits | BodyID(r.uint64()), Refs: r.uint64()}
	if s.Refs == 0 {
		s.Died = log.LSN(r.uint64())
	}
	way := r.uint64()
	switch way {
	case bodyInline, bodyBig:
		s.Place.Big = way == bodyBig
		s.Place.Segment = uint32(int64(before.Place.Segment) + r.int64())
		s.Place.Offset = r.uint32()
		s.Place.Size = int64(r.uint64())
	case bodyLost:
		s.Lost = true
	default:
		r.fail()
	}
	return s
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
