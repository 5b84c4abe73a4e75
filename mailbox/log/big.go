package log

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strconv"
)

// Big is a large body on its way into a file of its own. It belongs to one
// goroutine, except that ReadAt may be called beside.
type Big struct {
	l       *Log
	id      BodyID
	file    File
	size    int64
	checked int64 // size when free space was looked at last
	crc     uint32
	err     error
	done    bool
}

// bigCheck is how many bytes of a big body are written between two looks at
// the free space.
const bigCheck = 1 << 20

// NewBig begins the file of body id. It is not there after a crash unless
// Commit returned; a file without a record is the caller's to remove at start.
func (l *Log) NewBig(id BodyID) (*Big, error) {
	f, err := l.fs.Create(l.bigName(id))
	if err != nil {
		return nil, noSpace(fmt.Errorf("beginning body %d: %w", id, err))
	}
	return &Big{l: l, id: id, file: f, checked: -bigCheck}, nil
}

// Write adds bytes. ErrNoSpace comes while the disk has still what urgent
// work and the databases need. After an error only Abort makes sense.
func (b *Big) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.size+int64(len(p)) >= b.checked+bigCheck {
		if b.err = b.l.roomForBig(int64(len(p)) + bigCheck); b.err != nil {
			return 0, b.err
		}
		b.checked = b.size
	}
	if err := b.file.Writev([][]byte{p}, b.size); err != nil {
		b.err = noSpace(fmt.Errorf("writing body %d: %w", b.id, err))
		return 0, b.err
	}
	b.crc = crc32.Update(b.crc, castagnoli, p)
	b.size += int64(len(p))
	return len(p), nil
}

// roomForBig says whether ordinary work may write n bytes outside of the segments.
func (l *Log) roomForBig(n int64) error {
	l.forgetSpace()
	free, err := l.freeBytes()
	if err != nil {
		return err
	}
	missing := max(0, l.o.Ahead-l.readyCount())
	if free-n < l.keepFree+int64(missing)*l.segmentSize {
		return fmt.Errorf("%d MiB free: %w", free>>20, ErrNoSpace)
	}
	return nil
}

// Size is what was written so far, in bytes.
func (b *Big) Size() int64 { return b.size }

// ReadAt reads what was written, as io.ReaderAt does.
func (b *Big) ReadAt(p []byte, off int64) (int, error) { return b.file.ReadAt(p, off) }

// Commit makes the file durable under its name and closes it. Only then may a
// record name it.
func (b *Big) Commit() error {
	if b.err != nil {
		return b.err
	}
	err := b.file.Sync()
	if err == nil {
		err = b.l.fs.SyncDir(filepath.Join(b.l.o.Dir, bigFolder))
	}
	if err != nil {
		b.err = noSpace(fmt.Errorf("committing body %d: %w", b.id, err))
		return b.err
	}
	b.done = true
	return b.file.Close()
}

// Describe fills what e says about the body. Commit comes first.
func (b *Big) Describe(e *Entry) {
	e.BodyID, e.Body, e.big, e.bodySize, e.bodyCRC = b.id, nil, true, b.size, b.crc
}

// Abort removes the file. After Commit it does nothing: RemoveBig does.
func (b *Big) Abort() error {
	if b.done {
		return nil
	}
	b.done, b.err = true, fs.ErrClosed
	return errors.Join(b.file.Close(), b.l.RemoveBig(b.id))
}

// RemoveBig unlinks the file of a body. Readers that have it open keep it. A
// file that is not there is no error; until SyncBigs, a crash may bring the file back.
func (l *Log) RemoveBig(id BodyID) error {
	l.forgetSpace()
	if err := l.fs.Remove(l.bigName(id)); err != nil && !isNotExist(err) {
		return fmt.Errorf("removing body %d: %w", id, err)
	}
	return nil
}

// SyncBigs makes durable which files of bodies there are: what RemoveBig has
// removed does not come back.
func (l *Log) SyncBigs() error {
	if err := l.fs.SyncDir(filepath.Join(l.o.Dir, bigFolder)); err != nil {
		return fmt.Errorf("syncing the folder of big bodies: %w", err)
	}
	return nil
}

// SetBigAside renames the file of a body that no record names, for somebody to
// look at: where records were lost, it may be a message. Bigs does not list it.
func (l *Log) SetBigAside(id BodyID) error {
	name := l.bigName(id)
	if err := l.fs.Rename(name, name+asideSuffix); err != nil {
		return fmt.Errorf("setting body %d aside: %w", id, err)
	}
	return nil
}

// BigName is the name of a big body's file, relative to the log's folder.
func BigName(id BodyID) string { return fmt.Sprintf("%s/%016x", bigFolder, uint64(id)) }

// Bigs returns the ids of all big files, so that those no record names can be removed.
func (l *Log) Bigs() ([]BodyID, error) {
	names, err := l.fs.ReadDir(filepath.Join(l.o.Dir, bigFolder))
	if err != nil {
		return nil, fmt.Errorf("listing big bodies: %w", err)
	}
	var ids []BodyID
	for _, name := range names {
		if id, err := strconv.ParseUint(name, 16, 64); err == nil && len(name) == 16 {
			ids = append(ids, BodyID(id))
		}
	}
	return ids, nil
}
