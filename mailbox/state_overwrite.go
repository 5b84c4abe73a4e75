package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// The pages that bbolt does not use keep what was in them. They are overwritten
// as bbolt itself would do it: by values that take them, and are deleted again.

const (
	// overwriteBatch is how much one transaction overwrites, in bytes.
	overwriteBatch = 8 << 20

	// overwriteMore is how much a transaction takes beyond those, in bytes: as much as
	// another one before it may have freed, so that none is left.
	overwriteMore = 128 << 10
)

// overwriteValue is the length in bytes of values of which two, the fewest that
// bbolt puts on one, fill a page.
func overwriteValue(pageSize int) int { return (pageSize-16)/2 - 32 }

var bucketOverwrite = []byte("overwriting")

// overwriteEvery is the time between two overwritings, if something was
// forgotten: names and previews of what is deleted are in free pages, too.
const overwriteEvery = 3 * 24 * time.Hour

const overwrittenKey = "overwritten"

// overwriteIfDue overwrites free pages when it is time.
func (r *cleaning) overwriteIfDue() error {
	s := r.s
	s.cleaner.stale = s.cleaner.stale || r.forgotten > 0
	if !s.cleaner.stale || r.low {
		return nil
	}
	value, _, err := s.Room(cleanRoom).Get(overwrittenKey)
	if err != nil {
		return err
	}
	now := s.now().Unix()
	was := (&fieldReader{rest: value}).int64() // 0 for never
	if was <= now && now-was < int64(overwriteEvery/time.Second) {
		return nil
	}
	if err := s.overwriteFree(r.ctx); err != nil {
		return err
	}
	s.cleaner.stale = false
	return s.Change(r.ctx, RoomChange{Room: cleanRoom, Key: overwrittenKey, Value: binary.AppendVarint(nil, now)})
}

// overwriteFree overwrites the free pages of both databases.
func (s *Store) overwriteFree(ctx context.Context) error {
	for _, db := range []*database{s.disk.state, s.disk.derived} {
		// A page that somebody still read in the first pass is free in the second.
		for range 2 {
			if err := overwriteFree(ctx, db, s.cleaner.rest); err != nil {
				return fmt.Errorf("overwriting free pages: %w", err)
			}
		}
	}
	return nil
}

func overwriteFree(ctx context.Context, db *database, rest int) error {
	free, size, err := freePages(db)
	next := uint64(0)
	for err == nil && free >= 0 {
		began := time.Now()
		batch := overwriteBatch / size
		n := min(free, batch) + overwriteMore/size
		err = db.Update(func(tx *bbolt.Tx) error { return putOverwriting(tx, &next, n) })
		free -= batch
		err = errors.Join(err, restFor(ctx, time.Duration(rest)*time.Since(began)))
	}
	return errors.Join(err, dropOverwriting(db))
}

// dropOverwriting deletes what an earlier run was overwriting with. An erasure
// that somebody has asked for meanwhile keeps its own.
func (s *Store) dropOverwriting() error {
	s.cleaner.mu.Lock()
	defer s.cleaner.mu.Unlock()
	return errors.Join(dropOverwriting(s.disk.state), dropOverwriting(s.disk.derived))
}

// dropOverwriting deletes what overwrote, if it is there.
func dropOverwriting(db *database) error {
	there := false
	err := db.View(func(tx *bbolt.Tx) error {
		there = tx.Bucket(bucketOverwrite) != nil
		return nil
	})
	if err != nil || !there {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketOverwrite) == nil {
			return nil // somebody else was quicker
		}
		return tx.DeleteBucket(bucketOverwrite)
	})
}

func putOverwriting(tx *bbolt.Tx, next *uint64, n int) error {
	b, err := tx.CreateBucketIfNotExists(bucketOverwrite)
	if err != nil {
		return err
	}
	b.FillPercent = 1
	zeros := make([]byte, overwriteValue(tx.DB().Info().PageSize))
	for range 2 * n {
		*next++
		if err := b.Put(binary.BigEndian.AppendUint64(nil, *next), zeros); err != nil {
			return err
		}
	}
	return nil
}

// freePages counts the pages that nothing uses, and says how many bytes one has.
func freePages(db *database) (n, size int, err error) {
	failed := db.exclusive(func(tx *bbolt.Tx) { // else the list of free pages may change meanwhile
		size = tx.DB().Info().PageSize
		for id := 2; ; id++ {
			p, failed := tx.Page(id)
			if failed != nil || p == nil {
				err = failed
				return
			}
			if p.Type == "free" {
				n++
			} else {
				id += p.OverflowCount
			}
		}
	})
	return n, size, errors.Join(err, failed)
}
