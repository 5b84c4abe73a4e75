package mailbox

import (
	"errors"

	"mailstead/mailbox/log"
)

// Bodies are the bodies of several messages, looked up together: a download of many
// small messages would else spend half its time on finding each. It may be used again.
type Bodies struct {
	s      *Store
	ids    []BodyID
	places []log.Place // the zero Place for a body that was not found
	absent []BodyID    // from the overlay
	where  []int       // their places in ids
}

// LocateBodies finds out where the bodies of msgs are.
func (s *Store) LocateBodies(msgs []Message, b *Bodies) error {
	*b = Bodies{s: s, ids: b.ids[:0], places: b.places[:0], absent: b.absent[:0], where: b.where[:0]}
	for i := range msgs {
		id := msgs[i].Body
		place, ok := s.overlay.place(id)
		if !ok {
			b.absent, b.where = append(b.absent, id), append(b.where, i)
		}
		b.ids, b.places = append(b.ids, id), append(b.places, place)
	}
	if len(b.absent) == 0 {
		return nil
	}
	return s.disk.places(b.absent, func(i int, p log.Place, ok bool) {
		if ok {
			b.places[b.where[i]] = p
		}
	})
}

// Open opens the body of the message with index i, as OpenBody does. It may be called
// concurrently, and long after the bodies were looked up. A body that is at least 600
// bytes shorter than buf is read into it at once, which saves a system call; buf is the
// Body's until its last use, and may be nil. ErrDamaged, ErrGone.
func (b *Bodies) Open(i int, buf []byte) (*Body, error) {
	if err := b.s.fence.check(b.ids[i]); err != nil {
		return nil, err
	}
	if place := b.places[i]; place != (log.Place{}) {
		body, err := b.s.log.BodyIn(buf, place, log.BodyID(b.ids[i]))
		if err == nil {
			return &Body{body}, nil
		}
		if !errors.Is(err, log.ErrGone) {
			return nil, bodyError(err)
		}
	}
	return b.s.OpenBody(b.ids[i]) // moved meanwhile, or not known
}
