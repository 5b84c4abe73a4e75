package mailbox

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/search"
)

// In the bucket of the full-text index a large block has the number of its first body divided by the bodies of a
// block, a small one that divided by the bodies of a small one. Small blocks are those of a large one that is not
// complete, or of bodies that came late.
var (
	bucketSearch = []byte("search")
	keySearched  = []byte("searched") // of meta: the LSN up to which the index has followed
	keySweep     = []byte("sweep")    // the body from which on some may not be indexed; missing = none
)

const (
	smallBlock     = 's'
	largeBlock     = 'l'
	smallPerLarge  = search.BlockMessages / search.SmallMessages
	searchKeyBytes = 9
)

// searchKey is the key of a block.
type searchKey struct {
	kind   byte
	number uint64
}

func (k searchKey) bytes() []byte { return binary.BigEndian.AppendUint64([]byte{k.kind}, k.number) }

// block is the large block that it is, or belongs to, and at is where its bodies begin there, in times 64.
func (k searchKey) block() (block uint64, at int) {
	if k.kind == largeBlock {
		return k.number, 0
	}
	return k.number / smallPerLarge, int(k.number % smallPerLarge)
}

func parseSearchKey(key []byte) (k searchKey, ok bool) {
	if len(key) != searchKeyBytes || key[0] != smallBlock && key[0] != largeBlock {
		return k, false
	}
	return searchKey{key[0], binary.BigEndian.Uint64(key[1:])}, true
}

// eachSearchBlock calls f with the stored blocks that a large one is made of: itself, and small ones. The value is
// valid during the transaction.
func eachSearchBlock(tx *bbolt.Tx, block uint64, f func(k searchKey, value []byte) error) error {
	b := tx.Bucket(bucketSearch)
	k := searchKey{largeBlock, block}
	if value := b.Get(k.bytes()); value != nil {
		if err := f(k, value); err != nil {
			return err
		}
	}
	c := b.Cursor()
	first := searchKey{smallBlock, block * smallPerLarge}
	for key, value := c.Seek(first.bytes()); key != nil; key, value = c.Next() {
		k, ok := parseSearchKey(key)
		if within, _ := k.block(); !ok || k.kind != smallBlock || within != block {
			return nil
		}
		if err := f(k, value); err != nil {
			return err
		}
	}
	return nil
}

// searchPosition is what storeSearch stored of how far the index is; 0 of an index that never followed.
func (d *disk) searchPosition() (at ModSeq, sweep BodyID, err error) {
	err = d.derived.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if v := meta.Get(keySearched); len(v) == 8 {
			at = ModSeq(binary.BigEndian.Uint64(v))
		}
		if v := meta.Get(keySweep); len(v) == 8 {
			sweep = BodyID(binary.BigEndian.Uint64(v))
		}
		return nil
	})
	return at, sweep, err
}

// searchKnown reads the heads of all blocks: which bodies are indexed, and the last of them. What cannot be opened is
// left for searches to find.
func (d *disk) searchKnown() (known map[uint64]search.Set, last BodyID, err error) {
	known = make(map[uint64]search.Set)
	err = d.derived.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSearch).ForEach(func(key, value []byte) error {
			k, ok := parseSearchKey(key)
			b, err := search.Open(value)
			if !ok || err != nil {
				return nil
			}
			block, at := k.block()
			s := known[block]
			placeKnown(&s, b, at)
			known[block] = s
			return nil
		})
	})
	for block, s := range known {
		for i := search.BlockMessages - 1; i >= 0; i-- {
			if s.Has(i) {
				last = max(last, BodyID(block*search.BlockMessages+uint64(i)))
				break
			}
		}
	}
	return known, last, err
}

// placeKnown adds the bodies that a block knows to those of the large one, in which it begins at so many times 64.
func placeKnown(to *search.Set, b search.Block, at int) {
	s := b.Known()
	placeSet(to, &s, at)
}

func placeSet(to, s *search.Set, at int) {
	for i := at; i < len(to); i++ {
		to[i] |= s[i-at]
	}
}

