package log

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Record is a record as replay and Verify see it.
type Record struct {
	LSN    LSN
	Kind   Kind
	Meta   []byte // valid during the call
	BodyID BodyID // 0 = none
	Place  Place  // of the body, when BodyID is not 0
}

// Damage is a part of the log that was durable once and does not validate now.
type Damage struct {
	Segment     uint32 // where it begins
	Offset, End int64  // bytes of that segment
	First, Last LSN    // the records that are lost; Last may be below First when only a header suffered
	What        string // one line for the operator
}

// Report says what Open found.
type Report struct {
	Segments   int      // with records, afterwards
	First      LSN      // the first record that was looked at
	Last       LSN      // the last record found
	Replayed   int      // records handed to replay
	TornBytes  int64    // behind the last record, from a write that was never acknowledged
	Damaged    []Damage // fenced off: replay went on behind them
	LostFrom   LSN      // LostFrom to LostTo were applied, but are not in the log any more:
	LostTo     LSN      // numbering goes on behind them. 0 = none
	SetAside   []string // files that could not be made sense of, renamed and left alone
	Took       time.Duration
	NextNumber LSN // of the next record
}

// chapter is a segment file as Open finds it.
type chapter struct {
	number uint32
	size   int64
	header segmentHeader
	mended bool // both copies of the header were lost; it was inferred from the records
	spare  bool // never written to

	file File
	scan *scanner
	runs []run // what was accepted
	end  int64 // of the last accepted record, or of what is to be kept
	last LSN   // of the last accepted record; 0 = none
}

// run is a stretch of valid records, in bytes of the segment.
type run struct{ from, to int64 }

// spot is an accepted record.
type spot struct {
	chapter int
	off     int64
	lsn     LSN
}

// recovery is the state of one Open.
type recovery struct {
	l      *Log
	rep    Report
	used   []*chapter // by number
	spares []*chapter
	odd    []*chapter // neither a header nor a first record nor zeros
	start  int        // the first chapter that is read
	stop   int        // the chapter in which reading ended

	last    LSN    // accepted
	durable LSN    // known to have been on disk before the last start
	unsure  []spot // accepted, but perhaps only in the page cache
	changed bool   // the folder's names
	fenced  bool   // damage was passed over
	keep    bool   // what is behind the last record of the last chapter must stay
}

// recover brings the folder into order and replays it. See doc.go, Recovery.
func (l *Log) recover(replay func(Record) error) (Report, error) {
	begin := time.Now()
	r := &recovery{l: l, durable: l.o.Applied}
	defer r.close()
	for _, step := range []func() error{
		r.list, r.begin, r.accept, r.settle, r.adopt,
		func() error { return r.replay(replay) },
	} {
		if err := step(); err != nil {
			return r.rep, fmt.Errorf("recovering the log: %w", err)
		}
	}
	r.rep.Took = time.Since(begin)
	return r.rep, nil
}

func (r *recovery) close() {
	for _, c := range r.used {
		if c.file != nil {
			c.file.Close()
		}
	}
}

// list reads what files there are and what each begins with.
func (r *recovery) list() error {
	l := r.l
	names, err := l.fs.ReadDir(l.o.Dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, spareSuffix) { // being prepared when the process ended
			if err := l.fs.Remove(filepath.Join(l.o.Dir, name)); err != nil {
				return err
			}
			r.changed = true
		}
		number, ok := ParseSegmentName(strings.TrimSuffix(name, asideSuffix))
		if !ok {
			continue
		}
		l.next = max(l.next, number+1)
		if strings.HasSuffix(name, asideSuffix) {
			continue
		}
		if err := r.classify(number); err != nil {
			return err
		}
	}
	return r.identify()
}

const asideSuffix = ".aside"

