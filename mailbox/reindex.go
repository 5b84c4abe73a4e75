package mailbox

import (
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

// Indexes that a start finds missing are made while the store serves: readers
// make what they need sooner. While derived.db lacks some of all, its meta
// bucket says so by keyRemake, with the body from which on they may be missing.
var keyRemake = []byte("remake")

const (
	// reindexBatch is how many bodies are looked at before their indexes are
	// stored: some megabytes.
	reindexBatch = 1000
	// reindexTurn is how long indexes are made before as long a rest.
	reindexTurn = 20 * time.Millisecond
	reindexTell = 10 * time.Second
)

// remakeFrom is the body from which on indexes may be missing; 0 for none.
func (d *disk) remakeFrom() (from BodyID, err error) {
	err = d.derived.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bucketMeta).Get(keyRemake); len(v) == 8 {
			from = BodyID(binary.BigEndian.Uint64(v))
		}
		return nil
	})
	return from, err
}

// setRemake stores what remakeFrom returns.
func (d *disk) setRemake(from BodyID) error {
	return d.derived.Update(func(tx *bbolt.Tx) error {
		if from == 0 {
			return tx.Bucket(bucketMeta).Delete(keyRemake)
		}
		return tx.Bucket(bucketMeta).Put(keyRemake, bodyKey(from))
	})
}

// bodiesFrom returns so many referenced bodies, from one on.
func (d *disk) bodiesFrom(from BodyID, n int) (ids []BodyID, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		c := tableOf(tx, bucketBodies).Cursor()
		for key, value := c.Seek(bodyChunkOf(from).append(nil)); len(key) == 8 && len(ids) < n; key, value = c.Next() {
			r := bodyReader{number: bodyChunk(binary.BigEndian.Uint64(key)), fields: fieldReader{rest: value}}
			for r.next() {
				if r.body.ID >= from && r.body.Refs > 0 && !r.body.Lost {
					ids = append(ids, r.body.ID)
				}
			}
			if err := r.err(); err != nil {
				return err
			}
		}
		return nil
	})
	return ids, err
}

// expectIndexes notes what derived.db lacks: everything, when it was just made, or,
// after a crash, the indexes that state.db was ahead of it.
func (s *Store) expectIndexes() error {
	from, err := s.disk.missingFrom()
	if err != nil || from == 0 {
		return err
	}
	if err := s.disk.setRemake(from); err != nil && !isFull(err) { // on a full disk readers make what they need
		return err
	}
	return nil
}

// missingFrom is the body from which on indexes may be missing that nobody has
// noted; 0 for none.
func (d *disk) missingFrom() (BodyID, error) {
	if d.appliedDerived() == 0 {
		return 1, nil
	}
	noted, err := d.remakeFrom()
	if err != nil {
		return 0, err
	}
	last, err := d.lastIndexed()
	if err != nil {
		return 0, err
	}
	ids, err := d.bodiesFrom(last+1, 1)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	from := BodyID(1)
	if last > receivedAtOnce {
		from = last - receivedAtOnce
	}
	if noted != 0 && noted <= from {
		return 0, nil
	}
	return from, nil
}

// receivedAtOnce is how many bodies may have an id below that of one that was
// indexed before them: ids are given when a message begins.
const receivedAtOnce = 1000

// reindex makes the indexes that derived.db lacks: of the bodies that replaying
// the log brought, and, where the file was made anew, of all.
func (s *Store) reindex(replayed []BodyID) {
	r := reindexing{s: s, began: time.Now()}
	r.worked, r.told = r.began, r.began
	err := r.all(replayed)
	switch {
	case errors.Is(err, ErrClosed):
	case err != nil:
		s.logger.Warn("making indexes again was given up; readers make what they need", "err", err)
	case r.made > reindexBatch:
		s.logger.Info("indexes of messages were made again", "messages", r.made, "took", time.Since(r.began))
	}
}

// reindexing is one run of reindex.
type reindexing struct {
	s            *Store
	made         int
	began        time.Time
	worked, told time.Time
}

func (r *reindexing) all(replayed []BodyID) error {
	for len(replayed) > 0 {
		n := min(len(replayed), reindexBatch)
		if err := r.batch(replayed[:n]); err != nil {
			return err
		}
		if err := r.store(nil); err != nil {
			return err
		}
		replayed = replayed[n:]
	}
	from, err := r.s.disk.remakeFrom()
	for err == nil && from != 0 {
		from, err = r.next(from)
	}
	return err
}

// next makes the indexes of some bodies from one on, and returns where to go
// on; 0 at the end.
func (r *reindexing) next(from BodyID) (BodyID, error) {
	ids, err := r.s.disk.bodiesFrom(from, reindexBatch)
	if err != nil {
		return 0, err
	}
	if err := r.batch(ids); err != nil {
		return 0, err
	}
	next := BodyID(0)
	if len(ids) > 0 {
		next = ids[len(ids)-1] + 1
	}
	return next, r.store(func() error { return r.s.disk.setRemake(next) })
}

// store commits what was made, and then what done says of it.
func (r *reindexing) store(done func() error) error {
	r.s.applier.commit.Lock()
	defer r.s.applier.commit.Unlock()
	if err := r.s.applyDerived(); err != nil || done == nil {
		return err
	}
	return done()
}

// batch makes the missing indexes of bodies. Where one cannot be made, the
// reader of the message will be told why.
func (r *reindexing) batch(ids []BodyID) error {
	var missing []BodyID
	err := r.s.disk.indexes(ids, func(i int, value []byte) error {
		if value == nil {
			missing = append(missing, ids[i])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range missing {
		if _, err := r.s.remakeIndex(id); err != nil && !errors.Is(err, ErrGone) {
			r.s.logger.Error("indexing after a restart", "err", err)
		}
		r.made++
		if err := r.rest(); err != nil {
			return err
		}
	}
	return nil
}

// rest leaves half of the time to others. ErrClosed when the store closes.
func (r *reindexing) rest() error {
	pause := time.Since(r.worked)
	if pause < reindexTurn {
		return nil
	}
	if time.Since(r.told) >= reindexTell {
		r.told = time.Now()
		r.s.logger.Info("making indexes of messages again", "messages", r.made, "for", time.Since(r.began))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.s.applier.stop:
		return ErrClosed
	}
	r.worked = time.Now()
	return nil
}
