package mailbox

import "context"

// Delivery is a message that has its place among all changes and is on its way to the
// disk: whoever brings many begins them one after the other, in their order, and waits
// for them later, so that one flush carries what came while the last one ran.
type Delivery struct {
	// Placed says for each target where its copy will be, or why it was refused on its own.
	Placed []Placed

	s    *Store
	rec  *record // nil when no target was left, and nothing is stored
	body *NewBody
}

// StartDelivery is Deliver without the wait for the disk: nothing may be promised to
// anybody, and nobody sees the message, before Wait has returned without an error. b
// belongs to the Delivery until then; where no target was left (Stored is false) it is
// still the caller's, to be delivered otherwise or aborted. Each Delivery must be waited
// for. ErrTooBig, ErrNoSpace, ErrClosed.
func (s *Store) StartDelivery(ctx context.Context, b *NewBody, targets []Target) (*Delivery, error) {
	if err := b.finish(); err != nil {
		return nil, err
	}
	v := &Delivery{s: s, Placed: make([]Placed, len(targets))}
	rec, before, err := s.begin(ctx, ordinary, deliverNeed(targets, nil), b, func(d *decision) error {
		d.deliverAll(targets, b, v.Placed)
		return nil
	})
	switch {
	case rec == nil:
		return v, s.await(before, err)
	case err != nil:
		return nil, s.finish(rec, err)
	}
	v.rec, v.body = rec, b
	return v, nil
}

// Stored reports whether any target takes the message.
func (v *Delivery) Stored() bool { return v.rec != nil }

// Wait returns when the message is on disk. An error means that the log has failed, and
// what is on disk is known only after the next start. A second Wait does nothing.
func (v *Delivery) Wait() error {
	if v.rec == nil {
		return nil
	}
	if err := v.s.finish(v.rec, nil); err != nil {
		return err
	}
	v.body.delivered()
	v.rec, v.body = nil, nil
	return nil
}
