package mailbox

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// simFile is a file of a simDisk: pages as seen, and as on the medium. A page
// that is the same on both is shared, and with copies of the disk, too: it is
// copied before it is written.
type simFile struct {
	name   string // the last one it got
	folder bool
	size   int64 // as seen
	kept   int64 // the size on the medium
	pages  map[int64]*simPage
	dirty  map[int64]struct{} // pages with a dirty sector
	synced bool               // at least once
}

type simPage struct {
	seen, kept *[simPageSize]byte // nil = zeros
	dirty      uint8              // sectors that differ, a bit each
}

func newSimFile() *simFile {
	return &simFile{pages: make(map[int64]*simPage), dirty: make(map[int64]struct{})}
}

func (f *simFile) read(p []byte, off int64) {
	for len(p) > 0 {
		at := off % simPageSize
		n := int(min(int64(len(p)), simPageSize-at))
		if page := f.pages[off/simPageSize]; page != nil && page.seen != nil {
			copy(p[:n], page.seen[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

func (f *simFile) write(b []byte, off int64) {
	f.size = max(f.size, off+int64(len(b)))
	for len(b) > 0 {
		at := off % simPageSize
		n := copy(f.writable(off/simPageSize, at, min(simPageSize, at+int64(len(b))))[at:], b)
		b, off = b[n:], off+int64(n)
	}
}

// writable is a page as seen, of which bytes from to to are about to change.
func (f *simFile) writable(number, from, to int64) *[simPageSize]byte {
	page := f.pages[number]
	if page == nil {
		page = &simPage{}
		f.pages[number] = page
	}
	switch {
	case page.seen == nil:
		page.seen = new([simPageSize]byte)
	case page.seen == page.kept:
		c := *page.seen
		page.seen = &c
	}
	for s := from / simSector; s*simSector < to; s++ {
		page.dirty |= 1 << s
	}
	f.dirty[number] = struct{}{}
	return page.seen
}

func (f *simFile) truncate(size int64) {
	if size < f.size {
		if at := size % simPageSize; at > 0 && f.pages[size/simPageSize] != nil {
			clear(f.writable(size/simPageSize, at, simPageSize)[at:])
		}
		for number, page := range f.pages {
			if number*simPageSize >= size {
				page.seen, page.dirty = nil, 0xff
				f.dirty[number] = struct{}{}
			}
		}
	}
	f.size = size
}

// flush puts everything on the medium.
func (f *simFile) flush() {
	for number := range f.dirty {
		page := f.pages[number]
		page.kept, page.dirty = page.seen, 0
		if page.seen == nil {
			delete(f.pages, number)
		}
	}
	clear(f.dirty)
	f.kept, f.synced = f.size, true
}

// survive is what a power cut leaves, when p of the sectors that were not
// synced survive, and perhaps the size.
func (f *simFile) survive(rng *rand.Rand, p float64) *simFile {
	if f.folder {
		return &simFile{folder: true}
	}
	next := newSimFile()
	next.synced = f.synced && len(f.dirty) == 0 || f.synced && f.kept > 0
	next.size = f.kept
	if p == 1 || rng.Float64() < p {
		next.size = f.size
	}
	for _, number := range slices.Sorted(maps.Keys(f.pages)) {
		if left := f.pages[number].survive(rng, p, next.size-number*simPageSize); left != nil {
			next.pages[number] = &simPage{seen: left, kept: left}
		}
	}
	next.kept = next.size
	return next
}

// survive is a page of a file of which rest bytes are left from the page's beginning.
func (page *simPage) survive(rng *rand.Rand, p float64, rest int64) *[simPageSize]byte {
	if rest <= 0 {
		return nil
	}
	left := page.kept
	switch {
	case page.dirty == 0:
	case p == 1:
		left = page.seen
	default:
		left = page.mix(rng, p)
	}
	if left != nil && rest < simPageSize { // what is behind the end reads as zeros when the file grows
		c := *left
		clear(c[rest:])
		left = &c
	}
	return left
}

// mix takes each dirty sector from what was seen with probability p.
func (page *simPage) mix(rng *rand.Rand, p float64) *[simPageSize]byte {
	var seen, mixed [simPageSize]byte
	if page.kept != nil {
		mixed = *page.kept
	}
	if page.seen != nil {
		seen = *page.seen
	}
	for s := range simPageSize / simSector {
		if page.dirty&(1<<s) != 0 && rng.Float64() < p {
			copy(mixed[s*simSector:(s+1)*simSector], seen[s*simSector:])
		}
	}
	return &mixed
}
