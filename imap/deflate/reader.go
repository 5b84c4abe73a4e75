package deflate

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"sync"
)

var (
	// ErrCorrupt says that the input is not DEFLATE. It sticks.
	ErrCorrupt = errors.New("deflate: corrupt stream")
	// ErrBarren says that maxBarren octets of input decoded to nothing. It sticks.
	ErrBarren = errors.New("deflate: too many empty blocks")
)

const (
	// maxBarren is how many octets of input in a row may decode to nothing. A flush is
	// five octets and the longest header of a block some three hundred, so no
	// compressor comes near it; without it a peer could send empty blocks for ever, and
	// none of the limits on what they decode to would end that.
	maxBarren = 64 << 10
	// bulkInput is how much is read at a time when more is waiting than the small
	// buffer holds.
	bulkInput = 16 << 10
)

// step is where in the stream a Reader is.
type step uint8

const (
	stepHeader  step = iota // of a block
	stepLengths             // of the length codes of a dynamic block
	stepCodes               // of a dynamic block
	stepSymbols
	stepStored
	stepEnd // behind the final block
)

// Reader inflates. It decodes no further than it is asked to, so what a small input
// may decode to (up to 1032 times its size) costs no memory. Not safe for concurrent
// use.
type Reader struct {
	src io.Reader
	err error // sticks

	small      [256]byte // keeps an idle connection's input
	pooled     *[]byte   // nil while small is enough
	buf        []byte    // small or *pooled
	start, end int       // what was read and not used: buf[start:end]
	more       bool      // the last read filled the buffer
	barren     int       // octets read since something was handed out

	bits  uint64 // read from buf and not used, the next one lowest
	nbits uint   // how many of them count

	step      step
	final     bool // the block is the last one
	flushed   bool // nothing was decoded behind an empty stored block
	stored    int  // octets left of a stored block
	lit, dist *huffman
	dynamic   *dynamic // of a block with codes of its own, else nil
	matchLen  int      // octets of a match that did not fit p
	matchDist int
	window    window
}

// NewReader returns a Reader that inflates what src reads. An error of src comes back
// as it is and does not stick: after a time-out reading goes on where it stopped. The
// end of src is io.EOF wherever it comes, since few connections end with a final
// block.
func NewReader(src io.Reader) *Reader {
	r := &Reader{src: src}
	r.buf = r.small[:]
	return r
}

