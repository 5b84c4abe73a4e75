package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"mailstead/mailbox/search"
)

// The full-text index says which bodies may contain a text. It follows the log in the background, a little behind
// deliveries: bodies that it does not know yet, or does not know any more, may contain anything. Blocks of it are values of
// derived.db (searchindex_disk.go); the last bodies wait in memory until they are worth storing.

const (
	// maxUnindexed is how many bodies wait in memory before their grams are stored: a block's worth, some megabytes.
	maxUnindexed = search.BlockMessages
	// minStored is from how many bodies on they are stored when the store closes. Fewer are read again at the next
	// start, which takes less than a commit.
	minStored = search.SmallMessages
	// maxUnstoredChanges is how far the stored LSN may be behind: a start reads so many records again.
	maxUnstoredChanges = 50_000
)

// searchIndex is the state of the full-text index in memory.
type searchIndex struct {
	cancel context.CancelFunc // ends the background
	work   sync.WaitGroup     // the background
	wake   chan struct{}      // there is something to do that the log does not tell

	storing sync.Mutex // held while blocks are made and stored: one at a time
	builder search.Builder

	mu       sync.RWMutex
	known    map[uint64]*search.Set // the bodies that are indexed, by block
	waiting  map[uint64][]bodyGrams // those of them that are not stored, by block, ascending by body
	unstored int                    // how many those are
	at       ModSeq                 // up to where the log was read
	sweep    BodyID                 // all bodies from this one on are looked at whether they are indexed; 0 = none
	resets   int                    // how often the index was begun anew
	swept    chan struct{}          // closed when sweep becomes 0
}

// bodyGrams are the grams of a body that are not stored yet.
type bodyGrams struct {
	body  BodyID
	grams search.Grams
}

func (x *searchIndex) init() {
	x.cancel = func() {}
	x.wake = make(chan struct{}, 1)
	x.known = make(map[uint64]*search.Set)
	x.waiting = make(map[uint64][]bodyGrams)
	x.swept = make(chan struct{})
}

// blockOf says in which block a body is, and as which message of it.
func blockOf(id BodyID) (block uint64, i int) {
	return uint64(id) / search.BlockMessages, int(id % search.BlockMessages)
}

// knows reports whether a body is indexed.
func (x *searchIndex) knows(id BodyID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	block, i := blockOf(id)
	known := x.known[block]
	return known != nil && known.Has(i)
}

// add takes the grams of a body in, until they are stored.
func (x *searchIndex) add(id BodyID, grams search.Grams) {
	x.mu.Lock()
	defer x.mu.Unlock()
	block, i := blockOf(id)
	known := x.known[block]
	if known == nil {
		known = new(search.Set)
		x.known[block] = known
	}
	if known.Has(i) {
		return
	}
	known.Add(i)
	list := x.waiting[block]
	at, _ := slices.BinarySearchFunc(list, id, compareGrams)
	x.waiting[block] = slices.Insert(list, at, bodyGrams{id, grams})
	x.unstored++
}

func compareGrams(g bodyGrams, id BodyID) int { return cmp.Compare(g.body, id) }

// waits is how many bodies wait to be stored.
func (x *searchIndex) waits() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.unstored
}

// taken is what waits to be stored, by block.
func (x *searchIndex) taken() map[uint64][]bodyGrams {
	x.mu.RLock()
	defer x.mu.RUnlock()
	lists := make(map[uint64][]bodyGrams, len(x.waiting))
	for block, list := range x.waiting {
		lists[block] = slices.Clone(list)
	}
	return lists
}

// stored drops what waited and is stored now, and notes what blocks know.
func (x *searchIndex) stored(lists map[uint64][]bodyGrams, known map[uint64]search.Set) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for block, list := range lists {
		x.waiting[block] = slices.DeleteFunc(x.waiting[block], func(g bodyGrams) bool {
			_, found := slices.BinarySearchFunc(list, g.body, compareGrams)
			return found
		})
		x.unstored -= len(list)
		if len(x.waiting[block]) == 0 {
			delete(x.waiting, block)
		}
	}
	for block, s := range known {
		for _, g := range x.waiting[block] {
			_, i := blockOf(g.body)
			s.Add(i)
		}
		if x.known[block] = &s; s.Empty() {
			delete(x.known, block)
		}
	}
}

