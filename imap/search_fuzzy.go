package imap

import (
	"bytes"
	"unicode"
)

// maxFuzzyWords bounds the words of a fuzzy key that are looked for by themselves; each
// may cost a look at the body.
const maxFuzzyWords = 8

// fuzzy reads the key behind FUZZY (RFC 6203 section 3). Texts in it match by their words;
// what has no words matches as ever, which section 5 leaves open.
func (p *searchParser) fuzzyKey() searchKey {
	p.fuzzy = true
	p.SP()
	if !p.Enter() {
		return searchKey{}
	}
	defer p.Leave()
	p.inFuzzy++
	defer func() { p.inFuzzy-- }()
	return p.key()
}

// maybeFuzzy makes a key that looks for a text one that looks for its words too, if it is
// part of a fuzzy one: the kids are the text and then each of its words.
func (p *searchParser) maybeFuzzy(k searchKey) searchKey {
	if p.inFuzzy == 0 || len(k.needle) == 0 {
		return k
	}
	fuzzy := searchKey{kind: keyFuzzy, kids: []searchKey{k}}
	words := bytes.FieldsFunc(k.needle, func(r rune) bool { return !unicode.In(r, unicode.L, unicode.M, unicode.N) })
	for _, word := range words[:min(len(words), maxFuzzyWords)] {
		if len(word) == len(k.needle) {
			break // it is all there is
		}
		kid := k
		kid.needle = word
		if p.countText(kid.kind); p.Err() != nil {
			break
		}
		fuzzy.kids = append(fuzzy.kids, kid)
	}
	return fuzzy
}

// evalFuzzy judges by how many words of the text are there, and notes how well it matches.
func (k *searchKey) evalFuzzy(e *examiner) verdict {
	words := k.kids[1:]
	v := k.kids[0].eval(e)
	if v == verdictUnknown {
		return v
	}
	hits, open := 0, 0
	if v == verdictNo {
		for i := range words {
			switch words[i].eval(e) {
			case verdictUnknown:
				open++
			case verdictYes:
				hits++
			}
		}
	}
	switch {
	case open == 0:
	case fuzzyScore(false, hits+open, len(words)) > 0:
		return verdictUnknown
	default:
		return verdictNo // what the index says of the words is enough: the message is not read
	}
	score := fuzzyScore(v == verdictYes, hits, len(words))
	if score == 0 {
		return verdictNo
	}
	e.scored += score
	e.scores++
	return verdictYes
}

// fuzzyScore says how well a message matches a text, from 1 to 100, if the text is in it
// as a whole or some of its words are; 0 if less than half of them are.
func fuzzyScore(whole bool, hits, words int) int {
	switch {
	case whole:
		return 100
	case hits == 0 || 2*hits < words:
		return 0
	}
	return max(1, 100*hits/(words+1))
}

// relevancy is the score of a message that matches (RFC 6203 section 4): the mean of what
// its fuzzy keys said.
func (e *examiner) relevancy() uint8 {
	if e.scores == 0 {
		return 100 // they asked for nothing that matches more or less
	}
	return uint8(e.scored / e.scores)
}

// evalNot judges by the opposite of a key. How well that matched does not count.
func (k *searchKey) evalNot(e *examiner) verdict {
	scored, scores := e.scored, e.scores
	v := k.kids[0].eval(e)
	e.scored, e.scores = scored, scores
	switch v {
	case verdictYes:
		return verdictNo
	case verdictNo:
		return verdictYes
	}
	return verdictUnknown
}
