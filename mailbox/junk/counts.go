package junk

import (
	"math"
	"slices"
)

// count is in how many letters of each class a feature was, by Class. Beyond 16 bits it begins anew; to undo a lesson stays exact.
type count [2]uint16

// count counts a letter once more, or with one as -1 once less, in the parts that lack it. Pairs of words are not counted: the
// words are, and most pairs come once.
func (m *Model) count(l *Letter, class Class, one uint16, lacks func(part int) bool) {
	for _, f := range l.features {
		if !f.isCounted() {
			continue
		}
		if i := f.hash >> (32 - countBits); lacks == nil || lacks(int(i>>countPartBits)) {
			m.counts[i][class] += one
		}
	}
}

func (f feature) isCounted() bool { return f.kind != kindPair }

const (
	// leastCounted is how many letters of each class must have been learned before counting says anything.
	leastCounted = 10
	// countedWeight is the most that the clearest clues say together, in logits.
	countedWeight = 2
	// meanWeight is what the sum of all clues, divided by the root of their number, counts.
	meanWeight = 0.6
	// neutral is how many letters a feature has to be in before what it says counts half.
	neutral = 0.5
	// maxClues bounds the features that are combined, the clearest; below leastClear one says nothing.
	maxClues   = 150
	leastClear = 0.1
	// clearness is in how many steps features are sorted by how clear they are.
	clearness = 128
)

// counted is what the letter's features say by how often they were in junk and in good mail, in logits: Robinson's estimate of each,
// combined in two ways. It learns from a few letters, and is fooled by many features that come together, which the weights of the
// regression make up for: they learn what is still wrong with it.
func (m *Model) counted(l *Letter) float64 {
	if !m.believed() {
		return 0
	}
	return countedWeight*m.clearest(l) + trust(m)*meanWeight*m.mean(l)
}

// mean is what all features say, those that are hardly clear included: the sum of their logits, divided by the root of their number.
func (m *Model) mean(l *Letter) float64 {
	sum, n := 0.0, 1.0
	for _, c := range l.clues {
		if p := c.junk; p > 0 {
			sum += math.Log(p / (1 - p))
			n++
		}
	}
	return sum / math.Sqrt(n)
}

// clearest is what the clearest features say by Fisher's method, from -1 to 1.
func (m *Model) clearest(l *Letter) float64 {
	var steps [clearness + 1]int
	for _, c := range l.clues {
		if p := c.junk; isClear(p) {
			steps[clearOf(p)]++
		}
	}
	least, left := clearness, maxClues
	for least > 0 && steps[least] <= left {
		left -= steps[least]
		least--
	}
	logJunk, logGood, clues := 0.0, 0.0, 0
	for _, c := range l.clues {
		p := c.junk
		if !isClear(p) || clearOf(p) < least || clearOf(p) == least && left == 0 {
			continue
		}
		if clearOf(p) == least {
			left--
		}
		logJunk += math.Log(p)
		logGood += math.Log(1 - p)
		clues++
	}
	return chiSquare(-2*logJunk, clues) - chiSquare(-2*logGood, clues)
}

// believed reports whether enough was counted to say anything.
func (m *Model) believed() bool {
	return m != nil && m.counts != nil && m.junk >= leastCounted && m.good >= leastCounted
}

// clue is what is known of a feature from counting.
type clue struct {
	junk  float64 // the probability that a letter with it is junk; 0 if it was never counted
	scale float64 // how much of its weight counts, up to 1
}

const (
	// leastScale is what counts of the weight of a feature that is as common in junk as in good mail.
	leastScale = 0.1
	// pairScale is what counts of the weights of pairs, which are not counted themselves: there are many, and their words are there, too.
	pairScale = 0.5
	// leastLength is that of a letter of 64 features that count in full: very short ones have no more weight.
	leastLength = 8
)

// weigh finds out how much each feature of a letter counts, by what the server's model has counted. What is in every letter says nothing,
// and yet each lesson moves its weight: unless it counts less, the last few lessons would decide on all letters.
func (m *Model) weigh(l *Letter) {
	l.clues = slices.Grow(l.clues[:0], len(l.features))[:len(l.features)]
	believed, squares := m.believed(), 0.0
	for i, f := range l.features {
		c := clue{scale: 1}
		if believed {
			c = m.clue(f)
		}
		l.clues[i] = c
		squares += c.scale * c.scale
	}
	l.length = max(math.Sqrt(squares), leastLength)
}

func (m *Model) clue(f feature) clue {
	if !f.isCounted() {
		return clue{scale: pairScale}
	}
	p := m.probability(f)
	if p == 0 {
		return clue{scale: 1}
	}
	return clue{p, leastScale + (1-leastScale)*math.Abs(2*p-1)}
}

// probability is how probable it is, as far as counts tell, that a letter with this feature is junk; 0 for one that was never counted.
func (m *Model) probability(f feature) float64 {
	c := m.counts[f.hash>>(32-countBits)]
	n := float64(c[Junk]) + float64(c[Good])
	if n == 0 {
		return 0
	}
	bad, good := float64(c[Junk])/float64(m.junk), float64(c[Good])/float64(m.good)
	return (neutral/2 + n*bad/(bad+good)) / (neutral + n)
}

// isClear reports whether a feature's probability says enough to be among the clearest.
func isClear(p float64) bool { return p > 0 && math.Abs(p-0.5) > leastClear }

// clearOf is how far a probability is from saying nothing, in steps.
func clearOf(p float64) int { return int(2 * clearness * math.Abs(p-0.5)) }

// chiSquare is the probability that a chi-squared variable with 2n degrees of freedom is above x.
func chiSquare(x float64, n int) float64 {
	term := math.Exp(-x / 2)
	sum := term
	for i := 1; i < n; i++ {
		term *= x / 2 / float64(i)
		sum += term
	}
	return min(sum, 1)
}
