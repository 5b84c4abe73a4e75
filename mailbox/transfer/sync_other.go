//go:build !linux

package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// syncTree brings everything below a folder to the disk, one file after the other.
func syncTree(path string) error {
	return filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
