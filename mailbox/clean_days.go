package mailbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"mailstead/mailbox/log"
)

// A body's death is known by its LSN. Marks, one a day while something is dead,
// say what the time was at an LSN.

const (
	cleanRoom = "cleaning"
	marksKey  = "days"

	markEvery = 24 * time.Hour

	// deadAtMost is how long a body may lie dead in a segment that is not worth
	// cleaning: with a day for the mark, the move, and the checkpoints, it is off
	// the disk well within 30 days.
	deadAtMost = 21 * 24 * time.Hour

	// marksKept is as many as there can be before one is deadAtMost old, and some.
	marksKept = 32
)

// dayMark says that everything up to an LSN was written before a time.
type dayMark struct {
	at  int64 // Unix seconds
	lsn log.LSN
}

// overdueLSN is the LSN up to which a death was deadAtMost ago; 0 for none. It
// makes the day's mark.
func (s *Store) overdueLSN(ctx context.Context, v *survey) (log.LSN, error) {
	if v.dead == 0 {
		return 0, nil
	}
	value, _, err := s.Room(cleanRoom).Get(marksKey)
	if err != nil {
		return 0, err
	}
	now := s.now().Unix()
	marks := decodeMarks(value, now)
	var overdue log.LSN
	for _, m := range marks {
		if now-m.at >= int64(deadAtMost/time.Second) {
			overdue = m.lsn
		}
	}
	if n := len(marks); n > 0 && now-marks[n-1].at < int64(markEvery/time.Second) {
		return overdue, nil
	}
	marks = append(marks, dayMark{at: now, lsn: v.applied})
	marks = marks[max(0, len(marks)-marksKept):]
	err = s.Change(ctx, RoomChange{Room: cleanRoom, Key: marksKey, Value: appendMarks(nil, marks)})
	if err != nil {
		return 0, fmt.Errorf("cleaning: %w", err)
	}
	return overdue, nil
}

func appendMarks(dst []byte, marks []dayMark) []byte {
	for _, m := range marks {
		dst = binary.AppendVarint(dst, m.at)
		dst = binary.AppendUvarint(dst, uint64(m.lsn))
	}
	return dst
}

// decodeMarks leaves out what a clock made that was ahead.
func decodeMarks(value []byte, now int64) (marks []dayMark) {
	r := fieldReader{rest: value}
	for len(r.rest) > 0 {
		m := dayMark{at: r.int64(), lsn: log.LSN(r.uint64())}
		if !r.bad && m.at <= now {
			marks = append(marks, m)
		}
	}
	return marks
}
