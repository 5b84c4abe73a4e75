// Package backup takes a store home and brings it back: it copies a snapshot
// into a backup folder or an archive, follows the log as it is written,
// restores, and proves what it has.
//
// # A backup folder
//
//	DIR/mailstead-backup             marks the folder as one; locked while it is written to
//	DIR/manifests/TIME-SUM.json      what one backup consists of; SUM begins the SHA-256 of the file
//	DIR/stores/ID/log/…              files of the store with that identity, named as there
//	DIR/stores/ID/log/big/…
//	DIR/stores/ID/checkpoints/…
//	DIR/beside/SHA256                small files that lie beside the store, by their content
//	….tmp                            being written
//
// Files of a store never change, so each is copied once and many manifests name
// it. A backup is there when its manifest has its name; everything that it
// names was durable before. What no manifest names is removed after that.
//
// # What a crash leaves
//
//	while                        is left                            who cleans up
//	files are copied             files that no manifest names       the next backup, which uses or removes them
//	the manifest is written      its .tmp                           the next backup
//	old manifests are removed    too many of them                   the next backup
//	unnamed files are removed    some of them                       the next backup
//	the log is followed          a segment that ends in the middle  the next backup; a restore cuts it
//	a restore copies             DIR/restoring                      the next restore
package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	// ErrNoBackup says that a folder or an archive holds no backup.
	ErrNoBackup = errors.New("no backup")
	// ErrInUse says that somebody else writes to the backup folder.
	ErrInUse = errors.New("the backup folder is in use")
	// ErrDamaged says that a backup is not what was written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrNewerFormat says that a later program made the backup.
	ErrNewerFormat = errors.New("made by a newer version")
)

const (
	markName       = "mailstead-backup"
	markText       = "This folder is a backup made by mailstead; see mailstead(1).\n"
	manifestFolder = "manifests"
	storesFolder   = "stores"
	besideFolder   = "beside"
	tempSuffix     = ".tmp"

	logFolder = "log" // within a store's folder
)

// Progress is told how many of so many octets are done. May be nil.
type Progress func(done, total int64)

// folder is a backup folder that is written to. Every change goes through a
// method of it, and asks step first: tests end there as a kill would.
type folder struct {
	root string
	mark *os.File // locked
	step func() error
}

// openFolder makes root a backup folder, or takes it if it is one, and locks it.
func openFolder(root string, step func() error) (*folder, error) {
	if step == nil {
		step = func() error { return nil }
	}
	d := &folder{root: root, step: step}
	if err := d.mkdir(root); err != nil {
		return nil, err
	}
	mark := filepath.Join(root, markName)
	if !IsBackup(root) {
		entries, err := os.ReadDir(root)
		if err != nil {
			return nil, err
		}
		killed := len(entries) == 1 && entries[0].Name() == markName+tempSuffix
		if len(entries) > 0 && !killed {
			return nil, fmt.Errorf("%s is neither empty nor a backup: %w", root, ErrNoBackup)
		}
		if err := d.writeFile(mark, []byte(markText)); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(mark, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", root, ErrInUse)
	}
	d.mark = f
	return d, nil
}

// IsBackup reports whether a folder is a backup folder.
func IsBackup(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, markName))
	return err == nil && info.Mode().IsRegular()
}

func (d *folder) close() error { return d.mark.Close() }

func (d *folder) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// mkdir makes a folder with those above it, and its name durable.
func (d *folder) mkdir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := d.mkdir(parent); err != nil {
			return err
		}
	}
	if err := d.step(); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return d.syncDir(filepath.Dir(dir))
}

// writeFile writes a small file under a temporary name first.
func (d *folder) writeFile(name string, data []byte) error {
	f, err := d.create(name + tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return d.rename(name+tempSuffix, name)
}

func (d *folder) create(name string) (*os.File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// rename gives a file its name, durably.
func (d *folder) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(to))
}

func (d *folder) remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d *folder) syncDir(dir string) error {
	if err := d.step(); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
