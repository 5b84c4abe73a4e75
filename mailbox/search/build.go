package search

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// SmallMessages is how many messages a small block is about: one that a Builder makes.
const SmallMessages = 64

// Builder makes small blocks. It belongs to one goroutine; the zero value is ready, and takes half a megabyte.
type Builder struct {
	sets            [Buckets]uint64
	known, anything uint64
}

// Add puts a message into the block, with its number among SmallMessages.
func (b *Builder) Add(i int, g *Grams) {
	bit := uint64(1) << i
	b.known |= bit
	if g.Anything {
		b.anything |= bit
	}
	for _, bucket := range g.Buckets {
		b.sets[bucket] |= bit
	}
}

// Finish returns the block, and is ready for the next one.
func (b *Builder) Finish() []byte {
	w := newWriter(1, Set{b.known}, Set{b.anything})
	for i := range groups {
		for bucket, members := range b.sets[i*groupBuckets:][:groupBuckets] {
			w.set(bucket, &Set{members})
		}
		w.endGroup(i)
	}
	*b = Builder{}
	return w.finish()
}

// Part is a block that becomes part of another one.
type Part struct {
	Block Block
	At    int // times 64 is where its messages begin in the new block
	Drop  Set // of its messages are not taken
}

// Merge makes one block of several: large ones of BlockMessages, small ones of SmallMessages. nil when no message is
// left. ErrDamaged.
func Merge(large bool, parts []Part) ([]byte, error) {
	words := 1
	if large {
		words = blockWords
	}
	var known, anything Set
	for i := range parts {
		p := &parts[i]
		if p.At+p.Block.words > words {
			return nil, ErrDamaged
		}
		s := p.Block.Known()
		p.put(&known, &s)
		s = p.Block.Anything()
		p.put(&anything, &s)
	}
	if known.Empty() {
		return nil, nil
	}
	w := newWriter(words, known, anything)
	m := merging{parts: parts, groups: make([]group, len(parts))}
	for i := range groups {
		if err := m.group(i, &w); err != nil {
			return nil, err
		}
	}
	return w.finish(), nil
}

// put adds what is taken of a set of the part.
func (p *Part) put(to, s *Set) {
	s.AndNot(&p.Drop)
	for i := range p.Block.words {
		to[p.At+i] |= s[i]
	}
}

// merging is one Merge.
type merging struct {
	parts  []Part
	groups []group // one of each part
}

func (m *merging) group(i int, w *writer) (err error) {
	used := uint64(0)
	for j := range m.parts {
		if m.groups[j], err = m.parts[j].Block.group(i); err != nil {
			return err
		}
		used |= m.groups[j].used
	}
	for ; used != 0; used &= used - 1 {
		bucket := bits.TrailingZeros64(used)
		var s Set
		for j := range m.parts {
			encoded := m.groups[j].set(bucket)
			if encoded == nil {
				continue
			}
			one, ok := decodeSet(encoded, m.parts[j].Block.words)
			if !ok {
				return ErrDamaged
			}
			m.parts[j].put(&s, &one)
		}
		w.set(bucket, &s)
	}
	w.endGroup(i)
	return nil
}

// writer encodes a block.
type writer struct {
	data  []byte
	words int
	table int // where it is in data

	used    uint64 // of the group under way
	lengths []byte
	sets    []byte
}

func newWriter(words int, known, anything Set) writer {
	w := writer{words: words, data: make([]byte, headerSize, 64<<10)}
	w.data[0], w.data[1] = blockVersion, byte(words)
	for _, s := range []Set{known, anything} {
		for i := range words {
			w.data = binary.LittleEndian.AppendUint64(w.data, s[i])
		}
	}
	w.table = len(w.data)
	w.data = append(w.data, make([]byte, 4*(groups+1))...)
	return w
}

// set adds the set of a bucket of the group, ascending. An empty one is none.
func (w *writer) set(bucket int, s *Set) {
	if s.Empty() {
		return
	}
	before := len(w.sets)
	w.sets = appendSet(w.sets, s, w.words)
	w.lengths = binary.AppendUvarint(w.lengths, uint64(len(w.sets)-before))
	w.used |= 1 << bucket
}

func (w *writer) endGroup(i int) {
	if w.used != 0 {
		w.data = binary.LittleEndian.AppendUint64(w.data, w.used)
		w.data = append(append(w.data, w.lengths...), w.sets...)
	}
	w.used, w.lengths, w.sets = 0, w.lengths[:0], w.sets[:0]
	end := len(w.data) - w.table - 4*(groups+1)
	binary.LittleEndian.PutUint32(w.data[w.table+4*(i+1):], uint32(end))
}

func (w *writer) finish() []byte {
	binary.LittleEndian.PutUint32(w.data[4:], crc32.Checksum(w.data[headerSize:], castagnoli))
	return w.data
}
