package mailbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mailstead/mailbox/log"
)

const (
	snapshotFolder = "snapshots" // within the store's: hard links do not lead to other file systems
	identityFile   = "id"        // names the store; a restored one gets another

	// snapshotAge is when a snapshot is given up even if somebody holds it.
	snapshotAge = 24 * time.Hour
	// snapshotGrace is how long a snapshot that nobody holds is left alone: whoever
	// asked for it is about to.
	snapshotGrace = time.Minute
	// sweepEvery is the time between two looks for snapshots that were left.
	sweepEvery = time.Hour
)

// Snapshot is a folder of hard links that together are the store as it was at
// one moment. Nothing in it changes. It is for copying, soon: it is removed a
// day later, and at a start when nobody holds it.
type Snapshot struct {
	Name       string         `json:"name"`
	Dir        string         `json:"dir"`
	Store      string         `json:"store"`      // the store's identity, which a restored one does not share
	Checkpoint ModSeq         `json:"checkpoint"` // the LSN that its copy of state.db is true for
	Last       ModSeq         `json:"last"`       // the last change in it
	Files      []SnapshotFile `json:"files"`
}

// SnapshotFile is a file of a snapshot. Name is relative, with slashes, and the
// same in any store's folder. Under a name a store has the same bytes always,
// as long as it has any.
type SnapshotFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // octets; what the file has behind them is not part of it
}

// snapshots is the state of making and removing them.
type snapshots struct {
	mu    sync.Mutex // one is made, or removed, at a time
	swept time.Time
}

// Snapshot makes one: a fresh checkpoint, all segments of the log up to now
// (the current one is sealed), and the files of large bodies. It costs no space
// but that of the checkpoint, and holds up nobody. ErrNoSpace.
func (s *Store) Snapshot(ctx context.Context) (Snapshot, error) {
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	defer s.keepFiles()()
	snap, err := s.snapshot(ctx)
	if err != nil {
		return Snapshot{}, fmt.Errorf("making a snapshot: %w", s.spaceError(errors.Join(err, os.RemoveAll(snap.Dir))))
	}
	return snap, nil
}

func (s *Store) snapshot(ctx context.Context) (snap Snapshot, err error) {
	if snap.Store, err = s.identity(); err != nil {
		return snap, err
	}
	snap.Name = s.now().UTC().Format("20060102T150405Z-") + rand.Text()[:8] // the clock may stand still
	snap.Dir = filepath.Join(s.dir, snapshotFolder, snap.Name)
	for _, dir := range []string{checkpointFolder, filepath.Join(logFolder, filepath.Dir(log.BigName(0)))} {
		if err := os.MkdirAll(filepath.Join(snap.Dir, dir), 0o700); err != nil {
			return snap, err
		}
	}
	if err := s.linkCheckpoint(&snap); err != nil {
		return snap, err
	}
	// Behind the checkpoint: so the log in the snapshot reaches at least as far.
	if err := s.log.Seal(); err != nil {
		return snap, err
	}
	if err := s.linkSegments(&snap); err != nil {
		return snap, err
	}
	if err := s.linkBigs(&snap); err != nil {
		return snap, err
	}
	// Segments last: whoever has one has the large bodies that it names.
	slices.SortStableFunc(snap.Files, func(a, b SnapshotFile) int {
		return cmp.Compare(isSegment(a.Name), isSegment(b.Name))
	})
	return snap, ctx.Err()
}

// isSegment is 1 for the name of a segment of the log.
func isSegment(name string) int {
	if _, ok := log.ParseSegmentName(filepath.Base(name)); ok {
		return 1
	}
	return 0
}

// link adds a file of the store to the snapshot. A size below 0 is the file's.
func (snap *Snapshot) link(dir, name string, size int64) error {
	to := filepath.Join(snap.Dir, filepath.FromSlash(name))
	if err := os.Link(filepath.Join(dir, filepath.FromSlash(name)), to); err != nil {
		return err
	}
	if size < 0 {
		info, err := os.Stat(to)
		if err != nil {
			return err
		}
		size = info.Size()
	}
	snap.Files = append(snap.Files, SnapshotFile{Name: name, Size: size})
	return nil
}

