package log

import (
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"time"
)

// Entry is one record to be written; it is used once. From Append (or Sum)
// until Wait has returned, Meta and Body must not be changed.
type Entry struct {
	Kind   Kind
	Meta   []byte // everything the record says; at most MetaLimit bytes
	BodyID BodyID // 0 = no body
	Body   []byte // at most InlineLimit bytes; nil for a big body, whose Describe fills the entry
	Value  any    // handed through to Publish

	LSN   LSN   // set by Append
	Place Place // of the body; set before Publish when BodyID is not 0

	big      bool
	bodySize int64
	bodyCRC  uint32
	summed   bool
	group    *group
}

// Sum computes the body's checksum. Append's flush does it otherwise; a caller
// that is about to take a lock, or that has nothing to wait for, does it first.
func (e *Entry) Sum() {
	if e.summed || e.big {
		return
	}
	e.bodySize = int64(len(e.Body))
	e.bodyCRC = crc32.Checksum(e.Body, castagnoli)
	e.summed = true
}

// Size is the number of bytes the record takes in the log: what to Reserve.
func (e *Entry) Size() int64 { return RecordSize(len(e.Meta), int64(len(e.Body))) }

// group is what one flush writes.
type group struct {
	entries []*Entry
	done    bool
	err     error
	// wake holds one token when a member is to flush the group, and is
	// closed when that is done. It exists once somebody waits.
	wake chan struct{}
}

// Append gives e its number and queues it; it does not touch the disk.
// Callers hold a lock of their own so that their decisions are in the order
// of LSNs. The space must have been reserved: the reservation is used up.
// Somebody must Wait for it or for a later one, or call Kick. 0 means that
// nothing was numbered, and Wait says why: ErrTooLarge, ErrClosed.
func (l *Log) Append(e *Entry) LSN {
	if int64(len(e.Body)) > l.InlineLimit() || len(e.Meta) > l.MetaLimit() {
		e.group = &group{done: true, err: fmt.Errorf("%d bytes of metadata, %d of body: %w", len(e.Meta), len(e.Body), ErrTooLarge)}
		return 0
	}
	size := e.Size()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.failed != nil {
		e.group = &group{done: true, err: l.closedError()}
		return 0
	}
	l.last++
	e.LSN = l.last
	if l.queue == nil {
		l.queue = l.freshGroup()
	}
	e.group = l.queue
	l.queue.entries = append(l.queue.entries, e)
	l.reserved = max(0, l.reserved-size)
	l.queued += size
	l.largest = max(l.largest, size)
	return e.LSN
}

// closedError says why nothing is written any more. l.mu is held.
func (l *Log) closedError() error {
	if l.failed != nil {
		return l.failed
	}
	return ErrClosed
}

// Wait returns when e is on disk and published, and so is everything with a
// smaller LSN. The caller must hold no lock that Publish takes. An error
// means that nothing is known about e until the log is opened again.
func (l *Log) Wait(e *Entry) error { return l.waitGroup(e.group) }

// waitGroup waits for g, or flushes it: the first one that finds nobody
// flushing does it for all, so a lone writer changes no goroutine.
func (l *Log) waitGroup(g *group) error {
	l.mu.Lock()
	for !g.done {
		if l.queue == g && !l.leading && l.turns == 0 { // else it is flushed, and being published
			l.lead()
			continue
		}
		if g.wake == nil {
			g.wake = make(chan struct{}, 1)
		}
		wake := g.wake
		l.mu.Unlock()
		<-wake
		l.mu.Lock()
	}
	l.mu.Unlock()
	return g.err
}

// Kick has everything that is queued flushed soon, for records that nobody waits for.
func (l *Log) Kick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.queue; g != nil && !l.closed {
		l.work.Go(func() { l.waitGroup(g) })
	}
}

