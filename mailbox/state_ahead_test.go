package mailbox

import (
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// A window is asked for once, however many transactions touch it, and again after a while.
func TestReadAheadRemembersWhatWasAskedFor(t *testing.T) {
	d := newDisk(t)
	const window, size = readAheadWindow, 40 * readAheadWindow
	var r readAhead
	begin := func(now time.Time) {
		t.Helper()
		err := d.derived.View(func(tx *bbolt.Tx) error {
			r.begin(tx, now)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	next := func(from, want uintptr) {
		t.Helper()
		if to := r.next(from, size); to != want {
			t.Errorf("from window %d: up to window %d, want %d", from/window, to/window, want/window)
		}
	}
	now := time.Unix(1e9, 0)
	begin(now)
	next(0, window)
	next(0, 0)
	next(window, (1+readAheadRun)*window) // sequential
	next(30*window, 31*window)
	begin(now.Add(readAheadKept / 2))
	next(0, 0)
	next((1+readAheadRun)*window, 30*window) // not what was asked for before
	next(39*window, size)
	begin(now.Add(readAheadKept))
	next(window, 2*window)
	begin(now) // the clock went back
	next(window, 2*window)
}

// What is mapped of a database is a part of the machine's memory, within bounds.
func TestMappedWindows(t *testing.T) {
	for memory, want := range map[uint64]int{
		256 << 20: 32 << 20, 1 << 30: 32 << 20, 2 << 30: 64 << 20, 8 << 30: 256 << 20, 1 << 40: 256 << 20,
	} {
		if got := windowsFor(memory) * readAheadWindow; got != want {
			t.Errorf("of %d MB: %d MB, want %d", memory>>20, got>>20, want>>20)
		}
	}
}

// Pages are let go when so many windows were touched, however often each of them was.
func TestCrowdedWindows(t *testing.T) {
	var r readAhead
	for round := range 3 {
		for i := range 2 * mappedWindows() {
			if r.crowded(uintptr(round*mappedWindows()+i/2)*readAheadWindow) != (round > 0 && i == 0) {
				t.Fatalf("round %d: window %d", round, i/2)
			}
		}
	}
}
