package mailbox

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot counts on while the machine sleeps, and is never set.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // looks are a minute apart: a jump is seen all the same
	}
	return time.Duration(t.Nano())
}

// memorySize is the machine's memory in octets, 0 where it is not known.
func memorySize() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

// readSoon has the kernel read the first n octets of a file, as far as they are not in
// memory: they are about to be read here and there.
func readSoon(f *os.File, n int64) {
	_ = unix.Fadvise(int(f.Fd()), 0, n, unix.FADV_WILLNEED) // advice: reading works without
}
