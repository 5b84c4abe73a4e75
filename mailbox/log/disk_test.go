package log

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const sector = 512

var errCut = errors.New("the power is out")

// disk is a simulated file system that keeps apart what programs see and what
// is on the medium. A power cut keeps each unsynced sector with a probability,
// and of the unsynced changes of names those before a random moment.
type disk struct {
	mu    sync.Mutex
	names map[string]*inode // as seen
	kept  map[string]*inode // on the medium
	moves []nameChange      // not on the medium yet
	total int64             // 0 = endless
	other int64             // bytes that somebody else has written
	cow   bool

	budget int  // changes until the power goes; 0 = it stays
	dead   bool // the power is out
	lies   bool // a sync does nothing: the negative control

	failWrite, failSync error
}

type inode struct {
	seen, kept []byte
	dirty      []bool // by sector: seen differs from kept

	writes, datasyncs, syncs int
}

// nameChange gives a name to an inode, or with nil takes it away; a rename
// takes the old one away in the same moment.
type nameChange struct {
	name string
	node *inode
	from string
}

func newDisk() *disk {
	return &disk{names: make(map[string]*inode), kept: make(map[string]*inode)}
}

// step counts a change. d.mu is held.
func (d *disk) step() error {
	if d.dead {
		return errCut
	}
	if d.budget > 0 {
		if d.budget--; d.budget == 0 {
			d.dead = true
		}
	}
	return nil
}

// after is what a change returns that may have been the last one.
func (d *disk) after() error {
	if d.dead {
		return errCut
	}
	return nil
}

// restart is the disk after a power cut, in which p of the unsynced sectors survived.
func (d *disk) restart(rng *rand.Rand, p float64) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	survived := rng.IntN(len(d.moves) + 1)
	if p == 1 {
		survived = len(d.moves)
	}
	for _, c := range d.moves[:survived] {
		c.apply(d.kept)
	}
	next := newDisk()
	next.total, next.other, next.cow, next.lies = d.total, d.other, d.cow, d.lies
	for _, name := range slices.Sorted(maps.Keys(d.kept)) {
		data := d.kept[name].survive(rng, p)
		n := &inode{seen: data, kept: slices.Clone(data), dirty: make([]bool, sectors(len(data)))}
		next.names[name], next.kept[name] = n, n
	}
	return next
}

// kill ends the programs and leaves the disk as they saw it.
func (d *disk) kill() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead, d.budget = false, 0
	return d
}

func (c nameChange) apply(names map[string]*inode) {
	delete(names, c.from)
	if c.node == nil {
		delete(names, c.name)
		return
	}
	names[c.name] = c.node
}

func (n *inode) survive(rng *rand.Rand, p float64) []byte {
	size := len(n.kept)
	if p == 1 || rng.Float64() < p {
		size = len(n.seen)
	}
	data := make([]byte, size)
	copy(data, n.kept)
	for s, dirty := range n.dirty {
		if at := s * sector; dirty && at < size && at < len(n.seen) && (p == 1 || rng.Float64() < p) {
			copy(data[at:], n.seen[at:min(at+sector, len(n.seen))])
		}
	}
	return data
}

func sectors(size int) int { return (size + sector - 1) / sector }

// flush puts everything of n on the medium.
func (n *inode) flush() {
	for s, dirty := range n.dirty {
		if dirty {
			at := s * sector
			end := min(at+sector, len(n.seen))
			if len(n.kept) < end {
				n.kept = append(n.kept, make([]byte, end-len(n.kept))...)
			}
			copy(n.kept[at:end], n.seen[at:end])
		}
	}
	n.resize(&n.kept, len(n.seen))
	clear(n.dirty)
}

func (n *inode) resize(b *[]byte, size int) {
	if size < len(*b) {
		*b = (*b)[:size:size]
	} else if size > len(*b) {
		*b = append(*b, make([]byte, size-len(*b))...)
	}
}

func (d *disk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	n := &inode{}
	d.change(nameChange{name, n, ""})
	return &diskFile{d, n}, d.after()
}

