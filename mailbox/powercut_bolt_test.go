package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"unsafe"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log/disktest"
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

// emptyDatabases are what bbolt writes into new files, by their page size.
var emptyDatabases sync.Map

// emptyDatabase is a new file with pages of so many bytes; 0 = the system's.
func emptyDatabase(page int) ([]byte, error) {
	if made, ok := emptyDatabases.Load(page); ok {
		return made.([]byte), nil
	}
	dir, err := os.MkdirTemp("", "mailstead")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "empty.db")
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{PageSize: page})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	made, err := os.ReadFile(name)
	if err == nil {
		emptyDatabases.Store(page, made)
	}
	return made, err
}

func (d *simDisk) openDatabase(path string, o *bbolt.Options) (*bbolt.DB, error) {
	f, err := d.databaseFile(path, o.PageSize)
	if err != nil {
		return nil, err
	}
	opened := *o
	opened.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return lift(f) }
	db, err := bbolt.Open(path, 0o600, &opened)
	if err != nil {
		return nil, err
	}
	(&simDatabase{f: f, noSync: o.NoSync, page: int64(db.Info().PageSize)}).listen(db)
	return db, nil
}

// databaseFile is the file of a database, made as bbolt makes a new one with
// pages of so many bytes.
func (d *simDisk) databaseFile(path string, page int) (*disktest.File, error) {
	f, err := d.Disk.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = d.Disk.Create(path)
	}
	if err != nil {
		return nil, err
	}
	if size, err := f.Size(); err != nil || size > 0 {
		return f, err
	}
	empty, err := emptyDatabase(page)
	if err != nil {
		return nil, err
	}
	if err := f.WriteAs("write new", [][]byte{empty}, 0); err != nil {
		return nil, err
	}
	return f, f.SyncAs("sync new")
}

// lift copies a file into one of the operating system, without a name.
func lift(f *disktest.File) (*os.File, error) {
	out, err := os.CreateTemp(memoryFolder(), "mailstead")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(out.Name()); err != nil {
		return nil, err
	}
	return out, f.CopyTo(out)
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
	f, err := d.Disk.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
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
	if err := f.CopyTo(out); err != nil {
		return err
	}
	if inChild || !f.Synced() {
		return checkInChild(context.Background(), name)
	}
	if err := checkFile(name); err != nil {
		return fmt.Errorf("%w: %w", errDatabase, err)
	}
	return nil
}

// simDatabase listens to what bbolt writes into one database.
type simDatabase struct {
	f      *disktest.File
	noSync bool
	page   int64 // in bytes
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
	if err := b.grow(size); err != nil {
		return err
	}
	if meta := off < 2*b.page; !meta {
		return b.f.WriteAs("write page of", [][]byte{p}, off)
	}
	if err := b.sync("sync pages of"); err != nil {
		return err
	}
	if err := b.f.WriteAs("write meta of", [][]byte{p}, off); err != nil {
		return err
	}
	return b.sync("sync meta of")
}

// grow follows what bbolt did to the file's length.
func (b *simDatabase) grow(size int64) error {
	if have, err := b.f.Size(); err != nil || size <= have {
		return err
	}
	if err := b.f.TruncateAs("grow", size); err != nil {
		return err
	}
	return b.sync("sync length of")
}

func (b *simDatabase) sync(what string) error {
	if b.noSync {
		return nil
	}
	return b.f.SyncAs(what)
}

// chance draws one of several values.
func chance[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }
