package mailbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox/log"
)

var errPower = errors.New("the power is out")

// simDisk is a simulated file system under a whole store: the log, the
// databases (powercut_bolt_test.go), checkpoints and marks, with one clock of
// changes. It keeps apart what programs see and what is on the medium. A power
// cut keeps any of the sectors that were not synced, and of the names that were
// not synced, in each folder, those before a random moment. It is stricter than
// usual file systems: to sync a file does nothing for its name, and a new
// folder has to be synced in the one above it.
type simDisk struct {
	root  string
	mu    sync.Mutex
	names map[string]*simFile // as seen
	kept  map[string]*simFile // on the medium
	moves []simMove           // not on the medium yet

	cut    func(moment string) bool // asked before each change: does the power go in it?
	late   bool                     // and if so in a sync: after the medium has it
	dead   bool
	lies   func(moment string) bool // syncs that do nothing: the negative controls
	recent []string                 // the last changes, for the report of a failure
}

const (
	simPageSize   = 4096
	simSector     = 512
	simRemembered = 60
)

// simMove gives a name to a file, or with nil takes it away; a rename takes the
// old one away in the same moment.
type simMove struct {
	name string
	file *simFile
	from string
}

func (m simMove) apply(names map[string]*simFile) {
	delete(names, m.from)
	if m.file == nil {
		delete(names, m.name)
		return
	}
	names[m.name] = m.file
}

// newSimDisk has one folder, which is durable.
func newSimDisk(root string) *simDisk {
	folder := &simFile{folder: true}
	return &simDisk{
		root:  root,
		names: map[string]*simFile{root: folder},
		kept:  map[string]*simFile{root: folder},
	}
}

// kindOf names what a file is for: power cuts are counted by it.
func kindOf(name string) string {
	base := filepath.Base(name)
	switch {
	case strings.HasSuffix(base, ".seg"):
		return "segment"
	case strings.HasSuffix(base, ".aside"):
		return "aside"
	case strings.HasPrefix(base, "state-"):
		return "checkpoint"
	case base == checkpointTemp:
		return base
	case strings.HasSuffix(base, ".tmp"):
		return "spare"
	case filepath.Base(filepath.Dir(name)) == "big":
		return "big body"
	}
	return base
}

// step counts a change, in which the power may go. d.mu is held.
func (d *simDisk) step(what, name string) error {
	if d.dead {
		return errPower
	}
	moment := what + " " + kindOf(name)
	if change := what + " " + filepath.Base(name); !slices.Contains(d.recent[max(0, len(d.recent)-2):], change) {
		d.recent = append(d.recent, change)
	}
	if len(d.recent) > 2*simRemembered {
		d.recent = slices.Clone(d.recent[simRemembered:])
	}
	d.dead = d.cut != nil && d.cut(moment)
	return nil
}

// after is what a change returns that may have been the last one.
func (d *simDisk) after() error {
	if d.dead {
		return errPower
	}
	return nil
}

// flushed counts a sync, and reports whether it is to be done.
func (d *simDisk) flushed(what, name string) (bool, error) {
	if err := d.step(what, name); err != nil {
		return false, err
	}
	if d.dead && !d.late || d.lies != nil && d.lies(what+" "+kindOf(name)) {
		return false, d.after()
	}
	return true, d.after()
}

// copy is another disk with the same on it, all of it durable.
func (d *simDisk) copy() *simDisk { return d.restart(nil, 1) }

// restart is the disk after a power cut, in which p of the unsynced sectors
// survived; with 1, everything did. The programs have ended.
func (d *simDisk) restart(rng *rand.Rand, p float64) *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := make(map[string]int) // moves of a folder that survive
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
	next := &simDisk{root: d.root, names: make(map[string]*simFile), kept: make(map[string]*simFile),
		lies: d.lies, recent: append(slices.Clone(d.recent), "--- power cut ---")}
	files := make(map[*simFile]*simFile) // of which some have two names
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

