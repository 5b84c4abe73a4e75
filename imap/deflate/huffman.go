package deflate

import (
	"math/bits"
	"sync"
)

const (
	endOfBlock  = 256
	maxLiterals = 286 // symbols of a literal/length code that a block may define
	maxDists    = 30
	maxCode     = 15 // bits of one code
	// maxSymbolBits is a match at its longest: two codes with their extra bits.
	maxSymbolBits = maxCode + 5 + maxCode + 13
	// fastBits is how much of a code is looked up at once. Few symbols of real streams
	// have longer codes, and the table stays in the cache.
	fastBits = 9
)

// extended is a base value and the number of bits that are added to it.
type extended struct {
	base  uint16
	extra uint8
}

// lengths are of the symbols from 257 on (RFC 1951 section 3.2.5).
var lengths = [29]extended{
	{3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0},
	{11, 1}, {13, 1}, {15, 1}, {17, 1}, {19, 2}, {23, 2}, {27, 2}, {31, 2},
	{35, 3}, {43, 3}, {51, 3}, {59, 3}, {67, 4}, {83, 4}, {99, 4}, {115, 4},
	{131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0},
}

// distances are of the distance symbols.
var distances = [maxDists]extended{
	{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 1}, {7, 1}, {9, 2}, {13, 2}, {17, 3}, {25, 3},
	{33, 4}, {49, 4}, {65, 5}, {97, 5}, {129, 6}, {193, 6}, {257, 7}, {385, 7},
	{513, 8}, {769, 8}, {1025, 9}, {1537, 9}, {2049, 10}, {3073, 10}, {4097, 11}, {6145, 11},
	{8193, 12}, {12289, 12}, {16385, 13}, {24577, 13},
}

// huffman decodes one canonical code (RFC 1951 section 3.2.2).
type huffman struct {
	// fast is what the next fastBits bits begin with: symbol<<4 | length of its code;
	// 0 for a longer code and for none.
	fast   [1 << fastBits]uint16
	count  [maxCode + 1]uint16 // codes of each length
	sorted [288]uint16         // symbols in the order of their codes
}

// build makes the code with a length for each symbol, 0 for those that have none. It
// reports whether there is such a code: complete, or a single one of one bit, or
// empty, which compressors write where nothing is needed.
func (h *huffman) build(lengths []byte) bool {
	*h = huffman{}
	for _, n := range lengths {
		h.count[n]++
	}
	h.count[0] = 0
	left := 1
	var next, place [maxCode + 1]uint16 // code and place in sorted of the next symbol
	for n := 1; n <= maxCode; n++ {
		left = left<<1 - int(h.count[n])
		if left < 0 {
			return false
		}
		next[n] = (next[n-1] + h.count[n-1]) << 1
		place[n] = place[n-1] + h.count[n-1]
	}
	used := int(place[maxCode] + h.count[maxCode])
	if left > 0 && used > 0 && !(used == 1 && h.count[1] == 1) {
		return false
	}
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		h.sorted[place[n]] = uint16(symbol)
		place[n]++
		h.enter(uint16(symbol), next[n], uint(n))
		next[n]++
	}
	return true
}

// enter puts a short code into the table, under all that may follow it. Codes come
// with their highest bit first, everything else with its lowest.
func (h *huffman) enter(symbol, code uint16, n uint) {
	if n > fastBits {
		return
	}
	for i := int(bits.Reverse16(code) >> (16 - n)); i < len(h.fast); i += 1 << n {
		h.fast[i] = symbol<<4 | uint16(n)
	}
}

// decode finds the symbol that the bits begin with, and how many are its code: more
// than have, if that many are needed to tell. ok is false if no code begins so.
func (h *huffman) decode(b uint64, have uint) (symbol uint16, n uint, ok bool) {
	if e := h.fast[b&(1<<fastBits-1)]; e != 0 {
		return e >> 4, uint(e & 15), true
	}
	return h.decodeLong(b, have)
}

