package wire

import (
	"io"
	"strconv"
	"strings"
	"sync"

	goimap "github.com/emersion/go-imap/v2"
)

// flushAt is how much an encoder collects before it writes: two full TLS records.
const flushAt = 32 << 10

// writeBuffers hold flushAt octets and a line that goes beyond.
var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, flushAt+4<<10); return &b }}

// Encoder collects responses and writes them out when flushAt octets wait or Flush
// is called. Between a Flush and the next octet it holds no buffer. The first error
// of the writer sticks, and whatever follows is dropped. Not safe for concurrent
// use.
type Encoder struct {
	w    io.Writer
	buf  []byte
	pool *[]byte
	err  error
	utf8 bool // see SetUTF8
}

// NewEncoder returns an encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Reset drops what was not written out and goes on with w.
func (e *Encoder) Reset(w io.Writer) {
	e.release()
	e.w, e.err = w, nil
}

// Err returns the first error of the writer.
func (e *Encoder) Err() error { return e.err }

// Flush writes out what waits.
func (e *Encoder) Flush() error {
	if len(e.buf) > 0 && e.err == nil {
		_, e.err = e.w.Write(e.buf)
	}
	e.release()
	return e.err
}

func (e *Encoder) release() {
	if e.pool == nil {
		return
	}
	if cap(e.buf) <= 2*flushAt { // a buffer that a huge line has grown is not kept
		*e.pool = e.buf[:0]
		writeBuffers.Put(e.pool)
	}
	e.pool, e.buf = nil, nil
}

// Buf returns the buffer to append to; what comes of it is handed back with SetBuf
// before anything else is written. It is how a line is put together without a call
// for each token.
func (e *Encoder) Buf() []byte {
	if e.pool == nil {
		e.pool = writeBuffers.Get().(*[]byte)
		e.buf = *e.pool
	}
	return e.buf
}

// SetBuf takes back the slice of Buf with what was appended, and writes it out if
// enough has come together.
func (e *Encoder) SetBuf(b []byte) {
	e.buf = b
	if len(b) >= flushAt {
		e.spill()
	}
}

// spill writes the buffer out and keeps it.
func (e *Encoder) spill() {
	if e.err == nil {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// Text appends s as it is. It takes several so that a line reads as one call.
func (e *Encoder) Text(s ...string) *Encoder {
	b := e.Buf()
	for _, t := range s {
		b = append(b, t...)
	}
	e.SetBuf(b)
	return e
}

// Number appends n in decimal.
func (e *Encoder) Number(n uint64) *Encoder {
	e.SetBuf(strconv.AppendUint(e.Buf(), n, 10))
	return e
}

// SetUTF8 says whether the client enabled UTF-8: quoted strings may hold it then, and
// mailbox names are in it instead of modified UTF-7 (RFC 6855 section 3, RFC 9051
// section 5.1).
func (e *Encoder) SetUTF8(on bool) { e.utf8 = on }

// Str appends s as AppendString or AppendStringUTF8 does.
func (e *Encoder) Str(s string) *Encoder {
	if e.utf8 {
		e.SetBuf(AppendStringUTF8(e.Buf(), s))
	} else {
		e.SetBuf(AppendString(e.Buf(), s))
	}
	return e
}

// AString appends s as AppendAString does.
func (e *Encoder) AString(s string) *Encoder {
	e.SetBuf(AppendAString(e.Buf(), s))
	return e
}

// Octets appends s, which may be anything, as Str does, or as a literal8 (RFC 3516) if
// it has a NUL.
func (e *Encoder) Octets(s string) *Encoder {
	if strings.IndexByte(s, 0) < 0 {
		return e.Str(s)
	}
	e.SetBuf(append(AppendLiteralHeader(append(e.Buf(), '~'), int64(len(s))), s...))
	return e
}

// Mailbox appends a mailbox name as AppendMailbox or AppendMailboxUTF8 does.
func (e *Encoder) Mailbox(name string) *Encoder {
	if e.utf8 {
		e.SetBuf(AppendMailboxUTF8(e.Buf(), name))
	} else {
		e.SetBuf(AppendMailbox(e.Buf(), name))
	}
	return e
}

// Flags appends a list of flags.
func (e *Encoder) Flags(flags []goimap.Flag) *Encoder {
	e.SetBuf(AppendFlags(e.Buf(), flags))
	return e
}

// CRLF ends a line.
func (e *Encoder) CRLF() *Encoder { return e.Text("\r\n") }
