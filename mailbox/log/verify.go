package log

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Verify reads every record of the log, with its body, and holds all
// checksums against the bytes. fn gets each valid record in order, and its
// body if that is inline; both are valid during the call. An error of fn ends
// it. What does not validate comes back as damage: records, and big files
// that are there but differ from what their record says. A big file that is
// missing is none: it may have been deleted for good.
func (l *Log) Verify(fn func(Record, []byte) error) ([]Damage, error) {
	var damaged []Damage
	for _, info := range l.Segments() {
		s, err := l.segments.acquire(info.Number)
		if errors.Is(err, ErrGone) {
			continue // removed meanwhile
		}
		if err != nil {
			return damaged, err
		}
		v := verifier{l: l, info: info, fn: fn}
		err = errors.Join(v.segment(s.file), l.segments.release(s))
		damaged = append(damaged, v.damaged...)
		if err != nil {
			return damaged, fmt.Errorf("verifying segment %d: %w", info.Number, err)
		}
	}
	return damaged, nil
}

// verifier goes through one segment.
type verifier struct {
	l       *Log
	info    SegmentInfo
	fn      func(Record, []byte) error
	scan    *scanner
	body    []byte
	damaged []Damage
}

func (v *verifier) damage(from, to int64, first, last LSN, what string) {
	v.damaged = append(v.damaged, Damage{Segment: v.info.Number, Offset: from, End: to, First: first, Last: last, What: what})
}

func (v *verifier) segment(f File) error {
	page := make([]byte, headerPage)
	if _, err := f.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, ok, err := parseSegmentHeader(page, v.info.Number)
	if err != nil {
		return err
	}
	if !ok {
		v.damage(0, v.info.Size, v.info.First, v.info.Last, "the segment's header does not validate")
		return nil
	}
	v.scan = newScanner(f, v.info.Size, v.info.Number, h.epoch)
	return v.records(h.first)
}

// records goes from record to record, the first of which is number next.
func (v *verifier) records(next LSN) error {
	for off := int64(headerPage); off < v.info.Size; {
		h, ok := v.scan.record(off)
		if !ok || h.lsn != next {
			at, found, ok := v.scan.find(off+recordAlign, next)
			if !ok {
				v.damage(off, v.info.Size, next, v.info.Last, "records do not validate")
				return nil
			}
			v.damage(off, at, next, found.lsn-1, "records do not validate")
			off, next = at, found.lsn
			continue
		}
		if err := v.record(off, &h); err != nil {
			return err
		}
		off += h.size()
		next++
	}
	return nil
}

// record hands one valid record on.
func (v *verifier) record(off int64, h *recordHeader) error {
	_, meta, _ := v.scan.head(off)
	meta = append([]byte(nil), meta...) // the body's bytes come through the same window
	v.body = v.body[:0]
	for at, left := off+recordHeaderSize+int64(len(meta)), h.inline(); left > 0; {
		b := v.scan.bytes(at, int(min(left, windowSize)))
		if len(b) == 0 {
			return fmt.Errorf("segment ends within record %d: %w", h.lsn, ErrDamaged)
		}
		v.body = append(v.body, b...)
		at += int64(len(b))
		left -= int64(len(b))
	}
	if h.big() {
		if err := v.bigFile(off, h); err != nil {
			return err
		}
	}
	return v.fn(newRecord(v.info.Number, off, h, meta), v.body)
}

// bigFile holds a big body against its record.
func (v *verifier) bigFile(off int64, h *recordHeader) error {
	b, err := v.l.Body(Place{Segment: v.info.Number, Offset: uint32(off), Size: h.bodySize, Big: true}, h.bodyID)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if errors.Is(err, ErrDamaged) {
		v.damage(off, off+h.size(), h.lsn, h.lsn, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	defer b.Close()
	sum := crc32.New(castagnoli)
	if _, err := b.WriteTo(sum); err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if sum.Sum32() != h.bodyCRC {
		v.damage(off, off+h.size(), h.lsn, h.lsn, fmt.Sprintf("the file of body %d does not validate", h.bodyID))
	}
	return nil
}
