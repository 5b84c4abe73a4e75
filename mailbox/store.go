// Package mailbox is the store: accounts' mailboxes and messages, and the
// small state of other parts in named rooms. It is the only user of bbolt.
//
// Every change is one record of the log (sequencer.go): it is decided against
// what was numbered before it, under one lock and without touching the disk,
// and becomes visible (publish.go) when its group is flushed, before the writer
// is answered. The applier brings records into the databases later; until then
// readers find them in memory (overlay.go, and the changes of each box).
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mailstead/mailbox/log"
)

// Options are the settings of a store; the zero value of each field is good.
type Options struct {
	SegmentSize    int64         // of the log in bytes; 0 = 32 MiB, tests take 256 KiB
	MaxMessageSize int64         // in bytes; 0 = 50 MiB, at most 2 GiB
	CommitEvery    time.Duration // longest wait of acknowledged state for the databases, unless commits take more than a hundredth of it; 0 = 1 s
	CleanEvery     time.Duration // pause between two rounds of cleaning; 0 = 1 min
	Retention      time.Duration // how long what was deleted can be restored; 0 = 7 days, negative = not at all, or KeepDeleted
	Logger         *slog.Logger
	Now            func() time.Time
	Fatal          func(error) // the disk's state is unknown: must not return; nil = log and exit
	FS             log.FS      // what the store lies on, but for its lock; nil = the operating system's

	// Program is the version of the program that opens the store, without space: one of before that cannot read the store says
	// so by this name. "" writes nothing down.
	Program string

	// NewAccountQuota is what CreateAccount gives; the zero value sets no limit.
	NewAccountQuota Quota
}

const (
	defaultMaxMessageSize = 50 << 20
	largestMessage        = 2 << 30 // sizes are 32 bits in memory
	defaultCommitEvery    = time.Second
)

func (o Options) withDefaults() Options {
	if o.MaxMessageSize <= 0 {
		o.MaxMessageSize = defaultMaxMessageSize
	}
	o.MaxMessageSize = min(o.MaxMessageSize, largestMessage)
	if o.CommitEvery <= 0 {
		o.CommitEvery = defaultCommitEvery
	}
	if o.CleanEvery <= 0 {
		o.CleanEvery = defaultCleanEvery
	}
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	o.Retention = max(o.Retention, 0)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = log.OS()
	}
	return o
}

// Store is an open store folder. All methods may be called concurrently.
//
// Locks are taken in this order: retention.mu, seq, opened.mu or box.loading, mu, box.mu,
// and then any of the small ones (toldMu, overlay, watchers, applier).
type Store struct {
	dir    string
	o      Options
	logger *slog.Logger
	lock   *os.File
	files  files
	log    *log.Log
	disk   *disk

	lastAccount atomic.Uint32
	lastBody    atomic.Uint64
	published   atomic.Uint64 // LSN up to which the feed may read
	annotated   atomic.Uint64 // LSN of the last change that may be one of annotations

	retain   atomic.Int64          // time.Duration for which what was deleted can be restored
	newQuota atomic.Pointer[Quota] // of accounts that are made

	// seq is the sequencer: it is held from a decision until the record has
	// its number, so the order of LSNs is that of decisions. No I/O under it.
	seq          sync.Mutex
	closed       bool
	last         log.LSN
	newest       *record
	pending      *catalogue
	lastMailbox  ID
	lastValidity uint32

	mu      sync.RWMutex // guards durable
	durable *catalogue

	overlay      overlay
	applier      applier
	checkpointer checkpointer
	cleaner      cleaner
	retention    retention
	search       searchIndex
	written      atomic.Int64 // bytes of log since the checkpointer looked
	opened       opened
	watchers     accountWatchers
	snapshots    snapshots

	replayed  []BodyID   // that the start found in the log; until reindex has them
	fence     fence      // in front of damaged bodies
	verifying sync.Mutex // one Verify at a time

	toldMu    sync.Mutex
	toldBoxes map[*box]struct{}
}