// lead flushes and publishes what is queued and wakes its waiters. The next
// group has the disk as soon as this one is flushed: it is published while that
// one is written. l.mu is held at entry and return, and not between; l.queue is
// not nil.
func (l *Log) lead() {
	g := l.queue
	l.queue = nil
	l.leading = true
	err := l.failed
	l.mu.Unlock()
	if err == nil {
		err = l.flush(g)
	}
	l.mu.Lock()
	turn := l.flushed
	l.flushed++
	if l.endTurn() {
		l.mu.Unlock()
		runtime.Gosched() // else it would have to wait for a processor until this one is published
		l.mu.Lock()
	}
	for l.told != turn {
		l.telling.Wait()
	}
	l.mu.Unlock()
	if err == nil {
		l.publish(g)
	}
	l.mu.Lock()
	g.done, g.err = true, err
	clear(g.entries)
	l.spent, g.entries = append(l.spent, g.entries[:0]), nil
	l.told++
	l.telling.Broadcast()
	if l.turns > 0 {
		l.turn.Signal()
	}
	if g.wake != nil {
		close(g.wake)
	}
}

// flush writes a group and makes it durable.
func (l *Log) flush(g *group) error {
	for rest := g.entries; len(rest) > 0; {
		n, err := l.writeChunk(rest)
		if err != nil {
			l.fail(err)
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// publish tells of a group that is durable, behind all those before it.
func (l *Log) publish(g *group) {
	if l.o.Publish != nil {
		l.o.Publish(g.entries)
	}
	l.durable.Store(uint64(g.entries[len(g.entries)-1].LSN))
}

// freshGroup is an empty group, in the memory of one that is over if there is one. l.mu is held.
func (l *Log) freshGroup() *group {
	g := new(group)
	if n := len(l.spent); n > 0 {
		g.entries, l.spent = l.spent[n-1], l.spent[:n-1]
	}
	return g
}

// takeTurn waits until nobody flushes, and what was flushed is published, and
// keeps others from it until endTurn. l.mu is held, and given up meanwhile.
func (l *Log) takeTurn() error {
	l.turns++
	for l.leading || l.told != l.flushed {
		l.turn.Wait()
	}
	l.turns--
	l.leading = true
	if l.failed != nil {
		l.endTurn()
		return l.failed
	}
	return nil
}

// endTurn lets the next one have the disk: first who waits for a turn, then
// a member of the next group, and says whether that was woken. l.mu is held.
func (l *Log) endTurn() (woken bool) {
	l.leading = false
	if l.turns > 0 {
		l.turn.Signal()
		return false
	}
	if g := l.queue; g != nil && g.wake != nil {
		select {
		case g.wake <- struct{}{}:
			return true
		default: // a token is there already
		}
	}
	return false
}

// writer is the state of whoever leads.
type writer struct {
	segment *segment
	off     int64 // where the next record goes
	seed    uint32
	last    LSN // on disk

	headers []byte   // encoded headers and metadata of a chunk
	bufs    [][]byte // what is handed to Writev
}

// maxKeptHeaders bounds the buffer that stays after a chunk with much metadata.
const maxKeptHeaders = 1 << 20

const pageSize = 4096

// zeroPage pads a chunk to the page's end: the kernel then never has to read
// a page from disk in order to change a part of it.
var zeroPage [pageSize]byte

// writeChunk writes and syncs as many of entries as go into the current
// segment, at least one, and returns how many.
func (l *Log) writeChunk(entries []*Entry) (int, error) {
	w := &l.writer
	if w.segment == nil || w.off+entries[0].Size() > w.segment.size || l.zeroedIsReady() {
		if err := l.rotate(entries[0].LSN); err != nil {
			return 0, err
		}
	}
	n, start := l.encode(entries)
	began := time.Now()
	if err := w.segment.file.Writev(w.bufs, start); err != nil {
		return 0, fmt.Errorf("writing segment %d: %w", w.segment.number, err)
	}
	if err := w.segment.file.Datasync(); err != nil {
		return 0, fmt.Errorf("syncing segment %d: %w", w.segment.number, err)
	}
	l.flushes.note(time.Since(began))
	w.last = entries[n-1].LSN
	clear(w.bufs)
	if cap(w.headers) > maxKeptHeaders {
		w.headers = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries[:n] {
		l.wrote(e.Size())
	}
	w.segment.end, w.segment.last = w.off, w.last
	return n, nil
}

// encode lays the entries that fit into the segment into w.bufs, and moves
// w.off behind them. It returns their number and where they begin. Bodies are
// not copied: the buffers are header, body, padding and next header, body ...
func (l *Log) encode(entries []*Entry) (n int, start int64) {
	w := &l.writer
	start, end, need := w.off, w.off, 0
	for _, e := range entries {
		size := e.Size()
		if end+size > w.segment.size {
			break
		}
		need += int(size) - len(e.Body)
		end += size
		n++
	}
	fresh := w.off == headerPage
	if fresh {
		need += headerPage
		start = 0
	}
	w.bufs = w.bufs[:0]
	w.headers = slices.Grow(w.headers[:0], need)
	from := 0 // what of w.headers is in no buffer yet
	if fresh {
		w.headers = w.headers[:headerPage]
		clear(w.headers)
		l.segmentHeader(w.segment).put(w.headers)
	}
	for _, e := range entries[:n] {
		w.put(e, l.epoch)
		if len(e.Body) > 0 {
			w.bufs = append(w.bufs, w.headers[from:len(w.headers):len(w.headers)], e.Body)
			from = len(w.headers)
		}
		w.headers = append(w.headers, zeroPage[:e.Size()-recordHeaderSize-int64(len(e.Meta)+len(e.Body))]...)
	}
	if from < len(w.headers) {
		w.bufs = append(w.bufs, w.headers[from:])
	}
	if tail := end % pageSize; tail > 0 {
		w.bufs = append(w.bufs, zeroPage[tail:])
	}
	return n, start
}

// put appends e's header and metadata to w.headers and sets its place.
func (w *writer) put(e *Entry, epoch uint32) {
	e.Sum()
	h := recordHeader{
		epoch: epoch, lsn: e.LSN, durable: w.last, kind: e.Kind,
		bodyID: e.BodyID, bodySize: e.bodySize, bodyCRC: e.bodyCRC, metaSize: uint32(len(e.Meta)),
	}
	if e.big {
		h.flags = flagBig
	}
	if e.BodyID != 0 {
		e.Place = Place{Segment: w.segment.number, Offset: uint32(w.off), Size: e.bodySize, Big: e.big}
	}
	at := len(w.headers)
	w.headers = append(w.headers[:at+recordHeaderSize], e.Meta...)
	h.put(w.headers[at:at+recordHeaderSize], w.seed, e.Meta)
	w.off += e.Size()
}

// segmentHeader is the header of the segment that is being begun.
func (l *Log) segmentHeader(s *segment) *segmentHeader {
	return &segmentHeader{number: s.number, epoch: l.epoch, first: s.first, previous: l.writer.last, allocated: s.size}
}

// zeroedIsReady says whether a segment that was made in a hurry, and costs a
// journal commit with each flush, can be left for a zeroed one: not if its
// rest is promised, or if there is no space to prepare another one.
func (l *Log) zeroedIsReady() bool {
	if l.plain || l.writer.segment.zeroed || l.writer.off == headerPage {
		return false
	}
	free, err := l.freeBytes()
	if err != nil || free < l.keepFree+int64(l.o.Ahead)*l.segmentSize {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ready) > 0 && l.ready[0].zeroed && l.readyHolds()
}

// rotate leaves the current segment, which is synced, and begins the next
// prepared one with record first. Without a reservation there may be none.
func (l *Log) rotate(first LSN) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retire()
	for len(l.ready) == 0 {
		l.mu.Unlock()
		err := l.makeSpare(false)
		l.mu.Lock()
		if err != nil {
			return fmt.Errorf("making the next segment: %w", err)
		}
	}
	s := l.ready[0]
	l.ready = slices.Delete(l.ready, 0, 1)
	if len(l.ready) == 0 {
		l.quicken()
	}
	s.first, s.end, s.refs = first, headerPage, 1
	l.current = s
	l.segments.add(s)
	w := &l.writer
	w.segment, w.off, w.seed = s, headerPage, segmentSeed(s.number)
	l.wake()
	return nil
}

// retire ends the current segment; it will be cut in the background. l.mu is
// held, by the leader.
func (l *Log) retire() {
	if l.current == nil {
		return
	}
	l.current.sealed = true
	l.retired = append(l.retired, l.current)
	l.current, l.writer.segment = nil, nil
	l.wake()
}
