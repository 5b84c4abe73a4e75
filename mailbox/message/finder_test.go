package message

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// The finder finds what bytes.Contains does, wherever the needle's rarest octet is and however many the text has of it.
func TestFinder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 22))
	letters := []string{"E", "E", "E", "T", " ", "V", "Q", "\u0308", "\u4e2d", "Д"}
	text := func(n int, from []string) []byte {
		var b strings.Builder
		for range n {
			b.WriteString(from[rng.IntN(len(from))])
		}
		return []byte(b.String())
	}
	var f finder
	hits := 0
	for range 20_000 {
		from := letters[rng.IntN(len(letters)-1):]
		in, needle := text(rng.IntN(300), from), text(1+rng.IntN(6), from)
		f.reset(needle)
		want := bytes.Contains(in, needle)
		if want {
			hits++
		}
		if f.in(in) != want {
			t.Fatalf("%q in %q: not %v", needle, in, want)
		}
	}
	if hits < 1000 || hits > 19_000 {
		t.Errorf("%d of the texts had the needle", hits)
	}
}

// A text that is full of the needle's rarest octet is read about as fast as any: the search gives up looking for it.
func TestFinderOfCommonOctets(t *testing.T) {
	f := finder{}
	f.reset([]byte("EQE"))
	for _, text := range []string{strings.Repeat("Q", 5000), strings.Repeat("Q", 5000) + "EQE", "EQE" + strings.Repeat("Q", 5000)} {
		if got, want := f.in([]byte(text)), strings.Contains(text, "EQE"); got != want {
			t.Errorf("in %d octets: %v", len(text), got)
		}
	}
}

// Headers that are said to name nothing do not, however parameters are written.
func TestNamesContent(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 22))
	pieces := []string{"Content-Type", "Content-Disposition", ":", ": ", "text/plain", "attachment", ";", "; ", "name", "Name", "filename",
		"FILENAME", "*", "*0", "*1*", "=", "=", " = ", "x", "\"y z\"", "(c)", " ", "\r\n", "\r\n ", "utf-8''a%20b", "boundary=", "\t"}
	var r TextReader
	named := 0
	for range 50_000 {
		header := []string{"Content-Type: a/b; ", "Content-Disposition: c; ", ""}[rng.IntN(3)]
		for range rng.IntN(12) {
			header += pieces[rng.IntN(len(pieces))]
		}
		name := r.readName([]byte(header))
		if len(name) > 0 {
			named++
		}
		if len(name) > 0 && !namesContent([]byte(header)) {
			t.Fatalf("%q: has the name %q", header, name)
		}
	}
	if named < 200 {
		t.Errorf("only %d headers name something", named)
	}
	if namesContent([]byte("Content-Type: text/plain; charset=utf-8\r\nDKIM-Signature: v=1; a=rsa-sha256; s=names; b=abc=\r\n\r\n")) {
		t.Error("a header without a name")
	}
}
