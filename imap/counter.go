package imap

import "strconv"

// counter writes numbers in decimal that mostly follow each other, as those of the messages
// of an answer do: the next one is the last one with another digit. The zero value
// is ready.
type counter struct {
	last   uint32 // 0 = none, as no message has this number
	digits [10]byte
	from   int // where last begins in digits; it ends with them
}

// append appends a number.
func (c *counter) append(dst []byte, n uint32) []byte {
	if n == 0 || c.last == 0 || n-1 != c.last {
		c.set(n)
	} else {
		c.increment()
	}
	return append(dst, c.digits[c.from:]...)
}

func (c *counter) set(n uint32) {
	var b [len(c.digits)]byte
	text := strconv.AppendUint(b[:0], uint64(n), 10)
	c.last, c.from = n, len(c.digits)-len(text)
	copy(c.digits[c.from:], text)
}

func (c *counter) increment() {
	c.last++
	at := len(c.digits) - 1
	for ; at >= c.from && c.digits[at] == '9'; at-- {
		c.digits[at] = '0'
	}
	if at < c.from { // all were nines
		c.from = at
		c.digits[at] = '0'
	}
	c.digits[at]++
}
