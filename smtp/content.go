package smtp

import (
	"bytes"
	"errors"
	"io"
)

// What is wrong with a message's octets. The message is consumed to its end
// all the same and refused then.
var (
	errBareLF   = errors.New("smtp: bare LF in message")
	errBareCR   = errors.New("smtp: bare CR in message")
	errNUL      = errors.New("smtp: NUL in message")
	errDotLine  = errors.New("smtp: bare line end next to a dot")
	errTextLine = errors.New("smtp: text line too long")
)

// maxTextLine bounds a line of a message. RFC 5321 section 4.5.3.1.6 promises
// 1000 octets only, but whole HTML documents in one line are everyday mail;
// above this it is not text, and every reader of lines downstream would pay.
const maxTextLine = 1 << 20

// content is the state of a message on its way in. It takes the dots of DATA
// away (RFC 5321 section 4.5.2), finds the one true end CRLF.CRLF, and
// checks line ends; it writes what is good to out in slices as large as they
// come. It is fed with windows of any size and cut anywhere.
type content struct {
	out    io.Writer
	dots   bool // DATA: dot-stuffed and ended by a dot; BDAT: neither
	repair bool // submission: bare CR and LF become CRLF, where that is safe
	err    error
	state  lineState
	line   int // octets of the present line
	looked int // octets looked at for the ends of lines, twice as many as came at the most
}

// lineState is where in a line the next octet stands.
type lineState uint8

const (
	atStart  lineState = iota // at the start of a line, or of the message
	inText                    // in a line
	atCR                      // after CR, which is held back
	atRepair                  // after a line end that was none and was repaired
	atDot                     // after a dot at the start; of DATA it is not written
	atDotCR                   // after that and CR, which is held back
)

var crlf = []byte("\r\n")

// feed uses octets of p. It returns how many; fewer than all only with done,
// when the end of DATA was among them.
func (c *content) feed(p []byte) (n int, done bool) {
	from, i := 0, 0 // p[from:i] is good and not yet written
	next := marks{cr: -1, lf: -1}
	defer func() { c.looked += next.read }()
	for i < len(p) {
		if c.state <= inText {
			if i = c.cleanLines(p, i, &next); i == len(p) {
				break
			}
		}
		if from, done = c.step(p, from, i); done {
			return i + 1, true
		}
		i++
	}
	c.write(p[from:])
	return len(p), false
}

// marks are where the next CR and the next LF of a window stand. They are
// looked for only when passed: no text, however odd, takes more than two readings.
type marks struct {
	cr, lf int
	read   int // octets looked at until now
}

// pass brings the marks to i or behind it; len(p) is none.
func (m *marks) pass(p []byte, i int) {
	if m.cr < i {
		m.cr = m.indexFrom(p, i, '\r')
	}
	if m.lf < i {
		m.lf = m.indexFrom(p, i, '\n')
	}
}

// indexFrom is the first index of b in p at or after i, len(p) without one.
func (m *marks) indexFrom(p []byte, i int, b byte) int {
	n := bytes.IndexByte(p[i:], b)
	if n < 0 {
		n = len(p) - i
	}
	m.read += n
	return i + n
}

// cleanLines passes over lines that end in CRLF and have nothing unusual in
// them, and over the text in front of anything else. It begins at p[i] and
// returns where step has to look.
func (c *content) cleanLines(p []byte, i int, next *marks) int {
	for i < len(p) && (c.state != atStart || p[i] != '.') {
		next.pass(p, i)
		if next.cr+1 != next.lf || next.lf == len(p) {
			end := min(next.cr, next.lf)
			if end > i {
				c.count(end - i)
				c.state = inText
			}
			return end
		}
		c.count(next.lf + 1 - i)
		c.line, c.state = 0, atStart
		i = next.lf + 1
	}
	return i
}

// step looks at the octet p[i]; p[from:i] waits to be written. It returns
// where what waits begins now, and whether the message ended.
func (c *content) step(p []byte, from, i int) (int, bool) {
	b := p[i]
	c.count(1)
	switch c.state {
	case atDot:
		if b == '\r' {
			c.state = atDotCR
			c.write(p[from:i])
			return i + 1, false
		}
		if b == '\n' {
			c.fail(errDotLine)
		}
	case atDotCR:
		if b == '\n' && c.dots {
			c.state = atStart
			return i + 1, true
		}
		if b != '\n' {
			c.fail(errDotLine) // CRLF . CR is the end of a message to some
		}
		c.state = atCR
	case atRepair:
		if b == '.' {
			c.fail(errDotLine) // LF . is the end of a message, or a stuffed dot, to some
		}
	case atStart:
		if b == '.' {
			c.state = atDot
			if !c.dots {
				return from, false
			}
			c.write(p[from:i])
			return i + 1, false
		}
	}
	return c.lineEnds(p, from, i), false
}

// lineEnds is step for CR, LF, and what follows a CR.
func (c *content) lineEnds(p []byte, from, i int) int {
	b := p[i]
	if c.state == atCR && b != '\r' {
		c.write(crlf)
		c.state, c.line = atStart, 0
		if b == '\n' {
			return i + 1
		}
		c.state = atRepair
		c.bare(errBareCR)
		if b == '.' {
			c.fail(errDotLine)
		}
	}
	switch b {
	case '\r':
		if c.state == atCR { // CR CR LF is one line end, sent by a client that translates twice
			c.bare(errBareCR)
			return i + 1
		}
		c.write(p[from:i])
		c.state = atCR
		return i + 1
	case '\n':
		c.bare(errBareLF)
		c.write(p[from:i])
		c.write(crlf)
		c.state, c.line = atRepair, 0
		return i + 1
	}
	c.state = inText
	return from
}

// end is the end of the message. Sent by octet counts, it may end anywhere.
func (c *content) end() {
	switch c.state {
	case atDotCR:
		c.fail(errDotLine)
	case atCR:
		c.bare(errBareCR)
		c.write(crlf)
	}
}

// bare is called for each CR or LF outside of a CRLF, before it is repaired.
func (c *content) bare(err error) {
	if !c.repair {
		c.fail(err)
	}
}

// count bounds the present line.
func (c *content) count(n int) {
	if c.line += n; c.line > maxTextLine {
		c.fail(errTextLine)
	}
}

// fail notes the first thing that is wrong; nothing is written after it.
func (c *content) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *content) write(p []byte) {
	if len(p) == 0 || c.err != nil {
		return
	}
	if bytes.IndexByte(p, 0) >= 0 {
		// IMAP has no NUL in literals (RFC 3501 section 4.3), and NUL hides what follows it from C programs.
		c.fail(errNUL)
		return
	}
	if _, err := c.out.Write(p); err != nil {
		c.fail(err)
	}
}
