package mailbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// bbolt joins pages only when they are a quarter full, and never makes its file
// shorter, so derived.db keeps most of the space of the indexes that went. When that
// is much, cleaning copies what is left into a new file, in small steps beside the
// work of others, and lets it take the place of the old one. Until it has its name
// nobody looks at it, and what is in it is what the old one has: a crash leaves one
// or the other.

const (
	derivedTemp = "derived.db.new"

	// compactShare is the part of derived.db that has to be unused before it is
	// written anew, so the file takes at most a third more than it needs, and a byte
	// that comes back costs three that are written.
	compactShare = 0.25

	// compactLeast is how many bytes have to be unused: less is not worth it.
	compactLeast = 4 << 20

	// compactAfter is how many bodies have to be forgotten before it is looked again.
	compactAfter = 1000

	// compactStep is how many bytes are copied before the disk is left to others.
	compactStep = 1 << 20

	// compactLast is how many keys may have changed behind the copy when it takes the
	// place of the file: for these others wait.
	compactLast = 256

	// compactChanged bounds the keys that change while it is copied: with more, it is given up.
	compactChanged = 1 << 20

	// compactSample is how many leaf pages are looked at to see how full they are.
	compactSample = 256
)

// errCompaction says that the copy is given up; the next one begins anew.
var errCompaction = errors.New("mailbox: too much of derived.db changed while it was copied")

// derivedKey is a key of one of the buckets of derived.db.
type derivedKey struct{ bucket, key string }

// compaction is a copy of derived.db under way.
type compaction struct {
	d       *disk
	to      *database
	changed map[derivedKey]struct{} // since they were copied, or before; under derived.writing
	void    bool                    // the whole bucket of the search index went, or too much changed
	copied  int64                   // bytes
}

// compacting is what transactions that write derived.db tell of the keys they change.
type compacting struct{ atomic.Pointer[compaction] }

// changes notes a key that the transaction under way changes.
func (c *compacting) changes(bucket, key []byte) {
	copying := c.Load()
	switch {
	case copying == nil:
	case len(copying.changed) >= compactChanged:
		copying.void = true
	default:
		copying.changed[derivedKey{string(bucket), string(key)}] = struct{}{}
	}
}

// cleared notes that a whole bucket changes.
func (c *compacting) cleared() {
	if copying := c.Load(); copying != nil {
		copying.void = true
	}
}

// compactIfWorth writes derived.db anew where it has much space that nothing uses.
// What goes wrong with it is no reason to end a round: the file is as it was.
func (r *cleaning) compactIfWorth() error {
	c := &r.s.cleaner
	if c.dropped += r.forgotten; c.dropped < c.compactAfter || r.low {
		return nil
	}
	c.dropped = 0
	length, used, err := r.s.disk.derivedUse()
	if err == nil && (length-used < c.compactLeast || float64(length-used) < compactShare*float64(length)) {
		return nil
	}
	if err == nil && r.s.log.HasSpace(used) == nil {
		began := time.Now()
		if err = r.compact(); err == nil {
			r.s.logger.Info("derived.db was written anew", "octets", length, "used", used, "took", time.Since(began).Round(time.Millisecond))
		}
	}
	if err != nil && r.ctx.Err() == nil {
		r.s.logger.Warn("derived.db was not written anew; trying again", "err", err)
		c.dropped = c.compactAfter
	}
	return r.ctx.Err()
}

// compact copies derived.db and replaces it.
func (r *cleaning) compact() error {
	d := r.s.disk
	temp := filepath.Join(d.dir, derivedTemp)
	if err := d.files.remove(temp); err != nil {
		return fmt.Errorf("writing %s anew: %w", derivedFile, err)
	}
	to, err := d.files.openSchema(temp, derivedSchema())
	if err != nil {
		return fmt.Errorf("writing %s anew: %w", derivedFile, err)
	}
	c := &compaction{d: d, to: to, changed: make(map[derivedKey]struct{})}
	d.derived.writing.Lock() // so that each transaction tells of all that it changes, or of nothing
	d.compacting.Store(c)
	d.derived.writing.Unlock()
	replaced, err := c.run(r.ctx, func(step cleaningStep) error { return r.rest(step, 0) }, r.step)
	d.compacting.Store(nil)
	if !replaced {
		err = errors.Join(err, to.Close(), d.files.remove(temp))
	}
	if err != nil {
		return fmt.Errorf("writing %s anew: %w", derivedFile, err)
	}
	return nil
}

// run copies, and says whether the copy has the place of derived.db.
func (c *compaction) run(ctx context.Context, rest func(cleaningStep) error, begin func() cleaningStep) (replaced bool, err error) {
	for _, bucket := range [][]byte{bucketIndexes, bucketSearch} {
		for from := []byte{}; from != nil; {
			step := begin()
			if from, err = c.copyFrom(bucket, from); err != nil {
				return false, err
			}
			if err := rest(step); err != nil {
				return false, err
			}
		}
	}
	for {
		step := begin()
		keys, err := c.take()
		if err != nil {
			return false, err
		}
		if err := c.again(keys); err != nil {
			return false, err
		}
		if len(keys) <= compactLast {
			return c.finish(ctx)
		}
		if err := rest(step); err != nil {
			return false, err
		}
	}
}

// pair is a key with its value; a nil value deletes it.
type pair struct {
	derivedKey
	value []byte
}

