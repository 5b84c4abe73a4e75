// Package qr makes QR codes of short texts (ISO/IEC 18004): byte mode, error
// correction level M, versions 1 to 9.
package qr

import (
	"errors"
	"math/bits"
	"strconv"
	"strings"
)

// ErrTooLong is what Encode answers to more than MaxText octets.
var ErrTooLong = errors.New("qr: the text is too long")

// MaxText is the longest text in octets: what a version 9 code of level M holds.
const MaxText = 180

// Quiet is how many light modules have to be around a code (section 9.1).
const Quiet = 4

// version is the layout of a size of code at level M (tables 9 and E.1).
type version struct {
	check  int   // octets of error correction in each block
	blocks []int // data octets of each block
	align  []int // where alignment patterns have their middles, in both directions
}

// versions begin with version 1.
var versions = []version{
	{10, []int{16}, nil},
	{16, []int{28}, []int{6, 18}},
	{26, []int{44}, []int{6, 22}},
	{18, []int{32, 32}, []int{6, 26}},
	{24, []int{43, 43}, []int{6, 30}},
	{16, []int{27, 27, 27, 27}, []int{6, 34}},
	{18, []int{31, 31, 31, 31}, []int{6, 22, 38}},
	{22, []int{38, 38, 39, 39}, []int{6, 24, 42}},
	{22, []int{36, 36, 36, 37, 37}, []int{6, 26, 46}},
}

// data is how many octets of data there are.
func (v *version) data() (n int) {
	for _, b := range v.blocks {
		n += b
	}
	return n
}

// Code is a QR code.
type Code struct {
	// Side is how many modules it has in each direction, without the quiet zone.
	Side  int
	cells []cell // by row
}

type cell uint8

const (
	dark     cell = 1 << iota
	function      // of a pattern or of format information: no data, not masked
)

// Dark reports whether a module is dark; x and y are from 0, at the upper left.
func (c *Code) Dark(x, y int) bool { return c.cells[y*c.Side+x]&dark != 0 }

// Path is the dark modules as the data of a path in SVG, a module being 1 by 1.
func (c *Code) Path() string {
	var b strings.Builder
	for y := range c.Side {
		for x := 0; x < c.Side; x++ {
			if !c.Dark(x, y) {
				continue
			}
			first := x
			for x+1 < c.Side && c.Dark(x+1, y) {
				x++
			}
			b.WriteString("M" + strconv.Itoa(first) + " " + strconv.Itoa(y) + "h" + strconv.Itoa(x-first+1) + "v1H" + strconv.Itoa(first) + "z")
		}
	}
	return b.String()
}

// Encode makes the smallest code of a text, of up to MaxText octets. ErrTooLong.
func Encode(text string) (*Code, error) {
	for i := range versions {
		// Mode and length take a nibble and an octet.
		if len(text)+2 > versions[i].data() {
			continue
		}
		return choose(i+1, interleave(&versions[i], payload(text, versions[i].data()))), nil
	}
	return nil, ErrTooLong
}

// payload is the text with its mode and length in front, filled up to size octets (section 7.4).
func payload(text string, size int) []byte {
	const byteMode = 4
	n := len(text)
	out := make([]byte, 0, size)
	last := byte(byteMode<<4 | n>>4)
	next := byte(n << 4)
	for i := range n {
		out = append(out, last)
		last, next = next|text[i]>>4, text[i]<<4
	}
	out = append(out, last, next) // the terminator is the last nibble, 0
	for pad := byte(0xec); len(out) < size; pad ^= 0xec ^ 0x11 {
		out = append(out, pad)
	}
	return out
}

// interleave cuts data into blocks, adds their error correction, and takes octets from them in turns (section 7.6).
func interleave(v *version, data []byte) []byte {
	var blocks, checks [][]byte
	longest := 0
	for _, n := range v.blocks {
		blocks, checks = append(blocks, data[:n]), append(checks, correction(data[:n], v.check))
		data, longest = data[n:], max(longest, n)
	}
	var out []byte
	for i := range longest {
		for _, b := range blocks {
			if i < len(b) {
				out = append(out, b[i])
			}
		}
	}
	for i := range v.check {
		for _, c := range checks {
			out = append(out, c[i])
		}
	}
	return out
}

// correction is the remainder of data by the Reed-Solomon generator of n octets over GF(256) (section 7.5).
func correction(data []byte, n int) []byte {
	generator := make([]byte, n) // without its first coefficient, 1
	generator[n-1] = 1
	root := byte(1)
	for range n {
		for i := range generator {
			generator[i] = multiply(generator[i], root)
			if i+1 < n {
				generator[i] ^= generator[i+1]
			}
		}
		root = multiply(root, 2)
	}
	rest := make([]byte, n)
	for _, d := range data {
		factor := d ^ rest[0]
		copy(rest, rest[1:])
		rest[n-1] = 0
		for i, g := range generator {
			rest[i] ^= multiply(g, factor)
		}
	}
	return rest
}

// multiply is that of the field GF(256) modulo x⁸+x⁴+x³+x²+1.
func multiply(a, b byte) (product byte) {
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		carry := a & 0x80
		a <<= 1
		if carry != 0 {
			a ^= 0x1d
		}
	}
	return product
}

// remainder is that of the code word value, with room for the check bits below it, by a generator polynomial.
func remainder(value, generator uint32) uint32 {
	for n := bits.Len32(generator); bits.Len32(value) >= n; {
		value ^= generator << (bits.Len32(value) - n)
	}
	return value
}
