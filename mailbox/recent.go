package mailbox

import (
	"maps"

	"mailstead/mailbox/log"
)

// told remembers that sessions were told of messages of b, to be recorded with
// the next commit. Nobody waits for that: after a crash, some messages are
// \Recent once more. The caller holds b.mu.
func (s *Store) told(b *box) {
	s.toldMu.Lock()
	defer s.toldMu.Unlock()
	s.toldBoxes[b] = struct{}{}
}

// recordTold writes one record of what sessions were told of.
func (s *Store) recordTold() {
	s.toldMu.Lock()
	boxes := s.toldBoxes
	s.toldBoxes = make(map[*box]struct{})
	s.toldMu.Unlock()
	if len(boxes) == 0 {
		return
	}
	promised := log.RecordSize(baseNeed+len(boxes)*rangeNeed, 0)
	if err := s.log.Reserve(promised, true); err != nil {
		s.toldMu.Lock() // it can wait until there is space
		maps.Copy(s.toldBoxes, boxes)
		s.toldMu.Unlock()
		return
	}
	used, _, err := s.number(new(record), func(d *decision) error {
		for b := range boxes {
			if b.pending.gone {
				continue
			}
			b.mu.RLock()
			below := b.told
			b.mu.RUnlock()
			d.ops = append(d.ops, opRecent{Mailbox: b.id, Below: below})
		}
		return nil
	})
	s.log.Release(promised - used)
	if err == nil {
		s.log.Kick()
	}
}
