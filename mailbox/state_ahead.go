package mailbox

import (
	"sync"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// bbolt maps its file for random access, so that every first touch of a page
// is one read of 4 KB. What belongs together lies near each other: the
// neighbourhood of a value is asked for at its first touch, and much more of
// what follows when its neighbour was asked for before.
const (
	readAheadWindow = 256 << 10
	readAheadRun    = 16 // windows, once reading is sequential

	// readAheadKept is how long it is remembered what was asked for: asking for what
	// is in memory costs as much as reading it, and what is not used for a while may
	// have left the kernel's cache.
	readAheadKept = time.Second

	// readAheadMapped is how many windows may be touched before the process lets go
	// of their pages: they stay in the kernel's cache, which has more use for the
	// memory when somebody reads a whole database.
	readAheadMapped = 128
)

// readAhead asks the kernel for the parts of a database that are about to be
// read, each window once in a while. It belongs to all transactions of the
// database; windows are counted from the file's start, since the cache is the
// file's, wherever it is mapped.
type readAhead struct {
	mu     sync.Mutex
	asked  map[uintptr]bool // offsets of windows
	since  time.Time        // nothing was asked for before
	mapped int              // windows touched since their pages were let go
}

// readAheadTx is read-ahead during one transaction. It belongs to one goroutine.
type readAheadTx struct {
	all         *readAhead
	start, size uintptr // of the mapping, as far as it is used
	last        uintptr // window touched last
}

// begin is for a transaction of the database.
func (r *readAhead) begin(tx *bbolt.Tx, now time.Time) readAheadTx {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now.Sub(r.since); r.asked == nil || age < 0 || age >= readAheadKept {
		r.asked, r.since = make(map[uintptr]bool), now
	}
	return readAheadTx{all: r, start: tx.DB().Info().Data, size: uintptr(tx.Size()), last: ^uintptr(0)}
}

// want asks for the window of value. A value that is not of the mapping (bbolt
// copies very small buckets to the heap) is in memory.
func (t *readAheadTx) want(value []byte) {
	if len(value) == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(value))
	offset := uintptr(p) - t.start // of a value below the mapping: beyond its size, too
	from := offset &^ (readAheadWindow - 1)
	if offset >= t.size || from == t.last {
		return
	}
	t.last = from
	if t.all.crowded() {
		mapped := unsafe.Slice((*byte)(unsafe.Add(p, -int(offset))), t.size)
		_ = unix.Madvise(mapped, unix.MADV_DONTNEED)
	}
	if to := t.all.next(from, t.size); to > from {
		mapped := unsafe.Slice((*byte)(unsafe.Add(p, -int(offset-from))), min(to, t.size)-from)
		_ = unix.Madvise(mapped, unix.MADV_WILLNEED) // advice: reading works without
	}
}

// next returns the end of what is to be asked for from the window at from on, and
// remembers it; from itself where there is nothing to ask for.
func (r *readAhead) next(from, size uintptr) (to uintptr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	windows := 1
	if from > 0 && r.asked[from-readAheadWindow] {
		windows = readAheadRun
	}
	for to = from; windows > 0 && to < size && !r.asked[to]; windows-- {
		r.asked[to] = true
		to += readAheadWindow
	}
	return to
}

// crowded counts a window that is touched, and says whether the pages of those before
// are to be let go.
func (r *readAhead) crowded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mapped++; r.mapped < readAheadMapped {
		return false
	}
	r.mapped = 0
	return true
}
