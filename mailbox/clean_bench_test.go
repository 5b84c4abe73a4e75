package mailbox

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// deliverFor has writers deliver letters of 20 KB for a while, and returns how
// many a second were acknowledged.
func deliverFor(b *testing.B, s *Store, a AccountID, writers int, d time.Duration) float64 {
	text := []byte(letter(1) + strings.Repeat("0123456789012345678901234567890123456789\r\n", 480))
	return deliverEachFor(b, s, a, writers, d, [][]byte{text})
}

// deliverEachFor is deliverFor of several texts in turns.
func deliverEachFor(b *testing.B, s *Store, a AccountID, writers int, d time.Duration, texts [][]byte) float64 {
	targets := []Target{{Account: a, Name: "INBOX"}}
	var done atomic.Int64
	var work sync.WaitGroup
	end := time.Now().Add(d)
	for w := range writers {
		work.Go(func() {
			for i := w; time.Now().Before(end); i += writers {
				body := s.NewBody()
				body.Write(texts[i%len(texts)])
				if _, err := s.Deliver(b.Context(), body, targets, nil); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	work.Wait()
	return float64(done.Load()) / d.Seconds()
}

// BenchmarkDeliverWhileCleaning delivers at full load in turns, with every sealed
// segment being moved meanwhile and without, and reports the ratio: it is to be
// at least 0.8.
func BenchmarkDeliverWhileCleaning(b *testing.B) {
	const turn = 2 * time.Second
	for _, c := range []struct {
		name    string
		writers int
	}{{"writers=1", 1}, {"writers=16", 16}} {
		b.Run(c.name, func(b *testing.B) {
			s, a := benchStore(b)
			deliverFor(b, s, a, 16, turn) // what is there to be moved
			var alone, beside float64
			var moved int64
			var cleaned time.Duration
			for b.Loop() {
				alone += deliverFor(b, s, a, c.writers, turn)
				if err := errors.Join(s.log.Seal(), s.apply()); err != nil {
					b.Fatal(err)
				}
				ctx, stop := context.WithCancel(b.Context())
				var work sync.WaitGroup
				work.Go(func() {
					r := &cleaning{s: s, ctx: ctx, must: make(map[uint32]bool)}
					for _, info := range s.log.Segments() {
						r.must[info.Number] = true
					}
					began := time.Now()
					if err := r.run(); err != nil && !errors.Is(err, context.Canceled) {
						b.Error(err)
					}
					moved += r.moved
					cleaned += time.Since(began)
				})
				beside += deliverFor(b, s, a, c.writers, turn)
				stop()
				work.Wait()
			}
			b.ReportMetric(beside/alone, "ratio")
			b.ReportMetric(alone/float64(b.N), "alone/s")
			b.ReportMetric(float64(moved)/cleaned.Seconds()/1e6, "movedMB/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
