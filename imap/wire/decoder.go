package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrLineTooLong is reported when the lines of one command exceed Limits.Line.
var ErrLineTooLong = errors.New("command line too long")

// ErrOutOfStep is reported by Discard when the rest of a refused command is
// larger than Limits.Skip: the connection has to end.
var ErrOutOfStep = errors.New("refused command is too large to skip")

// SyntaxError says what was wrong with a command; its text is fit for a BAD
// response and holds nothing raw of what the client sent.
type SyntaxError struct {
	Msg string
}

func (e *SyntaxError) Error() string { return e.Msg }

// LiteralTooLargeError says that a literal exceeds what is accepted there. Its
// octets have not been read; Decoder.Discard does what is to be done about them.
type LiteralTooLargeError struct {
	Size, Limit int64
}

func (e *LiteralTooLargeError) Error() string {
	return fmt.Sprintf("literal of %d octets, at most %d are accepted here", e.Size, e.Limit)
}

// Decoder reads commands from a connection, token by token.
//
// The first error sticks: after it every method returns zero values at once, so a
// parser is written as a plain sequence and asks Err at its end. Next starts the
// following command and forgets a syntax error; an error of the connection is
// reported again by whatever reads from it next. Not safe for concurrent use.
type Decoder struct {
	r      io.Reader
	limits Limits
	hooks  Hooks

	buf        []byte  // *pooled or small[:]
	pooled     *[]byte // nil while small is enough
	start, end int     // what was read and not handed out: buf[start:end]
	more       bool    // the last read filled the buffer, so more is likely to wait
	small      [512]byte

	line     []byte // the rest of the current line, without its end; in buf
	lineLeft int    // octets that the command's lines may still have
	litLeft  int64  // octets that the command's string literals may still have
	depth    int
	overlong bool     // the current line's end has not been read
	utf8     bool     // see SetUTF8
	literal  *Literal // being streamed
	err      error
}

// Hooks are what a decoder calls on its way; either may be nil.
type Hooks struct {
	// BeforeRead is called before each read of the connection: the place to write
	// out finished responses, since no pipelined command waits.
	BeforeRead func() error
	// Continue is called when a synchronising literal was accepted. It has to send
	// the continuation request "+ ..." at once (RFC 3501 section 7.5).
	Continue func() error
}

// NewDecoder returns a decoder that reads from r.
func NewDecoder(r io.Reader, limits Limits, hooks Hooks) *Decoder {
	d := &Decoder{limits: limits.orDefault(), hooks: hooks}
	d.Reset(r)
	return d
}

// Reset drops everything that was read and not used, and goes on reading from r:
// what STARTTLS demands (RFC 3501 section 6.2.1).
func (d *Decoder) Reset(r io.Reader) {
	d.release()
	d.r = r
	d.line, d.overlong, d.literal, d.err = nil, false, nil, nil
}

// SetLimits changes the limits for the commands that follow.
func (d *Decoder) SetLimits(l Limits) { d.limits = l.orDefault() }

// Err returns the first error of the current command: a *SyntaxError, a
// *LiteralTooLargeError, ErrLineTooLong or an error of the connection.
func (d *Decoder) Err() error { return d.err }

// Fail records a syntax error found by the caller, unless an earlier one stands.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = &SyntaxError{Msg: fmt.Sprintf(format, args...)}
	}
}

// Next waits for the first line of the next command. An error is one of the
// connection (after a time-out Next may be called again, nothing is lost) or
// ErrLineTooLong.
func (d *Decoder) Next() error {
	d.line, d.err, d.depth = nil, nil, 0
	d.lineLeft, d.litLeft = d.limits.Line, d.limits.Literals
	if d.start == d.end {
		d.release()
	}
	return d.nextLine()
}

// nextLine loads the next line of the current command.
func (d *Decoder) nextLine() error {
	scanned := 0
	for {
		rest := d.buf[d.start:d.end]
		if i := bytes.IndexByte(rest[scanned:], '\n'); i >= 0 && scanned+i <= d.lineLeft+1 {
			d.takeLine(scanned + i)
			return nil
		}
		if len(rest) > d.lineLeft+1 { // the line and its CR
			d.overlong = true
			return d.stick(ErrLineTooLong)
		}
		scanned = len(rest)
		if err := d.fill(); err != nil {
			return d.stick(err)
		}
	}
}

// takeLine makes the n octets before the line feed the current line. A bare line
// feed ends a line too: it is what a person types into nc, and in a protocol of
// lines that are never relayed it can smuggle nothing.
func (d *Decoder) takeLine(n int) {
	line := d.buf[d.start : d.start+n]
	d.start += n + 1
	if n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	d.lineLeft -= len(line)
	d.line = line
}

func (d *Decoder) stick(err error) error {
	if d.err == nil {
		d.err = err
	}
	return err
}

// End expects the end of the command.
func (d *Decoder) End() {
	if d.err == nil && len(d.line) > 0 {
		d.Fail("unexpected %s after the command", quoteStart(d.line))
	}
}

