package log

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// View is a log's folder that is read and never changed: that of a copy.
// Nobody writes to the folder meanwhile.
type View struct{ l *Log }

// OpenView looks at the segments in dir. What is no whole segment is an error:
// ErrDamaged, ErrNewerFormat.
func OpenView(dir string) (*View, error) {
	l := &Log{o: Options{Dir: dir}, fs: OS(), logger: slog.New(slog.DiscardHandler)}
	l.segments = segments{fs: l.fs, dir: dir, table: make(map[uint32]*segment)}
	names, err := l.fs.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking at a log: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		number, ok := ParseSegmentName(name)
		if !ok {
			continue
		}
		s, err := l.viewSegment(number)
		if err != nil {
			return nil, fmt.Errorf("looking at segment %d: %w", number, err)
		}
		l.segments.add(s)
	}
	return &View{l: l}, nil
}

func (l *Log) viewSegment(number uint32) (*segment, error) {
	f, err := l.fs.Open(segmentName(l.o.Dir, number), false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	w := window{file: f, size: size}
	h, ok, err := parseSegmentHeader(bytes.Clone(w.bytes(0, headerPage)), number)
	if err := errors.Join(err, w.err); err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("its header does not validate: %w", ErrDamaged)
	}
	return &segment{number: number, size: size, first: h.first, end: size, sealed: true}, nil
}

// Close gives the files back.
func (v *View) Close() error { return v.l.segments.close() }

// Read calls fn with the records from after+1 to through, as Cursor.Read does,
// and returns the last one that was there.
func (v *View) Read(after, through LSN, fn func(Record) error) (LSN, error) {
	c := v.l.Cursor(after)
	err := c.Read(through, fn)
	return c.last, err
}

// Verify is Log.Verify.
func (v *View) Verify(fn func(Record, []byte) error) ([]Damage, error) { return v.l.Verify(fn) }

// Body is Log.Body.
func (v *View) Body(p Place, id BodyID) (*Body, error) { return v.l.Body(p, id) }

// ReadSegment calls fn with the records of a segment that begin at or behind
// offset from, and returns where the last whole one ends. A from of 0 is the
// first record. It stops without an error at what does not validate, as the
// end of what was written does not. ErrDamaged: the header is not one.
func ReadSegment(f io.ReaderAt, number uint32, from, size int64, fn func(Record) error) (int64, error) {
	scan := newScanner(f, size, number, 0)
	h, ok, err := parseSegmentHeader(scan.bytes(0, headerPage), number)
	if err == nil && !ok {
		err = fmt.Errorf("its header does not validate: %w", ErrDamaged)
	}
	if err != nil {
		return from, fmt.Errorf("reading segment %d: %w", number, err)
	}
	scan.epoch = h.epoch
	for from = max(from, headerPage); from < size; {
		h, meta, ok := scan.head(from)
		if !ok {
			break
		}
		if err := fn(newRecord(number, from, &h, meta)); err != nil {
			return from, err
		}
		from += h.size()
	}
	return from, scan.err
}
