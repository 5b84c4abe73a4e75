package log

import "time"

const (
	// zeroStep is how many zeros are handed to the device at once, in bytes: what
	// a writer's flush may have to wait behind.
	zeroStep = 1 << 20

	// zeroLead is how many bytes of zeros may be written for each byte of
	// records: a spare is complete when half of a segment is used.
	zeroLead = 2

	// zeroIdle is how long no record must have come for the disk to be taken
	// for idle. Then a spare gets one step more.
	zeroIdle = 100 * time.Millisecond
)

var zeros [zeroStep]byte

// writeZeros really writes the blocks of f, step by step. Steps are not flushed,
// only handed to the device: each flush would be one more that records wait for,
// and a second one for the file system's journal. Who calls it syncs the file.
func (l *Log) writeZeros(f File) error {
	began := l.bytesWritten()
	for off := int64(0); off < l.segmentSize; off += zeroStep {
		if err := l.awaitZeros(began, off); err != nil {
			return err
		}
		n := min(zeroStep, l.segmentSize-off)
		if err := f.Writev([][]byte{zeros[:n]}, off); err != nil {
			return err
		}
		if err := f.WriteBack(off, n); err != nil {
			return err
		}
	}
	return nil
}

// awaitZeros waits until a spare that has done bytes of zeros may have more:
// always while no other one is ready, else as records use the current segment
// up, counted from when began bytes of them were written, and while none come.
func (l *Log) awaitZeros(began, done int64) error {
	for {
		may, written := l.mayZero(began, done)
		if may {
			return nil
		}
		select {
		case <-l.stop:
			return ErrClosed
		case <-l.pace:
		case <-time.After(zeroIdle):
			if l.bytesWritten() == written {
				return nil
			}
		}
	}
}

// mayZero says whether a spare may have more zeros now, and has awaitZeros
// woken when records have used up what makes it so. It returns the
// bytes of records that are written.
func (l *Log) mayZero(began, done int64) (may bool, written int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) == 0 || done <= zeroLead*(l.written-began) {
		return true, l.written
	}
	l.zeroAt = began + (done+zeroLead-1)/zeroLead
	return false, l.written
}

// bytesWritten is how many bytes of records were written since the log was opened.
func (l *Log) bytesWritten() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written
}

// wrote counts n bytes of records that are on disk. l.mu is held.
func (l *Log) wrote(n int64) {
	l.written += n
	l.queued -= n
	if l.zeroAt > 0 && l.written >= l.zeroAt {
		l.zeroAt = 0
		l.quicken()
	}
}

// quicken has awaitZeros look again.
func (l *Log) quicken() {
	select {
	case l.pace <- struct{}{}:
	default:
	}
}
