package log

import (
	"errors"
	"fmt"
	"io"
)

// Heads calls fn with every record of a sealed segment, in order; bodies are not
// read. ErrGone when there is no such segment any more, ErrDamaged when records do
// not follow each other to its end, or fn's error, which ends it.
func (l *Log) Heads(info SegmentInfo, fn func(Record) error) (err error) {
	s, err := l.segments.acquire(info.Number)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.segments.release(s)) }()
	page := make([]byte, headerPage)
	if _, err := s.file.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading segment %d: %w", info.Number, err)
	}
	header, ok, err := parseSegmentHeader(page, info.Number)
	if err != nil {
		return err
	}
	scan := newScanner(s.file, info.Size, info.Number, header.epoch)
	for off := int64(headerPage); off < info.Size; {
		h, meta, valid := scan.head(off)
		if !ok || !valid {
			return errors.Join(scan.err, fmt.Errorf("segment %d at %d holds no record: %w", info.Number, off, ErrDamaged))
		}
		if err := fn(newRecord(info.Number, off, &h, meta)); err != nil {
			return err
		}
		off += h.size()
	}
	return nil
}
