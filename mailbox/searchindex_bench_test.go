package mailbox

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// BenchmarkDeliverBesideIndexing delivers different letters of 4 KB at full load in turns, with and without the
// full-text index following meanwhile, and reports the ratio. Between the turns the index catches up.
func BenchmarkDeliverBesideIndexing(b *testing.B) {
	const turn = 2 * time.Second
	texts := make([][]byte, 500)
	for i := range texts {
		texts[i] = wordsLetter(i, 4<<10)
	}
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			without, a := benchStore(b)
			quietSearch(without)
			with, c := benchStore(b)
			var alone, beside float64
			var waited time.Duration
			for b.Loop() {
				alone += deliverEachFor(b, without, a, writers, turn, texts)
				beside += deliverEachFor(b, with, c, writers, turn, texts)
				began := time.Now()
				for !with.search.knows(BodyID(with.lastBody.Load())) {
					time.Sleep(time.Millisecond)
				}
				waited += time.Since(began)
			}
			b.ReportMetric(beside/alone, "ratio")
			b.ReportMetric(alone/float64(b.N), "alone/s")
			b.ReportMetric(waited.Seconds()/float64(b.N), "behind-s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// wordsLetter is a letter of made-up words.
func wordsLetter(n, size int) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	var text strings.Builder
	text.WriteString(letter(n))
	for text.Len() < size {
		for range 2 + rng.IntN(8) {
			text.WriteByte(byte('a' + rng.IntN(26)))
		}
		text.WriteString([]string{" ", " ", " ", "\r\n"}[rng.IntN(4)])
	}
	return []byte(text.String())
}
