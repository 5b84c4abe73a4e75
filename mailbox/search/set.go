package search

import (
	"encoding/binary"
	"math/bits"
)

const (
	// BlockMessages is how many messages a block is about, at most.
	BlockMessages = 1024
	blockWords    = BlockMessages / 64
)

// Set is a set of the messages of a block.
type Set [blockWords]uint64

// Has reports whether message i is in the set.
func (s *Set) Has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

// Add puts message i into the set.
func (s *Set) Add(i int) { s[i/64] |= 1 << (i % 64) }

// Remove takes message i out of the set.
func (s *Set) Remove(i int) { s[i/64] &^= 1 << (i % 64) }

// Or adds the messages of another set.
func (s *Set) Or(t *Set) {
	for i := range s {
		s[i] |= t[i]
	}
}

// And leaves those that another set has, too.
func (s *Set) And(t *Set) {
	for i := range s {
		s[i] &= t[i]
	}
}

// AndNot leaves those that another set does not have.
func (s *Set) AndNot(t *Set) {
	for i := range s {
		s[i] &^= t[i]
	}
}

// Len is the number of messages in the set.
func (s *Set) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty reports whether no message is in the set.
func (s *Set) Empty() bool { return *s == Set{} }

// all is the set of the first so many times 64 messages.
func all(words int) (s Set) {
	for i := range words {
		s[i] = ^uint64(0)
	}
	return s
}

const (
	riceBits   = 4 // that tell k
	headerBits = riceBits + 1
)

// appendSet appends a set of messages that is not empty, among the first so many times 64, as doc.go says.
func appendSet(dst []byte, s *Set, words int) []byte {
	n := s.Len()
	rest := uint64(0)
	list := *s
	if all := words * 64; n > all/2 {
		rest, n = 1, all-n
		for i := range words {
			list[i] = ^list[i]
		}
	}
	k := riceParameter(n, words*64)
	w := bitWriter{dst: dst}
	w.put(uint64(k)|rest<<riceBits, headerBits)
	before := -1
	for i := range words {
		for v := list[i]; v != 0; v &= v - 1 {
			at := i*64 + bits.TrailingZeros64(v)
			gap := uint64(at - before - 1)
			before = at
			w.zeros(int(gap >> k))
			w.put(1|gap&(1<<k-1)<<1, 1+k)
		}
	}
	return w.end()
}

// riceParameter is the k for n messages among so many: about the logarithm of the mean distance, less a half.
func riceParameter(n, among int) int {
	if n == 0 {
		return 0
	}
	return max(bits.Len(uint(among*45/(n*64)))-1, 0)
}

// bitWriter appends bits, least significant first.
type bitWriter struct {
	dst  []byte
	bits uint64
	n    int
}

// put appends the n low bits of v, at most 32; those above are zero.
func (w *bitWriter) put(v uint64, n int) {
	w.bits |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.dst = append(w.dst, byte(w.bits))
		w.bits >>= 8
	}
}

func (w *bitWriter) zeros(n int) {
	for ; n > 32; n -= 32 {
		w.put(0, 32)
	}
	w.put(0, n)
}

func (w *bitWriter) end() []byte {
	if w.n > 0 {
		w.put(0, 8-w.n)
	}
	return w.dst
}

// decodeSet reads what appendSet wrote. It reports false for anything else.
func decodeSet(src []byte, words int) (s Set, ok bool) {
	if len(src) == 0 {
		return s, false
	}
	k := uint(src[0] & (1<<riceBits - 1))
	rest := src[0]>>riceBits&1 != 0
	at, end := uint(headerBits), uint(len(src))*8
	member, most := uint(0), uint(words)*64 // member is the least that may come next
	for at < end {
		w := load(src, at)
		zeros := uint(bits.TrailingZeros64(w))
		if zeros >= 56 { // more of them than were loaded, or nothing but the filling of the last octet
			member += 56 << k
			at += 56
			continue
		}
		at += zeros + 1
		member += zeros<<k + uint(load(src, at))&(1<<k-1)
		if at += k; at > end || member >= most {
			return s, false
		}
		s[member/64] |= 1 << (member % 64)
		member++
	}
	if rest {
		for i := range words {
			s[i] = ^s[i]
		}
	}
	return s, true
}

// load returns at least 56 bits of src from a bit on; behind its end are zeros.
func load(src []byte, bit uint) uint64 {
	i := bit / 8
	if uint(len(src)) >= i+8 {
		return binary.LittleEndian.Uint64(src[i:]) >> (bit % 8)
	}
	var tail [8]byte
	if i < uint(len(src)) {
		copy(tail[:], src[i:])
	}
	return binary.LittleEndian.Uint64(tail[:]) >> (bit % 8)
}