// Buffered returns how many octets were read from the connection and belong to what
// comes behind the current line.
func (d *Decoder) Buffered() int { return d.end - d.start }

// AtEnd reports whether nothing is left of the current line.
func (d *Decoder) AtEnd() bool { return d.err != nil || len(d.line) == 0 }

// Discard drops the rest of a command that was refused, so that the octets of its
// literals are never taken for commands. A synchronising literal is not sent by
// the client unless it is asked for (RFC 3501 section 7.5); a non-synchronising
// one (RFC 7888) is read and dropped together with the lines after it. It returns
// ErrOutOfStep when that is more than Limits.Skip, or an error of the connection.
func (d *Decoder) Discard() error {
	left := d.limits.Skip
	if d.literal != nil {
		d.overlong = true // the line goes on behind the literal
		if err := d.literal.drop(); err != nil {
			return err
		}
	}
	for {
		if d.overlong {
			if err := d.discardLine(&left); err != nil {
				return err
			}
		}
		size, nonSync, ok := trailingLiteral(d.line)
		if !ok || !nonSync {
			d.line, d.err = nil, nil
			return nil
		}
		if err := d.dropOctets(size, &left); err != nil {
			return err
		}
		d.overlong = true
	}
}

// discardLine reads to the end of a line and leaves at most its last octets in
// d.line.
func (d *Decoder) discardLine(left *int64) error {
	const tail = maxNumberDigits + 4 // enough for ~{n+} and a CR
	for {
		rest := d.buf[d.start:d.end]
		i := bytes.IndexByte(rest, '\n')
		if i >= 0 {
			*left -= int64(i)
			d.overlong, d.lineLeft = false, len(rest)
			d.takeLine(i)
			return outOfStep(*left)
		}
		if drop := len(rest) - tail; drop > 0 {
			*left -= int64(drop)
			d.start += drop
		}
		if err := outOfStep(*left); err != nil {
			return err
		}
		if err := d.fill(); err != nil {
			return err
		}
	}
}

// dropOctets reads n octets and forgets them.
func (d *Decoder) dropOctets(n int64, left *int64) error {
	if *left -= n; *left < 0 || n < 0 {
		return ErrOutOfStep
	}
	for n > 0 {
		if d.start == d.end {
			if err := d.fill(); err != nil {
				return err
			}
		}
		k := int(min(n, int64(d.end-d.start)))
		d.start += k
		n -= int64(k)
	}
	return nil
}

func outOfStep(left int64) error {
	if left < 0 {
		return ErrOutOfStep
	}
	return nil
}

// Read buffers come in two sizes: most commands fit the first, the second holds a
// line of DefaultLine octets with its end.
var (
	shortBuffers = sync.Pool{New: func() any { b := make([]byte, 8<<10); return &b }}
	longBuffers  = sync.Pool{New: func() any { b := make([]byte, DefaultLine+4<<10); return &b }}
)

// fill reads once from the connection behind what is buffered.
func (d *Decoder) fill() error {
	if d.hooks.BeforeRead != nil {
		if err := d.hooks.BeforeRead(); err != nil {
			return err
		}
	}
	d.makeRoom()
	for range 100 { // as bufio: a reader that keeps returning nothing is broken
		n, err := d.r.Read(d.buf[d.end:])
		d.end += n
		if n > 0 {
			d.more = d.end == len(d.buf)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom moves what is buffered to the front, and takes a larger buffer when the
// present one is full or the last read filled it.
func (d *Decoder) makeRoom() {
	if d.start > 0 {
		d.end = copy(d.buf, d.buf[d.start:d.end])
		d.start = 0
	}
	if d.end < len(d.buf) && !(d.more && d.pooled == nil) {
		return
	}
	var bigger *[]byte
	switch {
	case d.pooled == nil:
		bigger = shortBuffers.Get().(*[]byte)
	case len(d.buf) < DefaultLine:
		bigger = longBuffers.Get().(*[]byte)
	default: // only with a Limits.Line above the default
		b := make([]byte, 2*len(d.buf))
		bigger = &b
	}
	n := copy(*bigger, d.buf[:d.end])
	d.release()
	d.pooled, d.buf, d.end = bigger, *bigger, n
}

// release gives the buffer back; an idle connection keeps only the small one.
func (d *Decoder) release() {
	if d.pooled != nil {
		switch len(*d.pooled) {
		case 8 << 10:
			shortBuffers.Put(d.pooled)
		case DefaultLine + 4<<10:
			longBuffers.Put(d.pooled)
		}
	}
	d.pooled, d.buf, d.start, d.end, d.more = nil, d.small[:], 0, 0, false
}

// quoteStart shows the beginning of what a client sent, quoted.
func quoteStart(b []byte) string {
	const shown = 20
	if len(b) > shown {
		return fmt.Sprintf("%q...", b[:shown])
	}
	return fmt.Sprintf("%q", b)
}
