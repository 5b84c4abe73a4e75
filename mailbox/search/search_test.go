package search

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"mailstead/mailbox/message"
)

// words are what random texts are made of, in scripts that count differently.
var words = strings.Fields("the of and invoice Rechnung straße ﬁle İstanbul счёт почта λόγος 中文 電子郵件 メール 한국어 ไทย 😀 a b ab x9 -- 1,50 @example.org")

func randomText(rng *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(words[rng.IntN(len(words))])
		if rng.IntN(4) > 0 {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// cut is a random part of a text, of whole characters.
func cut(rng *rand.Rand, text []byte, most int) []byte {
	at := rng.IntN(len(text))
	for !utf8.RuneStart(text[at]) {
		at--
	}
	end := min(at+1+rng.IntN(most), len(text))
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end++
	}
	return text[at:end]
}

func gramsOf(scope Scope, pieces ...[]byte) Grams {
	var c Collector
	for _, p := range pieces {
		c.Begin(scope)
		c.Add(p)
	}
	return c.Finish()
}

// TestWhatIsThereIsFound holds grams against the one thing they promise: a text that contains the needle is never left
// out, whatever the pieces in which it came.
func TestWhatIsThereIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var c Collector
	useful := 0
	for range 2000 {
		text := message.FoldString(randomText(rng, 1+rng.IntN(20)))
		c.Begin(Body)
		for rest := text; len(rest) > 0; { // chunks between characters
			n := 1 + rng.IntN(len(rest))
			for n < len(rest) && !utf8.RuneStart(rest[n]) {
				n++
			}
			c.Add(rest[:n])
			rest = rest[n:]
		}
		grams := c.Finish()
		if whole := gramsOf(Body, text); !slices.Equal(whole.Buckets, grams.Buckets) {
			t.Fatalf("%q: in chunks %d grams, as a whole %d", text, len(grams.Buckets), len(whole.Buckets))
		}
		part := cut(rng, text, 12)
		if n, ok := NewNeedle(Body, part); ok {
			useful++
			if !n.In(&grams) {
				t.Fatalf("%q is in %q, and not found", part, text)
			}
		}
	}
	if useful < 1000 {
		t.Errorf("only %d needles could be looked for", useful)
	}
}

// TestNeedles says which needles have grams, and what they do not match.
func TestNeedles(t *testing.T) {
	text := gramsOf(Body, message.FoldString("The quick brown fox"), message.FoldString("電子郵件"))
	tests := []struct {
		needle        string
		usable, mayBe bool
	}{
		{"", false, false}, {"x", false, false}, {"qu", false, false}, {"é", false, false},
		{"qui", true, true}, {"fox", true, true}, {"THE", true, true}, {"the quick brown fox", true, true}, {"k b", true, true},
		{"子", true, true}, {"件", true, true}, {"子郵", true, true}, {"a子", true, false},
		{"quack", true, false}, {"foxes", true, false}, {"fox電", true, false}, {"郵子", true, false}, {"漢", true, false},
		{strings.Repeat("quick ", 100), true, false},
	}
	for _, tt := range tests {
		n, ok := NewNeedle(Body, message.FoldString(tt.needle))
		if ok != tt.usable || ok && n.In(&text) != tt.mayBe {
			t.Errorf("%q: usable %v, found %v; want %v, %v", tt.needle, ok, n.In(&text), tt.usable, tt.mayBe)
		}
		if len(n.all) > maxNeedleGrams {
			t.Errorf("%q has %d grams", tt.needle, len(n.all))
		}
	}
	if n, _ := NewNeedle(Subject, []byte("QUICK")); n.In(&text) {
		t.Error("found in another scope")
	}
}

// TestFullMessage has a message with more text than is listed: it may contain anything.
func TestFullMessage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var c Collector
	c.Begin(Body)
	for range 100_000 {
		c.Add([]byte{byte('0' + rng.IntN(64))})
	}
	if !c.Full() {
		t.Fatal("there is room for more")
	}
	grams := c.Finish()
	if !grams.Anything || len(grams.Buckets) != 0 {
		t.Errorf("%+v", grams)
	}
	n, _ := NewNeedle(Body, []byte("NOT THERE"))
	if !n.In(&grams) {
		t.Error("a full message is left out")
	}
	if again := c.Finish(); again.Anything || len(again.Buckets) != 0 {
		t.Error("the collector was not emptied")
	}
}

// randomGrams have the density of a message, or are rare.
func randomGrams(rng *rand.Rand) Grams {
	if rng.IntN(20) == 0 {
		return Grams{Anything: true}
	}
	var c Collector
	for range 1 + rng.IntN(3000) {
		c.put(uint16(rng.ExpFloat64() * 3000))
	}
	return c.Finish()
}

// open opens a block that was just written, and checks it.
func open(t *testing.T, data []byte) Block {
	t.Helper()
	b, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	return b
}

