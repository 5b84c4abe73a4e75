package queue

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// fill puts n letters into the queue, to destinations in turn, of one body.
func fill(t testing.TB, s *mailbox.Store, q *Queue, n int, destinations ...string) {
	t.Helper()
	const together = 100 // changes in a record
	b := s.NewBody()
	if _, err := b.Write([]byte(letter)); err != nil {
		t.Fatal(err)
	}
	var id mailbox.BodyID
	_, err := s.Deliver(t.Context(), b, nil, func(body mailbox.BodyID) []mailbox.RoomChange {
		id = body
		return []mailbox.RoomChange{{Room: "test", Key: "held", Value: []byte("x"), Body: body}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += together {
		var changes []mailbox.RoomChange
		for i := from; i < min(from+together, n); i++ {
			address := fmt.Sprintf("user%d@%s", i, destinations[i%len(destinations)])
			e := Envelope{From: "ann@us.test", Account: 1, Size: int64(len(letter)), Recipients: []string{address}}
			changes = append(changes, q.Add(e)(id)...)
		}
		if err := s.Change(t.Context(), changes...); err != nil {
			t.Fatal(err)
		}
	}
}

// A destination that hangs holds up its own mail and no other.
func TestOneDestinationHangs(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const letters = 3_000
		o := newOffice(t)
		most := make(map[string]int)
		release := make(chan struct{})
		o.remote.before = func(ctx context.Context, destination string) {
			if destination == "hangs.test" {
				o.remote.mu.Lock()
				most[destination]++
				o.remote.mu.Unlock()
				<-release
			}
		}
		fill(t, o.store, o.queue, letters, "a.test", "hangs.test", "b.test")
		o.run()
		synctest.Wait()
		left := o.list()
		for _, i := range left {
			if i.Destination != "hangs.test" {
				t.Fatalf("left is %+v", i)
			}
		}
		if len(left) != letters/3 || most["hangs.test"] != firstWindow || o.remote.most > 40 {
			t.Errorf("%d left, %d attempts at the one that hangs, %d at once", len(left), most["hangs.test"], o.remote.most)
		}
		close(release)
		synctest.Wait()
		o.want("left", o.entries())
		seen := make(map[string]int)
		for _, c := range o.remote.seen() {
			seen[c]++
		}
		if len(seen) != letters || o.remote.count() != letters {
			t.Errorf("%d of %d letters in %d calls", len(seen), letters, o.remote.count())
		}
	})
}

// No more attempts than allowed run at once, and each destination has its turn.
func TestLimitsAndTurns(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t, func(o *Options) { o.Limits = Limits{Attempts: 4, PerDestination: 2} })
		o.remote.before = func(context.Context, string) { time.Sleep(time.Second) }
		fill(t, o.store, o.queue, 12, "a.test", "a.test", "a.test", "b.test")
		o.run()
		synctest.Wait()
		if n := o.remote.count(); n != 4 {
			t.Errorf("%d attempts at once, want 4", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		perDestination := make(map[string]int)
		for _, c := range o.remote.seen() {
			destination, _, _ := strings.Cut(c, ":")
			perDestination[destination]++
		}
		if perDestination["a.test"] != 4 || perDestination["b.test"] != 3 {
			t.Errorf("after two rounds: %v", perDestination)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		o.want("left", o.entries())
		if o.remote.most != 4 {
			t.Errorf("%d attempts at once, want 4", o.remote.most)
		}
	})
}

// Letters to one destination leave in the order they came.
func TestOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t, func(o *Options) { o.Limits.PerDestination = 1 })
		var want []string
		for i := range 20 {
			o.add(fmt.Sprintf("user%d@far.test", i))
			want = append(want, fmt.Sprintf("far.test: user%d@far.test", i))
		}
		o.run()
		synctest.Wait()
		o.want("calls", o.remote.seen(), want...)
	})
}

