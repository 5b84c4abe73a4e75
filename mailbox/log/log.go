package log

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
)

var (
	// ErrNoSpace says that the disk is too full for what was asked; nothing was numbered.
	ErrNoSpace = errors.New("no space left for mail")
	// ErrDamaged says that bytes on disk are not what was written.
	ErrDamaged = errors.New("damaged")
	// ErrGone says that a segment or a big file is not there any more: look the place up again.
	ErrGone = errors.New("gone")
	// ErrTooLarge says that a record exceeds MaxMeta or InlineLimit.
	ErrTooLarge = errors.New("record too large")
	// ErrClosed says that the log is closed.
	ErrClosed = errors.New("log is closed")
	// ErrNewerFormat says that a later program wrote this folder.
	ErrNewerFormat = errors.New("written by a newer version")
	// ErrInUse says that a segment is still written to.
	ErrInUse = errors.New("segment in use")
)

// Options are the settings of a log.
type Options struct {
	Dir         string // made if it does not exist; its parent must
	SegmentSize int64  // in bytes, 256 KiB to 1 GiB; 0 = 32 MiB; smaller on a file system under 2 GiB
	Ahead       int    // prepared segments kept ready, also as the reserve of urgent work; 0 = 2
	KeepFree    int64  // bytes that ordinary work leaves to the databases; 0 = 64 MiB, at most an eighth of the file system
	Applied     LSN    // what the caller has put elsewhere for good; replay begins behind it
	FS          FS     // nil = the operating system's

	// Publish is told of each flushed group, in the order of LSNs, before
	// any of its waiters wakes. One call at a time, with no lock of the log
	// held; it must not call Wait. The slice is valid during the call. May be nil.
	Publish func(group []*Entry)

	// Fatal is told that what is on disk is unknown. It must not return; if
	// it does, nothing more is written and all waiters get the error. nil =
	// log the error and exit with status 1.
	Fatal func(error)

	Logger *slog.Logger // nil = slog.Default()
}

const (
	defaultSegmentSize = 32 << 20
	minSegmentSize     = 256 << 10
	maxSegmentSize     = 1 << 30 // an Offset has 32 bits
	defaultAhead       = 2
	defaultKeepFree    = 64 << 20
)

// Log is an open log. All methods may be called concurrently.
type Log struct {
	o           Options
	fs          FS
	logger      *slog.Logger
	segmentSize int64
	keepFree    int64
	plain       bool // copy-on-write file system: no zeros ahead
	epoch       uint32

	durable  atomic.Uint64 // LSN that is flushed and published
	segments segments
	space    spaceSample
	allocate sync.Mutex // one spare is made in a hurry at a time
	naming   sync.Mutex // held from numbering a spare to its being ready: ready stays in order
	sealing  sync.Mutex // one goroutine cuts segments
	spares   uint64     // temporary names given out; under naming

	mu      sync.Mutex
	last    LSN        // the last number given out
	queue   *group     // what the next flush takes; nil when empty
	spent   [][]*Entry // lists of groups that are over, for the next ones
	leading bool       // somebody flushes
	turn    *sync.Cond
	turns   int // callers that wait on turn
	telling *sync.Cond
	flushed uint64 // groups that are on disk, or failed
	told    uint64 // those of them that are published; the others wait on telling
	failed  error  // ends all writing
	closed  bool

	current  *segment   // nil until the first flush
	ready    []*segment // prepared, in order of their numbers
	next     uint32     // number of the next segment to be made; under naming, too
	retired  []*segment // full, to be cut
	reserved int64      // promised bytes that were not appended yet
	queued   int64      // appended bytes that were not written yet
	largest  int64      // the largest record that may be among them
	written  int64      // bytes of records that were written since Open
	zeroAt   int64      // what written must reach for the next step of a spare; 0 = nobody waits

	writer  writer // the leader's
	flushes flushTally

	nudge chan struct{} // wakes the preparing goroutine
	pace  chan struct{} // wakes it where it rests between zeros
	stop  chan struct{}
	work  sync.WaitGroup
}

// Open reads the log in o.Dir, makes what it accepts durable, and then calls
// replay with every record behind o.Applied, in order. An error of replay
// ends it. Whoever uses the folder must have locked it before.
func Open(o Options, replay func(Record) error) (*Log, Report, error) {
	l, err := newLog(o)
	if err != nil {
		return nil, Report{}, err
	}
	rep, err := l.recover(replay)
	if err != nil {
		l.segments.close()
		l.closeReady()
		return nil, rep, err
	}
	if err := l.firstSpare(); err != nil {
		l.segments.close()
		l.closeReady()
		return nil, rep, err
	}
	l.work.Go(l.prepare)
	return l, rep, nil
}