// copyFrom copies values of a bucket from a key on. It returns the key to go on with, nil for none.
func (c *compaction) copyFrom(bucket, from []byte) (next []byte, err error) {
	var list []pair
	err = c.d.derived.View(func(tx *bbolt.Tx) error {
		size := 0
		cursor := tx.Bucket(bucket).Cursor()
		for key, value := cursor.Seek(from); key != nil; key, value = cursor.Next() {
			if size >= compactStep {
				next = bytes.Clone(key)
				return nil
			}
			list = append(list, pair{derivedKey{string(bucket), string(key)}, bytes.Clone(value)})
			size += len(key) + len(value)
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return next, c.put(list)
}

// put stores pairs in the copy. Values are sealed, or not, as they were.
func (c *compaction) put(list []pair) error {
	if len(list) == 0 {
		return nil
	}
	return c.to.Update(func(tx *bbolt.Tx) error {
		for _, p := range list {
			b := tx.Bucket([]byte(p.bucket))
			b.FillPercent = 1 // keys ascend
			var err error
			if p.value == nil {
				err = b.Delete([]byte(p.key))
			} else {
				err = b.Put([]byte(p.key), p.value)
			}
			if err != nil {
				return err
			}
			c.copied += int64(len(p.key) + len(p.value))
		}
		return nil
	})
}

// take returns the keys that have changed, in order, and forgets them.
func (c *compaction) take() ([]derivedKey, error) {
	c.d.derived.writing.Lock()
	defer c.d.derived.writing.Unlock()
	return c.taken()
}

// taken is take for who holds derived.writing.
func (c *compaction) taken() (keys []derivedKey, err error) {
	if c.void {
		return nil, errCompaction
	}
	for k := range c.changed {
		keys = append(keys, k)
	}
	clear(c.changed)
	slices.SortFunc(keys, func(a, b derivedKey) int { return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.key, b.key)) })
	return keys, nil
}

// again copies keys as they are now.
func (c *compaction) again(keys []derivedKey) error {
	var list []pair
	err := c.d.derived.View(func(tx *bbolt.Tx) error {
		for _, k := range keys {
			list = append(list, pair{k, bytes.Clone(tx.Bucket([]byte(k.bucket)).Get([]byte(k.key)))})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.put(list)
}

// finish copies what is left while nobody writes, and puts the copy in the place of
// derived.db: everything in it is synced before it has the name, and the name before
// anything more is written to it.
func (c *compaction) finish(ctx context.Context) (replaced bool, err error) {
	d := c.d
	d.derived.writing.Lock()
	defer d.derived.writing.Unlock()
	keys, err := c.taken()
	if err == nil {
		err = errors.Join(c.again(keys), ctx.Err())
	}
	if err == nil {
		err = c.copyMeta()
	}
	if err == nil {
		err = d.files.Rename(filepath.Join(d.dir, derivedTemp), filepath.Join(d.dir, derivedFile))
	}
	if err != nil {
		return false, err
	}
	err = d.files.SyncDir(d.dir)
	err = errors.Join(err, d.derived.replace(c.to))
	d.held.forget() // the file is another
	return true, err
}

// copyMeta copies how far the database is. Others are kept from writing it.
func (c *compaction) copyMeta() error {
	var list []pair
	err := c.d.derived.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).ForEach(func(key, value []byte) error {
			list = append(list, pair{derivedKey{string(bucketMeta), string(key)}, bytes.Clone(value)})
			return nil
		})
	})
	if err != nil {
		return err
	}
	return c.put(list)
}

// derivedUse is the length of derived.db, and about how much of it is in use, both in bytes.
func (d *disk) derivedUse() (length, used int64, err error) {
	path := filepath.Join(d.dir, derivedFile)
	f, err := d.files.Open(path, false)
	if err != nil {
		return 0, 0, fmt.Errorf("looking at %s: %w", path, err)
	}
	defer f.Close()
	failed := d.derived.exclusive(func(*bbolt.Tx) { // else pages change meanwhile
		length, used, err = pagesInUse(f)
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, 0, fmt.Errorf("looking at %s: %w", path, err)
	}
	return length, used, nil
}

// sizedFile is a file as log.File has it.
type sizedFile interface {
	ReadAt(p []byte, off int64) (int, error)
	Size() (int64, error)
}

// pagesInUse reads the branch pages of a bbolt file and some of its leaves. It returns
// how long the file is as far as it has ever been used, and what the pages hold.
func pagesInUse(f sizedFile) (length, used int64, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, 0, err
	}
	w := &pageWalk{file: f, branches: true}
	root, _, err := w.meta(size)
	if err == nil {
		err = w.tree(root, 0)
	}
	if err != nil {
		return 0, 0, err
	}
	length = int64(w.end * w.size)
	for _, seen := range w.seen {
		if seen {
			used += int64(w.size)
		}
	}
	if len(w.leaves) == 0 {
		return length, used, nil
	}
	used -= int64(len(w.leaves)) * int64(w.size) // what they have is added instead
	step := max(1, len(w.leaves)/compactSample)
	var held, n int64
	for i := 0; i < len(w.leaves); i += step {
		h, err := w.held(w.leaves[i])
		if err != nil {
			return 0, 0, err
		}
		held, n = held+h, n+1
	}
	return length, used + held*int64(len(w.leaves))/n, nil
}

// held is how many bytes of a leaf page, and those it goes on over, are in use.
func (w *pageWalk) held(id uint64) (int64, error) {
	page := make([]byte, w.size)
	if _, err := w.file.ReadAt(page, int64(id*w.size)); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	count := int(le.Uint16(page[10:]))
	if count == 0 || pageHead+count*pageElement > len(page) {
		return pageHead, nil
	}
	at := pageHead + (count-1)*pageElement
	e := page[at:]
	return int64(at) + int64(le.Uint32(e[4:])) + int64(le.Uint32(e[8:])) + int64(le.Uint32(e[12:])), nil
}
