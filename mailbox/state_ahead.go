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

	// minMapped and maxMapped bound how many windows may be touched before the process
	// lets go of their pages, 32 and 256 MB, and mappedShare is what part of the memory
	// they may be in between: the pages stay in the kernel's cache, which finds less to
	// give away while many of them are mapped. But to map them again takes as long as
	// all the rest of a search of headers.
	minMapped, maxMapped = 128, 1024
	mappedShare          = 32
)

// mappedWindows is how many windows may be touched before their pages are let go.
var mappedWindows = sync.OnceValue(func() int {
	return windowsFor(memorySize())
})

// windowsFor is mappedWindows for so many bytes of memory; 0 = it is not known.
func windowsFor(memory uint64) int {
	return int(min(max(memory/mappedShare/readAheadWindow, minMapped), maxMapped))
}

// readAhead asks the kernel for the parts of a database that are about to be
// read, each window once in a while. It belongs to all transactions of the
// database; windows are counted from the file's start, since the cache is the
// file's, wherever it is mapped.
type readAhead struct {
	mu     sync.Mutex
	asked  map[uintptr]bool // offsets of windows
	since  time.Time        // nothing was asked for before
	mapped map[uintptr]bool // windows touched since their pages were let go
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
	if t.all.crowded(from) {
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

// crowded notes that a window is touched, and says whether the pages of those before are
// to be let go.
func (r *readAhead) crowded(from uintptr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mapped[from] {
		return false
	}
	full := len(r.mapped) >= mappedWindows()
	if full || r.mapped == nil {
		r.mapped = make(map[uintptr]bool)
	}
	r.mapped[from] = true
	return full
}
