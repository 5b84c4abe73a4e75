package message

import (
	"encoding/binary"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold appends s in the form in which texts are compared without regard to case, the collation i;unicode-casemap of
// RFC 5051: every character in its simple titlecase mapping and fully decomposed, compatibility decompositions
// included. What a decomposition brings is put in titlecase too, so that the ligature "fi" equals its letters. s is UTF-8;
// octets that are none become U+FFFD. Fold works character by character: folding a text in pieces, cut between
// characters, gives the same as folding it whole, and a text contains a needle when its fold contains the needle's.
func Fold(dst, s []byte) []byte {
	for len(s) > 0 {
		if s[0] < utf8.RuneSelf && len(s) > 1 && s[1] >= utf8.RuneSelf { // a space between words that are not ASCII
			dst = append(dst, upperTable[s[0]])
			s = s[1:]
			continue
		}
		if s[0] < utf8.RuneSelf {
			n := asciiPrefix(s)
			dst = appendUpper(dst, s[:n])
			s = s[n:]
			continue
		}
		r, size := utf8.DecodeRune(s)
		dst = foldRune(dst, r)
		s = s[size:]
	}
	return dst
}

// upperTable holds the titlecase of ASCII.
var upperTable = func() (t [256]byte) {
	for i := range t {
		t[i] = upperASCII(byte(i))
	}
	return t
}()

// appendUpper appends ASCII in titlecase.
func appendUpper(dst, s []byte) []byte {
	at := len(dst)
	dst = append(dst, s...)
	out := dst[at:]
	for ; len(out) >= 8; out = out[8:] {
		// Adding carries into the top bit of those octets that are at least 'a', and above 'z'.
		v := binary.LittleEndian.Uint64(out)
		small := (v + (0x80-'a')*eachOctet) &^ (v + (0x7f-'z')*eachOctet) & (0x80 * eachOctet)
		binary.LittleEndian.PutUint64(out, v^small>>2) // 0x80>>2 is what tells a from A
	}
	for i, c := range out {
		out[i] = upperTable[c]
	}
	return dst
}

// foldRune appends the fold of a character above ASCII.
func foldRune(dst []byte, r rune) []byte {
	switch {
	case r < shortFolds:
		t := shortFoldTable()
		return append(dst, t.text[t.at[r]:t.at[r+1]]...)
	case 0x3400 <= r && r < 0xa000:
		return utf8.AppendRune(dst, r) // Chinese characters have neither case nor decompositions
	}
	return appendFold(dst, r)
}

// shortFolds is the number of characters whose folds are kept in a table: those that UTF-8 writes in two octets, the
// alphabets of Europe and the Near East.
const shortFolds = 0x800

// foldTable holds the folds of the characters below shortFolds, one after the other.
type foldTable struct {
	at   [shortFolds + 1]uint16
	text []byte
}

var shortFoldTable = sync.OnceValue(func() *foldTable {
	var t foldTable
	for r := range rune(shortFolds) {
		t.text = appendFold(t.text, r)
		t.at[r+1] = uint16(len(t.text))
	}
	return &t
})

// appendFold computes a fold from the Unicode tables.
func appendFold(dst []byte, r rune) []byte {
	if l, v, t := decomposeHangul(r); l != 0 {
		dst = utf8.AppendRune(utf8.AppendRune(dst, l), v)
		if t != 0 {
			dst = utf8.AppendRune(dst, t)
		}
		return dst
	}
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], unicode.ToTitle(r))
	d := norm.NFKD.Properties(b[:n]).Decomposition()
	if d == nil {
		return append(dst, b[:n]...)
	}
	for len(d) > 0 {
		r, size := utf8.DecodeRune(d)
		dst = utf8.AppendRune(dst, unicode.ToTitle(r))
		d = d[size:]
	}
	return dst
}

// decomposeHangul takes a syllable apart by arithmetic (Unicode Standard section 3.12); the tables leave them out.
func decomposeHangul(r rune) (l, v, t rune) {
	const (
		sBase, lBase, vBase, tBase = 0xac00, 0x1100, 0x1161, 0x11a7
		vCount, tCount             = 21, 28
		sCount                     = 19 * vCount * tCount
	)
	s := r - sBase
	if s < 0 || s >= sCount {
		return 0, 0, 0
	}
	l, v = lBase+s/(vCount*tCount), vBase+s%(vCount*tCount)/tCount
	if s%tCount != 0 {
		t = tBase + s%tCount
	}
	return l, v, t
}

// FoldString returns the fold of s; see [Fold].
func FoldString(s string) []byte { return Fold(make([]byte, 0, len(s)), []byte(s)) }
