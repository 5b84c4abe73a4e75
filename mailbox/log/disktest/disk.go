// Package disktest is a simulated disk that forgets: it keeps apart what
// programs see and what is on the medium, so that a test can cut the power in
// any moment. Its calls are those of log.FS and log.File; it does not import
// log, whose own tests use it, so a few lines make it one there.
package disktest

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrPower is what every call returns after the power has gone, and the one
// in which it went.
var ErrPower = errors.New("the power is out")

// Disk is a simulated file system with one clock of changes. A power cut keeps
// any of the sectors that were not synced, and of the names that were not
// synced, in each folder, those before a random moment. It is stricter than
// usual file systems: to sync a file does nothing for its name, and a new
// folder has to be synced in the one above it. It may be used concurrently.
type Disk struct {
	// Kind names what a file is for; a moment is a verb and a kind ("sync
	// segment"). By default it is the last part of the file's name. It and
	// Total are set before the disk is used.
	Kind  func(name string) string
	Total int64 // size in octets; 0 = endless

	root  string
	mu    sync.Mutex
	names map[string]*file // as seen
	kept  map[string]*file // on the medium
	moves []move           // not on the medium yet
	other int64            // octets that somebody else has written

	cut    func(moment string) bool // asked before each change: does the power go in it?
	late   bool                     // and if so in a sync: after the medium has it
	dead   bool
	lies   func(moment string) bool
	recent []string // the last changes, for the report of a failure

	failWrites, failSyncs error
}

const (
	pageSize   = 4096
	sectorSize = 512
	remembered = 60 // changes

	// endless is the free space of a disk without a Total.
	endless = 1 << 40
)

// move gives a name to a file, or with nil takes it away; a rename takes the
// old one away in the same moment.
type move struct {
	name string
	file *file
	from string
}

func (m move) apply(names map[string]*file) {
	delete(names, m.from)
	if m.file == nil {
		delete(names, m.name)
		return
	}
	names[m.name] = m.file
}

// New returns a disk with one folder, root, which is durable.
func New(root string) *Disk {
	folder := &file{folder: true}
	return &Disk{
		Kind:  filepath.Base,
		root:  root,
		names: map[string]*file{root: folder},
		kept:  map[string]*file{root: folder},
	}
}

// step counts a change, in which the power may go. d.mu is held.
func (d *Disk) step(what, name string) error {
	if d.dead {
		return ErrPower
	}
	if change := what + " " + filepath.Base(name); !slices.Contains(d.recent[max(0, len(d.recent)-2):], change) {
		d.recent = append(d.recent, change)
	}
	if len(d.recent) > 2*remembered {
		d.recent = slices.Clone(d.recent[remembered:])
	}
	d.dead = d.cut != nil && d.cut(what+" "+d.Kind(name))
	return nil
}

// after is what a change returns that may have been the last one.
func (d *Disk) after() error {
	if d.dead {
		return ErrPower
	}
	return nil
}

// flushed counts a sync, and reports whether it is to be done.
func (d *Disk) flushed(what, name string) (bool, error) {
	if err := d.step(what, name); err != nil {
		return false, err
	}
	if d.dead && !d.late || d.lies != nil && d.lies(what+" "+d.Kind(name)) {
		return false, d.after()
	}
	return true, d.after()
}

// Cut has the power go in the first change for which cut, asked before each
// change, is true. If that is a sync, late says whether the medium has it by
// then. Cut is called under the disk's lock.
func (d *Disk) Cut(late bool, cut func(moment string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.late, d.cut = late, cut
}

// Lie has syncs do nothing and say that they did, in moments for which lies is
// true; nil ends it.
func (d *Disk) Lie(lies func(moment string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lies = lies
}

// Fail has writes and syncs of files fail; nil ends it. What a failed sync was
// for looks as if it were on the medium from then on, as in Linux.
func (d *Disk) Fail(writes, syncs error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failWrites, d.failSyncs = writes, syncs
}

// Dead reports whether the power has gone.
func (d *Disk) Dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// Recent describes the last changes.
func (d *Disk) Recent() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.recent[max(0, len(d.recent)-remembered):], ", ")
}

// Kill ends the programs: the disk stays as they saw it, with the power on.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead, d.cut = false, nil
	d.recent = append(d.recent, "--- kill ---")
}

// Copy is another disk with the same on it, all of it durable.
func (d *Disk) Copy() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.survivors(nil, 1)
}

// Restart cuts the power and returns the disk that is there when it is back, in
// which p of the sectors that were not synced survived; with 1, everything did.
func (d *Disk) Restart(rng *rand.Rand, p float64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	return d.survivors(rng, p)
}

func (d *Disk) survivors(rng *rand.Rand, p float64) *Disk {
	names := d.survivingNames(rng, p)
	next := &Disk{Kind: d.Kind, Total: d.Total, root: d.root, names: make(map[string]*file), kept: make(map[string]*file),
		other: d.other, lies: d.lies, recent: append(slices.Clone(d.recent), "--- power cut ---")}
	files := make(map[*file]*file) // of which some have two names
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !d.reachable(names, name) {
			continue
		}
		old := names[name]
		if files[old] == nil {
			files[old] = old.survive(rng, p)
			files[old].name = name
		}
		next.names[name], next.kept[name] = files[old], files[old]
	}
	return next
}

