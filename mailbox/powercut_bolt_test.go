package mailbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"unsafe"

	"go.etcd.io/bbolt"
)

// A database of a simDisk lies in a file of the operating system as long as
// bbolt has it open, for bbolt maps it. Each write of bbolt goes through the
// simulation: its hook for tests is db.ops.writeAt. What it syncs is known from
// the order in which it works (tx.Commit, tx.write and tx.writeMeta of v1.5.0):
//
//	truncate, fsync     when the file has to grow (db.grow; not with NoGrowSync)
//	write data pages
//	fdatasync           not with NoSync
//	write a meta page
//	fdatasync           not with NoSync
//
// So a write of a meta page says that the data pages were synced before it, and
// with it the commit's second flush follows.

// emptyDatabase is what bbolt writes into a new file.
var emptyDatabase = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "mailstead")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "empty.db")
	db, err := bbolt.Open(name, 0o600, nil)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
})

func (d *simDisk) openDatabase(path string, o *bbolt.Options) (*bbolt.DB, error) {
	f, err := d.databaseFile(path)
	if err != nil {
		return nil, err
	}
	opened := *o
	opened.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return d.lift(f) }
	db, err := bbolt.Open(path, 0o600, &opened)
	if err != nil {
		return nil, err
	}
	(&simDatabase{d: d, f: f, name: path, noSync: o.NoSync}).listen(db)
	return db, nil
}

// databaseFile is the file of a database, made as bbolt makes a new one.
func (d *simDisk) databaseFile(path string) (*simFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errPower
	}
	f := d.names[path]
	if f == nil {
		if err := d.step("create", path); err != nil {
			return nil, err
		}
		f = newSimFile()
		d.change(simMove{name: path, file: f})
		if err := d.after(); err != nil {
			return nil, err
		}
	}
	if f.size > 0 {
		return f, nil
	}
	empty, err := emptyDatabase()
	if err != nil {
		return nil, err
	}
	if err := d.step("write new", path); err != nil {
		return nil, err
	}
	f.write(empty, 0)
	if err := d.after(); err != nil {
		return nil, err
	}
	do, err := d.flushed("sync new", path)
	if do {
		f.flush()
	}
	return f, err
}

// lift copies a file into one of the operating system, without a name.
func (d *simDisk) lift(f *simFile) (*os.File, error) {
	out, err := os.CreateTemp(memoryFolder(), "mailstead")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(out.Name()); err != nil {
		return nil, err
	}
	return out, d.fill(out, f)
}

func (d *simDisk) fill(out *os.File, f *simFile) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := out.Truncate(f.size); err != nil {
		return err
	}
	for number, page := range f.pages {
		if rest := f.size - number*simPageSize; page.seen != nil && rest > 0 {
			if _, err := out.WriteAt(page.seen[:min(rest, simPageSize)], number*simPageSize); err != nil {
				return err
			}
		}
	}
	return nil
}

// memoryFolder is where files need no disk, if there is such a place.
func memoryFolder() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// checkDatabase has bbolt check a database. One that was never synced may be
// anything, and bbolt can end the process over it: a child looks at that.
func (d *simDisk) checkDatabase(path string) error { return d.checkFile(path, false) }

func (d *simDisk) checkFile(path string, inChild bool) error {
	d.mu.Lock()
	f := d.names[path]
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	dir, err := os.MkdirTemp(memoryFolder(), "mailstead")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "checked.db")
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := d.fill(out, f); err != nil {
		return err
	}
	if inChild || !f.synced {
		return checkInChild(context.Background(), name)
	}
	if err := checkFile(name); err != nil {
		return fmt.Errorf("%w: %w", errDatabase, err)
	}
	return nil
}

// simDatabase listens to what bbolt writes into one database.
type simDatabase struct {
	d      *simDisk
	f      *simFile
	name   string
	noSync bool
	size   func() (int64, error)
}

// listen puts itself between bbolt and its file.
func (b *simDatabase) listen(db *bbolt.DB) {
	v := reflect.ValueOf(db).Elem()
	hook := (*func([]byte, int64) (int, error))(unsafe.Pointer(v.FieldByName("ops").FieldByName("writeAt").UnsafeAddr()))
	file := *(**os.File)(unsafe.Pointer(v.FieldByName("file").UnsafeAddr()))
	b.size = func() (int64, error) {
		info, err := file.Stat()
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	write := *hook
	*hook = func(p []byte, off int64) (int, error) {
		if err := b.write(p, off); err != nil {
			return 0, err
		}
		return write(p, off)
	}
}

func (b *simDatabase) write(p []byte, off int64) error {
	size, err := b.size()
	if err != nil {
		return err
	}
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	if err := b.grow(size); err != nil {
		return err
	}
	meta := off < 2*simPageSize
	if meta && !b.noSync {
		if err := b.sync("sync pages of"); err != nil {
			return err
		}
	}
	what := "write page of"
	if meta {
		what = "write meta of"
	}
	if err := b.d.step(what, b.name); err != nil {
		return err
	}
	b.f.write(p, off)
	if err := b.d.after(); err != nil || !meta || b.noSync {
		return err
	}
	return b.sync("sync meta of")
}

// grow follows what bbolt did to the file's length.
func (b *simDatabase) grow(size int64) error {
	if size <= b.f.size {
		return nil
	}
	if err := b.d.step("grow", b.name); err != nil {
		return err
	}
	b.f.truncate(size)
	if err := b.d.after(); err != nil || b.noSync {
		return err
	}
	return b.sync("sync length of")
}

func (b *simDatabase) sync(what string) error {
	do, err := b.d.flushed(what, b.name)
	if do {
		b.f.flush()
	}
	return err
}

// chance draws one of several values.
func chance[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }
