package imap

import (
	"io"
	"sync"

	"mailstead/imap/wire"
)

const (
	// bulkChunk is how much of a large body is read, and written, at a time.
	bulkChunk = 256 << 10
	// bulkSize holds a chunk behind what the encoder would still keep in its buffer.
	bulkSize = bulkChunk + 48<<10
	// takeWhole is from which size on octets are written, not copied: the encoder writes
	// as many at once.
	takeWhole = 64 << 10
)

var bulkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, bulkSize); return &b }}

// output is the encoder's buffer in the hands of a command with much to say: whole
// responses are appended to b, and bodies are read straight into it. It starts as the
// encoder's own and is exchanged for a bulk buffer when that is too small, so that a
// slow reader of a small answer does not hold a large buffer.
type output struct {
	enc     *wire.Encoder
	b       []byte
	own     []byte  // the encoder's, while b is the bulk buffer
	bulk    *[]byte // nil while b is the encoder's
	written int     // how many times octets of b went to the client
}

// begin takes the buffer of enc, which is not to be used until end or lend.
func (o *output) begin(enc *wire.Encoder) {
	*o = output{enc: enc, b: enc.Buf()}
}

// room makes room for n octets, at most bulkChunk.
func (o *output) room(n int) {
	if cap(o.b)-len(o.b) >= n {
		return
	}
	if o.bulk == nil {
		o.bulk = bulkBuffers.Get().(*[]byte)
		o.own = o.b[:0]
		o.b = append((*o.bulk)[:0], o.b...)
		if cap(o.b)-len(o.b) >= n {
			return
		}
	}
	o.flush()
	if cap(o.b)-len(o.b) < n { // less waits than the encoder writes at once
		o.b = append((*o.bulk)[:0], o.b...)
	}
}

// flush writes out what has come together, if it is worth it.
func (o *output) flush() {
	o.enc.SetBuf(o.b)
	if o.b = o.enc.Buf(); len(o.b) > 0 {
		return
	}
	o.written++
	if o.bulk != nil {
		o.b = (*o.bulk)[:0] // a buffer that a huge line has grown is not kept
	}
}

// take appends b, or writes it out from where it is.
func (o *output) take(b []byte) {
	if len(o.b) > 0 && len(b) >= takeWhole {
		o.flush()
	}
	if len(o.b) > 0 || len(b) < takeWhole {
		o.room(min(len(b), bulkChunk))
		o.b = append(o.b, b...)
		return
	}
	o.enc.SetBuf(b)
	o.enc.SetBuf(o.b)
	o.written++
}

// lend gives the encoder its buffer back while f uses it.
func (o *output) lend(f func()) {
	o.enc.SetBuf(o.b)
	f()
	o.b = o.enc.Buf()
}

// end gives the encoder its buffer back, with what was not written.
func (o *output) end() {
	o.enc.SetBuf(o.b)
	if o.bulk != nil {
		o.enc.SetBuf(append(o.own, o.enc.Buf()...))
		bulkBuffers.Put(o.bulk)
	}
	*o = output{}
}

// copy appends n octets of src from off on, writing out what is full.
func (o *output) copy(src io.ReaderAt, off, n int64) error {
	for n > 0 {
		size := int(min(n, bulkChunk))
		o.room(size)
		at := len(o.b)
		if got, err := src.ReadAt(o.b[at:at+size], off); got < size {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		hideNUL(o.b[at : at+size])
		o.b = o.b[:at+size]
		off += int64(size)
		n -= int64(size)
	}
	return nil
}
