package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// checkFiles verifies that cleaning took neither too much nor too little: every
// body that somebody holds has its segment or file, and no forgotten one an index.
func (s *Store) checkFiles() error {
	segments := make(map[uint32]bool)
	for _, info := range s.log.Segments() {
		segments[info.Number] = true
	}
	files := make(map[BodyID]bool)
	bigs, err := s.log.Bigs()
	if err != nil {
		return err
	}
	for _, id := range bigs {
		files[BodyID(id)] = true
	}
	known := make(map[BodyID]bool)
	var last lastIDs
	var errs []error
	err = s.disk.eachBody(func(tx *bbolt.Tx) { last, err = readLast(tx) }, func(b *storedBody) {
		known[b.ID] = true
		there := segments[b.Place.Segment]
		if b.Place.Big {
			there = there && files[b.ID]
		}
		if b.Refs > 0 && !there && len(errs) < maxProblems {
			errs = append(errs, fmt.Errorf("body %d is held, and what it was in is gone", b.ID))
		}
	})
	return errors.Join(append(errs, err, s.checkIndexed(known, last.Body), s.checkSearch(known, last.Body))...)
}

// checkIndexed verifies that derived.db has no index of a body up to last that
// is not known. A larger one may be of a record that is lost.
func (s *Store) checkIndexed(known map[BodyID]bool, last BodyID) error {
	var errs []error
	err := s.disk.derived.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketIndexes).ForEach(func(key, _ []byte) error {
			id := BodyID(binary.BigEndian.Uint64(key))
			if id <= last && !known[id] && len(errs) < maxProblems {
				errs = append(errs, fmt.Errorf("%s has an index of body %d, which is forgotten", derivedFile, id))
			}
			return nil
		})
	})
	return errors.Join(append(errs, err)...)
}
