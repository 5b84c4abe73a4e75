package log

import (
	"testing"
	"time"
)

func TestFlushesAreCountedByTheirTime(t *testing.T) {
	var l Log
	for _, took := range []time.Duration{0, 100 * time.Microsecond, 101 * time.Microsecond, time.Second, time.Hour} {
		l.flushes.note(took)
	}
	f := l.Flushes()
	want := map[time.Duration]uint64{100 * time.Microsecond: 2, 250 * time.Microsecond: 1, time.Second: 1, 0: 1}
	for i, b := range f.Buckets {
		if b.Count != want[b.UpTo] {
			t.Errorf("up to %v: %d, want %d", b.UpTo, b.Count, want[b.UpTo])
		}
		if last := i == len(f.Buckets)-1; (b.UpTo == 0) != last || i > 0 && !last && b.UpTo <= f.Buckets[i-1].UpTo {
			t.Errorf("bucket %d has the bound %v", i, b.UpTo)
		}
	}
	if f.Time != time.Hour+time.Second+201*time.Microsecond {
		t.Errorf("in all %v", f.Time)
	}
}
