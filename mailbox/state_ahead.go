package mailbox

import (
	"unsafe"

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

// readAhead asks the kernel for what is about to be read, each window once.
type readAhead struct {
	asked map[uintptr]bool
	last  uintptr
}

// want asks for the window of value, which must be a value of an open read
// transaction: a slice of the file's mapping, never of the heap.
func (r *readAhead) want(value []byte) {
	if len(value) == 0 {
		return
	}
	window := uintptr(unsafe.Pointer(unsafe.SliceData(value))) / readAheadWindow
	if window == r.last {
		return
	}
	r.last = window
	if r.asked == nil {
		r.asked = make(map[uintptr]bool)
	}
	windows := uintptr(1)
	if r.asked[window-1] {
		windows = readAheadRun
	}
	var n uintptr
	for n < windows && !r.asked[window+n] {
		r.asked[window+n] = true
		n++
	}
	if n == 0 {
		return
	}
	// By number, not by pointer: a window may begin before the mapping and end
	// behind it. It is advice: where part is not mapped, the rest still is read.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, window*readAheadWindow, n*readAheadWindow, unix.MADV_WILLNEED)
}