// decodeLong goes through the lengths. first is the first code of a length, index its
// symbol's place.
func (h *huffman) decodeLong(b uint64, have uint) (symbol uint16, n uint, ok bool) {
	code, first, index := 0, 0, 0
	for n = 1; n <= maxCode; n++ {
		if n > have {
			return 0, n, true
		}
		code |= int(b & 1)
		b >>= 1
		count := int(h.count[n])
		if code-first < count {
			return h.sorted[index+code-first], n, true
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, n, false
}

// codes are the two codes of a block.
type codes struct {
	lit, dist huffman
}

// fixedCodes are those of RFC 1951 section 3.2.6.
var fixedCodes = sync.OnceValue(func() *codes {
	var l [288]byte
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	var d [32]byte
	for i := range d {
		d[i] = 5
	}
	c := &codes{}
	if !c.lit.build(l[:]) || !c.dist.build(d[:]) {
		panic("deflate: the fixed codes are wrong")
	}
	return c
})

// dynamic is a block with codes of its own (RFC 1951 section 3.2.7). Until all lengths
// are read, codes.lit is the code that these are written in.
type dynamic struct {
	codes
	literals, dists, metas int // how many lengths of each are sent
	at                     int // how many are read
	lengths                [maxLiterals + maxDists]byte
}

// dynamics are taken while a block lasts: between the commands of a client none does.
var dynamics = sync.Pool{New: func() any { return new(dynamic) }}

// metaOrder is the order in which the lengths of the length codes are sent.
var metaOrder = [19]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// beginDynamic starts with the 14 bits behind a dynamic block's header.
func (r *Reader) beginDynamic(counts uint32) bool {
	literals, dists := int(counts&31)+257, int(counts>>5&31)+1
	if literals > maxLiterals || dists > maxDists {
		return false
	}
	r.dynamic = dynamics.Get().(*dynamic)
	r.dynamic.literals, r.dynamic.dists, r.dynamic.metas, r.dynamic.at = literals, dists, int(counts>>10&15)+4, 0
	clear(r.dynamic.lengths[:])
	r.step = stepLengths
	return true
}

func (r *Reader) endDynamic() {
	if r.dynamic != nil {
		dynamics.Put(r.dynamic)
		r.dynamic = nil
	}
}

// codeLengths reads the lengths of the code that the lengths are written in.
func (r *Reader) codeLengths() bool {
	d := r.dynamic
	for d.at < d.metas {
		n, ok := r.take(3)
		if !ok {
			return false
		}
		d.lengths[metaOrder[d.at]] = byte(n)
		d.at++
	}
	if !d.lit.build(d.lengths[:len(metaOrder)]) {
		return r.corrupt()
	}
	d.at, r.step = 0, stepCodes
	clear(d.lengths[:])
	return true
}

// codes reads the lengths of both codes, and makes these.
func (r *Reader) codes() bool {
	d := r.dynamic
	for all := d.literals + d.dists; d.at < all; {
		r.refill()
		symbol, n, ok := d.lit.decode(r.bits, r.nbits)
		switch {
		case !ok:
			return r.corrupt()
		case n > r.nbits:
			return false
		case symbol < 16:
			d.lengths[d.at] = byte(symbol)
			d.at++
			r.drop(n)
			continue
		}
		length, repeat, extra := byte(0), extended{3, 3}, n
		switch symbol {
		case 16:
			if d.at == 0 {
				return r.corrupt()
			}
			length, repeat = d.lengths[d.at-1], extended{3, 2}
		case 18:
			repeat = extended{11, 7}
		}
		if extra += uint(repeat.extra); extra > r.nbits {
			return false
		}
		times := int(repeat.base) + int(r.bits>>n&(1<<repeat.extra-1))
		if d.at+times > all {
			return r.corrupt()
		}
		for range times {
			d.lengths[d.at] = length
			d.at++
		}
		r.drop(extra)
	}
	lit, dist := d.lengths[:d.literals], d.lengths[d.literals:d.literals+d.dists]
	if !d.lit.build(lit) || !d.dist.build(dist) {
		return r.corrupt()
	}
	r.lit, r.dist, r.step = &d.lit, &d.dist, stepSymbols
	return true
}
