package junk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A model is kept in parts of 2^14 weights, so that whoever writes one needs little room at a time. The octets of a part; integers
// are little-endian.
//
//	0    version, 3
//	1    the number of buckets of the model, as a power of two: 20 for a server, 16 for an account
//	2    the number of the part, 2 octets
//	4    CRC-32C of everything behind it
//	8    letters of junk learned from, 4 octets; good ones, 4 octets: those of part 0 count
//	16   the octets of what follows, an unsigned varint: for each weight that is not zero, ascending, its distance from the one
//	     before, or from -1, an unsigned varint, and the weight, a signed varint
//	     then in the same way for each of a server's 2^12 counts in the part: its distance, and the letters of junk and the
//	     good ones, unsigned varints
const (
	stateVersion = 4
	stateHeader  = 16
	partBits     = 14
	// maxEntry bounds the octets of a weight: 32 bits need five. Distances of more than one octet are rare, and pay for
	// themselves by the buckets passed over.
	maxEntry = 6
	// maxCount bounds those of a count: 16 bits need three.
	maxCount      = 7
	countPartBits = partBits - (serverBits - countBits)
)

// MaxPart bounds the octets of a part.
const MaxPart = stateHeader + binary.MaxVarintLen32 + maxEntry<<partBits + maxCount<<countPartBits

var (
	// ErrCorrupt says that octets are not a whole part of the model.
	ErrCorrupt = errors.New("junk: the model is corrupt")
	// ErrVersion says that they are one of another version, whose features this one does not read.
	ErrVersion = errors.New("junk: the model is of another version")
)

// Parts is the number of parts of a model: 64 of a server's, 4 of an account's.
func (m *Model) Parts() int { return 1 << (m.bits - partBits) }

// AppendPart appends the octets of a part, for ReadPart: at most MaxPart.
func (m *Model) AppendPart(dst []byte, part int) []byte {
	start := len(dst)
	dst = append(dst, stateVersion, byte(m.bits), byte(part), byte(part>>8), 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, m.junk)
	dst = binary.LittleEndian.AppendUint32(dst, m.good)
	weights := appendWeights(nil, m.part(part))
	dst = append(binary.AppendUvarint(dst, uint64(len(weights))), weights...)
	dst = appendCounts(dst, m.countPart(part))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

func appendWeights(dst []byte, weights []int32) []byte {
	before := -1
	for i, w := range weights {
		if w != 0 {
			dst = binary.AppendUvarint(dst, uint64(i-before))
			dst = binary.AppendVarint(dst, int64(w))
			before = i
		}
	}
	return dst
}

func appendCounts(dst []byte, counts []count) []byte {
	before := -1
	for i, c := range counts {
		if c != (count{}) {
			dst = binary.AppendUvarint(dst, uint64(i-before))
			dst = binary.AppendUvarint(dst, uint64(c[Junk]))
			dst = binary.AppendUvarint(dst, uint64(c[Good]))
			before = i
		}
	}
	return dst
}

// countPart is the counts of a part; none of an account's.
func (m *Model) countPart(part int) []count {
	if m.counts == nil {
		return nil
	}
	return m.counts[part<<countPartBits : (part+1)<<countPartBits]
}

// part is the weights of a part.
func (m *Model) part(part int) []int32 { return m.weights[part<<partBits : (part+1)<<partBits] }

// ReadPart fills a part of a new model. The errors are ErrCorrupt and ErrVersion; the model is of no use then.
func (m *Model) ReadPart(part int, state []byte) error {
	if len(state) < stateHeader {
		return fmt.Errorf("%w: it has %d octets", ErrCorrupt, len(state))
	}
	if state[0] != stateVersion {
		return fmt.Errorf("%w: %d", ErrVersion, state[0])
	}
	if int(state[1]) != m.bits || int(binary.LittleEndian.Uint16(state[2:])) != part || len(state) > MaxPart {
		return fmt.Errorf("%w: it is another part", ErrCorrupt)
	}
	if binary.LittleEndian.Uint32(state[4:]) != crc32.Checksum(state[8:], castagnoli) {
		return fmt.Errorf("%w: its checksum is wrong", ErrCorrupt)
	}
	if part == 0 {
		m.junk, m.good = binary.LittleEndian.Uint32(state[8:]), binary.LittleEndian.Uint32(state[12:])
	}
	size, n := binary.Uvarint(state[stateHeader:])
	if n <= 0 || size > uint64(len(state)-stateHeader-n) {
		return fmt.Errorf("%w: its weights have no end", ErrCorrupt)
	}
	weights, counts := state[stateHeader+n:][:size], state[stateHeader+n:][size:]
	if !readWeights(m.part(part), weights) || !readCounts(m.countPart(part), counts) {
		return fmt.Errorf("%w: a weight or a count has no place", ErrCorrupt)
	}
	return nil
}

// readCounts fills a part's counts; false if the entries are not what AppendPart writes.
func readCounts(counts []count, state []byte) bool {
	at := -1
	for len(state) > 0 {
		var v [3]uint64
		for i := range v {
			n := 0
			if v[i], n = binary.Uvarint(state); n <= 0 {
				return false
			}
			state = state[n:]
		}
		c := count{Junk: uint16(v[1]), Good: uint16(v[2])}
		if v[0] == 0 || v[0] > uint64(len(counts)-1-at) || c == (count{}) || v[1] > math.MaxUint16 || v[2] > math.MaxUint16 {
			return false
		}
		at += int(v[0])
		counts[at] = c
	}
	return true
}

// readWeights fills a part's weights; false if the entries are not what AppendPart writes.
func readWeights(weights []int32, state []byte) bool {
	at := -1
	for len(state) > 0 {
		distance, n := binary.Uvarint(state)
		if n <= 0 || distance == 0 || distance > uint64(len(weights)-1-at) {
			return false
		}
		weight, size := binary.Varint(state[n:])
		if size <= 0 || weight == 0 || weight != int64(int32(weight)) {
			return false
		}
		at += int(distance)
		weights[at] = int32(weight)
		state = state[n+size:]
	}
	return true
}