// expectBlock holds a block against the messages in it.
func expectBlock(t *testing.T, b Block, messages map[int]Grams, rng *rand.Rand) {
	t.Helper()
	var known Set
	for i := range messages {
		known.Add(i)
	}
	if b.Known() != known {
		t.Fatalf("the block knows %v, want %v", b.Known(), known)
	}
	for range 50 {
		n := Needle{all: []uint16{uint16(rng.IntN(10000))}}
		if rng.IntN(2) == 0 {
			n.all = append(n.all, uint16(rng.IntN(100)))
		}
		if rng.IntN(2) == 0 {
			n.any = []uint16{uint16(rng.IntN(3000)), uint16(rng.IntN(3000)), 65535}
		}
		var want Set
		for i, g := range messages {
			if n.In(&g) {
				want.Add(i)
			}
		}
		if got, err := b.Find(&n); err != nil || got != want {
			t.Fatalf("%v: found %v, %v, want %v", n, got, err, want)
		}
	}
}

// TestBlocks holds blocks against the messages they were made of: small ones, large ones merged of them, and those where
// messages were dropped.
func TestBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var builder Builder
	whole := make(map[int]Grams)
	var parts []Part
	for at := range blockWords {
		small := make(map[int]Grams)
		for i := range SmallMessages {
			if rng.IntN(5) == 0 && at != 3 {
				continue
			}
			g := randomGrams(rng)
			builder.Add(i, &g)
			small[i], whole[at*64+i] = g, g
		}
		b := open(t, builder.Finish())
		expectBlock(t, b, small, rng)
		parts = append(parts, Part{Block: b, At: at})
	}
	data, err := Merge(true, parts)
	if err != nil {
		t.Fatal(err)
	}
	large := open(t, data)
	expectBlock(t, large, whole, rng)

	var drop Set
	for i := range BlockMessages {
		if rng.IntN(3) > 0 {
			drop.Add(i)
			delete(whole, i)
		}
	}
	data, err = Merge(true, []Part{{Block: large, Drop: drop}})
	if err != nil {
		t.Fatal(err)
	}
	expectBlock(t, open(t, data), whole, rng)

	everything := all(blockWords)
	if data, err := Merge(true, []Part{{Block: large, Drop: everything}}); data != nil || err != nil {
		t.Errorf("of nothing: %d octets, %v", len(data), err)
	}
	if _, err := Merge(false, []Part{{Block: large}}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a large block in a small one: %v", err)
	}
}

// TestSetCoding writes sets of every density and reads them back.
func TestSetCoding(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, words := range []int{1, 2, blockWords} {
		for density := range 66 {
			for range 20 {
				var s Set
				for i := range words * 64 {
					if rng.IntN(65) < density {
						s.Add(i)
					}
				}
				s.Add(rng.IntN(words * 64))
				data := appendSet(nil, &s, words)
				if got, ok := decodeSet(data, words); !ok || got != s {
					t.Fatalf("%v became %v, %v", s, got, ok)
				}
				if len(data) > words*8+words*8/4+2 {
					t.Errorf("%d of %d messages take %d octets", s.Len(), words*64, len(data))
				}
			}
		}
	}
}

// TestDamagedBlock flips bits and cuts: Check says so, and nothing panics.
func TestDamagedBlock(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	var builder Builder
	for i := range SmallMessages {
		g := randomGrams(rng)
		builder.Add(i, &g)
	}
	data := builder.Finish()
	for range 500 {
		bad := bytes.Clone(data)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		expectDamage(t, bad)
		expectDamage(t, data[:rng.IntN(len(data))])
	}
}

func expectDamage(t *testing.T, data []byte) {
	t.Helper()
	b, err := Open(data)
	if err == nil {
		err = b.Check()
	}
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("damage was not seen: %v", err)
	}
}

// FuzzBlock reads arbitrary octets as a block.
func FuzzBlock(f *testing.F) {
	rng := rand.New(rand.NewPCG(11, 12))
	var builder Builder
	for i := range 5 {
		g := randomGrams(rng)
		builder.Add(i, &g)
	}
	small := builder.Finish()
	f.Add(small)
	b, err := Open(small)
	if err != nil {
		f.Fatal(err)
	}
	large, err := Merge(true, []Part{{Block: b, At: 7}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(large)
	f.Add([]byte{1, 16, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Open(data)
		if err != nil {
			return
		}
		whole := b.Check() == nil
		n := Needle{all: []uint16{1, 100, 3000}, any: []uint16{5, 65535}}
		found, err := b.Find(&n)
		known := b.Known()
		if whole && (err != nil || outside(found, known)) {
			t.Fatalf("found %v of %v: %v", found, known, err)
		}
		again, err := Merge(true, []Part{{Block: b}})
		if whole && err != nil {
			t.Fatal(err)
		}
		if err == nil && again != nil {
			if _, err := Open(again); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzSet reads arbitrary octets as a set, and writes it again.
func FuzzSet(f *testing.F) {
	f.Add([]byte{0x10})
	f.Add([]byte{0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, ok := decodeSet(data, blockWords)
		if !ok || s.Empty() {
			return
		}
		if again, ok := decodeSet(appendSet(nil, &s, blockWords), blockWords); !ok || again != s {
			t.Fatalf("%v became %v", s, again)
		}
	})
}

// BenchmarkCollect takes the grams of a text of 5 kB.
func BenchmarkCollect(b *testing.B) {
	text := message.FoldString(randomText(rand.New(rand.NewPCG(1, 1)), 900))
	var c Collector
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		c.Begin(Body)
		c.Add(text)
		c.Finish()
	}
}