// linkCheckpoint makes a checkpoint of everything that is published.
func (s *Store) linkCheckpoint(snap *Snapshot) error {
	if err := s.apply(); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, checkpointFolder)
	if _, err := s.disk.checkpoint(dir); err != nil {
		return err
	}
	stored, err := s.files.checkpoints(dir)
	if err != nil {
		return err
	}
	if len(stored) == 0 {
		return fmt.Errorf("the checkpoint: %w", fs.ErrNotExist)
	}
	snap.Checkpoint, snap.Last = ModSeq(stored[0].lsn), ModSeq(stored[0].lsn)
	return snap.link(s.dir, checkpointFolder+"/"+filepath.Base(stored[0].path), -1)
}

// linkSegments takes the segments that are never written again. One that is
// just being cut has more behind its records; the size says where they end.
func (s *Store) linkSegments(snap *Snapshot) error {
	for _, info := range s.log.Segments() {
		if !info.Sealed {
			continue
		}
		if err := snap.link(s.dir, fmt.Sprintf("%s/%s", logFolder, log.SegmentName(info.Number)), info.Size); err != nil {
			return err
		}
		snap.Last = max(snap.Last, ModSeq(info.Last))
	}
	return nil
}

// linkBigs takes the large bodies that are named by a record. Others are still
// being written, and the snapshot does without them.
func (s *Store) linkBigs(snap *Snapshot) error {
	ids, err := s.log.Bigs()
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, err := s.place(BodyID(id))
		if errors.Is(err, ErrGone) {
			continue
		}
		if err == nil {
			err = snap.link(s.dir, fmt.Sprintf("%s/%s", logFolder, log.BigName(id)), -1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// identity names this store, for ever.
func (s *Store) identity() (string, error) {
	name := filepath.Join(s.dir, identityFile)
	text, err := os.ReadFile(name)
	if id := strings.TrimSpace(string(text)); err == nil && len(id) == identitySize {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := rand.Text()[:identitySize]
	temp := name + ".tmp"
	if err := writeSynced(temp, id+"\n"); err != nil {
		return "", err
	}
	if err := os.Rename(temp, name); err != nil {
		return "", err
	}
	return id, s.files.SyncDir(s.dir)
}

// identitySize is the length of a store's name: 80 bits of chance in base 32.
const identitySize = 16

func writeSynced(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Sync(), f.Close())
}

// HoldSnapshot keeps the snapshot in dir from being swept away, for a day at
// most, until it is closed or the process ends. Whoever copies it holds it.
func HoldSnapshot(dir string) (io.Closer, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("holding a snapshot: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("holding a snapshot: %w", err), f.Close())
	}
	return f, nil
}

// DropSnapshot removes a snapshot by its name, whoever holds it. One that is
// not there is no error.
func (s *Store) DropSnapshot(name string) error {
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	if strings.Trim(name, ".") == "" || strings.ContainsAny(name, `/\`) {
		return fmt.Errorf("removing a snapshot: %q is not the name of one", name)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, snapshotFolder, name)); err != nil {
		return fmt.Errorf("removing a snapshot: %w", err)
	}
	return nil
}

// sweepSnapshots removes what whoever made it left behind. It is asked often
// and looks every hour.
func (s *Store) sweepSnapshots() {
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	now := s.now()
	if now.Sub(s.snapshots.swept) < sweepEvery {
		return
	}
	s.snapshots.swept = now
	dir := filepath.Join(s.dir, snapshotFolder)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	for _, e := range entries {
		err = errors.Join(err, sweepSnapshot(filepath.Join(dir, e.Name()), now))
	}
	if err != nil {
		s.logger.Warn("removing old snapshots", "err", err)
	}
}

// sweepSnapshot removes one if it is nobody's any more.
func sweepSnapshot(dir string, now time.Time) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	age := now.Sub(info.ModTime())
	held := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
	if held && age < snapshotAge || age < snapshotGrace {
		return nil
	}
	return os.RemoveAll(dir)
}

// LogSegment is a segment of the log as far as it is durable.
type LogSegment struct {
	Number uint32 `json:"number"` // rises; never used twice
	Name   string `json:"name"`   // in the store's folder, with slashes
	Size   int64  `json:"size"`   // octets that are durable; what the file has behind them may change
}

// Log says how far the log is: its segments, in order.
func (s *Store) Log() []LogSegment {
	var list []LogSegment
	for _, info := range s.log.Segments() {
		list = append(list, LogSegment{Number: info.Number, Name: logFolder + "/" + log.SegmentName(info.Number), Size: info.Size})
	}
	return list
}
