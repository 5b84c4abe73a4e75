package mailauth

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestCanonicalExamples are those of RFC 6376 section 3.4.5.
func TestCanonicalExamples(t *testing.T) {
	fields, body, _ := splitHeader([]byte("A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"), nil)
	for _, c := range []struct {
		header, body canonicalization
		wantHeader   string
		wantBody     string
	}{
		{relaxed, relaxed, "a:X\r\nb:Y Z\r\n", " C\r\nD E\r\n"},
		{simple, simple, "A: X\r\nB : Y\t\r\n\tZ  \r\n", " C \r\nD \t E\r\n"},
		{relaxed, simple, "a:X\r\nb:Y Z\r\n", " C \r\nD \t E\r\n"},
	} {
		var header []byte
		for _, f := range fields {
			header = c.header.appendField(header, f.raw)
		}
		if string(header) != c.wantHeader {
			t.Errorf("header %q, want %q", header, c.wantHeader)
		}
		if got, want := hashInPieces(c.body, string(body), 3), sha256.Sum256([]byte(c.wantBody)); got != want {
			t.Errorf("another body than %q", c.wantBody)
		}
	}
}

// TestEmptyBody has the hashes that RFC 6376 sections 3.4.3 and 3.4.4 name.
func TestEmptyBody(t *testing.T) {
	for form, want := range []string{"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="} {
		var sum [sha256.Size]byte
		newBodyHash(canonicalization(form)).finish(&sum)
		if decoded, err := decodeBase64([]byte(want)); err != nil || !bytes.Equal(sum[:], decoded) {
			t.Errorf("form %d: %x, want %s", form, sum, want)
		}
	}
}

func hashInPieces(form canonicalization, body string, piece int) (sum [sha256.Size]byte) {
	b := newBodyHash(form)
	for chunk := range slices.Chunk([]byte(body), piece) {
		b.write(chunk)
	}
	b.finish(&sum)
	return sum
}

// TestBodyHash holds every way a body can arrive against the slow canonical form.
func TestBodyHash(t *testing.T) {
	words := []string{"\r\n", "\r", "\n", " ", "\t", "a", "some words", strings.Repeat("=", 76) + "\r\n", " \r\n", strings.Repeat("x y ", 200), "\xff", "\x00"}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b strings.Builder
		for range r.IntN(40) {
			b.WriteString(words[r.IntN(len(words))])
		}
		checkBodyHash(t, b.String(), 1+r.IntN(100))
		checkBodyHash(t, b.String(), 1<<20)
	}
}

func checkBodyHash(t *testing.T, body string, piece int) {
	t.Helper()
	for form := range kinds {
		want := slowBody(form, body)
		if hashInPieces(form, body, piece) != sha256.Sum256([]byte(want)) {
			t.Fatalf("form %d, in pieces of %d: body %q, want %q", form, piece, body, want)
		}
		b := newBodyHash(form)
		cuts := []int{0, 1, len(want) / 2, len(want) / 2, len(want), len(want) + 1}
		for _, at := range cuts {
			b.addCut(int64(at))
		}
		for chunk := range slices.Chunk([]byte(body), piece) {
			b.write(chunk)
		}
		b.finish(new([sha256.Size]byte))
		for _, at := range cuts {
			sum, ok := b.sumAt(int64(at))
			if ok != (at <= len(want)) || ok && sum != sha256.Sum256([]byte(want)[:at]) {
				t.Fatalf("form %d, in pieces of %d: the first %d octets of %q (%v)", form, piece, at, want, ok)
			}
		}
	}
}

// FuzzBodyHash looks for bodies that arrive as something else.
func FuzzBodyHash(f *testing.F) {
	for _, body := range []string{"", "\r\n", "a \r\n\r\n", " \t\r\r\n", "a\r\n\r\nb\t c", "\r\n\r\n\r\n\r", "a\n\nb", "x\r\n \r\n"} {
		f.Add(body, uint8(2))
	}
	f.Fuzz(func(t *testing.T, body string, piece uint8) { checkBodyHash(t, body, 1+int(piece)) })
}

// TestManyEmptyLines is about a body that is held back for long.
func TestManyEmptyLines(t *testing.T) {
	body := strings.Repeat("\r\n", 100_000) + "."
	checkBodyHash(t, body, 1<<14)
	checkBodyHash(t, body+body, 1<<14)
}

// TestBodyHashAllocatesNothing is about the hot path of every delivery.
func TestBodyHashAllocatesNothing(t *testing.T) {
	body := []byte(strings.Repeat("Some  words,\tand a line.  \r\n\r\n", 1000))
	for form := range kinds {
		b := newBodyHash(form)
		if n := testing.AllocsPerRun(10, func() { b.write(body) }); n > 0 {
			t.Errorf("form %d: %v allocations", form, n)
		}
	}
}

// BenchmarkBodyHash is the speed of one canonical form, and of the hash alone.
func BenchmarkBodyHash(b *testing.B) {
	bodies := map[string][]byte{
		"base64": []byte(strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 14_000)),
		"prose":  []byte(strings.Repeat("The quick brown fox jumps over the lazy dog, and it does so once more.\r\n", 14_000)),
		"html":   []byte(strings.Repeat("    <td class=\"a\">\r\n\t\t<b>x</b>  \r\n\r\n", 28_000)),
	}
	for _, name := range []string{"base64", "prose", "html"} {
		body := bodies[name]
		for form := range kinds {
			b.Run(fmt.Sprintf("%s/%s", name, []string{"simple", "relaxed"}[form]), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				h := newBodyHash(form)
				for b.Loop() {
					for chunk := range slices.Chunk(body, 64<<10) {
						h.write(chunk)
					}
				}
			})
		}
		b.Run(name+"/hash-alone", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			h := sha256.New()
			for b.Loop() {
				h.Write(body)
			}
		})
	}
}

// TestSpacedOctets tries all neighbours of the octets that matter, at all places of two words.
func TestSpacedOctets(t *testing.T) {
	octets := []byte{0, '\t', '\n', '\r', 0x1F, ' ', '!', 'a', 0x7F, 0x80, 0xA0, 0xFF}
	for at := range 17 {
		for _, left := range octets {
			for _, right := range octets {
				p := []byte("abcdefghijklmnopqr")
				p[at], p[at+1] = left, right
				want := len(p) - 1
				if left <= ' ' && right <= ' ' {
					want = at
				}
				if got := spacedOctets(p); got != want {
					t.Fatalf("%q: %d, want %d", p, got, want)
				}
			}
		}
	}
}
