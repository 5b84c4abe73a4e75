package search

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
)

const (
	blockVersion = 1
	headerSize   = 8
	groupBuckets = 64
	groups       = Buckets / groupBuckets
	// maxBlock is the largest block that is read: a set never takes much more than a bit for each message.
	maxBlock = 32 << 20
)

// ErrDamaged says that the bytes of a block are not what Build and Merge write.
var ErrDamaged = errors.New("search: damaged block of the index")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Block is an encoded block. It shows the bytes that it was opened with, and can be used concurrently.
type Block struct {
	data  []byte
	words int
}

// Open looks at the beginning of a block only. ErrDamaged.
func Open(data []byte) (Block, error) {
	if len(data) < headerSize || len(data) > maxBlock || data[0] != blockVersion || data[1] == 0 || data[1] > blockWords || data[2]|data[3] != 0 {
		return Block{}, ErrDamaged
	}
	b := Block{data: data, words: int(data[1])}
	if len(data) < b.groupsAt() || b.offset(groups) != len(data)-b.groupsAt() {
		return Block{}, ErrDamaged
	}
	return b, nil
}

func (b *Block) tableAt() int  { return headerSize + 2*8*b.words }
func (b *Block) groupsAt() int { return b.tableAt() + 4*(groups+1) }

// offset is where group i begins behind the table.
func (b *Block) offset(i int) int {
	return int(binary.LittleEndian.Uint32(b.data[b.tableAt()+4*i:]))
}

// Known is the set of messages that the block knows.
func (b *Block) Known() Set { return b.headerSet(headerSize) }

// Anything is the set of messages that may contain any text.
func (b *Block) Anything() Set { return b.headerSet(headerSize + 8*b.words) }

func (b *Block) headerSet(at int) (s Set) {
	for i := range b.words {
		s[i] = binary.LittleEndian.Uint64(b.data[at+8*i:])
	}
	return s
}

// group returns the sets of a group, still encoded.
func (b *Block) group(i int) (g group, err error) {
	from, to := b.offset(i), b.offset(i+1)
	if from > to || to > len(b.data)-b.groupsAt() || to-from < 8 && from != to {
		return g, ErrDamaged
	}
	if from == to {
		return g, nil
	}
	data := b.data[b.groupsAt()+from : b.groupsAt()+to]
	g.used = binary.LittleEndian.Uint64(data)
	lengths := data[8:]
	at := 0
	for v := g.used; v != 0; v &= v - 1 {
		g.ends[bits.TrailingZeros64(v)] = at // its begin, until the lengths are known
		n, size := binary.Uvarint(lengths)
		if size <= 0 || n > uint64(len(data)) {
			return g, ErrDamaged
		}
		lengths = lengths[size:]
		at += int(n)
		g.ends[bits.TrailingZeros64(v)] = at
	}
	if at != len(lengths) {
		return g, ErrDamaged
	}
	g.sets = lengths
	return g, nil
}

// group is 64 buckets of a block.
type group struct {
	used uint64            // the buckets that have a set
	ends [groupBuckets]int // of these in sets
	sets []byte
}

// set returns the encoded set of a bucket of the group; nil when there is none.
func (g *group) set(bucket int) []byte {
	bit := uint64(1) << bucket
	if g.used&bit == 0 {
		return nil
	}
	from := 0
	if before := g.used & (bit - 1); before != 0 {
		from = g.ends[bits.Len64(before)-1]
	}
	return g.sets[from:g.ends[bucket]]
}

// set returns the set of a bucket, which may be empty.
func (b *Block) set(bucket uint16) (s Set, err error) {
	g, err := b.group(int(bucket) / groupBuckets)
	if err != nil {
		return s, err
	}
	encoded := g.set(int(bucket) % groupBuckets)
	if encoded == nil {
		return s, nil
	}
	s, ok := decodeSet(encoded, b.words)
	if !ok {
		return s, ErrDamaged
	}
	return s, nil
}

// Find returns the messages that may contain the needle. ErrDamaged.
func (b *Block) Find(n *Needle) (Set, error) {
	anything := b.Anything()
	found := b.Known()
	for _, bucket := range n.all {
		s, err := b.set(bucket)
		if err != nil {
			return found, err
		}
		if found.And(&s); found.Empty() {
			return anything, nil
		}
	}
	if len(n.any) > 0 {
		var one Set
		for _, bucket := range n.any {
			s, err := b.set(bucket)
			if err != nil {
				return found, err
			}
			one.Or(&s)
		}
		found.And(&one)
	}
	found.Or(&anything)
	return found, nil
}

// Check reads the whole block. ErrDamaged.
func (b *Block) Check() error {
	if crc32.Checksum(b.data[headerSize:], castagnoli) != binary.LittleEndian.Uint32(b.data[4:]) {
		return fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	known := b.Known()
	if anything := b.Anything(); outside(anything, known) {
		return fmt.Errorf("%w: unknown messages may contain anything", ErrDamaged)
	}
	return b.each(func(bucket int, s *Set) error {
		if outside(*s, known) {
			return fmt.Errorf("%w: bucket %d has unknown messages", ErrDamaged, bucket)
		}
		return nil
	})
}

func outside(s, of Set) bool {
	s.AndNot(&of)
	return !s.Empty()
}

// each calls f with every set that is not empty, by bucket.
func (b *Block) each(f func(bucket int, s *Set) error) error {
	for i := range groups {
		g, err := b.group(i)
		if err != nil {
			return err
		}
		for v := g.used; v != 0; v &= v - 1 {
			bucket := bits.TrailingZeros64(v)
			s, ok := decodeSet(g.set(bucket), b.words)
			if !ok {
				return fmt.Errorf("%w: bucket %d", ErrDamaged, i*groupBuckets+bucket)
			}
			if err := f(i*groupBuckets+bucket, &s); err != nil {
				return err
			}
		}
	}
	return nil
}