// classify reads the first two pages of a segment file: the header and the
// beginning of the first record.
func (r *recovery) classify(number uint32) error {
	f, err := r.l.fs.Open(segmentName(r.l.o.Dir, number), false)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	w := window{file: f, size: size}
	w.fill(0, headerPage+pageSize) // no more: a start looks at every segment
	pages := w.buf
	h, ok, err := parseSegmentHeader(pages, number)
	if err != nil {
		return err
	}
	c := &chapter{number: number, size: size, header: h}
	switch {
	case ok:
		r.used = append(r.used, c)
	case w.err != nil:
		return fmt.Errorf("reading segment %d: %w", number, w.err)
	case allZero(pages):
		c.spare = true
		r.spares = append(r.spares, c)
	case c.inferHeader(f, pages):
		r.used = append(r.used, c)
	default:
		r.odd = append(r.odd, c)
	}
	return nil
}

// identify looks into segments whose beginning is lost for records of the run
// that wrote a neighbour. Any epoch that is found inside would not do: bodies
// are strangers' bytes.
func (r *recovery) identify() error {
	for _, c := range r.odd {
		at, _ := slices.BinarySearchFunc(r.used, c.number, func(u *chapter, n uint32) int { return cmp.Compare(u.number, n) })
		known := false
		for _, u := range r.used[max(0, at-1):min(at+1, len(r.used))] {
			if known {
				break
			}
			var err error
			if known, err = r.searchHeader(c, u.header.epoch); err != nil {
				return err
			}
		}
		if known {
			r.used = slices.Insert(r.used, at, c)
		} else if err := r.setAside(c.number); err != nil {
			return err
		}
	}
	return nil
}

// searchHeader makes up a lost header from the first valid record of an epoch.
func (r *recovery) searchHeader(c *chapter, epoch uint32) (found bool, err error) {
	f, err := r.l.fs.Open(segmentName(r.l.o.Dir, c.number), false)
	if err != nil {
		return false, err
	}
	defer f.Close()
	scan := newScanner(f, c.size, c.number, epoch)
	_, h, ok := scan.find(headerPage, 1)
	if ok {
		c.infer(&h)
	} else if scan.err != nil {
		return false, fmt.Errorf("reading segment %d: %w", c.number, scan.err)
	}
	return ok, nil
}

// infer makes up a lost header from the first record that is left.
func (c *chapter) infer(h *recordHeader) {
	c.header = segmentHeader{number: c.number, epoch: h.epoch, first: h.lsn, previous: h.lsn - 1, allocated: c.size}
	c.mended = true
}

// inferHeader does it with the record at the usual place.
func (c *chapter) inferHeader(f File, pages []byte) bool {
	if len(pages) < headerPage {
		return false
	}
	h, ok := parseHeader(pages[headerPage:])
	if !ok {
		return false
	}
	if _, ok := newScanner(f, c.size, c.number, h.epoch).record(headerPage); !ok {
		return false
	}
	c.infer(&h)
	return true
}

func allZero(b []byte) bool {
	for ; len(b) > pageSize; b = b[pageSize:] {
		if !bytes.Equal(b[:pageSize], zeroPage[:]) {
			return false
		}
	}
	return bytes.Equal(b, zeroPage[:len(b)])
}

// setAside renames a file that is neither a segment nor empty. Mostly it is
// what a power cut left of the first write into a segment, but that cannot be
// proved, and nothing that might be mail is deleted on suspicion.
func (r *recovery) setAside(number uint32) error {
	name := segmentName(r.l.o.Dir, number)
	if err := r.l.fs.Rename(name, name+asideSuffix); err != nil {
		return err
	}
	r.changed = true
	r.rep.SetAside = append(r.rep.SetAside, name+asideSuffix)
	return nil
}

// begin finds the chapter with the first record that is not applied, and
// opens everything from there.
func (r *recovery) begin() error {
	applied := r.l.o.Applied
	for i, c := range r.used {
		if c.header.first <= applied+1 {
			r.start = i
		}
	}
	// A chapter before it may not have been cut to its length yet.
	for r.start > 0 && r.used[r.start-1].size == r.used[r.start-1].header.allocated {
		r.start--
	}
	for _, c := range r.used[r.start:] {
		f, err := r.l.fs.Open(segmentName(r.l.o.Dir, c.number), true)
		if err != nil {
			return err
		}
		c.file = f
		c.scan = newScanner(f, c.size, c.number, c.header.epoch)
		c.end = headerPage
	}
	if len(r.used) == 0 {
		return nil
	}
	h := r.used[r.start].header
	r.last, r.rep.First = h.previous, h.first
	if h.previous > applied {
		r.damage(0, Damage{First: applied + 1, Last: h.previous, What: "segments before the first one are missing"})
	}
	return nil
}

