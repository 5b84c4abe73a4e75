package disktest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// file is a file or folder of a Disk: pages as seen, and as on the medium. A
// page that is the same on both is shared, and with copies of the disk, too: it
// is copied before it is written.
type file struct {
	name   string // the last one it got
	folder bool
	size   int64 // as seen
	kept   int64 // the size on the medium
	pages  map[int64]*page
	dirty  map[int64]struct{} // pages with a dirty sector
	synced bool               // at least once
	counts Counts
}

// page has, for the sectors that a sync would write, a bit each, and for those
// that a failed sync has not.
type page struct {
	seen, kept  *[pageSize]byte // nil = zeros
	dirty, lost uint8
}

func newFile() *file {
	return &file{pages: make(map[int64]*page), dirty: make(map[int64]struct{})}
}

func (f *file) read(p []byte, off int64) {
	for len(p) > 0 {
		at := off % pageSize
		n := int(min(int64(len(p)), pageSize-at))
		if page := f.pages[off/pageSize]; page != nil && page.seen != nil {
			copy(p[:n], page.seen[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

func (f *file) write(b []byte, off int64) {
	f.size = max(f.size, off+int64(len(b)))
	for len(b) > 0 {
		at := off % pageSize
		n := copy(f.writable(off/pageSize, at, min(pageSize, at+int64(len(b))))[at:], b)
		b, off = b[n:], off+int64(n)
	}
}

// writable is a page as seen, of which bytes from to to are about to change.
func (f *file) writable(number, from, to int64) *[pageSize]byte {
	p := f.pages[number]
	if p == nil {
		p = &page{}
		f.pages[number] = p
	}
	switch {
	case p.seen == nil:
		p.seen = new([pageSize]byte)
	case p.seen == p.kept:
		c := *p.seen
		p.seen = &c
	}
	for s := from / sectorSize; s*sectorSize < to; s++ {
		p.dirty |= 1 << s
	}
	f.dirty[number] = struct{}{}
	return p.seen
}

func (f *file) truncate(size int64) {
	if size < f.size {
		if at := size % pageSize; at > 0 && f.pages[size/pageSize] != nil {
			clear(f.writable(size/pageSize, at, pageSize)[at:])
		}
		for number, p := range f.pages {
			if number*pageSize >= size {
				p.seen, p.dirty = nil, 0xff
				f.dirty[number] = struct{}{}
			}
		}
	}
	f.size = size
}

// flush puts everything on the medium but what an earlier flush failed to.
func (f *file) flush() {
	for number := range f.dirty {
		p := f.pages[number]
		if p.lost &^= p.dirty; p.lost == 0 {
			p.kept = p.seen
		} else {
			p.kept = p.mix(func(uint8) bool { return true })
		}
		if p.dirty = 0; p.seen == nil && p.kept == nil {
			delete(f.pages, number)
		}
	}
	clear(f.dirty)
	f.kept, f.synced = f.size, true
}

// forget is a flush that failed: nothing is on the medium, and nothing says so.
func (f *file) forget() {
	for number := range f.dirty {
		p := f.pages[number]
		p.dirty, p.lost = 0, p.lost|p.dirty
	}
	clear(f.dirty)
}

// survive is what a power cut leaves, when each sector that was not synced
// survives with probability p, and so does the size.
func (f *file) survive(rng *rand.Rand, p float64) *file {
	if f.folder {
		return &file{folder: true}
	}
	next := newFile()
	next.synced = f.synced && len(f.dirty) == 0 || f.synced && f.kept > 0
	next.size = f.kept
	if p == 1 || rng.Float64() < p {
		next.size = f.size
	}
	for _, number := range slices.Sorted(maps.Keys(f.pages)) {
		if left := f.pages[number].survive(rng, p, next.size-number*pageSize); left != nil {
			next.pages[number] = &page{seen: left, kept: left}
		}
	}
	next.kept = next.size
	return next
}

// survive is a page of a file of which rest bytes are left from the page's beginning.
func (p *page) survive(rng *rand.Rand, chance float64, rest int64) *[pageSize]byte {
	if rest <= 0 {
		return nil
	}
	left := p.kept
	switch {
	case p.dirty == 0:
	case chance == 1 && p.lost == 0:
		left = p.seen
	default:
		left = p.mix(func(uint8) bool { return chance == 1 || rng.Float64() < chance })
	}
	if left != nil && rest < pageSize { // what is behind the end reads as zeros when the file grows
		c := *left
		clear(c[rest:])
		left = &c
	}
	return left
}

// mix takes the dirty sectors from what was seen that take is true for.
func (p *page) mix(take func(sector uint8) bool) *[pageSize]byte {
	var seen, mixed [pageSize]byte
	if p.kept != nil {
		mixed = *p.kept
	}
	if p.seen != nil {
		seen = *p.seen
	}
	for s := range uint8(pageSize / sectorSize) {
		if p.dirty&(1<<s) != 0 && take(s) {
			at := int(s) * sectorSize
			copy(mixed[at:at+sectorSize], seen[at:])
		}
	}
	return &mixed
}