// judgeSearchBlock looks at the first block with a key from one on, and says what is wrong with it; nil is no block.
func (d *disk) judgeSearchBlock(from []byte) (key []byte, wrong, err error) {
	err = d.derived.View(func(tx *bbolt.Tx) error {
		k, value := tx.Bucket(bucketSearch).Cursor().Seek(from)
		if k == nil {
			return nil
		}
		key = bytes.Clone(k)
		b, err := search.Open(value)
		if err == nil {
			err = b.Check()
		}
		if _, ok := parseSearchKey(k); !ok {
			err = fmt.Errorf("%w: malformed key", search.ErrDamaged)
		}
		wrong = err
		return nil
	})
	return key, wrong, err
}

// dropSearchBlock removes a block, and has its bodies indexed again.
func (s *Store) dropSearchBlock(key []byte) error {
	x := &s.search
	x.storing.Lock()
	defer x.storing.Unlock()
	err := s.disk.derived.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bucketMeta).Put(keySweep, bodyKey(1)); err != nil {
			return err
		}
		s.disk.compacting.changes(bucketSearch, key)
		return tx.Bucket(bucketSearch).Delete(key)
	})
	if err != nil {
		return err
	}
	known, _, err := s.disk.searchKnown()
	if err != nil {
		return err
	}
	if k, ok := parseSearchKey(key); ok {
		block, _ := k.block()
		x.stored(nil, map[uint64]search.Set{block: known[block]})
	}
	x.again()
	return nil
}

// clearSearch removes all blocks, and has everything looked at anew.
func (d *disk) clearSearch() error {
	return d.derived.Update(func(tx *bbolt.Tx) error {
		d.compacting.cleared()
		if err := tx.DeleteBucket(bucketSearch); err != nil {
			return err
		}
		if _, err := tx.CreateBucket(bucketSearch); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Put(keySweep, bodyKey(1))
	})
}

// searchWrite is a change of blocks. The caller holds searchIndex.storing.
type searchWrite struct {
	s      *Store
	moves  bool // at and sweep are stored, too
	at     ModSeq
	sweep  BodyID
	values map[searchKey][]byte // nil deletes
	known  map[uint64]search.Set
}

func (w *searchWrite) put(k searchKey, value []byte) {
	if w.values == nil {
		w.values = make(map[searchKey][]byte)
	}
	w.values[k] = value
}

// knows notes what will be indexed of a block.
func (w *searchWrite) knows(block uint64, s *search.Set) {
	if w.known == nil {
		w.known = make(map[uint64]search.Set)
	}
	w.known[block] = *s
}

// complete reports whether all bodies of a block have come, but for those that were begun long ago.
func (w *searchWrite) complete(block uint64) bool {
	last, _ := blockOf(BodyID(w.s.lastBody.Load()))
	return block < last
}

// add adds bodies to a block. A complete one becomes one large block.
func (w *searchWrite) add(block uint64, list []bodyGrams) error {
	var fresh []search.Part // small ones
	x := &w.s.search
	for len(list) > 0 {
		number := uint64(list[0].body) / search.SmallMessages
		n := 0
		for ; n < len(list) && uint64(list[n].body)/search.SmallMessages == number; n++ {
			if _, err := w.s.place(list[n].body); err == nil { // else it was forgotten meanwhile
				x.builder.Add(int(list[n].body%search.SmallMessages), &list[n].grams)
			}
		}
		list = list[n:]
		b, err := search.Open(x.builder.Finish())
		if err != nil {
			return err
		}
		fresh = append(fresh, search.Part{Block: b, At: int(number % smallPerLarge)})
	}
	return w.join(block, fresh)
}

// leftBehind makes one block large whose small ones stayed when it was complete.
func (w *searchWrite) leftBehind(except map[uint64][]bodyGrams) error {
	var block uint64
	found := false
	err := w.s.disk.derived.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketSearch).Cursor()
		for key, _ := c.Seek([]byte{smallBlock}); key != nil && !found; key, _ = c.Next() {
			k, ok := parseSearchKey(key)
			if !ok {
				continue
			}
			block, _ = k.block()
			found = w.complete(block) && except[block] == nil
		}
		return nil
	})
	if err != nil || !found {
		return err
	}
	return w.join(block, nil)
}

