package transfer

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree brings everything that was written below a folder to the disk: one call for
// all files, where one for each would take a flush each.
func syncTree(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return errors.Join(fmt.Errorf("syncing %s: %w", path, err), d.Close())
	}
	return d.Close()
}
