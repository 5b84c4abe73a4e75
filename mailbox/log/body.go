package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
)

// Body is a stored body, open for reading. It stays readable until Close,
// whatever is removed meanwhile. ReadAt may be called concurrently.
type Body struct {
	file  File
	off   int64 // of its first byte in file
	size  int64
	close func() error
	once  sync.Once
}

// Body opens the body id at p. ErrGone means that p is out of date or the
// body was deleted: look it up again; ErrDamaged, that something else is there.
func (l *Log) Body(p Place, id BodyID) (*Body, error) {
	if p.Big {
		return l.bigBody(p, id)
	}
	s, err := l.segments.acquire(p.Segment)
	if err != nil {
		return nil, fmt.Errorf("opening body %d: %w", id, err)
	}
	off, err := checkPlace(s.file, p, id)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening body %d: %w", id, err), l.segments.release(s))
	}
	return &Body{file: s.file, off: off, size: p.Size, close: func() error { return l.segments.release(s) }}, nil
}

// checkPlace reads the record header at p, holds it against id and p, and
// returns where the body begins.
func checkPlace(f File, p Place, id BodyID) (int64, error) {
	var b [recordHeaderSize]byte
	if _, err := f.ReadAt(b[:], int64(p.Offset)); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	h, ok := parseHeader(b[:])
	if !ok || h.bodyID != id || h.bodySize != p.Size || h.big() {
		return 0, fmt.Errorf("segment %d at %d does not hold it: %w", p.Segment, p.Offset, ErrDamaged)
	}
	return int64(p.Offset) + recordHeaderSize + int64(h.metaSize), nil
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
	return &Body{file: f, size: size, close: f.Close}, nil
}

func (l *Log) bigName(id BodyID) string {
	return filepath.Join(l.o.Dir, bigFolder, fmt.Sprintf("%016x", uint64(id)))
}

// Size is the body's length in bytes.
func (b *Body) Size() int64 { return b.size }

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
	n, err := b.file.ReadAt(p[:want], b.off+off)
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
	var err error
	b.once.Do(func() { err = b.close() })
	return err
}