// While a destination does not answer, one attempt in four minutes asks; what
// it hears is noted for the others, and all go when it answers again.
func TestOutage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const letters = 50
		o := newOffice(t)
		for i := range letters {
			o.remote.answer(fmt.Sprintf("user%d@far.test", i), silent)
		}
		o.remote.before = func(context.Context, string) { time.Sleep(30 * time.Second) }
		fill(t, o.store, o.queue, letters, "far.test")
		o.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := o.remote.count(); n != firstWindow {
			t.Errorf("%d attempts before it was known, want %d", n, firstWindow)
		}
		for _, i := range o.list() {
			if i.Attempts != 1 || i.LastError != "4.4.1 connect to mx.far.test: timed out" {
				t.Fatalf("listed as %+v", i)
			}
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := o.remote.count(); n != firstWindow+1 {
			t.Errorf("%d attempts when all were due again, want one more", n)
		}
		o.remote.answers = nil
		if err := o.queue.Retry("all"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		o.want("left", o.entries())
	})
}

func TestUnreachable(t *testing.T) {
	noDNS := Outcome{Enhanced: "4.4.3"}
	for name, tt := range map[string]struct {
		outcomes []Outcome
		want     bool
	}{
		"no answer":          {[]Outcome{silent, silent}, true},
		"no DNS":             {[]Outcome{noDNS}, true},
		"somebody answered":  {[]Outcome{silent, busy}, false},
		"delivered":          {[]Outcome{done}, false},
		"refused":            {[]Outcome{unknown}, false},
		"our own trouble":    {[]Outcome{{Enhanced: "4.3.0"}}, false},
		"connection lost":    {[]Outcome{{Enhanced: "4.4.2"}}, false},
		"nothing":            {nil, false},
		"no TLS policy":      {[]Outcome{{Enhanced: "4.4.3", Security: Security{Policy: "tlsa"}}}, false},
		"a wrong password":   {[]Outcome{{Enhanced: "4.7.8", Security: Security{Policy: "sts"}}}, true},
		"a reply with 4.4.1": {[]Outcome{{Code: 451, Enhanced: "4.4.1"}}, false},
	} {
		if got := unreachable(tt.outcomes); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The queue in memory is small, whatever waits in it.
func TestMemory(t *testing.T) {
	const letters = 10_000
	o := newOffice(t, func(o *Options) { o.Disabled = true })
	fill(t, o.store, o.queue, letters, "a.test", "b.test", "c.test")
	o.reopen()
	before := heapInUse()
	q, err := Open(o.store, o.o)
	if err != nil {
		t.Fatal(err)
	}
	each := (heapInUse() - before) / letters
	runtime.KeepAlive(q)
	t.Logf("%d bytes an entry", each)
	if each > 250 {
		t.Errorf("%d bytes an entry, want 250 at most", each)
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkOpen(b *testing.B) {
	s := mailboxtest.NewStore(b)
	o := Options{Remote: &fakeCourier{}, Local: &fakeCourier{}, IsLocal: func(string) bool { return false }}
	q, err := Open(s, o)
	if err != nil {
		b.Fatal(err)
	}
	const letters = 100_000
	fill(b, s, q, letters, "a.test", "b.test", "c.test")
	for b.Loop() {
		if q, err = Open(s, o); err != nil || len(q.board.jobs) != letters {
			b.Fatal(len(q.board.jobs), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/letters, "µs/entry")
}

// nowhere takes everything at once.
type nowhere struct{}

func (nowhere) Deliver(_ context.Context, _ string, m Message) []Outcome {
	outcomes := make([]Outcome, len(m.Recipients))
	for i, r := range m.Recipients {
		outcomes[i] = Outcome{Recipient: r, Status: Delivered}
	}
	return outcomes
}

// BenchmarkDrain is how fast entries leave, their results on disk.
func BenchmarkDrain(b *testing.B) {
	s := mailboxtest.NewStore(b)
	q, err := Open(s, Options{Remote: nowhere{}, Local: nowhere{}, IsLocal: func(string) bool { return false }})
	if err != nil {
		b.Fatal(err)
	}
	go q.Run(context.Background())
	defer q.Close()
	const letters = 2000
	for b.Loop() {
		b.StopTimer()
		fill(b, s, q, letters, "a.test", "b.test", "c.test", "d.test")
		b.StartTimer()
		q.Wake()
		for n := 1; n > 0; {
			time.Sleep(time.Millisecond)
			q.mu.Lock()
			n = len(q.board.jobs) + len(q.fresh)
			q.mu.Unlock()
		}
	}
	b.ReportMetric(float64(b.N)*letters/b.Elapsed().Seconds(), "entries/s")
}
