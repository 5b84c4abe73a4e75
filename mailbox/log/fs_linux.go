package log

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// zfsMagic is OpenZFS's statfs type, which golang.org/x/sys does not name.
const zfsMagic = 0x2fc12fc1

func (osFS) Space(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, fmt.Errorf("statfs %s: %w", dir, err)
	}
	block := int64(st.Bsize)
	sp := Space{Total: int64(st.Blocks) * block, Free: int64(st.Bavail) * block}
	switch uint32(st.Type) {
	case unix.BTRFS_SUPER_MAGIC, unix.BCACHEFS_SUPER_MAGIC, zfsMagic:
		sp.CopyOnWrite = true
	}
	return sp, nil
}

// iovMax is the kernel's limit of buffers in one call (UIO_MAXIOV).
const iovMax = 1024

func (o *osFile) Writev(bufs [][]byte, off int64) error {
	defer runtime.KeepAlive(o.f)
	for len(bufs) > 0 {
		n, err := unix.Pwritev(o.fd, bufs[:min(len(bufs), iovMax)], off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("pwritev %s: %w", o.f.Name(), err)
		}
		off += int64(n)
		bufs = advance(bufs, n)
	}
	return nil
}

// advance drops the first n bytes of bufs. Only after a short write does it
// cut a buffer, and then in a copy of the list: the caller's stays whole.
func advance(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n == 0 {
		return bufs
	}
	rest := append([][]byte{bufs[0][n:]}, bufs[1:]...)
	return rest
}

func (o *osFile) Datasync() error {
	defer runtime.KeepAlive(o.f)
	for {
		err := unix.Fdatasync(o.fd)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("fdatasync %s: %w", o.f.Name(), err)
		}
		return nil
	}
}

func (o *osFile) WriteBack(off, n int64) error {
	defer runtime.KeepAlive(o.f)
	const reach = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for {
		err := unix.SyncFileRange(o.fd, off, n, reach)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, errors.ErrUnsupported):
			return o.Datasync()
		case err != nil:
			return fmt.Errorf("sync_file_range %s: %w", o.f.Name(), err)
		}
		return nil
	}
}

func (o *osFile) Allocate(size int64) error {
	err := o.fallocate(0, size)
	if errors.Is(err, errors.ErrUnsupported) {
		// Such a file system cannot promise space; zeros, where they are
		// written, do it for those that keep blocks in place.
		return o.f.Truncate(size)
	}
	return err
}

func (o *osFile) Reserve(size int64) error { return o.fallocate(unix.FALLOC_FL_KEEP_SIZE, size) }

func (o *osFile) fallocate(mode uint32, size int64) error {
	defer runtime.KeepAlive(o.f)
	for {
		err := unix.Fallocate(o.fd, mode, 0, size)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil { // EOPNOTSUPP and ENOSYS are errors.ErrUnsupported
			return fmt.Errorf("fallocate %s: %w", o.f.Name(), err)
		}
		return nil
	}
}
