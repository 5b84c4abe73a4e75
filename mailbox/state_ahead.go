package mailbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readAheadWindow is what is asked for around a page that will be read. bbolt
// maps its file for random access, so that every first touch of a page is one
// read of 4 KB; a mailbox's values lie near each other.
const readAheadWindow = 256 << 10

// readAhead asks the kernel for the neighbourhood of what is about to be read,
// once for each window.
type readAhead struct {
	asked map[uintptr]bool
}

// want asks for the window of value, which must be a value of an open read
// transaction: a slice of the file's mapping, never of the heap.
func (r *readAhead) want(value []byte) {
	if len(value) == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(value))
	window := uintptr(p) / readAheadWindow
	if r.asked[window] {
		return
	}
	if r.asked == nil {
		r.asked = make(map[uintptr]bool)
	}
	r.asked[window] = true
	start := unsafe.Add(p, -int(uintptr(p)%readAheadWindow))
	// It is advice: where part of the window is not mapped, the rest still is read.
	_ = unix.Madvise(unsafe.Slice((*byte)(start), readAheadWindow), unix.MADV_WILLNEED)
}
