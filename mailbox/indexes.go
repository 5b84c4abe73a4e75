package mailbox

import (
	"errors"
	"fmt"

	"mailstead/mailbox/message"
)

// errMissing ends a look-up at a message whose index has to be made again.
var errMissing = errors.New("mailbox: no stored index")

// Indexes calls f with the stored index of each message, in order. The View is
// valid during the call only, and f must not block: a database transaction is
// open. An index that is missing is made again from the body. ErrDamaged,
// ErrGone, or f's error, which ends it.
func (s *Store) Indexes(msgs []Message, f func(i int, v message.View) error) error {
	bodies := make([]BodyID, len(msgs))
	for i := range msgs {
		bodies[i] = msgs[i].Body
	}
	show := func(i int, value []byte) error {
		view, err := message.Open(value)
		if err != nil {
			return errMissing // made by an older version, or damaged
		}
		return f(i, view)
	}
	for done := 0; done < len(bodies); {
		n, err := s.showIndexes(bodies, done, show)
		done += n
		if !errors.Is(err, errMissing) {
			if err != nil {
				return err
			}
			continue
		}
		value, err := s.remakeIndex(bodies[done])
		if err != nil {
			return err
		}
		if err := show(done, value); err != nil {
			return err
		}
		done++
	}
	return nil
}

// showIndexes shows some of the indexes from bodies[from] on and returns how
// many. errMissing comes for the one behind them.
func (s *Store) showIndexes(bodies []BodyID, from int, show func(int, []byte) error) (n int, err error) {
	if value, ok := s.overlay.index(bodies[from]); ok {
		if err := show(from, value); err != nil {
			return 0, err
		}
		return 1, nil
	}
	stored := 1 + s.overlay.lacksIndexes(bodies[from+1:])
	err = s.disk.indexes(bodies[from:from+stored], func(i int, value []byte) error {
		if value == nil {
			return errMissing
		}
		if err := show(from+i, value); err != nil {
			return err
		}
		n++
		return nil
	})
	return n, err
}

// remakeIndex reads a body through the indexer.
func (s *Store) remakeIndex(id BodyID) ([]byte, error) {
	if value, ok := s.overlay.index(id); ok {
		return value, nil // made meanwhile
	}
	b, err := s.OpenBody(id)
	if err != nil {
		return nil, fmt.Errorf("indexing body %d: %w", id, err)
	}
	defer b.Close()
	x := indexers.Get().(*message.Indexer)
	defer indexers.Put(x)
	x.Reset()
	if _, err := b.WriteTo(x); err != nil {
		return nil, fmt.Errorf("indexing body %d: %w", id, err)
	}
	value := storedIndex(x.Finish())
	if _, err := s.place(id); err == nil { // else it was forgotten meanwhile, and its index with it
		s.overlay.remade(id, value)
	}
	return value, nil
}
