package junk

import "math"

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
	meanWeight = 0.3
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
	if m == nil || m.counts == nil || m.junk < leastCounted || m.good < leastCounted {
		return 0
	}
	return countedWeight*m.clearest(l) + meanWeight*m.mean(l)
}

// mean is what all features say, those that are hardly clear included: the sum of their logits, divided by the root of their number.
func (m *Model) mean(l *Letter) float64 {
	sum, n := 0.0, 1.0
	for _, f := range l.features {
		if p := m.clue(f); p > 0 {
			sum += math.Log(p / (1 - p))
			n++
		}
	}
	return sum / math.Sqrt(n)
}

// clearest is what the clearest features say by Fisher's method, from -1 to 1.
func (m *Model) clearest(l *Letter) float64 {
	var steps [clearness + 1]int
	for _, f := range l.features {
		if p := m.clue(f); isClear(p) {
			steps[clearOf(p)]++
		}
	}
	least, left := clearness, maxClues
	for least > 0 && steps[least] <= left {
		left -= steps[least]
		least--
	}
	logJunk, logGood, clues := 0.0, 0.0, 0
	for _, f := range l.features {
		p := m.clue(f)
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

// clue is the probability, as far as counts tell, that a letter with this feature is junk; 0 for one that was never counted.
func (m *Model) clue(f feature) float64 {
	if !f.isCounted() {
		return 0
	}
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
