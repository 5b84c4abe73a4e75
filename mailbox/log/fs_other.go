//go:build !linux

package log

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

func (osFS) Space(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, fmt.Errorf("statfs %s: %w", dir, err)
	}
	block := int64(st.Bsize)
	return Space{
		Total: int64(st.Blocks) * block,
		Free:  max(0, int64(st.Bavail)) * block, // less than none is left where root has used what is its own
		// APFS copies metadata only, and the data of clones and snapshots.
		CopyOnWrite: unix.ByteSliceToString(st.Fstypename[:]) == "zfs",
	}, nil
}

// Writev writes one after the other: not all of these systems have pwritev(2).
func (o *osFile) Writev(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		n, err := o.f.WriteAt(b, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// Datasync flushes all that Sync does. Package os asks macOS for F_FULLFSYNC, without which
// the drive may keep in its cache what fsync(2) has given it.
func (o *osFile) Datasync() error { return o.f.Sync() }

// WriteBack writes the whole file back: no part of it can be named here. On macOS the drive's
// cache is left as it is.
func (o *osFile) WriteBack(_, _ int64) error {
	defer runtime.KeepAlive(o.f)
	for {
		switch err := unix.Fsync(o.fd); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("fsync %s: %w", o.f.Name(), err)
		}
	}
}

// Allocate gives the length only: space can be promised on none of these systems in the way that
// Linux does it. Zeros, where they are written, do it for file systems that keep blocks in place.
func (o *osFile) Allocate(size int64) error { return o.f.Truncate(size) }

// Reserve is for Linux: it promises space beyond the file's end.
func (o *osFile) Reserve(int64) error {
	return fmt.Errorf("reserve space of %s: %w", o.f.Name(), errors.ErrUnsupported)
}