// survivingNames draws, in each folder, how many of its changes were durable.
func (d *Disk) survivingNames(rng *rand.Rand, p float64) map[string]*file {
	left := make(map[string]int)
	for _, m := range d.moves {
		left[filepath.Dir(m.name)]++
	}
	for _, dir := range slices.Sorted(maps.Keys(left)) {
		if p < 1 {
			left[dir] = rng.IntN(left[dir] + 1)
		}
	}
	names := maps.Clone(d.kept)
	for _, m := range d.moves {
		if dir := filepath.Dir(m.name); left[dir] > 0 {
			left[dir]--
			m.apply(names)
		}
	}
	return names
}

// reachable reports whether the folders above a name have their names.
func (d *Disk) reachable(names map[string]*file, name string) bool {
	for ; name != d.root; name = filepath.Dir(name) {
		if f := names[filepath.Dir(name)]; f == nil || !f.folder {
			return false
		}
	}
	return true
}

// Free is the free space in octets.
func (d *Disk) Free() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free()
}

func (d *Disk) free() int64 {
	if d.Total == 0 {
		return endless
	}
	free := d.Total - d.other
	for _, f := range d.names {
		free -= f.size
	}
	return max(0, free)
}

// Occupy has somebody else take, or give back, what is free beyond leave octets.
func (d *Disk) Occupy(leave int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.other += d.free() - leave
}

// Files are the names of all files, sorted.
func (d *Disk) Files() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name, f := range d.names {
		if !f.folder {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Bytes is what programs see of a file; nil if there is none.
func (d *Disk) Bytes(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil
	}
	b := make([]byte, f.size)
	f.read(b, 0)
	return b
}

// Put makes a durable file of some content.
func (d *Disk) Put(name string, content []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := newFile()
	f.name = name
	f.write(content, 0)
	f.flush()
	d.names[name], d.kept[name] = f, f
}

// Harm has the medium change octets of a file by itself. What was written to
// the file before is durable then. A range that the file does not have is left alone.
func (d *Disk) Harm(name string, from, to int64, harm func(b []byte)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil || to > f.size {
		return
	}
	b := make([]byte, to-from)
	f.read(b, from)
	harm(b)
	f.write(b, from)
	f.flush()
}

// Lose takes a name away, from the medium, too.
func (d *Disk) Lose(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, name)
	delete(d.kept, name)
}

// Counts are the calls that a file got.
type Counts struct{ Writes, Datasyncs, Syncs int }

// Counts are those of a file that exists.
func (d *Disk) Counts(name string) Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name].counts
}

// Create makes a new file.
func (d *Disk) Create(name string) (*File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("create", name); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	f := newFile()
	d.change(move{name: name, file: f})
	if err := d.after(); err != nil {
		return nil, err
	}
	return &File{d, f}, nil
}

// Open opens a file that exists; it can always be written to.
func (d *Disk) Open(name string) (*File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, ErrPower
	}
	f := d.names[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return &File{d, f}, nil
}

func (d *Disk) change(m move) {
	m.apply(d.names)
	if m.file != nil {
		m.file.name = m.name
	}
	d.moves = append(d.moves, m)
}

// ReadDir is as in log.FS, and so are the methods below.
func (d *Disk) ReadDir(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[dir] == nil {
		return nil, fs.ErrNotExist
	}
	var names []string
	for name := range d.names {
		if filepath.Dir(name) == dir && name != dir {
			names = append(names, filepath.Base(name))
		}
	}
	return names, d.after()
}

func (d *Disk) Mkdir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[dir] != nil {
		return d.after()
	}
	if err := d.step("mkdir", dir); err != nil {
		return err
	}
	d.change(move{name: dir, file: &file{folder: true}})
	return d.after()
}

func (d *Disk) Rename(from, to string) error {
	return d.move("rename", from, func(f *file) (move, error) { return move{to, f, from}, nil })
}

func (d *Disk) Remove(name string) error {
	return d.move("remove", name, func(*file) (move, error) { return move{name: name}, nil })
}

func (d *Disk) Link(from, to string) error {
	return d.move("link", from, func(f *file) (move, error) {
		if d.names[to] != nil {
			return move{}, fs.ErrExist
		}
		return move{name: to, file: f}, nil
	})
}

func (d *Disk) move(what, name string, to func(*file) (move, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(what, name); err != nil {
		return err
	}
	f := d.names[name]
	if f == nil {
		return fs.ErrNotExist
	}
	m, err := to(f)
	if err != nil {
		return err
	}
	d.change(m)
	return d.after()
}

func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.flushed("sync folder", dir)
	if do {
		d.moves = slices.DeleteFunc(d.moves, func(m move) bool {
			if filepath.Dir(m.name) != dir {
				return false
			}
			m.apply(d.kept)
			return true
		})
	}
	return err
}

// Modified knows no times.
func (d *Disk) Modified(string) (time.Time, error) { return time.Time{}, nil }
