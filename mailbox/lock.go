package mailbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mailstead/mailbox/log"
)

// ErrLocked says that another process has the folder; the error's text names it.
var ErrLocked = errors.New("mailbox: folder is in use")

const (
	lockFile     = "lock"
	startingFile = "starting" // there while a start is under way: a mark of one that did not finish
	failedFile   = "unsynced" // a commit of state.db failed: the next start makes it again
)

// makeStoreFolder makes the folder, and those above it that are missing, with
// durable names: a power cut must not take the folder away from a new store.
func makeStoreFolder(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeStoreFolder(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return log.OS().SyncDir(above)
}

// lockFolder takes the folder for this process, or says who has it. The lock
// ends with the process, however that ends. Nothing else in the folder may be
// touched before.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the store: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is open in process %s", ErrLocked, dir, holder(f))
		}
		return nil, fmt.Errorf("locking the store: %w", err)
	}
	// Always of one length, and written over what is there: a start on a full
	// disk needs no block for it.
	pid := fmt.Sprintf("%-10d\n", os.Getpid())
	if err := writeAt(f, pid); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the store: %w", err), f.Close())
	}
	return f, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// holder is the process number that the holder wrote into its lock.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 20))
	pid := strings.TrimSpace(string(b))
	if _, bad := strconv.Atoi(pid); err != nil || bad != nil {
		return "(unknown)"
	}
	return pid
}

// markStart leaves a mark until the start is done. It reports whether there
// was one: the last start did not finish.
func (f files) markStart(dir string) (unfinished bool, err error) {
	mark, err := f.Create(filepath.Join(dir, startingFile))
	if errors.Is(err, os.ErrExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("marking the start: %w", err)
	}
	return false, errors.Join(mark.Sync(), mark.Close(), f.SyncDir(dir))
}

// startDone takes the mark away.
func (f files) startDone(dir string) error {
	if err := f.Remove(filepath.Join(dir, startingFile)); err != nil {
		return fmt.Errorf("marking the start as done: %w", err)
	}
	return nil
}
