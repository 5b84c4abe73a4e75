package message

import (
	"bytes"
	"testing"
)

// Every octet of ASCII at every place of a word, with neighbours of all kinds.
func TestAppendUpper(t *testing.T) {
	for _, neighbour := range []byte{0, '@', 'A', 'Z', '`', 'a', 'z', '{', 0x7f} {
		for c := range byte(0x80) {
			for at := range 19 { // two words and a rest
				text := bytes.Repeat([]byte{neighbour}, 19)
				text[at] = c
				want := []byte("x")
				for _, b := range text {
					want = append(want, upperASCII(b))
				}
				if got := appendUpper([]byte("x"), text); !bytes.Equal(got, want) {
					t.Fatalf("%q: %q, want %q", text, got, want)
				}
			}
		}
	}
}

// The first octet above ASCII ends the prefix, wherever it stands.
func TestASCIIPrefix(t *testing.T) {
	for length := range 40 {
		for at := range length + 1 {
			text := bytes.Repeat([]byte{0x7f}, length)
			if at < length {
				text[at] = 0x80
			}
			if got := asciiPrefix(text); got != at {
				t.Fatalf("%d octets, the one at %d not ASCII: %d", length, at, got)
			}
		}
	}
}
