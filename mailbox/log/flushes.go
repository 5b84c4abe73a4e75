package log

import (
	"sync/atomic"
	"time"
)

// flushBounds are the upper bounds of the times that flushes are counted by: from a disk that has its own
// battery to one that is failing.
var flushBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second,
}

// flushTally counts flushes by what writing and syncing them took. The leader adds, anybody reads.
type flushTally struct {
	counts [len(flushBounds) + 1]atomic.Uint64
	nanos  atomic.Int64
}

// note counts one flush.
func (f *flushTally) note(took time.Duration) {
	i := 0
	for i < len(flushBounds) && took > flushBounds[i] {
		i++
	}
	f.counts[i].Add(1)
	f.nanos.Add(int64(took))
}

// Bucket is how many flushes took no longer than UpTo, and longer than the bucket before.
type Bucket struct {
	UpTo  time.Duration // 0 in the last one: any time
	Count uint64
}

// Flushes are those since Open.
type Flushes struct {
	Buckets []Bucket      // the shortest times first
	Time    time.Duration // that all took together
}

// Flushes tells how long it took to write and sync groups of records.
func (l *Log) Flushes() Flushes {
	f := Flushes{Buckets: make([]Bucket, len(flushBounds)+1), Time: time.Duration(l.flushes.nanos.Load())}
	for i := range f.Buckets {
		if i < len(flushBounds) {
			f.Buckets[i].UpTo = flushBounds[i]
		}
		f.Buckets[i].Count = l.flushes.counts[i].Load()
	}
	return f
}

// FreeSpace describes the file system that the log is on.
func (l *Log) FreeSpace() (Space, error) { return l.fs.Space(l.o.Dir) }
