package search

import (
	"math/bits"
	"unicode/utf8"
)

const (
	bucketBits = 16
	// Buckets is how many buckets grams are hashed into. Messages of some kilobytes fill a twentieth of them, and one
	// chance hit in twenty for each gram of a needle is none for a whole word; with a quarter of them an index is a
	// third smaller and ten times as many messages are looked at for nothing.
	Buckets = 1 << bucketBits

	// tails is how many classes the character behind the head of a gram may be in: so many buckets are asked for
	// the end of a needle, behind which any character may follow.
	tails = 16

	// headWeight is what the characters of a head weigh together, at least: three letters, or one character of a
	// script that writes without spaces.
	headWeight = 3

	// maxDistinct is how many different grams a message may have before it counts as one that may contain anything: some
	// hundred kilobytes of text. To list more costs more than it ever excludes.
	maxDistinct = Buckets / 2

	// firstWide is the character from which on one is a head by itself: the scripts of East Asia, and pictures.
	// Hangul is below: folding takes its syllables apart.
	firstWide = 0x2e80
)

// Scope is where in a message a text is.
type Scope uint8

// The scopes. A text that is looked for in one is not found in another.
const (
	Body    Scope = iota // the decoded text, headers of attached messages, file names
	Header               // a header field, "Name: value"
	From                 // the value of such a field, and so on
	To                   //
	Cc                   //
	Bcc                  //
	Subject              //
)

// grammar finds the grams of a piece of text, character by character.
type grammar struct {
	seed     uint32
	one, two uint32 // heads under way that weigh so much; 0 = none
	heads    [headWeight]uint32
	ready    int // of the heads: they wait for their tail
}

// begin starts a piece of text.
func (g *grammar) begin(scope Scope) { *g = grammar{seed: mix(uint32(scope)+1, firstWide)} }

// mix adds a character to a head. It is never 0.
func mix(h uint32, r rune) uint32 {
	h = (bits.RotateLeft32(h, 9) ^ uint32(r)) * 0x9e3779b1
	return (h ^ h>>15) | 1<<31
}

// tailOf is the class of the character behind a head.
func tailOf(r rune) uint32 { return uint32(r) * 0x9e3779b1 >> 28 }

// bucketOf is the bucket of a gram.
func bucketOf(head, tail uint32) uint16 {
	x := (head ^ tail*0x27d4eb2f) * 0x85ebca6b
	x = (x ^ x>>15) * 0xc2b2ae35
	return uint16(x >> (32 - bucketBits))
}

// next takes a character: the heads that were ready are complete with it, and new ones may be.
func (g *grammar) next(r rune) {
	g.ready = 0
	if r >= firstWide {
		if g.two != 0 {
			g.head(mix(g.two, r))
		}
		if g.one != 0 {
			g.head(mix(g.one, r))
		}
		g.head(mix(g.seed, r))
		g.one, g.two = 0, 0
		return
	}
	if g.two != 0 {
		g.head(mix(g.two, r))
	}
	if g.two = 0; g.one != 0 {
		g.two = mix(g.one, r)
	}
	g.one = mix(g.seed, r)
}

func (g *grammar) head(h uint32) {
	g.heads[g.ready] = h
	g.ready++
}

// Collector collects the grams of one message after the other. The zero value is ready.
type Collector struct {
	grammar grammar
	set     [Buckets / 64]uint64
}

// Begin starts a piece of text: nothing is found across two pieces.
func (c *Collector) Begin(scope Scope) {
	c.end()
	c.grammar.begin(scope)
}

// Add goes on with the piece: folded text, cut between characters.
func (c *Collector) Add(text []byte) {
	g := &c.grammar
	for len(text) > 0 {
		r, size := rune(text[0]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text)
		}
		text = text[size:]
		tail := tailOf(r)
		for _, head := range g.heads[:g.ready] {
			c.put(bucketOf(head, tail))
		}
		g.next(r)
	}
}

func (c *Collector) put(bucket uint16) { c.set[bucket/64] |= 1 << (bucket % 64) }

// end completes the grams that end with the piece.
func (c *Collector) end() {
	for _, head := range c.grammar.heads[:c.grammar.ready] {
		c.put(bucketOf(head, 0))
	}
	c.grammar = grammar{}
}

// Full reports whether the message has so many grams that more change nothing.
func (c *Collector) Full() bool { return c.count() > maxDistinct }

func (c *Collector) count() int {
	n := 0
	for _, w := range c.set {
		n += bits.OnesCount64(w)
	}
	return n
}

// Finish returns the grams of the message and is ready for the next one.
func (c *Collector) Finish() Grams {
	c.end()
	n := c.count()
	if n > maxDistinct {
		clear(c.set[:])
		return Grams{Anything: true}
	}
	g := Grams{Buckets: make([]uint16, 0, n)}
	for i, w := range c.set {
		for ; w != 0; w &= w - 1 {
			g.Buckets = append(g.Buckets, uint16(i*64+bits.TrailingZeros64(w)))
		}
	}
	clear(c.set[:])
	return g
}

// Grams are those of one message.
type Grams struct {
	Buckets  []uint16 // ascending
	Anything bool     // there are too many to list: it may contain any text
}
