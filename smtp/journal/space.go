package journal

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// diskSize is the size in octets of the file system that a folder is on, or is going
// to be on; 0 where it does not say.
func diskSize(dir string) int64 {
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Dir(dir) // which the server has made
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return int64(st.Blocks) * int64(st.Bsize)
}
