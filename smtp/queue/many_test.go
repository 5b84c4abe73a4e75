package queue

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"mailstead/mailbox/mailboxtest"
)

// stubborn puts everything off, and notes what the process needs meanwhile.
type stubborn struct {
	calls      atomic.Int64
	atOnce     atomic.Int64
	most       atomic.Int64
	goroutines atomic.Int64
}

func (s *stubborn) Deliver(_ context.Context, _ string, m Message) []Outcome {
	s.most.Store(max(s.most.Load(), s.atOnce.Add(1)))
	defer s.atOnce.Add(-1)
	s.goroutines.Store(max(s.goroutines.Load(), int64(runtime.NumGoroutine())))
	s.calls.Add(1)
	return []Outcome{{Recipient: m.Recipients[0], Code: 451, Enhanced: "4.7.1", Text: "come again"}}
}

// manyFigures are what letters that wait need: octets of memory each, to be known and once they were tried, and the time in which a start
// finds all of them.
type manyFigures struct {
	known, tried int64
	start        time.Duration
}

// mostWaiting is how many octets a letter that was tried may need more than one that is only known.
const mostWaiting = 1500

// runMany puts n letters into a queue, opens it anew, and has it try each of them once.
func runMany(t testing.TB, n int) manyFigures {
	s := mailboxtest.NewStore(t)
	courier := new(stubborn)
	o := Options{Remote: courier, Local: courier, IsLocal: func(string) bool { return false }}
	q, err := Open(s, o)
	if err != nil {
		t.Fatal(err)
	}
	destinations := make([]string, 1+n/50)
	for i := range destinations {
		destinations[i] = fmt.Sprintf("d%d.test", i)
	}
	empty := heapInUse()
	fill(t, s, q, n, destinations...)
	began, idle := time.Now(), int64(runtime.NumGoroutine())
	if q, err = Open(s, o); err != nil {
		t.Fatal(err)
	}
	f := manyFigures{start: time.Since(began), known: (heapInUse() - empty) / int64(n)}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		q.Run(ctx)
		close(ended)
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !q.allTried() {
		<-tick.C
	}
	// What the store has yet to write does not grow with the queue, and it is given the time to write it.
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		f.tried = (heapInUse() - empty) / int64(n)
		if f.tried-f.known <= mostWaiting || time.Now().After(end) {
			break
		}
	}
	stop()
	<-ended
	if calls := courier.calls.Load(); calls != int64(n) {
		t.Errorf("%d attempts for %d letters", calls, n)
	}
	limit := int64(q.o.Limits.Attempts)
	if most, extra := courier.most.Load(), courier.goroutines.Load()-idle; most > limit || extra > 2*limit { // the store has some, too
		t.Errorf("%d attempts at once, %d goroutines more", most, extra)
	}
	runtime.KeepAlive(q)
	return f
}

// allTried reports whether every entry waits for its second attempt.
func (q *Queue) allTried() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.board.running > 0 {
		return false
	}
	for _, j := range q.board.jobs {
		if j.state != scheduled || !j.next.After(q.o.Now()) {
			return false
		}
	}
	return true
}

// However many letters wait, an attempt at each needs no more memory than knowing of them.
func TestManyWaiting(t *testing.T) {
	const n = 2_000
	f := runMany(t, n)
	each := f.tried - f.known
	t.Logf("%d octets a letter more than %d", each, f.known)
	if each > mostWaiting {
		t.Errorf("%d octets a letter, want %d at most", each, mostWaiting)
	}
}

// BenchmarkManyWaiting is the same with a hundred thousand.
func BenchmarkManyWaiting(b *testing.B) {
	for b.Loop() {
		f := runMany(b, 100_000)
		b.ReportMetric(float64(f.known), "known-octets/letter")
		b.ReportMetric(float64(f.tried), "tried-octets/letter")
		b.ReportMetric(float64(f.start.Milliseconds()), "ms/start")
	}
}
