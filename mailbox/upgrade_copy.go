package mailbox

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// refuseNewer returns the error of a start that this program must not make, before anything is changed. What it cannot read
// is left to what follows.
func (s *Store) refuseNewer() error {
	i, err := s.files.inspect(s.dir)
	if err != nil {
		return fmt.Errorf("looking at the formats: %w", err)
	}
	return i.Err()
}

// keepCopy copies state.db, which is open, into the folder of copies before it is brought up from version had to another.
// The copy gets its name when it is on disk. One of the same state is there after a start that ended in between: it is not
// made again, so that such starts do not push the copy of the upgrade before out.
func (d *disk) keepCopy(db *database, had, to int) error {
	folder := filepath.Join(d.dir, upgradeFolder)
	used, lsn, err := usedOf(db, had)
	if err == nil {
		err = d.files.roomFor(d.dir, 2*used)
	}
	if err == nil {
		err = d.files.makeFolder(folder)
	}
	if err != nil {
		return keepingFailed(err)
	}
	c := stateCopy{from: had, to: to, day: d.now().UTC().Format(copyDay), lsn: lsn}
	there, err := d.files.hasCopy(folder, c)
	if err == nil && !there {
		err = d.files.writeCopy(folder, filepath.Join(d.dir, stateFile), used, &c)
	}
	if err != nil {
		return keepingFailed(errors.Join(err, d.files.remove(filepath.Join(folder, upgradeTemp))))
	}
	d.logger.Info("the database is brought up to a new format; a copy of before is kept", "file", stateFile,
		slog.Int("from", had), slog.Int("to", to), "folder", folder)
	if err := d.files.pruneCopies(folder); err != nil {
		return keepingFailed(err)
	}
	return d.files.SyncDir(folder) // of a copy that a killed start has made, too
}

func keepingFailed(err error) error {
	if isFull(err) {
		err = errors.Join(ErrNoRoomToUpgrade, err)
	}
	return fmt.Errorf("keeping a copy of %s before it is brought up: %w", stateFile, err)
}

// usedOf is how much of a file has pages, and the LSN that it is true for. Values of schema 1 have no seals.
func usedOf(db *database, version int) (used int64, lsn log.LSN, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		used = tx.Size()
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	p, err := db.files.peek(db.path)
	if err == nil && p.Version != version {
		err = fmt.Errorf("%w: %s is of schema %d and of %d", errDatabase, db.path, version, p.Version)
	}
	return used, p.Applied, err
}

// roomFor returns an error unless so many bytes are free.
func (f files) roomFor(dir string, need int64) error {
	space, err := f.Space(dir)
	if err == nil && space.Free < need {
		err = noRoom(need, space.Free)
	}
	return err
}

// hasCopy reports whether there is a copy of the same state that is whole.
func (f files) hasCopy(folder string, c stateCopy) (bool, error) {
	list, err := f.copies(folder)
	if err != nil {
		return false, err
	}
	for _, had := range list {
		if had.from != c.from || had.to != c.to || had.lsn != c.lsn {
			continue
		}
		sum, err := f.syncedChecksum(filepath.Join(folder, had.name))
		if err != nil {
			return false, err
		}
		if sum == had.crc {
			return true, nil
		}
	}
	return false, nil
}

// writeCopy copies the first n bytes of a file and gives the copy its name, which c gets, too.
func (f files) writeCopy(folder, path string, n int64, c *stateCopy) error {
	from, err := f.Open(path, false)
	if err != nil {
		return err
	}
	defer from.Close()
	temp := filepath.Join(folder, upgradeTemp)
	to, err := f.create(temp)
	if err != nil {
		return err
	}
	sum := crc32.New(castagnoli)
	_, err = io.Copy(io.MultiWriter(&fileWriter{file: to}, sum), io.NewSectionReader(from, 0, n))
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	c.crc = sum.Sum32()
	c.makeName()
	if err := f.Rename(temp, filepath.Join(folder, c.name)); err != nil {
		return err
	}
	return f.SyncDir(folder)
}

// pruneCopies removes all copies but the newest.
func (f files) pruneCopies(folder string) error {
	list, err := f.copies(folder)
	if err != nil {
		return err
	}
	for _, c := range list[min(copiesKept, len(list)):] {
		if err := f.remove(filepath.Join(folder, c.name)); err != nil {
			return err
		}
	}
	return nil
}

// putProgram notes which program has the database, where one says so.
func putProgram(tx *bbolt.Tx, program string) error {
	if program == "" || slices.Equal(tx.Bucket(bucketMeta).Get(keyProgram), []byte(program)) {
		return nil
	}
	return tx.Bucket(bucketMeta).Put(keyProgram, []byte(program))
}

// noteProgram has state.db say which program opened it last, for a program of before that cannot. It is written when it is
// another than the last time only, and can wait for a start with room for it.
func (d *disk) noteProgram(program string) {
	program = plainProgram([]byte(program))
	same := false
	err := d.state.View(func(tx *bbolt.Tx) error {
		same = program == "" || string(tx.Bucket(bucketMeta).Get(keyProgram)) == program
		return nil
	})
	if err == nil && !same {
		err = d.state.Update(func(tx *bbolt.Tx) error { return putProgram(tx, program) })
	}
	if err != nil {
		d.logger.Warn("the version of this program could not be written down", "file", stateFile, "err", err)
	}
}

// now is the time of copies' names.
func (d *disk) now() time.Time {
	if d.clock == nil {
		return time.Now()
	}
	return d.clock()
}
