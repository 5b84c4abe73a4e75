package wire

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"sync"
)

// Literal is a message literal that is being received: an io.Reader of exactly
// Size octets.
type Literal struct {
	// Binary is set for a literal8 (RFC 3516), which may hold NUL.
	Binary bool

	d    *Decoder
	size int64
	left int64
}

// Size returns the announced number of octets.
func (l *Literal) Size() int64 { return l.size }

// Read implements io.Reader. An error of the connection comes back as it is; a
// connection that ends early gives io.ErrUnexpectedEOF.
func (l *Literal) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), l.left)]
	n, err := l.d.readOctets(p)
	l.left -= int64(n)
	return n, err
}

// drop reads what is left of the literal and forgets it; its size was accepted.
func (l *Literal) drop() error {
	left := l.left
	l.d.literal = nil
	return l.d.dropOctets(l.left, &left)
}

// copyBuffers are what messages pass through on their way.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// CopyLiteral copies a message literal to dst, in constant memory.
func CopyLiteral(dst io.Writer, l *Literal) error {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, l, *buf)
	return err
}

// readOctets reads at least one octet, past the buffer when that is empty.
func (d *Decoder) readOctets(p []byte) (int, error) {
	if d.start < d.end {
		n := copy(p, d.buf[d.start:d.end])
		d.start += n
		return n, nil
	}
	if len(p) < len(d.small) {
		if err := d.fill(); err != nil {
			return 0, unexpected(err)
		}
		return d.readOctets(p)
	}
	if d.hooks.BeforeRead != nil {
		if err := d.hooks.BeforeRead(); err != nil {
			return 0, err
		}
	}
	n, err := d.r.Read(p)
	if n > 0 {
		err = nil
	}
	return n, unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// MessageLiteral expects a literal or literal8 of at most limit octets, asks the
// client for it if it waits to be asked, and returns it to be read. Once it is read
// the caller says EndLiteral. A larger one is a *LiteralTooLargeError and is not
// asked for.
func (d *Decoder) MessageLiteral(limit int64) *Literal {
	size, binary, ok := d.literalHeader(limit)
	if !ok {
		return nil
	}
	d.literal = &Literal{Binary: binary, d: d, size: size, left: size}
	return d.literal
}

// EndLiteral drops what was not read of the message literal and goes on behind it.
func (d *Decoder) EndLiteral() {
	if d.err != nil || d.literal == nil {
		return
	}
	if err := d.literal.drop(); err != nil {
		d.stick(err)
		return
	}
	d.nextLine()
}

// PeekLiteral reports the size of the literal that comes next, without accepting
// it.
func (d *Decoder) PeekLiteral() (size int64, ok bool) {
	if d.err != nil {
		return 0, false
	}
	if len(d.line) == 0 || d.line[0] != '{' && d.line[0] != '~' {
		return 0, false
	}
	size, _, ok = trailingLiteral(d.line)
	return size, ok
}

// literalHeader takes {n}, {n+}, ~{n} or ~{n+} at the end of the line, and sends the
// go-ahead where one is due. A refused one stays for Discard to find.
func (d *Decoder) literalHeader(limit int64) (size int64, binary, ok bool) {
	if d.err != nil {
		return 0, false, false
	}
	i := 0
	if len(d.line) > 0 && d.line[0] == '~' {
		binary, i = true, 1
	}
	if len(d.line) <= i || d.line[i] != '{' {
		d.expected("a literal")
		return 0, false, false
	}
	size, nonSync, ok := trailingLiteral(d.line)
	if !ok || bytes.LastIndexByte(d.line, '{') != i {
		d.Fail("malformed literal")
		return 0, false, false
	}
	if size > limit {
		d.stick(&LiteralTooLargeError{Size: size, Limit: limit})
		return 0, false, false
	}
	d.line = nil
	if !nonSync && d.hooks.Continue != nil {
		if err := d.hooks.Continue(); err != nil {
			d.stick(err)
			return 0, false, false
		}
	}
	return size, binary, true
}

// stringLiteral reads a literal whole.
func (d *Decoder) stringLiteral() string {
	size, binary, ok := d.literalHeader(min(d.limits.Literal, d.litLeft))
	if !ok {
		return ""
	}
	d.litLeft -= size
	b := make([]byte, size)
	for rest := b; len(rest) > 0; {
		n, err := d.readOctets(rest)
		if err != nil {
			d.stick(err)
			return ""
		}
		rest = rest[n:]
	}
	if d.nextLine() != nil {
		return ""
	}
	if !binary && bytes.IndexByte(b, 0) >= 0 {
		d.Fail("NUL in a literal") // CHAR8 is %x01-ff
		return ""
	}
	return string(b)
}

// trailingLiteral finds the literal announced at the end of a line. A number too
// large for int64 comes back as the largest one: it exceeds every limit.
func trailingLiteral(line []byte) (size int64, nonSync, ok bool) {
	open := bytes.LastIndexByte(line, '{')
	if open < 0 || len(line)-open < len("{0}") || line[len(line)-1] != '}' {
		return 0, false, false
	}
	digits := line[open+1 : len(line)-1]
	if digits[len(digits)-1] == '+' {
		digits, nonSync = digits[:len(digits)-1], true
	}
	if len(digits) == 0 {
		return 0, false, false
	}
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false, false
		}
	}
	size, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		size = math.MaxInt64
	}
	return size, nonSync, true
}
