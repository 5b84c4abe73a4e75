package mailbox

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// A checkpoint is a compacted copy of state.db. Its name holds the LSN it is
// true for and the checksum of the file, so a folder listing says which is the
// newest and reading it proves that it is whole.
const (
	checkpointName = "state-%016x-%08x.db"
	checkpointTemp = "checkpoint.tmp"
	rebuildTemp    = "state.db.new"
	damagedFile    = "state.db.damaged"

	// checkpointsKept: the newest may be damaged where it lies.
	checkpointsKept = 2

	// checkpointBatch is how much of a copy is in memory at a time, in bytes.
	checkpointBatch = 8 << 20
)

// storedCheckpoint is a checkpoint as its name tells.
type storedCheckpoint struct {
	path string
	lsn  log.LSN
	crc  uint32
}

// checkpoint puts a compacted copy of state.db into dir, from one read
// transaction, and removes all but the two newest there. It returns the LSN
// that the newest checkpoint is true for; when that is the applied one already,
// nothing is written. The copy gets its name when it is on disk, so a crash
// leaves at most a temporary file, which the next call removes.
func (d *disk) checkpoint(dir string) (log.LSN, error) {
	d.copying.Lock()
	defer d.copying.Unlock()
	if err := d.files.makeFolder(dir); err != nil {
		return 0, fmt.Errorf("making a checkpoint: %w", err)
	}
	stored, err := d.files.checkpoints(dir)
	if err != nil {
		return 0, fmt.Errorf("making a checkpoint: %w", err)
	}
	if len(stored) > 0 && stored[0].lsn == d.applied() {
		return stored[0].lsn, nil
	}
	lsn, err := d.writeCheckpoint(dir)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("making a checkpoint: %w", err), d.files.remove(filepath.Join(dir, checkpointTemp)))
	}
	if !d.keeping.TryLock() {
		return lsn, nil // the next one prunes
	}
	defer d.keeping.Unlock()
	return lsn, d.files.pruneCheckpoints(dir)
}

func (d *disk) writeCheckpoint(dir string) (log.LSN, error) {
	temp := filepath.Join(dir, checkpointTemp)
	if err := d.files.remove(temp); err != nil {
		return 0, err
	}
	lsn, err := d.files.compactInto(temp, d.state)
	if err != nil {
		return 0, err
	}
	crc, err := d.files.syncedChecksum(temp)
	if err != nil {
		return 0, err
	}
	if err := d.files.Rename(temp, filepath.Join(dir, fmt.Sprintf(checkpointName, uint64(lsn), crc))); err != nil {
		return 0, err
	}
	return lsn, d.files.SyncDir(dir)
}

// compactInto copies db into a new file and returns the LSN the copy is true
// for. The copy is not synced: until it is whole nobody looks at it.
func (f files) compactInto(path string, db *database) (lsn log.LSN, err error) {
	o := databaseOptions(false)
	o.NoSync, o.NoGrowSync = true, true
	dst, err := f.openBolt(path, o)
	if err != nil {
		return 0, err
	}
	if err := db.compactInto(dst); err != nil {
		return 0, errors.Join(err, dst.Close())
	}
	err = dst.View(func(tx *bbolt.Tx) error { // what is damaged must not take the place of what is not
		lsn = txApplied(tx)
		return errors.Join(checkContent(tx)...)
	})
	return lsn, errors.Join(err, dst.Close())
}

// checkpoints returns what dir has, newest first. Names that are none are
// passed over.
func (f files) checkpoints(dir string) ([]storedCheckpoint, error) {
	names, err := f.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []storedCheckpoint
	for _, name := range names {
		var lsn uint64
		var crc uint32
		if n, _ := fmt.Sscanf(name, checkpointName, &lsn, &crc); n == 2 && name == fmt.Sprintf(checkpointName, lsn, crc) {
			list = append(list, storedCheckpoint{path: filepath.Join(dir, name), lsn: log.LSN(lsn), crc: crc})
		}
	}
	slices.SortFunc(list, func(a, b storedCheckpoint) int { return cmp.Compare(b.lsn, a.lsn) })
	return list, nil
}

