package mailbox

import (
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/search"
)

// TextFilter says which messages cannot contain certain texts. It may be used concurrently, and is made for one search:
// what it says of a message stays true, but it keeps what it has found.
type TextFilter struct {
	s     *Store
	texts [][]search.Needle
	found []atomic.Pointer[[]search.Set] // by block: for each text, what may contain it

	mu sync.Mutex // held while a block is looked at
}

// TextFilter returns one for several texts. Each is in a message when one of its needles is: the same text in
// different scopes. There may be a hundred texts or so; each takes 128 octets for a thousand messages of the store.
func (s *Store) TextFilter(texts [][]search.Needle) *TextFilter {
	last, _ := blockOf(BodyID(s.lastBody.Load()))
	return &TextFilter{s: s, texts: texts, found: make([]atomic.Pointer[[]search.Set], last+1)}
}

// MayContain reports false for a message that does not contain a text, given by its place in the list. One that may
// contain it has to be looked at. It can read from the disk.
func (f *TextFilter) MayContain(text int, id BodyID) bool {
	block, i := blockOf(id)
	if block >= uint64(len(f.found)) {
		return true // it came later
	}
	sets := f.found[block].Load()
	if sets == nil {
		sets = f.look(block)
	}
	return (*sets)[text].Has(i)
}

// Select appends to dst the indexes of those bodies that may contain all of some texts, given by their places in the
// list. It says what MayContain does, at a few nanoseconds for each body where their numbers ascend.
func (f *TextFilter) Select(dst []int, texts []int, bodies []BodyID) []int {
	var may search.Set // of the block under way
	block, known := uint64(0), false
	for n, id := range bodies {
		b, i := blockOf(id)
		if !known || b != block {
			block, known = b, true
			may = f.ofBlock(block, texts)
		}
		if may.Has(i) {
			dst = append(dst, n)
		}
	}
	return dst
}

// ofBlock returns which messages of a block may contain all of some texts.
func (f *TextFilter) ofBlock(block uint64, texts []int) (may search.Set) {
	for i := range may {
		may[i] = ^uint64(0)
	}
	if block >= uint64(len(f.found)) {
		return may // they came later
	}
	sets := f.found[block].Load()
	if sets == nil {
		sets = f.look(block)
	}
	for _, text := range texts {
		may.And(&(*sets)[text])
	}
	return may
}

// Texts is how many texts there are.
func (f *TextFilter) Texts() int { return len(f.texts) }

// Weigh returns for each text how many messages may contain it, among those that came
// with the given ones: some thousand for each. It can read from the disk.
func (f *TextFilter) Weigh(sample []BodyID) []int {
	counts := make([]int, len(f.texts))
	seen := make(map[uint64]bool)
	for _, id := range sample {
		block, _ := blockOf(id)
		if seen[block] || block >= uint64(len(f.found)) {
			continue
		}
		seen[block] = true
		sets := f.found[block].Load()
		if sets == nil {
			sets = f.look(block)
		}
		for i := range *sets {
			counts[i] += (*sets)[i].Len()
		}
	}
	return counts
}

// look asks the index about all messages of a block.
func (f *TextFilter) look(block uint64) *[]search.Set {
	f.mu.Lock()
	defer f.mu.Unlock()
	if sets := f.found[block].Load(); sets != nil {
		return sets
	}
	sets := make([]search.Set, len(f.texts))
	known := f.waiting(block, sets) // first: what is stored meanwhile is found on disk, too
	if err := f.stored(block, sets, &known); err != nil {
		f.s.logger.Warn("the search index cannot be read; the messages are", "block", block, "err", err)
		known = search.Set{}
	}
	for i := range sets {
		for j := range known {
			sets[i][j] |= ^known[j]
		}
	}
	f.found[block].Store(&sets)
	return &sets
}

// waiting looks at the bodies of a block that are not stored, and returns which those are.
func (f *TextFilter) waiting(block uint64, sets []search.Set) (known search.Set) {
	x := &f.s.search
	x.mu.RLock()
	defer x.mu.RUnlock()
	for i := range x.waiting[block] {
		g := &x.waiting[block][i]
		_, at := blockOf(g.body)
		known.Add(at)
		for j, needles := range f.texts {
			for k := range needles {
				if needles[k].In(&g.grams) {
					sets[j].Add(at)
				}
			}
		}
	}
	return known
}

// stored looks at what is stored of a block, and adds the bodies that it knows.
func (f *TextFilter) stored(block uint64, sets []search.Set, known *search.Set) error {
	return f.s.disk.derived.View(func(tx *bbolt.Tx) error {
		return eachSearchBlock(tx, block, func(k searchKey, value []byte) error {
			b, err := search.Open(value)
			if err != nil {
				return err
			}
			_, at := k.block()
			placeKnown(known, b, at)
			for j, needles := range f.texts {
				for i := range needles {
					found, err := b.Find(&needles[i])
					if err != nil {
						return err
					}
					placeSet(&sets[j], &found, at)
				}
			}
			return nil
		})
	})
}
