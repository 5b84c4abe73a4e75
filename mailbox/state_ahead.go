package mailbox

import (
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
)

// readAhead asks the kernel for the parts of a database's mapping that are
// about to be read, each window once. It lives as long as its transaction.
type readAhead struct {
	start, size uintptr // of the mapping, as far as it is used
	asked       map[uintptr]bool
	last        uintptr // start of the window asked about last
}

func newReadAhead(tx *bbolt.Tx) readAhead {
	return readAhead{start: tx.DB().Info().Data, size: uintptr(tx.Size()), asked: make(map[uintptr]bool)}
}

// want asks for the window of value. A value that is not of the mapping (bbolt
// copies very small buckets to the heap) is in memory.
func (r *readAhead) want(value []byte) {
	if len(value) == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(value))
	offset := uintptr(p) - r.start // of a value below the mapping: beyond its size, too
	if offset >= r.size {
		return
	}
	from := offset &^ (readAheadWindow - 1)
	if from == r.last && r.asked[from] {
		return
	}
	r.last = from
	windows := uintptr(1)
	if from > 0 && r.asked[from-readAheadWindow] {
		windows = readAheadRun
	}
	to := from
	for n := uintptr(0); n < windows && to < r.size && !r.asked[to]; n++ {
		r.asked[to] = true
		to += readAheadWindow
	}
	if to > from {
		mapped := unsafe.Slice((*byte)(unsafe.Add(p, -int(offset-from))), min(to, r.size)-from)
		_ = unix.Madvise(mapped, unix.MADV_WILLNEED) // advice: reading works without
	}
}