func (f files) pruneCheckpoints(dir string) error {
	stored, err := f.checkpoints(dir)
	if err != nil {
		return err
	}
	for _, c := range stored[min(checkpointsKept, len(stored)):] {
		if err := f.Remove(c.path); err != nil {
			return fmt.Errorf("removing an old checkpoint: %w", err)
		}
	}
	return f.SyncDir(dir)
}

// rebuild puts the newest whole checkpoint in the place of the state.db of
// folder dir, and returns its LSN: the caller applies the log from there. The
// damaged file stays as state.db.damaged until the next rebuild. With no whole
// checkpoint, the new state.db is empty and the LSN 0. ErrNoCheckpoint, and
// nothing is changed, when the log begins behind that. Nobody may have state.db
// open. A crash leaves the old state.db or the new one.
func (f files) rebuild(dir, checkpointDir string) (log.LSN, error) {
	temp := filepath.Join(dir, rebuildTemp)
	lsn, err := f.restoreInto(temp, checkpointDir)
	if err == nil {
		err = f.joins(lsn, filepath.Join(dir, logFolder))
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("rebuilding %s: %w", stateFile, err), f.remove(temp))
	}
	state, damaged := filepath.Join(dir, stateFile), filepath.Join(dir, damagedFile)
	if err := f.remove(damaged); err != nil {
		return 0, fmt.Errorf("rebuilding %s: %w", stateFile, err)
	}
	// Evidence, where the file system knows hard links; a rename would leave a
	// moment without state.db, which a start would take for a new store.
	_ = f.Link(state, damaged)
	if err := f.Rename(temp, state); err != nil {
		return 0, fmt.Errorf("rebuilding %s: %w", stateFile, err)
	}
	return lsn, f.SyncDir(dir)
}

// restoreInto writes the newest whole checkpoint to path, or an empty database.
func (f files) restoreInto(path, checkpointDir string) (log.LSN, error) {
	stored, err := f.checkpoints(checkpointDir)
	if err != nil {
		return 0, err
	}
	var newer error
	for _, c := range stored {
		err := f.copyChecked(path, c)
		if err == nil {
			err = f.known(path)
		}
		switch {
		case err == nil:
			return c.lsn, nil
		case errors.Is(err, errNewerSchema):
			newer = cmp.Or(newer, err)
		case !errors.Is(err, errDatabase):
			return 0, err
		}
	}
	if err := errors.Join(f.remove(path), newer); err != nil { // where a newer program was, an empty database is not what it had
		return 0, err
	}
	db, err := f.openSchema(path, stateSchema())
	if err != nil {
		return 0, err
	}
	return 0, db.Close()
}

// known returns an error that wraps errNewerSchema where a copy of a checkpoint is of a newer program.
func (f files) known(path string) error {
	p, err := f.peek(path)
	if want := stateSchema().version; err == nil && p.Version > want {
		err = fmt.Errorf("%w: a checkpoint has schema %d, this program knows %d", errNewerSchema, p.Version, want)
	}
	return err
}

// copyChecked copies a checkpoint to path, durably. The error wraps
// errDatabase when the checkpoint is not what it was.
func (f files) copyChecked(path string, c storedCheckpoint) error {
	from, err := f.Open(c.path, false)
	if err != nil {
		return err
	}
	defer from.Close()
	r, err := f.reader(from)
	if err != nil {
		return err
	}
	to, err := f.create(path)
	if err != nil {
		return err
	}
	sum := crc32.New(castagnoli)
	_, err = io.Copy(io.MultiWriter(&fileWriter{file: to}, sum), r)
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	if sum.Sum32() != c.crc {
		return fmt.Errorf("%w: checkpoint %s", errDatabase, filepath.Base(c.path))
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// syncedChecksum makes a file durable and returns its checksum.
func (f files) syncedChecksum(path string) (uint32, error) {
	file, err := f.Open(path, false)
	if err != nil {
		return 0, err
	}
	sum := crc32.New(castagnoli)
	r, err := f.reader(file)
	if err == nil {
		_, err = io.Copy(sum, r)
	}
	return sum.Sum32(), errors.Join(err, file.Sync(), file.Close())
}
