package log

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// settle makes durable what was accepted, before anybody hears of it: what
// may have been only in the page cache is written again (after a failed flush
// the kernel takes pages for clean that are not on disk), and the torn tail goes.
func (r *recovery) settle() error {
	l := r.l
	if err := r.settleCut(); err != nil {
		return err
	}
	for i := r.start; i < len(r.used) && i <= r.stop; i++ {
		if err := r.settleChapter(i); err != nil {
			return fmt.Errorf("segment %d: %w", r.used[i].number, err)
		}
	}
	if len(r.used) > 0 {
		if err := r.dropRest(); err != nil {
			return err
		}
	}
	if err := l.fs.SyncDir(l.o.Dir); err != nil {
		return err
	}
	return l.fs.SyncDir(filepath.Join(l.o.Dir, bigFolder))
}

// settleCut syncs the chapter before the first one that is read. It looks as if
// it had been cut to its length, but perhaps the process ended between the cut
// and its sync: a power cut would bring back what is behind the end, when nobody
// looks there any more. Chapters are cut in order, so it is the only such one.
func (r *recovery) settleCut() error {
	if r.start == 0 || r.start > len(r.used) {
		return nil
	}
	number := r.used[r.start-1].number
	f, err := r.l.fs.Open(segmentName(r.l.o.Dir, number), true)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("segment %d: %w", number, err)
	}
	return nil
}

// settleChapter rewrites the unsure part of chapter i, mends its header and
// cuts it to its length. It is synced in any case: see settleCut.
func (r *recovery) settleChapter(i int) error {
	c := r.used[i]
	if c.mended && len(c.runs) > 0 {
		page := make([]byte, headerPage)
		c.header.put(page)
		if err := c.file.Writev([][]byte{page}, 0); err != nil {
			return err
		}
		if c.header.first <= r.durable { // else it is a torn first write
			r.damage(i, Damage{End: headerPage, First: c.header.first, Last: c.header.first - 1, What: "the segment's header was lost and is made again"})
		}
	}
	if at := slices.IndexFunc(r.unsure, func(s spot) bool { return s.chapter == i }); at >= 0 {
		from := r.unsure[at].off
		if from == headerPage {
			from = 0
		}
		if err := rewrite(c.file, from, c.end); err != nil {
			return err
		}
	}
	if c.size > c.end {
		if err := c.file.Truncate(c.end); err != nil {
			return err
		}
		c.size = c.end
	}
	return c.file.Sync()
}

// rewrite writes the bytes from..to of f to where they are.
func rewrite(f File, from, to int64) error {
	w := window{file: f, size: to}
	for off := from; off < to; {
		b := w.bytes(off, windowSize)
		if w.err != nil {
			return w.err
		}
		if err := f.Writev([][]byte{b}, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// dropRest removes a last chapter without any record, and sets aside chapters
// behind the end, which an honest disk cannot leave.
func (r *recovery) dropRest() error {
	for _, c := range r.used[r.stop+1:] {
		if err := r.setAside(c.number); err != nil {
			return err
		}
	}
	r.cutUsed(r.stop + 1)
	if c := r.used[r.stop]; len(c.runs) == 0 && !r.keep {
		if err := r.l.fs.Remove(segmentName(r.l.o.Dir, c.number)); err != nil {
			return err
		}
		r.cutUsed(r.stop)
	}
	return nil
}

// cutUsed forgets the chapters from n on.
func (r *recovery) cutUsed(n int) {
	for _, c := range r.used[n:] {
		c.file.Close()
	}
	r.used = r.used[:n]
}
