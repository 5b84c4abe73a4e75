package transfer

import (
	"bytes"
	"io"
)

// crlfReader reads a message from a file of local convention: a line feed without a
// carriage return before it becomes CRLF. All else stays, NUL and lone carriage
// returns, too: it is what the message holds.
type crlfReader struct {
	r    io.Reader
	buf  []byte
	rest []byte // of buf, not handed out yet
	cr   bool   // the last octet handed out is a carriage return
	err  error
}

// reset begins with another file; buf stays.
func (c *crlfReader) reset(r io.Reader) {
	if c.buf == nil {
		c.buf = make([]byte, copyBuffer)
	}
	*c = crlfReader{r: r, buf: c.buf}
}

func (c *crlfReader) Read(p []byte) (n int, err error) {
	for len(c.rest) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		var got int
		got, c.err = c.r.Read(c.buf)
		c.rest = c.buf[:got]
	}
	for n < len(p) && len(c.rest) > 0 {
		if c.rest[0] == '\n' && !c.cr {
			p[n], c.cr = '\r', true
			n++
			continue
		}
		line := c.rest
		if i := bytes.IndexByte(line[1:], '\n'); i >= 0 {
			line = line[:i+1] // up to the next line feed, which is looked at on its own
		}
		k := copy(p[n:], line)
		c.cr = line[k-1] == '\r'
		c.rest = c.rest[k:]
		n += k
	}
	return n, nil
}

// lfWriter writes a message in the local convention: CRLF becomes a line feed.
type lfWriter struct {
	w    io.Writer
	cr   bool // a carriage return was held back
	size int64
	err  error
}

func (l *lfWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && l.err == nil; {
		if l.cr {
			l.cr = false
			if rest[0] != '\n' {
				l.put([]byte{'\r'})
			}
		}
		i := bytes.IndexByte(rest, '\r')
		if i < 0 {
			l.put(rest)
			break
		}
		l.put(rest[:i])
		l.cr = true
		rest = rest[i+1:]
	}
	if l.err != nil {
		return 0, l.err
	}
	return len(p), nil
}

func (l *lfWriter) put(p []byte) {
	if l.err == nil && len(p) > 0 {
		_, l.err = l.w.Write(p)
		l.size += int64(len(p))
	}
}

// end writes what is held back.
func (l *lfWriter) end() error {
	if l.cr {
		l.cr = false
		l.put([]byte{'\r'})
	}
	return l.err
}
