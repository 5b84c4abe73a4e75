package log

import "time"

// FS is what the log, and the store around it, need of a file system. Names
// are paths. Two kinds of things implement it: the operating system's, and
// simulated disks in tests that lose what was not synced.
type FS interface {
	// Create makes a new file for reading and writing; it must not exist.
	Create(name string) (File, error)
	// Open opens an existing file for reading, and for writing if asked.
	Open(name string, write bool) (File, error)
	// ReadDir returns the names in a folder, in any order.
	ReadDir(dir string) ([]string, error)
	// Mkdir makes a folder; one that exists is no error.
	Mkdir(dir string) error
	Rename(from, to string) error
	Remove(name string) error
	// Link gives a file a second name, which must not exist.
	Link(from, to string) error
	// Modified is when a file was last written.
	Modified(name string) (time.Time, error)
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// Space describes the file system that dir is on.
	Space(dir string) (Space, error)
}

// File is an open file.
type File interface {
	ReadAt(p []byte, off int64) (int, error)
	// Writev writes all bufs one after the other at off, completely or with an error.
	Writev(bufs [][]byte, off int64) error
	// Size is the file's length in bytes.
	Size() (int64, error)
	// WriteBack has n bytes from off on that were written reach the device, so
	// that a later flush does not find them all. They are not durable by it.
	WriteBack(off, n int64) error
	// Datasync makes the file's bytes, and what is needed to read them, durable.
	Datasync() error
	// Sync makes bytes and all of the file's metadata durable.
	Sync() error
	Truncate(size int64) error
	// Allocate gives the file real space for its first size bytes, which read
	// as zeros, and that length.
	Allocate(size int64) error
	// Reserve gives the file real space for its first size bytes, and leaves
	// its length. errors.ErrUnsupported where the file system promises none.
	Reserve(size int64) error
	Close() error
}

// Space describes a file system.
type Space struct {
	Total, Free int64 // in bytes; Free is what this process may use
	CopyOnWrite bool  // writing zeros ahead gains nothing here (btrfs, zfs, bcachefs)
}