// Read implements io.Reader: it waits for input only while nothing of what has
// arrived can be handed out, and it hands out nothing from behind a sync flush
// together with what was before it.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n := r.inflate(p)
		if n > 0 {
			r.window.add(p[:n])
			r.barren = 0
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// Close gives back what is shared with other Readers. The Reader is not to be used
// any more.
func (r *Reader) Close() {
	r.releaseInput()
	r.endDynamic()
	r.err = io.ErrClosedPipe
}

// Rest returns a copy of the input behind the last octet handed out, for who knows that
// this ended the compressed part of the stream. ok is false unless a sync flush or the
// final block stands between: then nobody can tell where that part ends.
func (r *Reader) Rest() (rest []byte, ok bool) {
	if !r.flushed && r.step != stepEnd {
		return nil, false
	}
	for b, n := r.bits>>(r.nbits&7), r.nbits>>3; n > 0; n-- {
		rest = append(rest, byte(b))
		b >>= 8
	}
	return append(rest, r.buf[r.start:r.end]...), true
}

// inflate decodes into p until p is full, the input used up or an error found.
func (r *Reader) inflate(p []byte) int {
	out := output{p: p}
	for r.err == nil && out.n < len(p) {
		var goesOn bool // false = input is needed
		switch r.step {
		case stepHeader:
			goesOn = r.header()
		case stepLengths:
			goesOn = r.codeLengths()
		case stepCodes:
			goesOn = r.codes()
		case stepSymbols:
			goesOn = r.symbols(&out)
		case stepStored:
			goesOn = r.copyStored(&out)
		case stepEnd:
			r.err = io.EOF
		}
		if !goesOn || r.flushed && out.n > 0 {
			break
		}
	}
	return out.n
}

// output is the slice that Read fills.
type output struct {
	p []byte
	n int
}

var inputs = sync.Pool{New: func() any { b := make([]byte, bulkInput); return &b }}

// fill reads once from the source; all of the buffer was used before.
func (r *Reader) fill() error {
	r.start, r.end = 0, 0
	switch {
	case r.more && r.pooled == nil:
		r.pooled = inputs.Get().(*[]byte)
		r.buf = *r.pooled
	case !r.more:
		r.releaseInput()
	}
	for range 100 { // as bufio: a reader that keeps returning nothing is broken
		n, err := r.src.Read(r.buf)
		if n > 0 {
			r.end, r.more = n, n == len(r.buf)
			if r.barren += n; r.barren > maxBarren {
				r.err = ErrBarren
				return r.err
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// releaseInput gives a large buffer back before an idle connection waits.
func (r *Reader) releaseInput() {
	if r.pooled != nil {
		inputs.Put(r.pooled)
		r.pooled = nil
	}
	r.buf = r.small[:]
}

// refill moves input into r.bits: 56 of them or more, unless the input is used up.
func (r *Reader) refill() {
	if in := r.buf[r.start:r.end]; len(in) >= 8 {
		// What is or'ed above nbits are bits of octets that stay in buf; they come again.
		r.bits |= binary.LittleEndian.Uint64(in) << r.nbits
		r.start += int(63-r.nbits) >> 3
		r.nbits |= 56
		return
	}
	for r.nbits <= 56 && r.start < r.end {
		r.bits |= uint64(r.buf[r.start]) << r.nbits
		r.start++
		r.nbits += 8
	}
}

// drop forgets the next n bits.
func (r *Reader) drop(n uint) {
	r.bits >>= n
	r.nbits -= n
}

// take returns the next n bits if they are there.
func (r *Reader) take(n uint) (uint64, bool) {
	if r.nbits < n {
		if r.refill(); r.nbits < n {
			return 0, false
		}
	}
	v := r.bits & (1<<n - 1)
	r.drop(n)
	return v, true
}

func (r *Reader) corrupt() bool {
	r.err = ErrCorrupt
	return false
}

// header reads the header of a block (RFC 1951 section 3.2.3), that of a stored one
// with its length.
func (r *Reader) header() bool {
	if r.refill(); r.nbits < 3 {
		return false
	}
	r.flushed = false
	switch r.bits >> 1 & 3 {
	case 0:
		return r.storedHeader()
	case 1:
		fixed := fixedCodes()
		r.lit, r.dist, r.step = &fixed.lit, &fixed.dist, stepSymbols
	case 2:
		if r.nbits < 3+14 {
			return false
		}
		if !r.beginDynamic(uint32(r.bits >> 3)) {
			return r.corrupt()
		}
		r.final = r.bits&1 == 1
		r.drop(3 + 14)
		return true
	default:
		return r.corrupt()
	}
	r.final = r.bits&1 == 1
	r.drop(3)
	return true
}

// storedHeader is of a stored block: after the header, LEN and its complement on a
// boundary of octets (RFC 1951 section 3.2.4).
func (r *Reader) storedHeader() bool {
	skip := 3 + (r.nbits-3)&7
	if r.nbits < skip+32 {
		return false
	}
	length := uint16(r.bits >> skip)
	if uint16(r.bits>>(skip+16)) != ^length {
		return r.corrupt()
	}
	r.final = r.bits&1 == 1
	r.drop(skip + 32)
	r.bits &= 1<<r.nbits - 1 // copyStored goes on in buf where these end
	r.stored, r.step = int(length), stepStored
	if length == 0 {
		r.endBlock()
		r.flushed = true
	}
	return true
}

// copyStored copies what has arrived of a stored block.
func (r *Reader) copyStored(o *output) bool {
	for r.stored > 0 && r.nbits > 0 && o.n < len(o.p) {
		o.p[o.n] = byte(r.bits)
		o.n++
		r.stored--
		r.drop(8)
	}
	if r.nbits == 0 {
		room := o.p[o.n:min(len(o.p), o.n+r.stored)]
		n := copy(room, r.buf[r.start:r.end])
		r.start += n
		o.n += n
		r.stored -= n
	}
	if r.stored == 0 {
		r.endBlock()
		return true
	}
	return false // either p is full or the input used up
}

// endBlock leaves a block.
func (r *Reader) endBlock() {
	r.endDynamic()
	r.lit, r.dist, r.step = nil, nil, stepHeader
	if r.final {
		r.step = stepEnd
	}
}

// symbols decodes literals and matches (RFC 1951 section 3.2.3).
func (r *Reader) symbols(o *output) bool {
	if r.matchLen > 0 {
		r.match(o)
	}
	for o.n < len(o.p) {
		if r.nbits < maxSymbolBits {
			r.refill()
		}
		symbol, n, ok := r.lit.decode(r.bits, r.nbits)
		switch {
		case !ok:
			return r.corrupt()
		case n > r.nbits:
			return false
		case symbol < endOfBlock:
			o.p[o.n] = byte(symbol)
			o.n++
			r.drop(n)
			continue
		case symbol == endOfBlock:
			r.drop(n)
			r.endBlock()
			return true
		}
		if !r.beginMatch(symbol, n, o.n) {
			return false
		}
		r.match(o)
	}
	return true
}

// beginMatch reads the rest of a match whose length symbol has used bits: all of it,
// or nothing if not all has arrived. done octets are out that the window does not have.
func (r *Reader) beginMatch(symbol uint16, used uint, done int) bool {
	if symbol >= endOfBlock+1+uint16(len(lengths)) {
		return r.corrupt()
	}
	l := lengths[symbol-endOfBlock-1]
	length := int(l.base) + int(r.bits>>used&(1<<l.extra-1))
	used += uint(l.extra)
	if used > r.nbits {
		return false
	}
	symbol, n, ok := r.dist.decode(r.bits>>used, r.nbits-used)
	if !ok || n <= r.nbits-used && int(symbol) >= len(distances) {
		return r.corrupt()
	}
	if used += n; used > r.nbits {
		return false
	}
	d := distances[symbol]
	dist := int(d.base) + int(r.bits>>used&(1<<d.extra-1))
	if used += uint(d.extra); used > r.nbits {
		return false
	}
	if int64(dist) > r.window.total+int64(done) {
		return r.corrupt() // it reaches back beyond the beginning
	}
	r.drop(used)
	r.matchLen, r.matchDist = length, dist
	return true
}

// match copies as much of the match as fits.
func (r *Reader) match(o *output) {
	to := o.p[o.n:min(len(o.p), o.n+r.matchLen)]
	n := 0
	for back := r.matchDist - o.n; n < len(to) && n < back; {
		n += r.window.read(to[n:min(len(to), back)], back-n)
	}
	// Source and destination may overlap: then what lies between repeats, so more of it
	// can be copied each time.
	for from := o.n + n - r.matchDist; n < len(to); {
		n += copy(to[n:], o.p[from:o.n+n])
	}
	o.n += n
	r.matchLen -= n
}

// window is the output of which matches may take copies (RFC 1951 section 2): the
// last 32 KiB. It is a ring that grows until it has that size.
type window struct {
	ring  []byte // its length is a power of two, or 0
	total int64  // octets that were added
}

const (
	windowSize = 32 << 10
	// smallWindow holds what a client that idles has said so far.
	smallWindow = 1 << 10
)

// add appends what was handed out.
func (w *window) add(p []byte) {
	if skip := len(p) - windowSize; skip > 0 {
		w.total += int64(skip)
		p = p[skip:]
	}
	w.grow(min(w.total+int64(len(p)), windowSize))
	at := int(w.total) & (len(w.ring) - 1)
	n := copy(w.ring[at:], p)
	copy(w.ring, p[n:])
	w.total += int64(len(p))
}

// grow makes room for size octets. A ring smaller than windowSize has not yet been
// filled, so its octets are where they will be in the larger one.
func (w *window) grow(size int64) {
	if int64(len(w.ring)) >= size {
		return
	}
	larger := make([]byte, max(smallWindow, 1<<bits.Len64(uint64(size-1))))
	copy(larger, w.ring)
	w.ring = larger
}

// read copies octets from back octets before the end on; p is no longer than back.
func (w *window) read(p []byte, back int) int {
	at := int(w.total-int64(back)) & (len(w.ring) - 1)
	return copy(p, w.ring[at:])
}
