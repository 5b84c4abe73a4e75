package pop3

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"
)

// errLineTooLong is a line above its limit; it was consumed.
var errLineTooLong = errors.New("pop3: line too long")

// lineReader reads lines that end in LF, with or without CR.
type lineReader struct {
	src    io.Reader
	before func() error // called before each read of src
	buf    []byte       // unread input
	room   [4096]byte   // what buf lies in, while lines are short
}

func newLineReader(src io.Reader, before func() error) *lineReader {
	r := &lineReader{src: src, before: before}
	r.buf = r.room[:0]
	return r
}

// line returns the next line without its end, valid until the next call. Of a
// line above limit octets nothing is kept: errLineTooLong comes at its end.
func (r *lineReader) line(limit int) ([]byte, error) {
	for scanned, skipping := 0, false; ; {
		if i := bytes.IndexByte(r.buf[scanned:], '\n'); i >= 0 {
			line := r.buf[:scanned+i]
			r.buf = r.buf[scanned+i+1:]
			if skipping || len(line) > limit {
				return nil, errLineTooLong
			}
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		if scanned = len(r.buf); scanned > limit {
			skipping, scanned, r.buf = true, 0, r.room[:0]
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more behind buf.
func (r *lineReader) fill() error {
	if len(r.buf) == 0 {
		r.buf = r.room[:0]
	}
	if len(r.buf) == cap(r.buf) { // moves to the front, or to a longer place for AUTH's lines
		size := len(r.room)
		if len(r.buf) >= size/2 {
			size = maxResponse + 2
		}
		moved := make([]byte, len(r.buf), max(size, 2*len(r.buf)))
		copy(moved, r.buf)
		r.buf = moved
	}
	if err := r.before(); err != nil {
		return err
	}
	n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// restart drops what is buffered and goes on with src.
func (r *lineReader) restart(src io.Reader) { r.src, r.buf = src, r.room[:0] }

// outputSize is what is gathered before it is written: listings and small
// messages go out many at a time.
const outputSize = 64 << 10

var outputs = sync.Pool{New: func() any { return new([outputSize]byte) }}

// output gathers replies. It holds a buffer only while there is something in
// it, so a silent connection costs none. The first error of writing stays.
type output struct {
	dst io.Writer
	buf []byte
	err error
}

func newOutput(dst io.Writer) *output { return &output{dst: dst} }

func (o *output) line(s string) {
	o.write2(s, "\r\n")
}

func (o *output) write2(a, b string) {
	o.grow(len(a) + len(b))
	o.buf = append(append(o.buf, a...), b...)
}

// grow makes room for n more octets, as far as the buffer goes.
func (o *output) grow(n int) {
	if o.buf == nil {
		o.buf = outputs.Get().(*[outputSize]byte)[:0]
	}
	if len(o.buf)+n > outputSize {
		o.empty()
	}
}

// write appends p, or writes it straight through when it is large.
func (o *output) write(p []byte) error {
	if len(p) < outputSize/2 {
		o.grow(len(p))
		o.buf = append(o.buf, p...)
		return o.err
	}
	o.empty()
	if o.err == nil {
		_, o.err = o.dst.Write(p)
	}
	return o.err
}

// number appends n.
func (o *output) number(n int64) {
	o.grow(20)
	o.buf = strconv.AppendInt(o.buf, n, 10)
}

// empty writes what is there.
func (o *output) empty() {
	if len(o.buf) > 0 && o.err == nil {
		_, o.err = o.dst.Write(o.buf)
	}
	o.buf = o.buf[:0]
}

// flush writes what is there and lets the buffer go.
func (o *output) flush() error {
	o.empty()
	o.release()
	return o.err
}

func (o *output) release() {
	if cap(o.buf) == outputSize {
		outputs.Put((*[outputSize]byte)(o.buf[:outputSize]))
	}
	o.buf = nil
}

// stuffed writes a part of a message with the dots of RFC 1939 section 3.
// atStart says that the part begins a line; what is returned says whether the
// next one does. A line is also what a bare LF ends: a message that came by
// IMAP may hold one, and clients that read it as a line end must not find the
// end of the message there.
func (o *output) stuffed(p []byte, atStart bool) (bool, error) {
	if len(p) == 0 {
		return atStart, o.err
	}
	if atStart && p[0] == '.' {
		o.write2(".", "")
	}
	for from := 0; ; from = 1 { // the dot that was stuffed stands first: it is done
		i := bytes.Index(p[from:], []byte("\n."))
		if i < 0 {
			return p[len(p)-1] == '\n', o.write(p)
		}
		line := from + i + 1
		if err := o.write(p[:line]); err != nil {
			return false, err
		}
		o.write2(".", "")
		p = p[line:]
	}
}
