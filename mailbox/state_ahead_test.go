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
