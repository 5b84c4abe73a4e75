package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// File is one that setup writes.
type File struct {
	Name string
	Text string
	Mode fs.FileMode
	GID  int // its group; -1 for that of the process
}

// write puts a file there whole or not at all: whoever kills setup, or fills the disk, leaves the old state
// or the new one. What is left of a write that was cut off is taken by the next, as one setup at a time runs.
func (f File) write() error {
	next := filepath.Join(filepath.Dir(f.Name), "."+filepath.Base(f.Name)+".new")
	if err := f.fill(next); err != nil {
		os.Remove(next) // room on a full disk; the next run would overwrite it
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	if err := os.Rename(next, f.Name); err != nil {
		return fmt.Errorf("write %s: %w", f.Name, err)
	}
	return syncFolder(filepath.Dir(f.Name))
}

func (f File) fill(name string) (err error) {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := out.WriteString(f.Text); err != nil {
		return err
	}
	if f.GID >= 0 {
		if err := out.Chown(-1, f.GID); err != nil {
			return err
		}
	}
	return errors.Join(out.Chmod(f.Mode), out.Sync())
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// maxKept bounds a file of the operator's that is compared, in octets: nobody's unit or configuration is larger.
const maxKept = 1 << 20

// present is the text of a file; there is false where there is none.
func present(name string) (text string, there bool, err error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxKept) {
		err = fmt.Errorf("%s is no file of a size that can be", name)
	}
	if err != nil {
		return "", false, err
	}
	b, err := os.ReadFile(name)
	return string(b), err == nil, err
}

// difference lists the lines of a file that is there (-) and of the one that setup would write (+), where they
// differ; comments and empty lines mean nothing and are left out.
func difference(there, wanted string) (lines []string) {
	old, fresh := meaning(there), meaning(wanted)
	for _, l := range old {
		if !slices.Contains(fresh, l) {
			lines = append(lines, "- "+l)
		}
	}
	for _, l := range fresh {
		if !slices.Contains(old, l) {
			lines = append(lines, "+ "+l)
		}
	}
	return lines
}

func meaning(text string) (lines []string) {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			lines = append(lines, l)
		}
	}
	return lines
}

// lockFolder keeps other setups out of a folder until unlock is called. The lock ends with the process, too.
// ErrBusy.
func lockFolder(name string) (unlock func(), err error) {
	d, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w, for %s: wait for it to end", ErrBusy, name)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { d.Close() }, nil
}
