package mailbox

import (
	"errors"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
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
		if !isFull(err) && !errors.Is(err, errors.ErrUnsupported) {
			d.logger.Warn("no space could be reserved for the database", "err", err)
		}
		return
	}
	d.reserved = to
}

// ahead is stateAhead, or less where dir is on a small file system.
func (f files) ahead(dir string) (int64, error) {
	sp, err := f.Space(dir)
	if err != nil {
		return 0, err
	}
	return min(stateAhead, sp.Total/stateShare), nil
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
	sp, err := d.files.Space(d.dir)
	if err != nil {
		return err
	}
	if sp.Free < 2*d.ahead { // a part of it would only take from the log
		return syscall.ENOSPC
	}
	f, err := d.files.Open(filepath.Join(d.dir, stateFile), true)
	if err != nil {
		return err
	}
	return errors.Join(f.Reserve(n), f.Close())
}
