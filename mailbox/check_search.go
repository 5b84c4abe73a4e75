package mailbox

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/search"
)

// checkSearch verifies that every block of the search index is whole, that memory and disk agree on which bodies are
// indexed, and that no body up to last is which is not known.
func (s *Store) checkSearch(known map[BodyID]bool, last BodyID) error {
	x := &s.search
	x.storing.Lock() // it stays as it is meanwhile, but for what comes to wait
	defer x.storing.Unlock()
	var errs []error
	err := s.disk.derived.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSearch).ForEach(func(key, value []byte) error {
			if _, ok := parseSearchKey(key); !ok {
				errs = append(errs, fmt.Errorf("%s: malformed key %x of the search index", derivedFile, key))
			}
			b, err := search.Open(value)
			if err == nil {
				err = b.Check()
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: block %x of the search index: %w", derivedFile, key, err))
			}
			return nil
		})
	})
	if err != nil || len(errs) > 0 {
		return errors.Join(append(errs, err)...)
	}
	stored, _, err := s.disk.searchKnown()
	if err != nil {
		return err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for block, list := range x.waiting {
		set := stored[block]
		for _, g := range list {
			_, i := blockOf(g.body)
			if set.Has(i) {
				errs = append(errs, fmt.Errorf("search index: body %d waits to be stored, and is", g.body))
			}
			set.Add(i)
		}
		stored[block] = set
	}
	for block, set := range stored {
		if inMemory := x.known[block]; inMemory == nil || *inMemory != set {
			errs = append(errs, fmt.Errorf("search index: block %d is known otherwise in memory", block))
		}
		for i := range search.BlockMessages {
			id := BodyID(block)*search.BlockMessages + BodyID(i)
			if set.Has(i) && id <= last && !known[id] && len(errs) < maxProblems {
				errs = append(errs, fmt.Errorf("%s has body %d in the search index, which is forgotten", derivedFile, id))
			}
		}
	}
	if len(x.known) != len(stored) {
		errs = append(errs, fmt.Errorf("search index: %d blocks in memory, %d on disk", len(x.known), len(stored)))
	}
	return errors.Join(errs...)
}
