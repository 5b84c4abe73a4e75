package mailbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// stateAhead is how much space state.db has for itself, in bytes, behind the
	// pages it uses: with it commits go on, and a start brings the database up to
	// the log, when others have taken every block of the disk. It is what the
	// applier brings in one commit.
	stateAhead = commitWeight
	// stateShare bounds it to a share of a small file system.
	stateShare = 64
)

// reserve has the file system keep blocks for state.db: stateAhead behind its
// used pages, as much again when it has to ask. They lie behind the end of the
// file, and below it where bbolt has made it longer without writing. A disk
// without space for them, or a file system that cannot promise any, is no
// error: state.db has what it got before.
func (d *disk) reserve() {
	used, err := d.usedState()
	if err != nil || used+d.ahead <= d.reserved {
		return
	}
	to := used + 2*d.ahead
	if err := d.allocate(to); err != nil {
		if !isFull(err) && !errors.Is(err, unix.EOPNOTSUPP) {
			d.logger.Warn("no space could be reserved for the database", "err", err)
		}
		return
	}
	d.reserved = to
}

// aheadIn is stateAhead, or less where dir is on a small file system.
func aheadIn(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return min(stateAhead, int64(st.Blocks)*st.Bsize/stateShare), nil
}

// usedState is where the pages end that state.db uses or has used, in bytes.
func (d *disk) usedState() (n int64, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		n = tx.Size()
		return nil
	})
	return n, err
}

// allocate gives state.db real blocks for its first n bytes, and leaves its length.
func (d *disk) allocate(n int64) error {
	f, err := os.OpenFile(filepath.Join(d.dir, stateFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("statfs %s: %w", f.Name(), err)
	}
	if int64(st.Bavail)*st.Bsize < 2*d.ahead { // a part of it would only take from the log
		return unix.ENOSPC
	}
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, n)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
