package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"slices"
)

// bbolt takes a page at its word: with a flipped bit in a branch it goes in circles, with
// one in the number of pages that a leaf goes on over its check, and a commit that frees
// the leaf, count to four billion, or give pages away that are in use. So before bbolt
// opens a file its pages are looked at: all of a file that is read in a moment, else the
// branches, of which there is one for a hundred pages and more, and the heads of some
// leaves; before bbolt checks one, all pages of any. The parts have bbolt's names. All numbers are little-endian, as the machines are that it runs on.

const (
	pageHead    = 16 // id 8, flags 2, count 2, overflow 4
	pageElement = 16 // of a branch: position 4, key 4, page 8; of a leaf: flags 4, position 4, key 4, value 4
	metaSize    = 56 // magic 4, version 4, page size 4, flags 4, root 16, freelist 8, pages 8, transaction 8; then the checksum
	metaMagic   = 0xED0CDAED

	pageBranch   = 1
	pageLeaf     = 2
	pageMeta     = 4
	pageFreelist = 16
	leafBucket   = 1 // flag of an element

	noFreelist = ^uint64(0)

	// maxPageDepth is more than a tree of any size has; maxPageSize is what bbolt takes.
	maxPageDepth = 64
	maxPageSize  = 64 << 10
)

// pageWalk goes through the pages of a bbolt file.
type pageWalk struct {
	file io.ReaderAt
	size uint64 // of a page
	end  uint64 // no page has this number
	txid uint64 // the transaction that the pages are of
	seen []bool

	spare    [][]byte // memory for the next pages that are read
	branches bool     // leaves below a branch are not read,
	leaves   []uint64 // but listed here, those of a bucket in the order of their keys,
	buckets  []int    // and here is where each bucket's begin
}

// wholeAtOpen is how much of a database is read before it is opened, in octets: a
// state.db of a million messages is no longer, and a disk gives as much in a tenth of a second.
const wholeAtOpen = 64 << 20

// headsAtOpen is of how many leaves of a bucket the heads are looked at in a longer one.
const headsAtOpen = 256

// checkPages returns an error that wraps errDatabase, or the system's, unless the pages
// that are in use are within the file, what they say is within them, and each is in use
// once or free. Of a file of more than limit octets leaves are not read, but for
// the heads of those with the last keys of each bucket, which commits change most: none
// may go on over a page that is another's. A file that is not there, or empty, is new.
func checkPages(path string, limit int64) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	w := &pageWalk{file: f, buckets: []int{0}} // the first is that of the buckets
	root, free, err := w.meta(st.Size())
	if err == nil {
		if used := w.end * w.size; used <= uint64(limit) {
			readSoon(f, int64(used))
		} else {
			w.branches = true
		}
		err = w.all(root, free)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errDatabase, path, err)
	}
	return nil
}

// all is checkPages of a file whose first pages say this.
func (w *pageWalk) all(root, free uint64) error {
	err := w.tree(root, 0)
	if err == nil && free != noFreelist {
		err = w.freelist(free)
	}
	if err != nil {
		return err
	}
	if w.branches {
		return w.heads()
	}
	if i := slices.Index(w.seen[2:], false); i >= 0 && free != noFreelist {
		return fmt.Errorf("page %d is in no use, and not free", i+2)
	}
	return nil
}

