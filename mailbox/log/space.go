package log

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// maxSampleAge is how long an answer about free space is used. What ordinary
// work leaves free is large against what is written in that time.
const maxSampleAge = 50 * time.Millisecond

// spaceSample remembers the file system's free space.
type spaceSample struct {
	mu   sync.Mutex
	at   time.Time
	free int64
}

// freeBytes is the file system's free space, a moment ago.
func (l *Log) freeBytes() (int64, error) {
	l.space.mu.Lock()
	defer l.space.mu.Unlock()
	if !l.space.at.IsZero() && time.Since(l.space.at) < maxSampleAge {
		return l.space.free, nil
	}
	sp, err := l.fs.Space(l.o.Dir)
	if err != nil {
		return 0, err
	}
	l.space.at, l.space.free = time.Now(), sp.Free
	return sp.Free, nil
}

// forgetSpace has the next question about free space asked anew.
func (l *Log) forgetSpace() {
	l.space.mu.Lock()
	defer l.space.mu.Unlock()
	l.space.at = time.Time{}
}

// Reserve promises that records of together n bytes (Entry.Size, RecordSize)
// can be written whatever else fills the disk. Append uses the promise up,
// Release gives back what will not be appended. Ordinary work gets
// ErrNoSpace while Options.Ahead prepared segments and KeepFree bytes still
// remain; urgent work, which makes room, may have them. Reserve may make a file:
// call it without a lock.
func (l *Log) Reserve(n int64, urgent bool) error {
	for {
		enough, err := l.tryReserve(n, urgent)
		if enough || err != nil {
			return err
		}
		if err := l.hurry(n); err != nil {
			return err
		}
	}
}

// tryReserve makes the promise if the prepared segments suffice for it.
func (l *Log) tryReserve(n int64, urgent bool) (enough bool, err error) {
	var free int64
	if !urgent {
		if free, err = l.freeBytes(); err != nil {
			return false, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.failed != nil {
		return false, l.closedError()
	}
	if l.reserved+l.queued == 0 {
		l.largest = 0
	}
	largest := max(l.largest, min(n, l.maxRecord()))
	used, enough := l.reach(n, largest)
	if !urgent {
		if err := l.mayFill(free, used, enough); err != nil {
			return false, err
		}
	}
	if len(l.ready)-used < l.o.Ahead {
		l.wake()
	}
	if enough {
		l.largest = largest
		l.reserved += n
	}
	return enough, nil
}

// mayFill says whether ordinary work may have what reach said used and enough
// of, with free bytes on the file system. l.mu is held.
func (l *Log) mayFill(free int64, used int, enough bool) error {
	missing := max(0, l.o.Ahead-(len(l.ready)-used))
	if !enough {
		missing++
	}
	if free < l.keepFree+int64(missing)*l.segmentSize {
		return fmt.Errorf("%d MiB free: %w", free>>20, ErrNoSpace)
	}
	return nil
}

// HasSpace says whether ordinary work may write a body of n bytes now. Nothing
// is promised by it: it is for refusing early what Reserve, or a Big, would
// refuse after the bytes have been sent. ErrNoSpace.
func (l *Log) HasSpace(n int64) error {
	free, err := l.freeBytes()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.InlineLimit() {
		free, n = free-n, 0
	}
	size := RecordSize(0, n)
	used, enough := l.reach(size, max(l.largest, size))
	return l.mayFill(free, used, enough)
}

// Release gives n reserved bytes back.
func (l *Log) Release(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved = max(0, l.reserved-n)
}

func (l *Log) maxRecord() int64 { return RecordSize(l.MetaLimit(), l.InlineLimit()) }

// reach says how many of the ready segments n bytes more than what is promised
// already need in the worst case, and whether they suffice. A record is never
// split, so a segment may end with a gap as long as the largest record.
// l.mu is held.
func (l *Log) reach(n, largest int64) (used int, enough bool) {
	left := n + l.reserved + l.queued
	if l.current != nil {
		left -= usable(l.current.size-l.current.end, largest)
	}
	for left > 0 && used < len(l.ready) {
		left -= usable(l.ready[used].size-headerPage, largest)
		used++
	}
	return used, left <= 0
}

// readyHolds says whether all promises can be kept without the rest of the
// current segment. l.mu is held.
func (l *Log) readyHolds() bool {
	promised := l.reserved + l.queued
	for _, s := range l.ready {
		promised -= usable(s.size-headerPage, l.largest)
	}
	return promised <= 0
}

// usable is what records of up to largest bytes are sure to fill of a segment's rest.
func usable(rest, largest int64) int64 { return max(0, rest-largest+recordAlign) }

// hurry makes one more segment when writing is faster than preparing, with
// space but without zeros.
func (l *Log) hurry(n int64) error {
	l.allocate.Lock()
	defer l.allocate.Unlock()
	l.mu.Lock()
	_, enough := l.reach(n, max(l.largest, min(n, l.maxRecord())))
	l.mu.Unlock()
	if enough {
		return nil
	}
	return l.makeSpare(false)
}

// noSpace turns what the kernel says on a full disk into ErrNoSpace.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// makeSpare prepares one segment: space, zeros if asked, everything synced
// under the final name. A spare has a number and no header.
func (l *Log) makeSpare(zeroed bool) error {
	l.naming.Lock()
	l.spares++
	name := filepath.Join(l.o.Dir, fmt.Sprintf("%d%s", l.spares, spareSuffix))
	l.naming.Unlock()
	f, err := l.fs.Create(name)
	if err != nil {
		return noSpace(fmt.Errorf("preparing a segment: %w", err))
	}
	err = l.fill(f, zeroed)
	if err == nil {
		err = l.enlist(f, name, zeroed)
	}
	l.forgetSpace()
	if err != nil {
		f.Close()
		l.fs.Remove(name)
		return noSpace(fmt.Errorf("preparing a segment: %w", err))
	}
	return nil
}

// fill gives f its space and, if asked, its zeros.
func (l *Log) fill(f File, zeroed bool) error {
	if err := f.Allocate(l.segmentSize); err != nil {
		return err
	}
	if zeroed {
		if err := l.writeZeros(f); err != nil {
			return err
		}
	}
	return f.Sync()
}

// enlist numbers the spare and makes it ready. The numbers of ready segments
// rise, because naming is held until it is one of them.
func (l *Log) enlist(f File, name string, zeroed bool) error {
	l.naming.Lock()
	defer l.naming.Unlock()
	number := l.next
	if number == 0 {
		return errors.New("segment numbers are used up")
	}
	l.next++
	final := segmentName(l.o.Dir, number)
	if err := l.fs.Rename(name, final); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.o.Dir); err != nil {
		return errors.Join(err, l.fs.Remove(final)) // nobody would use it any more
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = append(l.ready, &segment{number: number, size: l.segmentSize, zeroed: zeroed, file: f})
	return nil
}

func (l *Log) readyCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ready)
}

