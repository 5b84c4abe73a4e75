package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"mailstead/mailbox/log"
)

var bucketIndexes = []byte("indexes")

// derivedSchema is the schema of derived.db. Its version is also that of how messages are
// read: it changes when an index, or a gram, of any message is another than before. One of
// another version is not brought up: the file is made anew.
func derivedSchema() schema {
	return schema{version: 5, buckets: [][]byte{bucketMeta, bucketIndexes, bucketSearch}, page: derivedPage}
}

// derivedPage is the page of derived.db in bytes: of indexes, most of which have 1 to
// 2 KB, two or three fill 4 KB badly, and a commit of one index writes whole pages.
const derivedPage = 8 << 10

// openDerived opens derived.db, and makes it anew where that fails for any
// reason but that somebody else has it open, or a full disk: nothing is lost with it.
func (f files) openDerived(path string, logger *slog.Logger) (*database, error) {
	if err := f.remove(filepath.Join(filepath.Dir(path), derivedTemp)); err != nil { // of a compaction that did not finish
		return nil, err
	}
	db, err := f.openSchema(path, derivedSchema())
	if err == nil || errors.Is(err, berrors.ErrTimeout) || isFull(err) {
		return db, err
	}
	logger.Warn("making the derived database anew", "file", path, "reason", err)
	if err := f.Remove(path); err != nil {
		return nil, fmt.Errorf("making %s anew: %w", path, err)
	}
	return f.openSchema(path, derivedSchema())
}

// derivedEntry is the index of a body, from storedIndex; a nil Value deletes it.
type derivedEntry struct {
	Body  BodyID
	Value []byte
}

func bodyKey(id BodyID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// applyDerived stores indexes in one synced transaction, with the LSN up to
// which all bodies have theirs. A smaller LSN than before changes only the
// entries: indexes made again on demand.
func (d *disk) applyDerived(entries []derivedEntry, lsn log.LSN) error {
	lsn = max(lsn, d.appliedDerived())
	err := d.derived.Update(func(tx *bbolt.Tx) error {
		b := tableOf(tx, bucketIndexes)
		b.bucket.FillPercent = 1 // body ids ascend
		for _, e := range entries {
			key := bodyKey(e.Body)
			d.compacting.changes(bucketIndexes, key)
			var err error
			if e.Value == nil {
				err = b.Delete(key)
			} else {
				err = b.PutIn(key, e.Value)
			}
			if err != nil {
				return err
			}
		}
		return putApplied(tx, lsn)
	})
	if err != nil {
		return fmt.Errorf("storing indexes in %s: %w", derivedFile, err)
	}
	d.lsnMade.Store(uint64(lsn))
	return nil
}

// indexes calls f with the stored index of each body, in the order asked for,
// nil where there is none, or one that was not what was stored when its seal was last looked at, see heldSeals. The value is
// valid during the call only, and must not be written to.
func (d *disk) indexes(bodies []BodyID, f func(i int, value []byte) error) error {
	return d.derived.View(func(tx *bbolt.Tx) error {
		t := tableOf(tx, bucketIndexes)
		now := time.Now()
		// A broken seal is no fault here: the index is made again.
		found := indexLookup{cursor: t.bucket.Cursor(), ahead: d.aheadDerived.begin(tx, now), at: nowhere}
		for from := 0; from < len(bodies); from += lookupSize {
			some := bodies[from:min(from+lookupSize, len(bodies))]
			found.lookUp(some)
			for i, id := range some {
				if err := f(from+i, d.index(t, id, found.values[i], now)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// index is the index of a body, whose stored value this is, nil unless its seal holds, or did lately.
func (d *disk) index(t table, id BodyID, stored []byte, now time.Time) []byte {
	if d.held.has(id, now) && len(stored) >= sealSize {
		n := len(stored) - sealSize
		return stored[:n:n]
	}
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(id))
	index, ok := t.unseal(key[:], stored)
	if ok {
		d.held.add(id, now)
	}
	return index
}

// lastIndexed is the largest body with an index; 0 for none. Where the end of
// the log was lost it is larger than any that state.db knows, and its number
// must not be given to another message, which would be shown with that index.
func (d *disk) lastIndexed() (id BodyID, err error) {
	err = d.derived.View(func(tx *bbolt.Tx) error {
		if key, _ := tx.Bucket(bucketIndexes).Cursor().Last(); len(key) == 8 {
			id = BodyID(binary.BigEndian.Uint64(key))
		}
		return nil
	})
	return id, err
}
