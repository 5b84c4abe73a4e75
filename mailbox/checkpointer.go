package mailbox

import (
	"path/filepath"
	"time"
)

// checkpointFolder is the folder of checkpoints within the store's.
const checkpointFolder = "checkpoints"

// When a checkpoint is due: a rebuild reads the log behind the newest one, so
// their distance is what a rebuild takes.
const (
	checkpointBytes = 256 << 20 // of log
	checkpointEvery = 24 * time.Hour
)

// checkpointer decides when a checkpoint is due.
type checkpointer struct {
	bytes  int64     // of log, behind the last one
	last   time.Time // when that was made
	making bool
	done   chan struct{} // of the one being made
}

// begin finds out how old the newest checkpoint is. Names in the folder are
// made durable: a process that was killed behind the renaming of one left a
// checkpoint that a power cut may take away, and cleaning counts on two.
func (c *checkpointer) begin(s *Store) error {
	c.done = make(chan struct{}, 1)
	dir := filepath.Join(s.dir, checkpointFolder)
	stored, err := s.files.checkpoints(dir)
	if err != nil {
		return err
	}
	var newest storedCheckpoint
	c.last = s.now()
	if len(stored) > 0 {
		if err := s.files.SyncDir(dir); err != nil {
			return err
		}
		newest = stored[0]
		if at, err := s.files.Modified(newest.path); err == nil {
			c.last = at
		}
	}
	for _, segment := range s.log.Segments() {
		if segment.Last > newest.lsn {
			c.bytes += segment.Size
		}
	}
	return nil
}

// due reports whether it is time, written bytes after it was asked last.
func (c *checkpointer) due(now time.Time, written int64) bool {
	select {
	case <-c.done:
		c.making = false
	default:
	}
	c.bytes += written
	if c.making || c.bytes == 0 {
		return false
	}
	return c.bytes >= checkpointBytes || now.Sub(c.last) >= checkpointEvery
}

// checkpointIfDue makes a checkpoint, beside the applier's work, when it is
// time. Only the applier's goroutine calls it.
func (s *Store) checkpointIfDue() {
	c := &s.checkpointer
	if !c.due(s.now(), s.written.Swap(0)) {
		return
	}
	c.making, c.bytes, c.last = true, 0, s.now()
	s.applier.work.Go(func() {
		if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
			s.logger.Error("no checkpoint could be made", "err", err)
		}
		c.done <- struct{}{}
	})
}
