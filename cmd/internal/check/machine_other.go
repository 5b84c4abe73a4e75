//go:build !linux

package check

import "golang.org/x/sys/unix"

// ReadMachine asks the kernel for the disk that a folder is on, and no more on this system.
func ReadMachine(dir string, _ bool) (c Clock, d Disk, m Memory, f Files) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil {
		d = Disk{Known: true, Free: int64(st.Bavail) * int64(st.Bsize), Total: int64(st.Blocks) * int64(st.Bsize)}
	}
	return c, d, m, f
}
