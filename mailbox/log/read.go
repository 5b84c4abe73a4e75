package log

import (
	"errors"
	"fmt"
	"io"
)

// A Cursor reads the log's records in order, behind the one it read last, from
// the segments. It holds no file and nothing back: a segment that is removed
// before it was read is ErrGone. It belongs to one goroutine.
type Cursor struct {
	l    *Log
	last LSN // read

	segment uint32 // where the record behind last is expected; 0 = to be looked for
	off     int64
}

// Cursor returns one that reads behind record after. It may be made before
// anything is there, and costs nothing until it is used.
func (l *Log) Cursor(after LSN) *Cursor { return &Cursor{l: l, last: after} }

// Last is the record that was read last.
func (c *Cursor) Last() LSN { return c.last }

// Read calls fn with the records behind Last, up to through, which must have
// been published; the records' metadata is verified, bodies are not read. An
// error of fn ends it, and the record counts as not read. ErrGone means that
// the records are not all there (any more), or that this log never had what the
// cursor has read: whoever follows the log starts anew from a newer state.
func (c *Cursor) Read(through LSN, fn func(Record) error) error {
	for c.last < through {
		info, ok := c.locate()
		if !ok {
			return c.gone()
		}
		s, err := c.l.segments.acquire(info.Number)
		if err != nil {
			return fmt.Errorf("reading behind record %d: %w", c.last, err)
		}
		before := *c
		err = errors.Join(c.segmentRecords(s.file, info, through, fn), c.l.segments.release(s))
		if err != nil {
			return err
		}
		if *c == before { // nothing there, and nowhere to go on
			return c.gone()
		}
	}
	if durable := c.l.Durable(); c.last > max(through, durable) {
		return c.gone()
	}
	return nil
}

func (c *Cursor) gone() error {
	c.segment = 0
	return fmt.Errorf("reading behind record %d: %w", c.last, ErrGone)
}

// locate finds the segment that the next record must be in, and where reading
// in it begins.
func (c *Cursor) locate() (info SegmentInfo, ok bool) {
	infos := c.l.Segments()
	for i := len(infos) - 1; i >= 0; i-- {
		info = infos[i]
		switch {
		case info.Number == c.segment && c.off < info.Size:
			return info, true
		case info.First <= c.last+1:
			// Behind the end of the segment that was read, this is that one
			// again: then the record is nowhere.
			if info.Number == c.segment {
				return info, false
			}
			c.segment, c.off = info.Number, headerPage
			return info, true
		}
	}
	return info, false
}

// segmentRecords reads what one segment has of the records up to through.
func (c *Cursor) segmentRecords(f File, info SegmentInfo, through LSN, fn func(Record) error) error {
	page := make([]byte, headerPage)
	if _, err := f.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading segment %d: %w", info.Number, err)
	}
	h, ok, err := parseSegmentHeader(page, info.Number)
	if err != nil {
		return err
	}
	if !ok {
		return c.gone()
	}
	scan := newScanner(f, info.Size, info.Number, h.epoch)
	for c.last < through && c.off < info.Size {
		h, meta, ok := scan.head(c.off)
		if !ok { // damage: what the cursor has read already is not missed
			at, _, found := scan.find(c.off+recordAlign, 1)
			if !found {
				c.off = info.Size
				return nil
			}
			c.off = at
			continue
		}
		if h.lsn > c.last+1 {
			return c.gone()
		}
		if h.lsn == c.last+1 {
			if err := fn(newRecord(info.Number, c.off, &h, meta)); err != nil {
				return err
			}
			c.last = h.lsn
		}
		c.off += h.size()
	}
	return nil
}
