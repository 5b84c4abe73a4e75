package wire

import (
	"strings"
)

// Pattern is a compiled LIST pattern (RFC 3501 section 6.3.8): "*" stands for
// anything, "%" for anything without the hierarchy delimiter.
//
// It runs as a set of positions that all advance with each octet of the name, so
// matching takes time proportional to the length of the name, however many
// wildcards there are.
type Pattern struct {
	delim   byte
	length  int
	words   int              // of 64 positions each
	literal [256][]uint64    // positions that the octet advances; nil where none
	any     [maxWords]uint64 // positions of "*"
	percent [maxWords]uint64 // positions of "%"
}

// maxWords holds a position for each octet of the longest pattern and its end.
const maxWords = (MaxPattern + 64) / 64

// CompilePattern compiles a pattern of at most MaxPattern octets; ok is false for a
// longer one. INBOX at its front stands for that name in any case.
func CompilePattern(pattern string, delim byte) (p *Pattern, ok bool) {
	if len(pattern) > MaxPattern {
		return nil, false
	}
	pattern = foldInbox(squeeze(pattern), delim)
	p = &Pattern{delim: delim, length: len(pattern), words: len(pattern)/64 + 1}
	for i := range len(pattern) {
		word, bit := i/64, uint64(1)<<(i%64)
		switch c := pattern[i]; c {
		case '*':
			p.any[word] |= bit
		case '%':
			p.percent[word] |= bit
		default:
			if p.literal[c] == nil {
				p.literal[c] = make([]uint64, p.words)
			}
			p.literal[c][word] |= bit
		}
	}
	return p, true
}

// squeeze replaces each run of wildcards by the one wildcard that means the same, so
// that no wildcard follows another.
func squeeze(pattern string) string {
	out := make([]byte, 0, len(pattern))
	for i := range len(pattern) {
		c := pattern[i]
		if c != '*' && c != '%' || len(out) == 0 {
			out = append(out, c)
			continue
		}
		last := &out[len(out)-1]
		switch {
		case *last != '*' && *last != '%':
			out = append(out, c)
		case c == '*':
			*last = '*'
		}
	}
	return string(out)
}

// foldInbox puts a leading inbox, alone or as the first level, in upper case.
func foldInbox(pattern string, delim byte) string {
	head, _, _ := strings.Cut(pattern, string(delim))
	if EqualFold(head, "INBOX") {
		return "INBOX" + pattern[len(head):]
	}
	return pattern
}

// Match reports whether the whole name matches. INBOX, alone or as the first level
// of the name, matches in any case.
func (p *Pattern) Match(name string) bool {
	var set [maxWords]uint64
	set[0] = 1
	p.skipWildcards(set[:p.words])
	anyCase := 0
	if head, _, _ := strings.Cut(name, string(p.delim)); head == "INBOX" {
		anyCase = len(head)
	}
	for i := range len(name) {
		c := name[i]
		other := c
		if i < anyCase {
			other = c | 0x20
		}
		p.advance(set[:p.words], c, other)
	}
	return set[p.length/64]>>(p.length%64)&1 != 0
}

// advance moves the positions over one octet of the name, which is c or, all the
// same, other.
func (p *Pattern) advance(set []uint64, c, other byte) {
	carry := uint64(0)
	for w, at := range set {
		next := at & p.any[w]
		if c != p.delim {
			next |= at & p.percent[w]
		}
		moved := at & (p.literalAt(c, w) | p.literalAt(other, w))
		set[w] = next | moved<<1 | carry
		carry = moved >> 63
	}
	p.skipWildcards(set)
}

func (p *Pattern) literalAt(c byte, word int) uint64 {
	if p.literal[c] == nil {
		return 0
	}
	return p.literal[c][word]
}

// skipWildcards adds the position behind each wildcard: both match nothing, too.
func (p *Pattern) skipWildcards(set []uint64) {
	carry := uint64(0)
	for w, at := range set {
		wild := at & (p.any[w] | p.percent[w])
		set[w] = at | wild<<1 | carry
		carry = wild >> 63
	}
}