// reachable reports whether the folders above a name have their names.
func (d *simDisk) reachable(names map[string]*simFile, name string) bool {
	for ; name != d.root; name = filepath.Dir(name) {
		if f := names[filepath.Dir(name)]; f == nil || !f.folder {
			return false
		}
	}
	return true
}

// set has syncs do nothing from now on; nil ends it.
func (d *simDisk) set(lies func(moment string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lies = lies
}

// kill ends the programs: the disk stays as they saw it.
func (d *simDisk) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead, d.cut = false, nil
	d.recent = append(d.recent, "--- kill ---")
}

func (d *simDisk) change(m simMove) {
	m.apply(d.names)
	if m.file != nil {
		m.file.name = m.name
	}
	d.moves = append(d.moves, m)
}

func (d *simDisk) Create(name string) (log.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("create", name); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	f := newSimFile()
	d.change(simMove{name: name, file: f})
	return &simHandle{d, f}, d.after()
}

func (d *simDisk) Open(name string, write bool) (log.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errPower
	}
	f := d.names[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return &simHandle{d, f}, nil
}

func (d *simDisk) ReadDir(dir string) ([]string, error) {
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

func (d *simDisk) Mkdir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[dir] != nil {
		return d.after()
	}
	if err := d.step("mkdir", dir); err != nil {
		return err
	}
	d.change(simMove{name: dir, file: &simFile{folder: true}})
	return d.after()
}

func (d *simDisk) Rename(from, to string) error {
	return d.move("rename", from, func(f *simFile) (simMove, error) { return simMove{to, f, from}, nil })
}

func (d *simDisk) Remove(name string) error {
	return d.move("remove", name, func(*simFile) (simMove, error) { return simMove{name: name}, nil })
}

func (d *simDisk) Link(from, to string) error {
	return d.move("link", from, func(f *simFile) (simMove, error) {
		if d.names[to] != nil {
			return simMove{}, fs.ErrExist
		}
		return simMove{name: to, file: f}, nil
	})
}

func (d *simDisk) move(what, name string, to func(*simFile) (simMove, error)) error {
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

func (d *simDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	do, err := d.flushed("sync folder", dir)
	if do {
		d.moves = slices.DeleteFunc(d.moves, func(m simMove) bool {
			if filepath.Dir(m.name) != dir {
				return false
			}
			m.apply(d.kept)
			return true
		})
	}
	return err
}

func (d *simDisk) Modified(string) (time.Time, error) { return time.Time{}, nil }

func (d *simDisk) Space(string) (log.Space, error) {
	return log.Space{Total: 1 << 40, Free: 1 << 39}, nil
}

// simHandle is an open file.
type simHandle struct {
	d *simDisk
	f *simFile
}

func (h *simHandle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off >= h.f.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), h.f.size-off))
	h.f.read(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *simHandle) Writev(bufs [][]byte, off int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.step("write", h.f.name); err != nil {
		return err
	}
	for _, b := range bufs {
		h.f.write(b, off)
		off += int64(len(b))
	}
	return h.d.after()
}

func (h *simHandle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.f.size, h.d.after()
}

func (h *simHandle) Datasync() error { return h.sync() }
func (h *simHandle) Sync() error     { return h.sync() }

func (h *simHandle) sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	do, err := h.d.flushed("sync", h.f.name)
	if do {
		h.f.flush()
	}
	return err
}

func (h *simHandle) Truncate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.step("truncate", h.f.name); err != nil {
		return err
	}
	h.f.truncate(size)
	return h.d.after()
}

func (h *simHandle) Allocate(size int64) error {
	if size < h.f.size {
		return fmt.Errorf("allocating %d bytes of %d", size, h.f.size)
	}
	return h.Truncate(size)
}

func (h *simHandle) Reserve(int64) error { return h.d.after() }
func (h *simHandle) Close() error        { return nil }
