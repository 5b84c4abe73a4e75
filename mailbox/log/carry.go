package log

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// Carry fills e with the body id, which is at p, for writing it into another
// record: an inline body with its bytes, held against its checksum, a big one
// with its description alone, since its file stays where it is. It reads into
// buf, or a larger one, which it returns and which is e's until Wait has
// returned. ErrGone when the segment is not there any more, ErrDamaged when p
// does not hold the body or its bytes are not what was written, ErrTooLarge
// when no record of this log's segments may hold it.
func (l *Log) Carry(e *Entry, p Place, id BodyID, buf []byte) ([]byte, error) {
	inline := p.Size
	if p.Big {
		inline = 0
	}
	if inline > l.InlineLimit() {
		return buf, fmt.Errorf("carrying body %d of %d bytes: %w", id, inline, ErrTooLarge)
	}
	s, err := l.segments.acquire(p.Segment)
	if err != nil {
		return buf, fmt.Errorf("carrying body %d: %w", id, err)
	}
	buf, h, err := s.readRecord(p, inline, buf)
	if err := errors.Join(err, l.segments.release(s)); err != nil {
		return buf, fmt.Errorf("carrying body %d: %w", id, err)
	}
	body := buf[len(buf)-int(inline):]
	if h.bodyID != id || h.bodySize != p.Size || h.big() != p.Big || !p.Big && crc32.Checksum(body, castagnoli) != h.bodyCRC {
		return buf, fmt.Errorf("carrying body %d: segment %d at %d does not hold it: %w", id, p.Segment, p.Offset, ErrDamaged)
	}
	e.BodyID, e.big, e.bodySize, e.bodyCRC, e.summed = id, p.Big, h.bodySize, h.bodyCRC, true
	if !p.Big {
		e.Body = body
	}
	return buf, nil
}

// readRecord reads the record at p, with inline bytes of body, into buf, and
// verifies everything but the body.
func (s *segment) readRecord(p Place, inline int64, buf []byte) ([]byte, recordHeader, error) {
	buf, err := s.readInto(buf, int64(p.Offset), recordHeaderSize+usualMeta+int(inline))
	if err != nil {
		return buf, recordHeader{}, err
	}
	h, ok := parseHeader(buf)
	if need := recordHeaderSize + int(h.metaSize) + int(inline); ok && need > len(buf) {
		buf, err = s.readInto(buf, int64(p.Offset), need)
		ok = len(buf) == need
	} else if ok {
		buf = buf[:need]
	}
	if err != nil {
		return buf, h, err
	}
	if ok {
		ok = headSum(segmentSeed(s.number), buf, buf[recordHeaderSize:recordHeaderSize+int(h.metaSize)]) == h.headCRC
	}
	if !ok {
		return buf, h, fmt.Errorf("segment %d at %d holds no record: %w", p.Segment, p.Offset, ErrDamaged)
	}
	return buf, h, nil
}

// readInto reads n bytes, or fewer at the file's end.
func (s *segment) readInto(buf []byte, off int64, n int) ([]byte, error) {
	buf = slices.Grow(buf[:0], n)[:n]
	n, err := s.file.ReadAt(buf, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], err
}