// heads looks at the last leaves of each bucket, in the order of their keys. Every page
// that something else is in has been seen, so a leaf goes on over others only.
func (w *pageWalk) heads() error {
	var last []uint64
	for i, from := range w.buckets {
		to := len(w.leaves)
		if i+1 < len(w.buckets) {
			to = w.buckets[i+1]
		}
		last = append(last, w.leaves[max(from, to-headsAtOpen):to]...)
	}
	slices.Sort(last) // as they lie on the disk
	for _, id := range last {
		var head [pageHead]byte
		if _, err := w.file.ReadAt(head[:], int64(id*w.size)); err != nil {
			return err
		}
		more, err := w.head(id, head[:])
		if flags := binary.LittleEndian.Uint16(head[8:]); err == nil && flags != pageLeaf {
			err = fmt.Errorf("leaf page %d has flags %x", id, flags)
		}
		for i := id + 1; err == nil && i <= id+more; i++ {
			err = w.use(i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errMeta = errors.New("none of the two first pages is whole")

// meta reads the newer one of the two first pages that is whole.
func (w *pageWalk) meta(length int64) (root, free uint64, err error) {
	le := binary.LittleEndian
	var newest uint64
	err = errMeta
	for size := uint64(1 << 10); size <= maxPageSize; size *= 2 { // the second is where the page size says
		for _, at := range []uint64{0, size} {
			b := make([]byte, pageHead+metaSize+8)
			if _, err := w.file.ReadAt(b, int64(at)); err != nil {
				continue
			}
			b = b[pageHead:]
			sum := fnv.New64a()
			sum.Write(b[:metaSize])
			if le.Uint32(b) != metaMagic || uint64(le.Uint32(b[8:])) != size || le.Uint64(b[metaSize:]) != sum.Sum64() {
				continue
			}
			if n := le.Uint64(b[48:]); err != nil || n > newest {
				newest, err = n, nil
				w.txid, w.size, root, free, w.end = n, size, le.Uint64(b[16:]), le.Uint64(b[32:]), le.Uint64(b[40:])
			}
		}
	}
	if err != nil {
		return 0, 0, err
	}
	if w.end > uint64(length)/w.size {
		return 0, 0, fmt.Errorf("the file has %d octets, and there should be %d pages", length, w.end)
	}
	w.seen = make([]bool, w.end)
	for id := range uint64(2) {
		var head [pageHead]byte
		if _, err := w.file.ReadAt(head[:], int64(id*w.size)); err != nil {
			return 0, 0, err
		}
		if le.Uint64(head[:]) != id || le.Uint16(head[8:]) != pageMeta {
			return 0, 0, fmt.Errorf("page %d says that it is %d, with flags %x", id, le.Uint64(head[:]), le.Uint16(head[8:]))
		}
	}
	return root, free, nil
}

// page reads page id with those it goes on over, once.
func (w *pageWalk) page(id uint64) (page []byte, flags, count uint16, err error) {
	if id < 2 || id >= w.end {
		return nil, 0, 0, fmt.Errorf("page %d of %d", id, w.end)
	}
	if n := len(w.spare); n > 0 {
		page, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		page = make([]byte, w.size)
	}
	if _, err := w.file.ReadAt(page, int64(id*w.size)); err != nil {
		return nil, 0, 0, err
	}
	more, err := w.head(id, page)
	if err != nil {
		return nil, 0, 0, err
	}
	for i := id; i <= id+more; i++ {
		if err := w.use(i); err != nil {
			return nil, 0, 0, err
		}
	}
	if more > 0 {
		page = append(page, make([]byte, more*w.size)...)
		if _, err := w.file.ReadAt(page[w.size:], int64((id+1)*w.size)); err != nil {
			return nil, 0, 0, err
		}
	}
	le := binary.LittleEndian
	return page, le.Uint16(page[8:]), le.Uint16(page[10:]), nil
}

// head returns over how many pages more page id goes on.
func (w *pageWalk) head(id uint64, page []byte) (more uint64, err error) {
	le := binary.LittleEndian
	more = uint64(le.Uint32(page[12:]))
	if has := le.Uint64(page); has != id || id+more >= w.end {
		return 0, fmt.Errorf("page %d says that it is %d, and goes on over %d more", id, has, more)
	}
	return more, nil
}

// use notes that a page is in use.
func (w *pageWalk) use(id uint64) error {
	if id < 2 || id >= w.end || w.seen[id] {
		return fmt.Errorf("page %d of %d is not there, or in use twice", id, w.end)
	}
	w.seen[id] = true
	return nil
}

// isLeaf reports whether a page says that it is a leaf.
func (w *pageWalk) isLeaf(id uint64) bool {
	var head [pageHead]byte
	if id >= w.end {
		return false
	}
	_, err := w.file.ReadAt(head[:], int64(id*w.size))
	return err == nil && binary.LittleEndian.Uint16(head[8:]) == pageLeaf
}

// tree goes through what is below page id.
func (w *pageWalk) tree(id uint64, depth int) error {
	if depth > maxPageDepth {
		return fmt.Errorf("page %d is %d below the root", id, depth)
	}
	page, flags, count, err := w.page(id)
	if err != nil {
		return err
	}
	switch flags {
	case pageBranch:
		err = w.branch(id, page, int(count), depth)
	case pageLeaf:
		err = w.leaf(id, page, int(count), depth)
	default:
		err = fmt.Errorf("page %d has flags %x", id, flags)
	}
	w.spare = append(w.spare, page[:w.size])
	return err
}

func (w *pageWalk) branch(id uint64, page []byte, count, depth int) error {
	if count == 0 || pageHead+count*pageElement > len(page) {
		return fmt.Errorf("branch page %d has %d elements", id, count)
	}
	le := binary.LittleEndian
	below := func(child uint64) error { return w.tree(child, depth+1) }
	if w.branches && w.isLeaf(le.Uint64(page[pageHead+8:])) { // then all are: leaves are at one depth
		below = func(leaf uint64) error {
			w.leaves = append(w.leaves, leaf)
			return w.use(leaf)
		}
	}
	for i := range count {
		e := page[pageHead+i*pageElement:]
		if uint64(le.Uint32(e))+uint64(le.Uint32(e[4:])) > uint64(len(e)) {
			return fmt.Errorf("branch page %d, element %d: beyond the page", id, i)
		}
		if err := below(le.Uint64(e[8:])); err != nil {
			return fmt.Errorf("branch page %d, element %d: %w", id, i, err)
		}
	}
	return nil
}

func (w *pageWalk) leaf(id uint64, page []byte, count, depth int) error {
	if pageHead+count*pageElement > len(page) {
		return fmt.Errorf("leaf page %d has %d elements", id, count)
	}
	le := binary.LittleEndian
	for i := range count {
		e := page[pageHead+i*pageElement:]
		from, key, value := uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
		flags := le.Uint32(e)
		if from+key+value > uint64(len(e)) || flags&^leafBucket != 0 {
			return fmt.Errorf("leaf page %d, element %d: beyond the page, or flags %x", id, i, flags)
		}
		if flags == 0 {
			continue
		}
		if err := w.bucket(id, e[from+key:from+key+value], depth); err != nil {
			return fmt.Errorf("leaf page %d, element %d: %w", id, i, err)
		}
	}
	return nil
}

// bucket goes through a bucket, which is in pages of its own or, when it is small, in
// the value that names it.
func (w *pageWalk) bucket(id uint64, value []byte, depth int) error {
	const head = 16 // root 8, sequence 8
	if len(value) < head {
		return fmt.Errorf("a bucket of %d octets", len(value))
	}
	le := binary.LittleEndian
	if root := le.Uint64(value); root != 0 {
		w.buckets = append(w.buckets, len(w.leaves))
		return w.tree(root, depth+1)
	}
	page := value[head:]
	if len(page) < pageHead || le.Uint16(page[8:]) != pageLeaf || depth >= maxPageDepth {
		return errors.New("a bucket that is neither here nor elsewhere")
	}
	return w.leaf(id, page, int(le.Uint16(page[10:])), depth+1)
}

// freelist looks whether the pages that are free are in no use.
func (w *pageWalk) freelist(id uint64) error {
	page, flags, short, err := w.page(id)
	if err != nil {
		return err
	}
	const many = 0xFFFF // the count is in front of the list
	list, count := page[pageHead:], uint64(short)
	if short == many && len(list) >= 8 {
		count, list = binary.LittleEndian.Uint64(list), list[8:]
	}
	if flags != pageFreelist || count > uint64(len(list)/8) {
		return fmt.Errorf("the freelist, page %d, has flags %x and %d pages", id, flags, count)
	}
	for i := range count {
		free := binary.LittleEndian.Uint64(list[8*i:])
		if free < 2 || free >= w.end || w.seen[free] {
			return fmt.Errorf("page %d is free, and is not", free)
		}
		w.seen[free] = true
	}
	return nil
}
