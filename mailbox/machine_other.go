//go:build !linux

package mailbox

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot is never set. It counts on while a Mac sleeps; where it does not, the first look after a
// long sleep takes it for a jump of the clock, and nothing is purged for a day more.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// memorySize is not known.
func memorySize() uint64 { return 0 }

// readSoon leaves it to the kernel to see in which order a file is read.
func readSoon(*os.File, int64) {}