func newLog(o Options) (*Log, error) {
	if o.FS == nil {
		o.FS = OS()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Ahead == 0 {
		o.Ahead = defaultAhead
	}
	l := &Log{
		o: o, fs: o.FS, logger: o.Logger, next: 1,
		nudge: make(chan struct{}, 1), pace: make(chan struct{}, 1), stop: make(chan struct{}),
		segments: segments{fs: o.FS, dir: o.Dir, table: make(map[uint32]*segment)},
	}
	l.turn, l.telling = sync.NewCond(&l.mu), sync.NewCond(&l.mu)
	if err := l.makeFolders(); err != nil {
		return nil, err
	}
	sp, err := l.fs.Space(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	l.fit(sp)
	var e [4]byte
	rand.Read(e[:]) // never fails
	l.epoch = max(1, binary.LittleEndian.Uint32(e[:]))
	return l, nil
}

func (l *Log) makeFolders() error {
	big := filepath.Join(l.o.Dir, bigFolder)
	for _, dir := range []string{l.o.Dir, big} {
		if err := l.fs.Mkdir(dir); err != nil {
			return fmt.Errorf("making the log's folder: %w", err)
		}
	}
	for _, dir := range []string{filepath.Dir(l.o.Dir), l.o.Dir, big} {
		if err := l.fs.SyncDir(dir); err != nil {
			return fmt.Errorf("syncing the log's folder: %w", err)
		}
	}
	return nil
}

// fit chooses sizes for the file system: three segments and what is kept
// free for the databases must leave most of a small one to mail.
func (l *Log) fit(sp Space) {
	size := l.o.SegmentSize
	if size == 0 {
		size = defaultSegmentSize
	}
	for size > minSegmentSize && sp.Total > 0 && size > sp.Total/64 {
		size /= 2
	}
	size = min(max(size, minSegmentSize), maxSegmentSize)
	l.segmentSize = size &^ (pageSize - 1)
	l.keepFree = l.o.KeepFree
	if l.keepFree == 0 {
		l.keepFree = defaultKeepFree
	}
	if sp.Total > 0 {
		l.keepFree = min(l.keepFree, sp.Total/8)
	}
	l.plain = sp.CopyOnWrite
}

// InlineLimit is the largest body, in bytes, that an Entry may carry; what is
// longer goes through NewBig. It is MaxInline, or an eighth of a small segment.
func (l *Log) InlineLimit() int64 { return min(MaxInline, l.segmentSize/8) }

// SegmentSize is the length of segments in bytes: what Options say, or less on a
// small file system.
func (l *Log) SegmentSize() int64 { return l.segmentSize }

// MetaLimit is the most metadata, in bytes, that an Entry may carry: MaxMeta,
// or a quarter of the segment.
func (l *Log) MetaLimit() int { return int(min(MaxMeta, l.segmentSize/4)) }

// Durable is the last LSN that is on disk and published.
func (l *Log) Durable() LSN { return LSN(l.durable.Load()) }

// Last is the last LSN that was given out.
func (l *Log) Last() LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// fail stops all writing and tells the owner. Nobody is woken before: after
// such an error no answer to a client is the right one.
func (l *Log) fail(err error) {
	l.mu.Lock()
	if l.failed == nil {
		l.failed = err
	}
	l.mu.Unlock()
	if l.o.Fatal != nil {
		l.o.Fatal(err)
		return
	}
	l.logger.Error("the log could not be written; what is on disk is known only after a restart", "err", err)
	os.Exit(1)
}

// SegmentInfo describes a segment that holds records.
type SegmentInfo struct {
	Number      uint32
	First, Last LSN   // Last is 0 while unknown: a sealed segment before the replayed ones
	Size        int64 // bytes, the header page included
	Sealed      bool
}

// Segments returns all segments with records, by number.
func (l *Log) Segments() []SegmentInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	var infos []SegmentInfo
	for _, s := range l.segments.sorted() {
		if s.sealed || s.end > headerPage { // else its first write is under way
			infos = append(infos, SegmentInfo{s.number, s.first, s.last, s.end, s.sealed})
		}
	}
	return infos
}

// Seal ends the current segment: the next record goes to a new one. It
// returns when the old one is cut to its length and synced. ErrNoSpace when
// its rest is promised and the disk has nothing else.
func (l *Log) Seal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.takeTurn(); err != nil {
		return err
	}
	defer l.endTurn()
	for l.current != nil && !l.readyHolds() {
		l.mu.Unlock()
		err := l.makeSpare(false)
		l.mu.Lock()
		if err != nil {
			return err
		}
	}
	l.retire()
	l.mu.Unlock()
	defer l.mu.Lock()
	return l.sealRetired()
}

// Remove deletes a sealed segment. Bodies of it that are open stay readable
// until they are closed; Body finds it ErrGone from now on. The segment with
// the last records is ErrInUse: without it the log would not know how far it went.
func (l *Log) Remove(number uint32) error {
	if l.inUse(number) {
		return fmt.Errorf("removing segment %d: %w", number, ErrInUse)
	}
	if err := l.segments.remove(number); err != nil {
		return err
	}
	l.wake()
	if err := l.fs.SyncDir(l.o.Dir); err != nil {
		return fmt.Errorf("removing segment %d: %w", number, err)
	}
	return nil
}

// inUse says whether a segment is written to, is yet to be cut, or has the
// last records on disk.
func (l *Log) inUse(number uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := uint32(0)
	for _, s := range l.segments.sorted() {
		if s.end > headerPage {
			newest = s.number
		}
		if s.number == number && (!s.sealed || slices.Contains(l.retired, s)) {
			return true
		}
	}
	return number == newest
}

// Close flushes what is queued, cuts the current segment to its length and
// closes. Bodies that are open stay readable until they are closed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	g := l.queue
	l.mu.Unlock()
	var errs []error
	if g != nil {
		errs = append(errs, l.waitGroup(g))
	}
	close(l.stop)
	l.work.Wait()
	l.mu.Lock()
	err := l.takeTurn()
	if err == nil {
		l.retire()
	}
	l.mu.Unlock()
	if err == nil {
		err = l.sealRetired()
	}
	errs = append(errs, err, l.closeReady(), l.segments.close())
	return errors.Join(errs...)
}
