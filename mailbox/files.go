package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// files is the file system a store lies on: everything but the lock goes
// through it, so that a test can put a simulated disk under the whole store.
type files struct{ log.FS }

// databaseFS is a file system that knows how to have bbolt open a file of it.
// bbolt wants a file of the operating system, to map; a simulated disk hands it
// one and listens to what is written.
type databaseFS interface {
	openDatabase(path string, o *bbolt.Options) (*bbolt.DB, error)
	// checkDatabase reads a database that may be damaged, as checkInChild does.
	checkDatabase(path string) error
}

// checkDatabase has a child process look at a database that may be damaged.
func (f files) checkDatabase(ctx context.Context, path string) error {
	if d, ok := f.FS.(databaseFS); ok {
		return d.checkDatabase(path)
	}
	return checkInChild(ctx, path)
}

func (f files) openDatabase(path string, o *bbolt.Options) (*bbolt.DB, error) {
	if d, ok := f.FS.(databaseFS); ok {
		return d.openDatabase(path, o)
	}
	if err := checkPages(path, wholeAtOpen); err != nil {
		return nil, err
	}
	return bbolt.Open(path, 0o600, o)
}

// settle makes durable what is seen of a file that may not be there.
func (f files) settle(name string) error {
	file, err := f.Open(name, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// exists reports whether there is a file of that name.
func (f files) exists(name string) (bool, error) {
	file, err := f.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, file.Close()
}

// remove removes a file that may not be there.
func (f files) remove(name string) error {
	if err := f.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeFolder makes a folder whose parent is there, and makes its name durable:
// what is synced in a folder without a name is lost.
func (f files) makeFolder(dir string) error {
	if err := f.Mkdir(dir); err != nil {
		return fmt.Errorf("making the folder %s: %w", dir, err)
	}
	return f.SyncDir(filepath.Dir(dir))
}

// create makes a file anew, whatever was there under its name.
func (f files) create(name string) (log.File, error) {
	if err := f.remove(name); err != nil {
		return nil, err
	}
	return f.Create(name)
}

// fileWriter writes to a file from its beginning.
type fileWriter struct {
	file log.File
	off  int64
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if err := w.file.Writev([][]byte{p}, w.off); err != nil {
		return 0, err
	}
	w.off += int64(len(p))
	return len(p), nil
}

// reader reads a file from its beginning to the end it has now.
func (f files) reader(file log.File) (io.Reader, error) {
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(file, 0, size), nil
}