// drop forgets bodies that wait, and returns those that are stored, by block.
func (x *searchIndex) drop(ids []BodyID) map[uint64]search.Set {
	x.mu.Lock()
	defer x.mu.Unlock()
	stored := make(map[uint64]search.Set)
	for _, id := range ids {
		block, i := blockOf(id)
		known := x.known[block]
		if known == nil || !known.Has(i) {
			continue
		}
		known.Remove(i)
		list := x.waiting[block]
		if at, found := slices.BinarySearchFunc(list, id, compareGrams); found {
			x.waiting[block] = slices.Delete(slices.Clone(list), at, at+1)
			x.unstored--
			continue
		}
		s := stored[block]
		s.Add(i)
		stored[block] = s
	}
	return stored
}

// again has all bodies looked at, from the first on.
func (x *searchIndex) again() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sweep == 0 {
		x.swept = make(chan struct{})
	}
	x.sweep = 1
	x.resets++
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// position is up to where the index has followed.
func (x *searchIndex) position() (at ModSeq, sweep BodyID, resets int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.at, x.sweep, x.resets
}

// reached notes that the log was read up to at.
func (x *searchIndex) reached(at ModSeq) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at = at
}

// sweptTo notes that all bodies below next were looked at, unless looking began anew meanwhile. 0 is the end.
func (x *searchIndex) sweptTo(next BodyID, resets int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.resets != resets || x.sweep == 0 {
		return
	}
	if x.sweep = next; next == 0 {
		close(x.swept)
	}
}

// emptied drops blocks of which nothing is indexed any more.
func (x *searchIndex) emptied(blocks map[uint64]search.Set) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for block := range blocks {
		if known := x.known[block]; known != nil && known.Empty() {
			delete(x.known, block)
		}
	}
}

// loadSearch reads what is indexed, when the store opens.
func (s *Store) loadSearch() error {
	x := &s.search
	at, sweep, err := s.disk.searchPosition()
	if err != nil {
		return err
	}
	if at == 0 {
		at, sweep = ModSeq(s.disk.applied()), 1 // never followed: all bodies that are there
	}
	x.at, x.sweep = min(at, s.LastChange()), sweep
	if sweep == 0 {
		close(x.swept)
	}
	known, last, err := s.disk.searchKnown()
	if err != nil {
		return err
	}
	for block, set := range known {
		x.known[block] = &set
	}
	// A number that was given must not be given again, as with the other indexes.
	s.lastBody.Store(max(s.lastBody.Load(), uint64(last)))
	return nil
}

// forgetSearch takes bodies out of the index, on disk, too.
func (s *Store) forgetSearch(ids []BodyID) error {
	x := &s.search
	x.storing.Lock()
	defer x.storing.Unlock()
	drop := x.drop(ids)
	if len(drop) == 0 {
		return nil
	}
	w := searchWrite{s: s}
	for block, set := range drop {
		if err := w.rewrite(block, set); err != nil {
			return fmt.Errorf("taking bodies out of the search index: %w", err)
		}
	}
	if err := w.commit(); err != nil {
		return err
	}
	x.emptied(drop)
	return nil
}

// storeSearch stores what waits, and how far the index is.
func (s *Store) storeSearch() error {
	x := &s.search
	x.storing.Lock()
	defer x.storing.Unlock()
	at, sweep, _ := x.position() // before what waits: it may be more by then
	lists := x.taken()
	w := searchWrite{s: s, moves: true, at: at, sweep: sweep}
	for block, list := range lists {
		if err := w.add(block, list); err != nil {
			return fmt.Errorf("storing the search index: %w", err)
		}
	}
	if err := w.leftBehind(lists); err != nil {
		return fmt.Errorf("storing the search index: %w", err)
	}
	if err := w.commit(); err != nil {
		return err
	}
	x.stored(lists, w.known)
	return nil
}

// RebuildSearch makes the full-text index anew, while searches look at the messages themselves, and waits until it
// is whole. progress, which may be nil, is told now and then how many bodies there may be and how many of them were
// looked at. It goes on when ctx ends. ErrClosed, or ctx's error.
func (s *Store) RebuildSearch(ctx context.Context, progress func(done, total int64)) error {
	if err := s.resetSearch(); err != nil {
		return fmt.Errorf("making the search index anew: %w", err)
	}
	return s.awaitSearch(ctx, progress)
}

// resetSearch empties the index.
func (s *Store) resetSearch() error {
	x := &s.search
	x.storing.Lock()
	defer x.storing.Unlock()
	if err := s.disk.clearSearch(); err != nil {
		return err
	}
	x.mu.Lock()
	clear(x.known)
	clear(x.waiting)
	x.unstored = 0
	x.mu.Unlock()
	x.again()
	return nil
}
