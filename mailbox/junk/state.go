package junk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The octets of a model. Integers are little-endian.
//
//	0    version, 1
//	1    the number of buckets, as a power of two: 20 for a server, 16 for an account
//	2    two octets, zero
//	4    CRC-32C of everything behind it
//	8    letters of junk learned from, 4 octets; good ones, 4 octets
//	16   for each weight that is not zero, ascending: its distance from the one before, or from -1, an unsigned varint, and
//	     the weight, a signed varint
const (
	stateVersion = 1
	stateHeader  = 16
	// maxEntry bounds the octets of a weight: 32 bits need five. Distances of more than one octet are rare, and pay for
	// themselves by the buckets passed over.
	maxEntry = 6
)

// MaxServerState and MaxAccountState bound the octets of a model.
const (
	MaxServerState  = stateHeader + maxEntry<<serverBits
	MaxAccountState = stateHeader + maxEntry<<accountBits
)

var (
	// ErrCorrupt says that octets are not a whole model.
	ErrCorrupt = errors.New("junk: the model is corrupt")
	// ErrVersion says that they are one of another version, whose features this one does not read.
	ErrVersion = errors.New("junk: the model is of another version")
)

// AppendTo appends the model's octets, for ReadModel: at most MaxServerState or MaxAccountState.
func (m *Model) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, stateVersion, byte(m.bits), 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, m.junk)
	dst = binary.LittleEndian.AppendUint32(dst, m.good)
	before := -1
	for i, w := range m.weights {
		if w != 0 {
			dst = binary.AppendUvarint(dst, uint64(i-before))
			dst = binary.AppendVarint(dst, int64(w))
			before = i
		}
	}
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

// ReadServer reads a server's model. The errors are ErrCorrupt and ErrVersion; then start with NewServer.
func ReadServer(state []byte) (*Model, error) { return readModel(state, serverBits) }

// ReadAccount reads an account's model; errors as ReadServer.
func ReadAccount(state []byte) (*Model, error) { return readModel(state, accountBits) }

func readModel(state []byte, bits int) (*Model, error) {
	if len(state) < stateHeader {
		return nil, fmt.Errorf("%w: it has %d octets", ErrCorrupt, len(state))
	}
	if state[0] != stateVersion {
		return nil, fmt.Errorf("%w: %d", ErrVersion, state[0])
	}
	if int(state[1]) != bits || state[2] != 0 || state[3] != 0 || len(state) > stateHeader+maxEntry<<bits {
		return nil, fmt.Errorf("%w: its size is wrong", ErrCorrupt)
	}
	if binary.LittleEndian.Uint32(state[4:]) != crc32.Checksum(state[8:], castagnoli) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrCorrupt)
	}
	m := newModel(bits)
	m.junk, m.good = binary.LittleEndian.Uint32(state[8:]), binary.LittleEndian.Uint32(state[12:])
	if !m.readWeights(state[stateHeader:]) {
		return nil, fmt.Errorf("%w: a weight has no place", ErrCorrupt)
	}
	return m, nil
}

// readWeights fills the table; false if the entries are not what AppendTo writes.
func (m *Model) readWeights(state []byte) bool {
	at := -1
	for len(state) > 0 {
		distance, n := binary.Uvarint(state)
		if n <= 0 || distance == 0 || distance > uint64(len(m.weights)-1-at) {
			return false
		}
		weight, size := binary.Varint(state[n:])
		if size <= 0 || weight == 0 || weight != int64(int32(weight)) {
			return false
		}
		at += int(distance)
		m.weights[at] = int32(weight)
		state = state[n+size:]
	}
	return true
}
