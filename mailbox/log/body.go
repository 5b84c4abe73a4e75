package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Body is a stored body, open for reading. It stays readable until Close,
// whatever is removed meanwhile. ReadAt may be called concurrently.
type Body struct {
	file   File
	off    int64 // of its first byte in file
	size   int64
	whole  []byte // the body, if it was read at once; the rest is not needed then
	close  func(*Body) error
	closed atomic.Bool

	segments *segments // of a body in the log
	segment  *segment
}

// usualMeta is the metadata that is read over to reach a small body in one go.
// That of a delivery to one mailbox is about 100 bytes, of one to some more:
// a few hundred.
const usualMeta = 512

// Body opens the body id at p. ErrGone means that p is out of date or the
// body was deleted: look it up again; ErrDamaged, that something else is there.
func (l *Log) Body(p Place, id BodyID) (*Body, error) { return l.BodyIn(nil, p, id) }

// BodyIn is Body for those who read one small body after the other: one that
// is at least 600 bytes shorter than buf is read by the one system call that
// opening costs, and stays in buf. buf is the Body's until its last use.
func (l *Log) BodyIn(buf []byte, p Place, id BodyID) (*Body, error) {
	if p.Big {
		return l.bigBody(p, id)
	}
	s, err := l.segments.acquire(p.Segment)
	if err != nil {
		return nil, fmt.Errorf("opening body %d: %w", id, err)
	}
	b := &Body{file: s.file, size: p.Size, close: (*Body).releaseSegment, segments: &l.segments, segment: s}
	if err := b.locate(buf, p, id); err != nil {
		return nil, errors.Join(fmt.Errorf("opening body %d: %w", id, err), b.Close())
	}
	if b.whole != nil {
		return b, b.Close()
	}
	return b, nil
}

func (b *Body) releaseSegment() error { return b.segments.release(b.segment) }

// locate reads the record header at p, holds it against id and p, and finds
// where the body begins; it keeps a body that came with the header.
func (b *Body) locate(buf []byte, p Place, id BodyID) error {
	const most = recordHeaderSize + usualMeta // before the body
	switch {
	case p.Size > 0 && p.Size <= int64(len(buf))-most:
		buf = buf[:most+p.Size]
	case len(buf) >= recordHeaderSize:
		buf = buf[:recordHeaderSize]
	default:
		buf = make([]byte, recordHeaderSize)
	}
	n, err := b.file.ReadAt(buf, int64(p.Offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, ok := parseHeader(buf[:n])
	if !ok || h.bodyID != id || h.bodySize != p.Size || h.big() {
		return fmt.Errorf("segment %d at %d does not hold it: %w", p.Segment, p.Offset, ErrDamaged)
	}
	start := recordHeaderSize + int64(h.metaSize)
	b.off = int64(p.Offset) + start
	if end := start + p.Size; len(buf) > recordHeaderSize && end <= int64(n) {
		b.whole = buf[start:end:end]
	}
	return nil
}

// bigBody opens the file of a big body.
func (l *Log) bigBody(p Place, id BodyID) (*Body, error) {
	f, err := l.fs.Open(l.bigName(id), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening body %d: %w", id, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("opening body %d: %w", id, err)
	}
	size, err := f.Size()
	if err == nil && size != p.Size {
		err = fmt.Errorf("file has %d bytes, the record says %d: %w", size, p.Size, ErrDamaged)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening body %d: %w", id, err), f.Close())
	}
	return &Body{file: f, size: size, close: (*Body).closeFile}, nil
}

func (b *Body) closeFile() error { return b.file.Close() }

func (l *Log) bigName(id BodyID) string { return filepath.Join(l.o.Dir, BigName(id)) }

// Size is the body's length in bytes.
func (b *Body) Size() int64 { return b.size }

// Whole is the body, if BodyIn read it into the buffer; else nil.
func (b *Body) Whole() []byte { return b.whole }

// ReadAt reads from the body, as io.ReaderAt does. A segment that ends within
// the body is ErrDamaged.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading a body at %d: %w", off, fs.ErrInvalid)
	}
	if off >= b.size {
		return 0, io.EOF
	}
	want := int(min(int64(len(p)), b.size-off))
	n, err := b.read(p[:want], off)
	switch {
	case n == want && want < len(p):
		return n, io.EOF
	case n == want:
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fmt.Errorf("body ends after %d of %d bytes: %w", off+int64(n), b.size, ErrDamaged)
	}
	return n, err
}

// read reads from where the body is.
func (b *Body) read(p []byte, off int64) (int, error) {
	if b.whole != nil {
		return copy(p, b.whole[off:]), nil
	}
	return b.file.ReadAt(p, b.off+off)
}

// copyBuffers are for WriteTo: large, so that a body costs few reads and
// writes, and shared by all connections.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// WriteTo writes the whole body to w.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	var done int64
	for done < b.size {
		n, err := b.ReadAt(*buf, done)
		if err != nil && !errors.Is(err, io.EOF) {
			return done, err
		}
		n, err = w.Write((*buf)[:n])
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Close gives the body's file or segment back. A second Close does nothing.
func (b *Body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.close(b)
}