func (d *disk) change(c nameChange) {
	c.apply(d.names)
	d.moves = append(d.moves, c)
}

func (d *disk) Open(name string, write bool) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errCut
	}
	n := d.names[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &diskFile{d, n}, nil
}

func (d *disk) ReadDir(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.names {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	return names, d.after()
}

func (d *disk) Mkdir(string) error { return nil }

func (d *disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	n := d.names[from]
	if n == nil {
		return fs.ErrNotExist
	}
	d.change(nameChange{to, n, from})
	return d.after()
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	d.change(nameChange{name, nil, ""})
	return d.after()
}

func (d *disk) Link(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	n := d.names[from]
	switch {
	case n == nil:
		return fs.ErrNotExist
	case d.names[to] != nil:
		return fs.ErrExist
	}
	d.change(nameChange{to, n, ""})
	return d.after()
}

func (d *disk) Modified(string) (time.Time, error) { return time.Time{}, nil }

func (d *disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil || d.lies || d.dead {
		return errors.Join(err, d.after())
	}
	d.moves = slices.DeleteFunc(d.moves, func(c nameChange) bool {
		if filepath.Dir(c.name) != dir {
			return false
		}
		c.apply(d.kept)
		return true
	})
	return nil
}

func (d *disk) Space(string) (Space, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.total == 0 {
		return Space{Free: 1 << 40, CopyOnWrite: d.cow}, nil
	}
	return Space{Total: d.total, Free: d.free(), CopyOnWrite: d.cow}, nil
}

// free is the free space in bytes. d.mu is held.
func (d *disk) free() int64 {
	free := d.total - d.other
	for _, n := range d.names {
		free -= int64(len(n.seen))
	}
	return max(0, free)
}

// occupy has somebody else take all free space but leave bytes; negative
// values give back.
func (d *disk) occupy(leave int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.other += d.free() - leave
}

// set changes the disk under its lock.
func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

type diskFile struct {
	d *disk
	n *inode
}

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if off >= int64(len(f.n.seen)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.seen[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *diskFile) Writev(bufs [][]byte, off int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(); err != nil {
		return err
	}
	if f.d.failWrite != nil {
		return f.d.failWrite
	}
	f.n.writes++
	for _, b := range bufs {
		if err := f.grow(int(off) + len(b)); err != nil {
			return err
		}
		copy(f.n.seen[off:], b)
		for s := int(off) / sector; s < sectors(int(off)+len(b)); s++ {
			f.n.dirty[s] = true
		}
		off += int64(len(b))
	}
	return f.d.after()
}

// grow lengthens the file if need be. d.mu is held.
func (f *diskFile) grow(size int) error {
	more := size - len(f.n.seen)
	if more <= 0 {
		return nil
	}
	if f.d.total > 0 && int64(more) > f.d.free() {
		return syscall.ENOSPC
	}
	f.n.resize(&f.n.seen, size)
	f.n.dirty = append(f.n.dirty, make([]bool, sectors(size)-len(f.n.dirty))...)
	return nil
}

func (f *diskFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.seen)), f.d.after()
}

func (f *diskFile) Datasync() error { return f.sync(&f.n.datasyncs) }
func (f *diskFile) Sync() error     { return f.sync(&f.n.syncs) }

func (f *diskFile) sync(count *int) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(); err != nil || f.d.dead {
		return errCut
	}
	if f.d.failSync != nil {
		clear(f.n.dirty) // the kernel takes the pages for clean
		return f.d.failSync
	}
	*count++
	if !f.d.lies {
		f.n.flush()
	}
	return nil
}

func (f *diskFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(); err != nil {
		return err
	}
	if err := f.grow(int(size)); err != nil {
		return err
	}
	f.n.resize(&f.n.seen, int(size))
	f.n.dirty = f.n.dirty[:sectors(int(size))]
	return f.d.after()
}

func (f *diskFile) Allocate(size int64) error { return f.Truncate(size) }
func (f *diskFile) Reserve(int64) error       { return errors.ErrUnsupported }
func (f *diskFile) Close() error              { return nil }
