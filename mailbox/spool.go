package mailbox

import (
	"fmt"
	"io"
)

// Spool holds octets of a message that cannot be stored yet, as what goes in
// front of them is not known. It keeps them where a message itself would be: in
// memory, or above 1 MiB in a file. It belongs to one goroutine.
type Spool struct {
	body  NewBody // never delivered, and not indexed
	freed bool
}

// NewSpool begins a spool. The caller writes it, reads it with WriteTo, and
// gives it back with Free. A file of it that a crash leaves is named by no record,
// so the next start removes it.
func (s *Store) NewSpool() *Spool {
	return &Spool{body: NewBody{s: s}}
}

// Write adds bytes. ErrTooBig, ErrNoSpace: then the spool is useless.
func (p *Spool) Write(b []byte) (int, error) {
	v := &p.body
	if v.err == nil && v.size+int64(len(b)) > v.s.o.MaxMessageSize {
		v.err = fmt.Errorf("%w: more than %d bytes", ErrTooBig, v.s.o.MaxMessageSize)
	}
	if v.err == nil {
		v.err = v.keep(b)
	}
	if v.err != nil {
		return 0, v.err
	}
	v.size += int64(len(b))
	return len(b), nil
}

// Size is what was written so far, in bytes.
func (p *Spool) Size() int64 { return p.body.size }

// ReadAt reads what was written, as io.ReaderAt does; until Free.
func (p *Spool) ReadAt(b []byte, off int64) (int, error) { return p.body.ReadAt(b, off) }

// spoolWindow is how many bytes of a spool's file are read at a time.
const spoolWindow = 256 << 10

// WriteTo writes all that was written to w. It may be called again.
func (p *Spool) WriteTo(w io.Writer) (int64, error) {
	v := &p.body
	if v.err != nil {
		return 0, v.err
	}
	if v.big == nil {
		n, err := w.Write(v.buf)
		return int64(n), err
	}
	window := getBuffer(spoolWindow)
	defer putBuffer(window)
	n, err := io.CopyBuffer(onlyWriter{w}, onlyReader{io.NewSectionReader(v.big, 0, v.size)}, window[:spoolWindow])
	if err != nil {
		return n, fmt.Errorf("copying a message that was held: %w", err)
	}
	return n, nil
}

// onlyWriter and onlyReader hide the other methods, by which io.CopyBuffer
// would go around its buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// Free gives memory and file back. A second time it does nothing.
func (p *Spool) Free() {
	if !p.freed {
		p.freed = true
		p.body.Abort()
	}
}
