package junk

import (
	"encoding/binary"
	"hash/crc32"
)

// kind says where a feature was found.
type kind uint8

// The kinds. Their numbers go into the hashes: append only, and raise stateVersion when what is read changes.
const (
	kindWord kind = iota + 1
	kindPair
	kindSubject
	kindSubjectPair
	kindFrom
	kindFromDomain
	kindFromName
	kindReplyTo
	kindTo
	kindMessageID
	kindHeader // that there is a field of this name
	kindValue  // a field's name and value
	kindMailer
	kindList
	kindHost
	kindTag
	kindStructure
	kindFact
	kindDomain
	kindClient
	kindRule
)

// feature is one thing found in a letter.
type feature struct {
	hash uint32
	at   uint32 // of its words in Letter.text
	size uint16
	kind kind
}

// Letter is a letter taken apart. It belongs to the Reader that made it.
type Letter struct {
	features []feature
	text     []byte   // the words of all features, one behind the other
	seen     []uint32 // a hash table of the features' hashes, half empty
	evidence evidence
	lists    []byte // what the header says of the lists it came by, in lower case
	facts    Facts
	rules    []*rule
	clues    []clue  // of the features, in their order, as they were last weighed
	length   float64 // of the vector that their scales are
}

func (l *Letter) reset(facts Facts) {
	l.features, l.text, l.rules, l.lists = l.features[:0], l.text[:0], l.rules[:0], l.lists[:0]
	if l.seen == nil {
		l.seen = make([]uint32, 2*MaxFeatures)
	}
	clear(l.seen)
	l.evidence, l.facts = evidence{}, facts
}

// Features is the number of different features found.
func (l *Letter) Features() int { return len(l.features) }

// SetReputation says what the owner has done with mail of the author, in place of what the facts said: one letter is judged for
// several owners.
func (l *Letter) SetReputation(writtenTo, rescued bool) {
	l.facts.WrittenTo, l.facts.Rescued = writtenTo, rescued
}

// sum is a checksum of the set of features.
func (l *Letter) sum() uint32 {
	sum := uint32(len(l.features))
	var b [4]byte
	for _, f := range l.features {
		binary.LittleEndian.PutUint32(b[:], f.hash)
		sum = crc32.Update(sum, castagnoli, b[:])
	}
	return sum
}

// add adds a feature whose text is the strings with spaces between them.
func (l *Letter) add(k kind, parts ...string) {
	at := len(l.text)
	for i, p := range parts {
		if i > 0 {
			l.text = append(l.text, ' ')
		}
		l.text = appendPrintable(l.text, p)
	}
	if !l.insert(k, mix(hashOf(l.text[at:])+k.seed()), at) {
		l.text = l.text[:at]
	}
}

// addWord adds a word that hashes to h.
func (l *Letter) addWord(k kind, h uint64, word []byte) {
	at := len(l.text)
	if l.insert(k, mix(h+k.seed()), at) {
		l.text = append(l.text, word...)
		l.features[len(l.features)-1].size = uint16(len(word))
	}
}

// addPair adds two words, the first of which stands in the text already.
func (l *Letter) addPair(k kind, a spelled, h uint64, word []byte) {
	at := len(l.text)
	if l.insert(k, mix(a.hash*3+h+k.seed()), at) {
		l.text = append(l.text, a.text[:a.size]...)
		l.text = append(append(l.text, ' '), word...)
		l.features[len(l.features)-1].size = uint16(len(l.text) - at)
	}
}

// insert adds a feature whose text begins at at; false if the letter has it or is full.
func (l *Letter) insert(k kind, h uint64, at int) bool {
	short := uint32(h >> 32)
	if short == 0 {
		short = 1 // 0 marks a free place
	}
	if len(l.features) == MaxFeatures || at > maxNames {
		return false
	}
	const mask = 2*MaxFeatures - 1 // the length of seen is a power of two
	i := h & mask
	for ; l.seen[i] != 0; i = (i + 1) & mask {
		if l.seen[i] == short {
			return false
		}
	}
	l.seen[i] = short
	l.features = append(l.features, feature{hash: short, at: uint32(at), size: uint16(len(l.text) - at), kind: k})
	if p := phrases[short]; p > 0 {
		l.evidence.phrases += p
		l.evidence.phrase = len(l.features) - 1
	}
	return true
}

// words returns the text of a feature.
func (l *Letter) words(f feature) []byte { return l.text[f.at : f.at+uint32(f.size)] }

// seed keeps the kinds' hashes apart: multiples of an odd number without a pattern.
func (k kind) seed() uint64 { return uint64(k) * 0x9e3779b97f4a7c15 }

// hashOf is FNV-1a of 64 bits.
func hashOf(s []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range s {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h
}

// mix spreads a hash over all its bits (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// appendPrintable appends s in lower case with everything but letters, digits and harmless signs of ASCII as a question mark, so
// that what a signal says can stand in a header field. UTF-8 stays.
func appendPrintable(dst []byte, s string) []byte {
	s = s[:min(len(s), 4*maxValue)]
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c < ' ' || c == 0x7f || c == '"' || c == '\\':
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
