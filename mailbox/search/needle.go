package search

import (
	"slices"
	"unicode/utf8"
)

// maxNeedleGrams is how many grams of a needle are asked for. Each halves what is left at least; further ones of a
// long text would only take time.
const maxNeedleGrams = 24

// maxRead is how many grams of a needle are considered: a command line may be longer than any text worth it.
const maxRead = 1000

// Needle is a text that is looked for, as its grams say it.
type Needle struct {
	all []uint16 // a message has to have each of these
	any []uint16 // and one of these, if there are any
}

// NewNeedle takes a folded text apart. It reports false for one that is too short to say anything: below three letters.
func NewNeedle(scope Scope, text []byte) (Needle, bool) {
	var n Needle
	var g grammar
	g.begin(scope)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		for _, head := range g.heads[:g.ready] {
			n.all = append(n.all, bucketOf(head, tailOf(r)))
		}
		g.next(r)
	}
	if len(n.all) < 4 && g.ready > 0 { // else the last head is in a gram's tail, and adds little
		for tail := range uint32(tails) {
			n.any = append(n.any, bucketOf(g.heads[0], tail))
		}
	}
	n.all = thin(n.all)
	slices.Sort(n.any)
	n.any = slices.Compact(n.any)
	return n, len(n.all)+len(n.any) > 0
}

// thin leaves out what is there twice, and takes the rest at even distances when it is too much.
func thin(list []uint16) []uint16 {
	var once []uint16
	for _, bucket := range list[:min(len(list), maxRead)] {
		if !slices.Contains(once, bucket) {
			once = append(once, bucket)
		}
	}
	step := max(len(once)/maxNeedleGrams, 1)
	var out []uint16
	for i := 0; i < len(once) && len(out) < maxNeedleGrams; i += step {
		out = append(out, once[i])
	}
	return out
}

// In reports whether a message with these grams may contain the needle.
func (n *Needle) In(g *Grams) bool {
	if g.Anything {
		return true
	}
	has := func(bucket uint16) bool {
		_, found := slices.BinarySearch(g.Buckets, bucket)
		return found
	}
	for _, bucket := range n.all {
		if !has(bucket) {
			return false
		}
	}
	return len(n.any) == 0 || slices.ContainsFunc(n.any, has)
}
