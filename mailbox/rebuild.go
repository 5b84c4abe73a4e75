package mailbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"mailstead/mailbox/log"
)

// ErrNoCheckpoint says that state.db cannot be made again: no checkpoint is
// whole, or none is as new as the first record that the log still has.
var ErrNoCheckpoint = errors.New("mailbox: no whole checkpoint reaches the beginning of the log; restore a backup")

// joins returns ErrNoCheckpoint unless the log goes on where a database ends.
func (f files) joins(applied log.LSN, logDir string) error {
	first, err := log.FirstLSN(f.FS, logDir)
	if err != nil {
		return err
	}
	if first > applied+1 {
		return fmt.Errorf("%w (the newest is of record %d, the log begins with record %d)", ErrNoCheckpoint, applied, first)
	}
	return nil
}

// Rebuilt says what Rebuild did.
type Rebuilt struct {
	Checkpoint log.LSN // that state.db was made from; 0 = from the log alone
	Applied    log.LSN // the last record that was applied
	Took       time.Duration
}

// Rebuild makes the state.db of a folder again, from the newest whole
// checkpoint and the log behind it; the old one stays beside it as
// state.db.damaged. derived.db goes: the next start makes it again, while it
// serves. ErrLocked when the folder is in use, ErrNoCheckpoint when it cannot
// be done, and what Open returns.
func Rebuild(dir string, o Options) (Rebuilt, error) {
	began := time.Now()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Rebuilt{}, fmt.Errorf("rebuilding the store: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return Rebuilt{}, err
	}
	f := files{o.withDefaults().FS}
	checkpoint, err := f.rebuild(dir, filepath.Join(dir, checkpointFolder))
	if err == nil {
		err = f.remove(filepath.Join(dir, derivedFile))
	}
	if err := errors.Join(err, lock.Close()); err != nil {
		return Rebuilt{}, err
	}
	s, err := Open(dir, o)
	if err != nil {
		return Rebuilt{}, err
	}
	done := Rebuilt{Checkpoint: checkpoint, Applied: s.disk.applied(), Took: time.Since(began)}
	return done, s.Close()
}