// join makes fresh small blocks part of a block.
func (w *searchWrite) join(block uint64, fresh []search.Part) error {
	err := w.s.disk.derived.View(func(tx *bbolt.Tx) error {
		var parts []search.Part
		var keys []searchKey
		known := search.Set{}
		err := eachSearchBlock(tx, block, func(k searchKey, value []byte) error {
			b, err := w.open(k, value)
			if err != nil {
				return nil // it goes, and its bodies are looked at again
			}
			_, at := k.block()
			parts, keys = append(parts, search.Part{Block: b, At: at}), append(keys, k)
			placeKnown(&known, b, at)
			return nil
		})
		if err != nil {
			return err
		}
		for _, p := range fresh {
			placeKnown(&known, p.Block, p.At)
		}
		w.knows(block, &known)
		if w.complete(block) {
			for _, k := range keys {
				w.put(k, nil)
			}
			return w.merge(searchKey{largeBlock, block}, append(parts, fresh...))
		}
		return w.joinSmall(block, parts, keys, fresh)
	})
	return err
}

// joinSmall adds fresh small blocks to those that are stored.
func (w *searchWrite) joinSmall(block uint64, parts []search.Part, keys []searchKey, fresh []search.Part) error {
	for _, p := range fresh {
		k := searchKey{smallBlock, block*smallPerLarge + uint64(p.At)}
		same := []search.Part{{Block: p.Block}}
		for i := range keys {
			if keys[i] == k {
				same = append(same, search.Part{Block: parts[i].Block})
			}
		}
		if err := w.merge(k, same); err != nil {
			return err
		}
	}
	return nil
}

// merge makes a block of several.
func (w *searchWrite) merge(k searchKey, parts []search.Part) error {
	value, err := search.Merge(k.kind == largeBlock, parts)
	if err != nil {
		return fmt.Errorf("block %c%d: %w", k.kind, k.number, err)
	}
	w.put(k, value)
	return nil
}

// open opens a stored block, of which every octet has to be right. One that is damaged goes.
func (w *searchWrite) open(k searchKey, value []byte) (search.Block, error) {
	b, err := search.Open(value)
	if err == nil {
		err = b.Check()
	}
	if err != nil {
		w.s.logger.Warn("a block of the search index is damaged, and made again", "block", k.number, "err", err)
		w.put(k, nil)
		w.s.search.again()
		w.sweep = 1
	}
	return b, err
}

// rewrite takes bodies out of a block.
func (w *searchWrite) rewrite(block uint64, drop search.Set) error {
	return w.s.disk.derived.View(func(tx *bbolt.Tx) error {
		return eachSearchBlock(tx, block, func(k searchKey, value []byte) error {
			b, err := w.open(k, value)
			if err != nil {
				return nil
			}
			_, at := k.block()
			var mine search.Set
			copy(mine[:], drop[at:])
			known := b.Known()
			if known.And(&mine); known.Empty() {
				return nil
			}
			return w.merge(k, []search.Part{{Block: b, Drop: mine}})
		})
	})
}

// commit stores the change.
func (w *searchWrite) commit() error {
	if len(w.values) == 0 && !w.moves {
		return nil
	}
	err := w.s.disk.derived.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketSearch)
		for k, value := range w.values {
			w.s.disk.compacting.changes(bucketSearch, k.bytes())
			var err error
			if value == nil {
				err = b.Delete(k.bytes())
			} else {
				err = b.Put(k.bytes(), value)
			}
			if err != nil {
				return err
			}
		}
		if !w.moves {
			return nil
		}
		return w.putPosition(tx.Bucket(bucketMeta))
	})
	if err != nil {
		return fmt.Errorf("storing the search index in %s: %w", derivedFile, err)
	}
	return nil
}

func (w *searchWrite) putPosition(meta *bbolt.Bucket) error {
	if err := meta.Put(keySearched, bodyKey(BodyID(w.at))); err != nil {
		return err
	}
	if w.sweep == 0 {
		return meta.Delete(keySweep)
	}
	return meta.Put(keySweep, bodyKey(w.sweep))
}
