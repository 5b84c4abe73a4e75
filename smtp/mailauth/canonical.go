package mailauth

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"
	"slices"
)

// canonicalization is what may change in a message without breaking a
// signature (RFC 6376 section 3.4).
type canonicalization uint8

const (
	simple  canonicalization = iota // nothing, but empty lines at the end of the body
	relaxed                         // white space
	kinds
)

// appendField appends a field as it is hashed, with its line end.
func (c canonicalization) appendField(dst, field []byte) []byte {
	if c == simple {
		return append(dst, field...)
	}
	return append(appendRelaxed(dst, field), crlf...)
}

// appendSigned appends the field of a signature as it is hashed for itself:
// without what stands in from:to, its own b=, and without the last line end
// (RFC 6376 section 3.7).
func (c canonicalization) appendSigned(dst, field []byte, from, to int) []byte {
	if c == simple {
		dst = append(dst, field[:from]...)
		return append(dst, bytes.TrimSuffix(field[to:], crlf)...)
	}
	at := len(dst)
	dst = append(append(dst, field[:from]...), field[to:]...)
	// A field never grows, so it can be rewritten in its place.
	return appendRelaxed(dst[:at], dst[at:])
}

// appendRelaxed appends a field in the relaxed form of RFC 6376 section 3.4.2:
// name in lower case, lines unfolded, runs of white space as one space, none
// around the colon and at the end. It has no line end. Field may lie where dst
// ends.
func appendRelaxed(dst, field []byte) []byte {
	colon := bytes.IndexByte(field, ':')
	for _, c := range field[:max(colon, 0)] {
		if !isWSP(c) {
			dst = append(dst, lower(c))
		}
	}
	dst = append(dst, ':')
	space := false
	start := len(dst)
	for _, c := range field[colon+1:] {
		if isFWS(c) {
			space = true
			continue
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		dst = append(dst, c)
	}
	return dst
}

// isFWS reports what folding white space is made of.
func isFWS(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// bodyHash hashes a body in one canonical form while it arrives, and takes the
// hash of its beginnings on the way: one pass for all signatures, whatever
// length they cover.
type bodyHash struct {
	form canonicalization
	hash hash.Hash
	size int64 // canonical octets hashed
	cuts []cut // where a signature ends, ascending; each length once
	done int   // cuts that were reached

	lines int64 // line ends held back: they count only if something follows
	space bool  // white space held back (relaxed)
	cr    bool  // a CR held back: it may be half of a line end
	small []byte
	room  [smallPieces]byte // of small
}

// cut is a beginning of the body, of a length in canonical octets, with its hash.
type cut struct {
	at  int64
	sum [sha256.Size]byte
}

func newBodyHash(form canonicalization) *bodyHash {
	b := &bodyHash{}
	b.begin(form)
	return b
}

// begin makes b ready for a body, whatever it was used for before.
func (b *bodyHash) begin(form canonicalization) {
	h, cuts := b.hash, b.cuts[:0]
	if h == nil {
		h = sha256.New()
	} else {
		h.Reset()
	}
	*b = bodyHash{form: form, hash: h, cuts: cuts}
	b.small = b.room[:0]
}

// smallPieces is how much is collected before it is hashed, and wholePiece
// from when on a piece is hashed where it stands: a call of the hash costs as
// much as some dozens of octets.
const (
	smallPieces = 1024
	wholePiece  = 256
)

// addCut has the hash of the first at octets taken. All cuts are added before
// the body comes.
func (b *bodyHash) addCut(at int64) {
	i, found := slices.BinarySearchFunc(b.cuts, at, func(c cut, at int64) int {
		return int(min(max(c.at-at, -1), 1))
	})
	if !found {
		b.cuts = slices.Insert(b.cuts, i, cut{at: at})
	}
}

// sumAt is the hash of the first at octets; not ok where the body is shorter.
func (b *bodyHash) sumAt(at int64) (sum [sha256.Size]byte, ok bool) {
	for _, c := range b.cuts[:b.done] {
		if c.at == at {
			return c.sum, true
		}
	}
	return sum, false
}

// write takes the next octets of the body.
func (b *bodyHash) write(p []byte) {
	if b.form == simple {
		b.writeSimple(p)
	} else {
		b.writeRelaxed(p)
	}
}

// finish ends the body and gives the hash of all of it. A simple body always
// ends in one line end, a relaxed one only if it has something before it (RFC
// 6376 sections 3.4.3 and 3.4.4).
func (b *bodyHash) finish(sum *[sha256.Size]byte) {
	if b.cr {
		b.cr = false
		b.put('\r')
	}
	if b.form == simple || b.size > 0 || len(b.small) > 0 {
		b.emit(crlf)
	}
	b.flush()
	b.reach(0)
	b.hash.Sum(sum[:0])
}

// writeSimple passes everything on but the line ends at its end.
func (b *bodyHash) writeSimple(p []byte) {
	if len(p) == 0 {
		return
	}
	if b.cr {
		b.cr = false
		if p[0] == '\n' {
			b.lines++
			p = p[1:]
		} else {
			b.put('\r')
		}
	}
	text := len(p)
	if text > 0 && p[text-1] == '\r' {
		text--
	}
	for bytes.HasSuffix(p[:text], crlf) {
		text -= len(crlf)
	}
	if text > 0 {
		b.releaseLines()
		b.emit(p[:text])
	}
	b.lines += int64((len(p) - text) / 2)
	b.cr = (len(p)-text)%2 == 1
}

// writeRelaxed passes on what is canonical already in pieces as long as they
// come; white space and line ends wait for what follows them.
func (b *bodyHash) writeRelaxed(p []byte) {
	for len(p) > 0 {
		n := 1
		switch c := p[0]; {
		case b.cr && c == '\n':
			b.cr = false
			b.endLine()
		case b.cr:
			b.cr, n = false, 0
			b.put('\r')
		case c == '\r' && len(p) > 1 && p[1] == '\n':
			n = len(crlf)
			b.endLine()
		case c == ' ' || c == '\t':
			b.space = true
		case c == '\r':
			b.cr = true
		default:
			b.releaseLines()
			b.releaseSpace()
			n = canonicalRun(p)
			b.emit(p[:n])
		}
		p = p[n:]
	}
}

// canonicalRun is how many octets at the start of p, which begins with text, are
// the same in the relaxed form: with single spaces within a line, and with line
// ends that have a line behind them that is not empty.
func canonicalRun(p []byte) int {
	// Without tabs, only two small octets side by side can need a change.
	if tab := bytes.IndexByte(p, '\t'); tab >= 0 {
		p = p[:tab]
	}
	for i := 0; ; {
		i += spacedOctets(p[i:])
		if i+1 >= len(p) {
			return runEnd(p)
		}
		switch {
		case p[i] == ' ' && (p[i+1] == ' ' || p[i+1] == '\r'):
			return i
		case p[i] == '\r' && p[i+1] == '\n':
			if i+2 == len(p) || p[i+2] == '\r' || p[i+2] == ' ' {
				return i
			}
			i += 2
		default:
			i++
		}
	}
}

// runEnd is how long a run to the end of p is: what follows may still change its last octet.
func runEnd(p []byte) int {
	if last := len(p) - 1; p[last] == ' ' || p[last] == '\r' {
		return last
	}
	return len(p)
}

// spacedOctets is how many octets at the start of p stand in front of two small ones side by
// side, white space and control characters; where there are none it is len(p)-1 at least.
func spacedOctets(p []byte) int {
	i, before := 0, uint64(0) // before is the mark of the octet before p[i]
	for ; i+16 <= len(p); i += 16 {
		q := p[i : i+16]
		low, high := smallOctets(binary.LittleEndian.Uint64(q)), smallOctets(binary.LittleEndian.Uint64(q[8:]))
		pairs, more := low&(low<<8|before), high&(high<<8|low>>56)
		if pairs != 0 {
			return i + bits.TrailingZeros64(pairs)/8 - 1
		}
		if more != 0 {
			return i + 8 + bits.TrailingZeros64(more)/8 - 1
		}
		before = high >> 56
	}
	for i = max(i-1, 0); i+1 < len(p) && (p[i] > ' ' || p[i+1] > ' '); {
		i++
	}
	return i
}

// smallOctets marks, each with its highest bit, the octets of w that are not above the space.
func smallOctets(w uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	// An octet is above the space if its lower seven bits plus 0x5F reach the
	// eighth, or if that is set; no sum carries into the next octet.
	return ^((w &^ high) + each*(0x7F-' ') | w) & high
}

// endLine holds a line end back; white space before it goes.
func (b *bodyHash) endLine() {
	b.space = false
	b.lines++
}

// put emits one octet and what was held back before it.
func (b *bodyHash) put(c byte) {
	b.releaseLines()
	b.releaseSpace()
	b.emitByte(c)
}

// releaseSpace emits the white space held back.
func (b *bodyHash) releaseSpace() {
	if b.space {
		b.space = false
		b.emitByte(' ')
	}
}

func (b *bodyHash) emitByte(c byte) {
	if len(b.small) == smallPieces {
		b.flush()
	}
	b.small = append(b.small, c)
}

// lineEnds is what many empty lines are hashed from.
var lineEnds = bytes.Repeat(crlf, 512)

// releaseLines emits the line ends held back.
func (b *bodyHash) releaseLines() {
	for b.lines > 0 {
		n := min(b.lines, int64(len(lineEnds)/len(crlf)))
		b.emit(lineEnds[:n*int64(len(crlf))])
		b.lines -= n
	}
}

// emit hashes canonical octets, small pieces together.
func (b *bodyHash) emit(p []byte) {
	if len(p) < wholePiece && len(b.small)+len(p) <= smallPieces {
		b.small = append(b.small, p...)
		return
	}
	b.flush()
	if len(p) < wholePiece {
		b.small = append(b.small, p...)
		return
	}
	b.add(p)
}

func (b *bodyHash) flush() {
	if len(b.small) > 0 {
		b.add(b.small)
		b.small = b.small[:0]
	}
}

// add hashes p, stopping at the cuts in it.
func (b *bodyHash) add(p []byte) {
	for {
		n := b.reach(len(p))
		b.hash.Write(p[:n])
		b.size += int64(n)
		if p = p[n:]; len(p) == 0 {
			return
		}
	}
}

// reach takes the hash for the cuts that are here, and says how many of the
// next n octets may be hashed before the following one.
func (b *bodyHash) reach(n int) int {
	for ; b.done < len(b.cuts); b.done++ {
		c := &b.cuts[b.done]
		if c.at > b.size {
			return int(min(int64(n), c.at-b.size))
		}
		b.hash.Sum(c.sum[:0])
	}
	return n
}