// wake has the preparing goroutine look again.
func (l *Log) wake() {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// prepare is the goroutine that cuts full segments and keeps empty ones
// ready, until Close.
func (l *Log) prepare() {
	for {
		switch err := l.sealRetired(); {
		case errors.Is(err, ErrNoSpace): // its records are on disk, only the rest of it is not given back
			l.logger.Warn("a full segment could not be cut; trying again", "err", err)
		case err != nil:
			l.fail(err)
			return
		}
		for l.wantsSpare() {
			if err := l.makeSpare(!l.plain); err != nil {
				if !errors.Is(err, ErrClosed) {
					l.logger.Warn("no segment could be prepared", "err", err)
				}
				break
			}
		}
		select {
		case <-l.stop:
			return
		case <-l.nudge:
		}
	}
}

// wantsSpare says whether a segment is to be prepared: one is missing, and
// making it leaves to the databases what they need.
func (l *Log) wantsSpare() bool {
	select {
	case <-l.stop:
		return false
	default:
	}
	if l.readyCount() >= l.o.Ahead {
		return false
	}
	free, err := l.freeBytes()
	return err == nil && free >= l.keepFree+l.segmentSize
}

// firstSpare has one segment ready before the first record comes. A full disk
// is no reason not to open: reading and deleting must work.
func (l *Log) firstSpare() error {
	if l.readyCount() > 0 {
		return nil
	}
	err := l.makeSpare(!l.plain)
	if errors.Is(err, ErrNoSpace) {
		l.logger.Warn("the disk is full: nothing can be received", "err", err)
		return nil
	}
	return err
}

// sealRetired cuts full segments to their length and syncs them. ErrNoSpace
// leaves the rest for the next time: some file systems need space for that.
func (l *Log) sealRetired() error {
	l.sealing.Lock()
	defer l.sealing.Unlock()
	for {
		l.mu.Lock()
		if len(l.retired) == 0 {
			l.mu.Unlock()
			return nil
		}
		s := l.retired[0]
		l.mu.Unlock()
		if err := s.file.Truncate(s.end); err != nil {
			return noSpace(fmt.Errorf("cutting segment %d: %w", s.number, err))
		}
		if err := s.file.Sync(); err != nil {
			return noSpace(fmt.Errorf("syncing segment %d: %w", s.number, err))
		}
		l.mu.Lock()
		l.retired = l.retired[1:]
		l.mu.Unlock()
		if err := l.segments.release(s); err != nil {
			return fmt.Errorf("closing segment %d: %w", s.number, err)
		}
	}
}

// closeReady closes the prepared segments. The zeroed ones wait for the next
// start; one without zeros is not worth keeping where zeros matter.
func (l *Log) closeReady() error {
	l.mu.Lock()
	ready := l.ready
	l.ready = nil
	l.mu.Unlock()
	var errs []error
	for _, s := range ready {
		errs = append(errs, s.file.Close())
		if !s.zeroed && !l.plain {
			errs = append(errs, l.fs.Remove(segmentName(l.o.Dir, s.number)))
		}
	}
	return errors.Join(errs...)
}
