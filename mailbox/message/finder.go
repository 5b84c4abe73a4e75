package message

import (
	"bytes"
	"math"
	"slices"
)

// finder looks for a folded needle in text that comes in pieces, each in chunks.
type finder struct {
	needle []byte
	rare   int    // the place in needle of an octet that few texts have many of
	window []byte // folded text, with the end of the chunk before
}

func (f *finder) reset(needle []byte) {
	f.needle, f.rare, f.window = needle, rarest(needle), f.window[:0]
}

// find takes the next chunk, whole characters of UTF-8, and reports whether the needle ends in it. first says that the
// chunk begins a piece: nothing is found across two pieces.
func (f *finder) find(text []byte, first bool) bool {
	keep := len(f.needle) - 1
	switch {
	case first:
		f.window = f.window[:0]
	case len(f.window) > keep:
		f.window = append(f.window[:0], f.window[len(f.window)-keep:]...)
	}
	f.window = Fold(slices.Grow(f.window, len(text)), text)
	return f.in(f.window)
}

// manyMisses is how many places that have the rare octet, and not the needle, are as many as the octets looked at
// divided by sixteen, less these: then the octet is not rare in this text.
const manyMisses = 16

// in reports whether the needle is in folded text. A needle often begins as many words do; its rarest octet is met a
// few times in a thousand, and between them the processor looks at thirty-two octets at a time.
func (f *finder) in(text []byte) bool {
	n := len(f.needle)
	misses := 0
	for at := 0; at+n <= len(text); misses++ {
		if misses > manyMisses+at/16 {
			return bytes.Contains(text[at:], f.needle)
		}
		i := bytes.IndexByte(text[at+f.rare:len(text)-n+f.rare+1], f.needle[f.rare])
		if i < 0 {
			return false
		}
		if at += i; bytes.Equal(text[at:at+n], f.needle) {
			return true
		}
		at++
	}
	return false
}

// rarest is the place of the octet in a folded needle that texts have the fewest of, as far as is known; the needle is
// not empty.
func rarest(needle []byte) int {
	at, least := 0, math.MaxInt
	for i, c := range needle {
		if n := usualOctets[c]; n < least {
			at, least = i, n
		}
	}
	return at
}

// usualOctets is about how often folded texts have an octet, in a thousand. Of a script that UTF-8 writes in several
// octets the first is the same for many characters.
var usualOctets = func() (t [256]int) {
	for i := range t {
		switch {
		case i < 0x80:
			t[i] = 1
		case i < 0xc0:
			t[i] = 50
		default:
			t[i] = 300
		}
	}
	for c, n := range map[rune]int{
		' ': 170, '\r': 15, '\n': 15, '.': 10, ',': 10, '-': 5, '0': 6, '1': 6, '2': 6,
		'E': 100, 'T': 70, 'A': 65, 'O': 62, 'I': 60, 'N': 60, 'S': 55, 'R': 50, 'H': 45, 'D': 35, 'L': 35, 'U': 25, 'C': 25,
		'M': 22, 'F': 18, 'W': 17, 'G': 17, 'Y': 15, 'P': 15, 'B': 13, 'V': 9, 'K': 7, 'J': 2, 'X': 2, 'Q': 1, 'Z': 2,
	} {
		t[c] = n
	}
	return t
}()