// damage notes a loss, of chapter i if it is inside of one.
func (r *recovery) damage(i int, d Damage) {
	if d.End > 0 {
		d.Segment = r.used[i].number
	}
	r.rep.Damaged = append(r.rep.Damaged, d)
	r.l.logger.Error("the log is damaged", "segment", d.Segment, "offset", d.Offset, "end", d.End,
		"first", d.First, "last", d.Last, "what", d.What)
}

// accept walks from record to record and decides where the log ends.
func (r *recovery) accept() error {
	if len(r.used) == 0 {
		return nil
	}
	i, off := r.start, int64(headerPage)
	previous := r.used[i].header.first - 1
	for {
		c := r.used[i]
		if h, ok := c.scan.record(off); ok && h.lsn == previous+1 {
			r.take(i, off, &h)
			off += h.size()
			previous = h.lsn
			continue
		}
		if i+1 < len(r.used) && r.used[i+1].header.previous == r.last {
			i++
			off, previous = headerPage, r.used[i].header.first-1
			r.durable = max(r.durable, r.used[i].header.previous)
			continue
		}
		if r.removedBehind(i, off) {
			i++
			off, previous = headerPage, r.used[i].header.first-1
			r.last = r.used[i].header.previous
			continue
		}
		next, ok := r.lookAhead(i, off, previous+1)
		if !ok {
			return r.end(i, off, previous+1)
		}
		r.fence(i, off, previous+1, next)
		i, off, previous = next.chapter, next.off, next.lsn-1
	}
}

// removedBehind says whether chapter i was read to its end, and what is missing
// between it and the next one was removed: its records are applied.
func (r *recovery) removedBehind(i int, off int64) bool {
	if off < r.used[i].size || i+1 >= len(r.used) {
		return false
	}
	h := r.used[i+1].header
	return h.previous > r.last && h.previous <= r.l.o.Applied
}

// take accepts the record at off of chapter i.
func (r *recovery) take(i int, off int64, h *recordHeader) {
	c := r.used[i]
	if n := len(c.runs); n > 0 && c.runs[n-1].to == off {
		c.runs[n-1].to += h.size()
	} else {
		c.runs = append(c.runs, run{off, off + h.size()})
	}
	c.end, c.last, r.last = off+h.size(), h.lsn, h.lsn
	r.durable = max(r.durable, h.durable)
	sure := 0
	for sure < len(r.unsure) && r.unsure[sure].lsn <= r.durable {
		sure++
	}
	r.unsure = append(r.unsure[sure:], spot{i, off, h.lsn})
}

// lookAhead searches behind a place where record k should be and is not. It
// returns the next valid record if it is certain that k was durable: what is
// applied was, and so was what a later record or segment header, written
// afterwards, says was.
func (r *recovery) lookAhead(i int, off int64, k LSN) (next spot, ok bool) {
	certain := k <= r.l.o.Applied
	for j := i; j < len(r.used); j++ {
		c := r.used[j]
		if j > i {
			off = headerPage - recordAlign
			certain = certain || !c.mended && c.header.previous >= k // one that was made up proves nothing
		}
		for at, h, found := c.scan.find(off+recordAlign, k); found; at, h, found = c.scan.find(at+h.size(), k) {
			if next.lsn == 0 {
				next = spot{j, at, h.lsn}
			}
			certain = certain || h.durable >= k
			if certain {
				return next, true
			}
		}
	}
	return next, certain && next.lsn != 0
}

// fence notes what lies between the failure at off of chapter i and next.
func (r *recovery) fence(i int, off int64, k LSN, next spot) {
	r.fenced = true
	c := r.used[i]
	d := Damage{Offset: off, End: next.off, First: k, Last: next.lsn - 1, What: "records that were durable do not validate"}
	if next.chapter != i {
		d.End = c.size
	}
	r.damage(i, d)
	for j := i; j < next.chapter; j++ {
		r.used[j].end = r.used[j].size // cut nothing that may be looked into
	}
}

