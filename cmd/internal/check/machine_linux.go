package check

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadMachine asks the kernel how the machine is: its clock, the disk that a folder is on, memory, and, where the caller is the
// server, its own memory and files. What it does not say is not known.
func ReadMachine(dir string, server bool) (c Clock, d Disk, m Memory, f Files) {
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil {
		c = Clock{Known: true, Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil {
		d = Disk{Known: true, Free: int64(st.Bavail) * st.Bsize, Total: int64(st.Blocks) * st.Bsize}
	}
	about := readSizes("/proc/meminfo")
	m = Memory{Known: about["MemAvailable"] > 0, Available: about["MemAvailable"], Total: about["MemTotal"]}
	if !server {
		return c, d, m, f
	}
	m.Server = readSizes("/proc/self/status")["VmRSS"]
	var limit unix.Rlimit
	open, err := os.ReadDir("/proc/self/fd")
	if err == nil && unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		f = Files{Known: true, Open: int64(len(open)), Limit: int64(min(limit.Cur, 1<<40))}
	}
	return c, d, m, f
}

// readSizes reads lines like "VmRSS: 1234 kB" of proc(5), in octets.
func readSizes(name string) map[string]int64 {
	sizes := make(map[string]int64)
	f, err := os.Open(name)
	if err != nil {
		return sizes
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(value)
		if len(fields) != 2 || fields[1] != "kB" {
			continue
		}
		if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
			sizes[key] = n << 10
		}
	}
	return sizes
}
