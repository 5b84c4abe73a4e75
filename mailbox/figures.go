package mailbox

import (
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// Figures are how a store is doing. Those since Open only grow.
type Figures struct {
	Accounts  int
	Mailboxes int
	Messages  int64 // in mailboxes
	Size      int64 // of those, in octets, as quotas count them

	Last    ModSeq // the newest record of the log that readers see
	Applied ModSeq // up to where the databases hold the log
	Indexed ModSeq // up to where the full-text index has read it
	Sweep   bool   // the index looks at all bodies once more
	Pending int64  // memory of what the databases lack, in bytes

	Flushes    []log.Bucket  // of the log, since Open
	FlushTime  time.Duration // that all of them took together
	Commits    uint64        // of state.db, since Open
	CommitTime time.Duration // that all of them took together

	Segments        int   // of the log
	LogSize         int64 // of those, in bytes
	StateSize       int64 // of state.db, in bytes
	DerivedSize     int64 // of derived.db, in bytes
	Live            int64 // of bodies that somebody holds, in bytes, at the last look of cleaning; 0 before the first
	DiskSize        int64 // of the file system, in bytes
	DiskFree        int64 // in bytes
	Full            bool  // ordinary mail is not taken for lack of space
	CleanedSegments uint64
	CleanedSize     uint64 // given back, in bytes, since Open
	MovedSize       uint64 // written once more for that, in bytes, since Open
}

// commitTally counts commits of state.db.
type commitTally struct {
	count atomic.Uint64
	nanos atomic.Int64
}

func (c *commitTally) note(took time.Duration) {
	c.count.Add(1)
	c.nanos.Add(int64(took))
}

// cleanTally is what cleaning has done, and has seen last.
type cleanTally struct {
	segments, freed, moved atomic.Uint64
	live                   atomic.Int64
}

// Figures tells how the store is doing. It reads memory, and asks the disk for
// its free space only. What cannot be found out is 0, and the log says why.
func (s *Store) Figures() Figures {
	f := Figures{
		Last: ModSeq(s.log.Durable()), Applied: ModSeq(s.disk.applied()),
		Commits: s.applier.commits.count.Load(), CommitTime: time.Duration(s.applier.commits.nanos.Load()),
		Live: s.cleaner.tally.live.Load(), Full: s.log.HasSpace(0) != nil,
		CleanedSegments: s.cleaner.tally.segments.Load(), CleanedSize: s.cleaner.tally.freed.Load(),
		MovedSize: s.cleaner.tally.moved.Load(),
	}
	flushes := s.log.Flushes()
	f.Flushes, f.FlushTime = flushes.Buckets, flushes.Time
	s.countMail(&f)
	s.applier.mu.Lock()
	f.Pending = s.applier.weight
	s.applier.mu.Unlock()
	at, sweep, _ := s.search.position()
	f.Indexed, f.Sweep = at, sweep != 0
	for _, info := range s.log.Segments() {
		f.Segments++
		f.LogSize += info.Size
	}
	s.measure(&f)
	return f
}

// countMail adds up what accounts have.
func (s *Store) countMail(f *Figures) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f.Accounts, f.Mailboxes = len(s.durable.accounts), len(s.durable.listings)
	for _, a := range s.durable.accounts {
		f.Messages += a.usage.Messages
		f.Size += a.usage.Size
	}
}

// measure asks for the sizes of files, and of what they lie on.
func (s *Store) measure(f *Figures) {
	for _, part := range []struct {
		of   *database
		size *int64
	}{{s.disk.state, &f.StateSize}, {s.disk.derived, &f.DerivedSize}} {
		err := part.of.View(func(tx *bbolt.Tx) error {
			*part.size = tx.Size()
			return nil
		})
		if err != nil {
			s.logger.Warn("the size of a database cannot be told", "err", err)
		}
	}
	space, err := s.log.FreeSpace()
	if err != nil {
		s.logger.Warn("the disk's space cannot be told", "err", err)
	}
	f.DiskSize, f.DiskFree = space.Total, space.Free
}
