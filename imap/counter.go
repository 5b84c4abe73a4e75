package imap

import "strconv"

// counter writes numbers in decimal that mostly follow each other, as those of the messages
// of an answer do: the next one is the last one with another digit at its end. The zero
// value is ready.
type counter struct {
	text block  // the number, but for its last digit
	last uint32 // 0 = none, as no message has this number
	unit byte   // the last digit
}

// put writes a number at b[at:], which has room for a block, and returns where it ends.
func (c *counter) put(b []byte, at int, n uint32) int {
	if c.unit < '9' && c.last != 0 && n-1 == c.last {
		c.last = n
		c.unit++
	} else {
		c.set(n)
	}
	at = c.text.put(b, at)
	b[at-1] = c.unit
	return at
}

// append appends a number.
func (c *counter) append(dst []byte, n uint32) []byte {
	if room := cap(dst) - len(dst); room < blockSize {
		return strconv.AppendUint(dst, uint64(n), 10)
	}
	return dst[:c.put(dst[:cap(dst)], len(dst), n)]
}

func (c *counter) set(n uint32) {
	c.last = n
	c.text.size = len(strconv.AppendUint(c.text.octets[:0], uint64(n), 10))
	c.unit = c.text.octets[c.text.size-1]
}

// blockSize is the length of what a block copies: longer than any text of an answer between
// two values, and short enough for two instructions.
const blockSize = 32

// block is a short text that is copied with the octets behind it: to copy a number of
// octets that is known beforehand is much less work than a call that copies a few.
type block struct {
	octets [blockSize]byte
	size   int // of the text
}

// blockOf is text as a block, unless it is too long.
func blockOf(text []byte) (t block, ok bool) {
	t.size = copy(t.octets[:], text)
	return t, t.size == len(text)
}

// put writes the text at b[at:], which has room for a block, and returns where it ends.
func (t *block) put(b []byte, at int) int {
	*(*[blockSize]byte)(b[at:]) = t.octets
	return at + t.size
}