// end decides what the place is where no acceptable record follows.
func (r *recovery) end(i int, off int64, k LSN) error {
	c := r.used[i]
	for _, c := range r.used[i:] {
		if err := c.scan.err; err != nil {
			return fmt.Errorf("segment %d cannot be read, and might be cut or set aside by mistake: %w", c.number, err)
		}
	}
	r.stop = i
	if k > r.l.o.Applied {
		for _, run := range c.runs {
			c.end = run.to
		}
		r.rep.TornBytes = r.torn(c)
		if r.fenced { // the proof may stand there, and a start after this one needs it too
			r.keep, c.end = true, c.size
		}
		return nil
	}
	r.keep, c.end = true, c.size
	if off < c.size {
		r.damage(i, Damage{Offset: off, End: c.size, First: k, Last: r.l.o.Applied, What: "the end of the log does not validate"})
	}
	return nil
}

// torn is the length of what is not zero behind the last record of c.
func (r *recovery) torn(c *chapter) int64 {
	for end := c.size; end > c.end; {
		from := max(c.end, end-windowSize)
		b := bytes.TrimRight(c.scan.bytes(from, int(end-from)), "\x00")
		if len(b) > 0 {
			return from + int64(len(b)) - c.end
		}
		end = from
	}
	return 0
}

// adopt enters the chapters as sealed segments and the untouched ones behind
// them as prepared: every start continues in a new segment.
func (r *recovery) adopt() error {
	l := r.l
	lastNumber := uint32(0)
	for i, c := range r.used {
		s := &segment{number: c.number, size: c.size, first: c.header.first, last: c.last, end: c.size, sealed: true}
		if s.last == 0 && i+1 < len(r.used) {
			s.last = r.used[i+1].header.previous
		}
		l.segments.add(s)
		lastNumber = c.number
	}
	for _, c := range r.spares {
		if err := r.adoptSpare(c, lastNumber); err != nil {
			return err
		}
	}
	l.last = max(r.last, l.o.Applied)
	l.writer.last = r.last
	l.durable.Store(uint64(l.last))
	if r.last < l.o.Applied {
		r.rep.LostFrom, r.rep.LostTo = r.last+1, l.o.Applied
	}
	r.rep.Last, r.rep.Segments, r.rep.NextNumber = r.last, len(r.used), l.last+1
	return nil
}

func (r *recovery) adoptSpare(c *chapter, lastNumber uint32) error {
	l := r.l
	name := segmentName(l.o.Dir, c.number)
	if c.number < lastNumber {
		return r.setAside(c.number)
	}
	if c.size != l.segmentSize { // of another setting
		return l.fs.Remove(name)
	}
	f, err := l.fs.Open(name, true)
	if err != nil {
		return err
	}
	l.ready = append(l.ready, &segment{number: c.number, size: c.size, zeroed: true, file: f})
	return nil
}

// replay hands the accepted records behind the applied ones to f.
func (r *recovery) replay(f func(Record) error) error {
	for _, c := range r.used[min(r.start, len(r.used)):] {
		for _, run := range c.runs {
			for off := run.from; off < run.to; {
				h, meta, ok := c.scan.head(off)
				if !ok {
					return fmt.Errorf("segment %d at %d: read a second time, the record does not validate: %w", c.number, off, ErrDamaged)
				}
				if h.lsn > r.l.o.Applied {
					if err := f(newRecord(c.number, off, &h, meta)); err != nil {
						return fmt.Errorf("replaying record %d: %w", h.lsn, err)
					}
					r.rep.Replayed++
				}
				off += h.size()
			}
		}
	}
	return nil
}

// newRecord is the record with header h at off.
func newRecord(segment uint32, off int64, h *recordHeader, meta []byte) Record {
	rec := Record{LSN: h.lsn, Kind: h.kind, Meta: meta, BodyID: h.bodyID}
	if h.bodyID != 0 {
		rec.Place = Place{Segment: segment, Offset: uint32(off), Size: h.bodySize, Big: h.big()}
	}
	return rec
}
