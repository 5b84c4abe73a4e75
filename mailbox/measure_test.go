package mailbox

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// atOnce calls f n times, from so many goroutines.
func atOnce(b testing.TB, writers, n int, f func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var failed atomic.Value
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					failed.Store(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		b.Fatal(err)
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// deviceCount is what a device has completed since it is there.
type deviceCount struct{ flushes, bytes float64 }

// countDevice counts for the device below dir; nothing where the system does not say.
func countDevice(dir string) (c deviceCount) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return c
	}
	text, _ := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))))
	const sectors, flushes, sector = 6, 15, 512
	f := strings.Fields(string(text))
	if len(f) <= flushes {
		return c
	}
	c.bytes, _ = strconv.ParseFloat(f[sectors], 64)
	c.bytes *= sector
	c.flushes, _ = strconv.ParseFloat(f[flushes], 64)
	return c
}

// usedTime returns what tells how much of a processor the process has used since, or this
// thread.
func usedTime(b *testing.B, who int) func() time.Duration {
	now := func() time.Duration {
		var use unix.Rusage
		if err := unix.Getrusage(who, &use); err != nil {
			b.Fatal(err)
		}
		return time.Duration(use.Utime.Nano() + use.Stime.Nano())
	}
	began := now()
	return func() time.Duration { return now() - began }
}
