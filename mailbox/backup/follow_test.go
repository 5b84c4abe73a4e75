package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/log"
	"mailstead/mailbox/mailboxtest"
)

// following runs Follow of a world's store until stop is called, which returns
// what it returned. shipped has a value after each time something went.
func (w *world) following(to string, s *atomic.Pointer[mailbox.Store]) (shipped chan int64, stop func() error) {
	shipped = make(chan int64, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	begun := make(chan struct{}, 1)
	go func() {
		done <- Follow(ctx, to, Following{
			Snapshot: func(ctx context.Context) (Source, func(), error) {
				snap, err := s.Load().Snapshot(ctx)
				return Source{Snapshot: snap, Complete: true}, func() { s.Load().DropSnapshot(snap.Name) }, err
			},
			Log: func(context.Context) ([]mailbox.LogSegment, error) {
				if s.Load() == nil {
					return nil, ErrNoSource
				}
				return s.Load().Log(), nil
			},
			Store:   filepath.Join(w.dir, "store"),
			Every:   time.Millisecond,
			Shipped: func(n int64) { shipped <- n },
			Begun:   func(Report) { begun <- struct{}{} },
		}, Options{})
	}()
	select {
	case <-begun:
	case err := <-done:
		w.t.Fatalf("follow ended: %v", err)
	}
	return shipped, func() error { cancel(); return <-done }
}

// arrived waits until a restore would have what the store has now.
func (w *world) arrived(to string, s *mailbox.Store, shipped chan int64) {
	w.t.Helper()
	m, err := ReadManifest(to, "")
	if err != nil {
		w.t.Fatal(err)
	}
	for patience := time.After(time.Minute); ; {
		names, err := namesIn(filepath.Join(to, storesFolder, m.Store), logFolder)
		if err != nil {
			w.t.Fatal(err)
		}
		var last mailbox.ModSeq
		for _, name := range names {
			end, err := lastRecord(filepath.Join(to, storesFolder, m.Store, filepath.FromSlash(name)))
			if err != nil {
				w.t.Fatal(err)
			}
			last = max(last, end)
		}
		if last >= s.LastChange() {
			return
		}
		select {
		case <-shipped:
		case <-time.After(10 * time.Millisecond):
		case <-patience:
			w.t.Fatalf("%d of %d arrived", last, s.LastChange())
		}
	}
}

// TestFollow: whatever was shipped is restored, through a restart of the server,
// large bodies and all.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 21)
	to := t.TempDir()
	var s atomic.Pointer[mailbox.Store]
	s.Store(w.s)
	shipped, stop := w.following(to, &s)
	for range 40 {
		w.step()
	}
	w.deliver("INBOX", 100<<10)
	w.arrived(to, w.s, shipped)
	dir := t.TempDir()
	r := restore(t, to, RestoreOptions{Dir: dir})
	if got, _ := contents(t, dir, w.account); got != w.at(w.s.LastChange()) || r.Followed == 0 || !r.Renewed {
		t.Errorf("%d segments followed, renewed %v:\n%s\nnot\n%s", r.Followed, r.Renewed, got, w.at(w.s.LastChange()))
	}
	s.Store(nil)
	if err := errors.Join(w.s.Check(), w.s.Close()); err != nil {
		t.Fatal(err)
	}
	w.s = mailboxtest.OpenStore(t, filepath.Join(w.dir, "store"))
	s.Store(w.s)
	for range 20 {
		w.step()
	}
	w.arrived(to, w.s, shipped)
	if err := stop(); err != nil {
		t.Error(err)
	}
	dir = t.TempDir()
	restore(t, to, RestoreOptions{Dir: dir})
	if got, _ := contents(t, dir, w.account); got != w.at(w.s.LastChange()) {
		t.Errorf("after a restart:\n%s\nnot\n%s", got, w.at(w.s.LastChange()))
	}
	if _, err := Restore(t.Context(), to, RestoreOptions{Dir: t.TempDir(), KeepValidity: true}); !errors.Is(err, ErrNotComplete) {
		t.Errorf("%v", err)
	}
	// An ordinary backup goes on from there.
	w.backup(to, Options{})
	if v, err := Verify(t.Context(), to, "", nil); err != nil || len(v.Problems) > 0 || v.Followed > 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestFollowKilledAnywhere: following is ended at its changes of the folder.
// What arrived is a beginning of what was written, whole as far as it goes.
func TestFollowKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, after := range []int{1, 2, 3, 4, 5, 6, 7, 9, 12} {
		w := newWorld(t, 22)
		to := t.TempDir()
		var began, killed atomic.Bool
		steps := 0
		ctx, cancel := context.WithCancel(t.Context())
		err := Follow(ctx, to, Following{
			Snapshot: func(ctx context.Context) (Source, func(), error) { return w.source(), func() {}, nil },
			Log: func(context.Context) ([]mailbox.LogSegment, error) {
				w.deliver("INBOX", 100<<10)
				w.deliver("INBOX", 1<<10)
				return w.s.Log(), nil
			},
			Store: filepath.Join(w.dir, "store"),
			Every: time.Millisecond,
			Begun: func(Report) { began.Store(true) },
		}, Options{step: func() error {
			if !began.Load() {
				return nil
			}
			if steps++; steps > after {
				killed.Store(true)
				return errKilled
			}
			return nil
		}})
		cancel()
		if !errors.Is(err, errKilled) || !killed.Load() {
			t.Fatalf("after %d changes: %v", after, err)
		}
		dir := t.TempDir()
		restore(t, to, RestoreOptions{Dir: dir})
		got, _ := contents(t, dir, w.account)
		found := false
		for lsn := w.s.LastChange(); lsn > 0 && !found; lsn-- {
			found = got == w.at(lsn)
		}
		if !found {
			t.Errorf("after %d changes:\n%s\nwas never", after, got)
		}
	}
}

// lastRecord is the last record of a segment's file.
func lastRecord(name string) (last mailbox.ModSeq, err error) {
	number, ok := log.ParseSegmentName(filepath.Base(name))
	if !ok {
		return 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 { // just made
		return 0, err
	}
	_, err = log.ReadSegment(f, number, 0, info.Size(), func(r log.Record) error {
		last = mailbox.ModSeq(r.LSN)
		return nil
	})
	return last, err
}