func (s *Store) now() time.Time { return s.o.Now() }

// Open locks the folder, which is made if it is missing, recovers what was
// acknowledged, and returns the store. ErrLocked when another process has it.
func Open(dir string, o Options) (*Store, error) {
	s, err := start(dir, o)
	if errors.Is(err, errDatabase) { // seen when it was read: this start has left its mark, so one more checks first
		return start(dir, o)
	}
	return s, err
}

func start(dir string, o Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	if err := makeStoreFolder(dir); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, o: o.withDefaults(), lock: lock, pending: newCatalogue(), durable: newCatalogue(),
		toldBoxes: make(map[*box]struct{})}
	s.logger, s.files = s.o.Logger, files{s.o.FS}
	s.retain.Store(int64(s.o.Retention))
	s.SetNewAccountQuota(s.o.NewAccountQuota)
	s.overlay.init()
	s.applier.init()
	s.cleaner.init()
	s.search.init()
	s.watchers.watch = make(map[AccountID]map[*watcher]struct{})
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store %s: %w", dir, err), s.closeFiles())
	}
	s.applier.work.Go(s.runApplier)
	if err := s.dropStaged(); err != nil {
		s.logger.Warn("messages of appends that were cut off are still held", "err", err)
	}
	replayed := s.replayed
	s.replayed = nil
	s.applier.work.Go(func() { s.reindex(replayed) })
	unfinished, err := s.unfinished()
	if err != nil {
		s.logger.Error("unfinished erasures cannot be read; the next start tries again", "err", err)
	}
	cleaning, cancel := context.WithCancel(context.Background())
	s.cleaner.cancel = cancel
	s.applier.work.Go(func() { s.runCleaner(cleaning, unfinished) })
	searching, cancelSearch := context.WithCancel(context.Background())
	s.search.cancel = cancelSearch
	s.search.work.Go(func() { s.runSearch(searching) })
	if s.o.Retention != KeepDeleted {
		s.applier.work.Go(s.runRetention)
	}
	return s, nil
}

// Close ends background work, brings the databases up to the log and closes.
// Sessions must have ended; bodies that are open stay readable.
func (s *Store) Close() error {
	s.recordTold()
	s.seq.Lock()
	if s.closed {
		s.seq.Unlock()
		return ErrClosed
	}
	s.closed = true
	newest := s.newest
	s.seq.Unlock()
	close(s.applier.stop)
	s.cleaner.cancel()
	s.search.cancel()
	s.search.work.Wait()
	s.applier.work.Wait()
	var err error
	if newest != nil {
		err = s.log.Wait(&newest.entry)
	}
	if err == nil {
		err = s.apply()
	}
	return errors.Join(err, s.closeFiles())
}

// closeFiles closes what is open of log and databases, and then gives the folder back.
func (s *Store) closeFiles() error {
	var errs []error
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.disk != nil {
		errs = append(errs, s.disk.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// databaseFault ends the process: a page of a database cannot be read. The next
// start finds the mark that the database left, and makes again what is damaged.
func (s *Store) databaseFault(err error) {
	if s.o.Fatal != nil {
		s.o.Fatal(err)
		return
	}
	s.logger.Error("a database cannot be read; the next start checks it, and makes it again", "err", err)
	os.Exit(1)
}

// unsynced marks state.db for the next start when the disk failed a commit: after
// an fdatasync that failed, the kernel may take pages for written that never
// reached the disk, and no later fdatasync writes them. An error changes
// nothing: the disk may be gone.
func (s *Store) unsynced(err error) {
	if _, system := errors.AsType[syscall.Errno](err); !system {
		return
	}
	if m, err := s.files.Create(filepath.Join(s.dir, failedFile)); err == nil {
		m.Close()
	}
}

// fatal ends the process: what is on disk is unknown.
func (s *Store) fatal(err error) {
	if s.o.Fatal != nil {
		s.o.Fatal(err)
		return
	}
	s.logger.Error("the databases could not be written; what is on disk is known only after a restart", "err", err)
	os.Exit(1)
}
