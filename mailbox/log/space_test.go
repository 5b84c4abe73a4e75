package log

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mailstead/mailbox/log/disktest"
)

// eventually waits until f is true; it is what background work or a moment's
// age of the free space brings about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// isPrepared waits for the preparing goroutine.
func isPrepared(t testing.TB, l *Log) {
	t.Helper()
	eventually(t, "segments are prepared", func() bool { l.wake(); return l.readyCount() >= defaultAhead })
}

// small is a disk of 64 segments, an eighth of which is for the databases.
func small() *disk {
	d := newDisk()
	d.Total = 64 * testSegment
	return d
}

func TestFullDisk(t *testing.T) {
	d := small()
	l, _ := mustOpen(t, onDisk(d, 0), nil)
	defer mustClose(t, l)
	isPrepared(t, l)

	settled := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.ready) >= defaultAhead && len(l.retired) == 0
	}
	n := 0
	for refused := 0; refused < 2; {
		err := put(l, letter(n+1, 20_000))
		switch {
		case err == nil:
			n++
		case errors.Is(err, ErrNoSpace): // cutting full segments may give some back
			refused++
			eventually(t, "the reserve is prepared", settled)
			l.forgetSpace()
		default:
			t.Fatal(err)
		}
	}
	if want := 64 * testSegment * 3 / 4 / 20_000; n < want*3/4 {
		t.Errorf("only %d letters went in", n)
	}
	if free := d.Free(); free < l.keepFree {
		t.Errorf("%d bytes remained, want %d", free, l.keepFree)
	}
	if big, err := l.NewBig(5000); err != nil {
		t.Error(err)
	} else if _, err := big.Write(make([]byte, 1000)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("writing a big body: %v", err)
	} else if err := big.Abort(); err != nil {
		t.Error(err)
	}

	// Urgent work goes on even if others take all that is left.
	d.Occupy(0)
	urgent := 0
	for ; urgent < 10_000; urgent++ {
		e := letter(n+1, 1000)
		if err := l.Reserve(e.Size(), true); errors.Is(err, ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		l.Append(e)
		if err := l.Wait(e); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if min := defaultAhead * testSegment / 1100 * 9 / 10; urgent < min || urgent == 10_000 {
		t.Errorf("%d urgent records, want at least %d", urgent, min)
	}

	// Service returns by itself.
	d.Occupy(32 * testSegment)
	eventually(t, "ordinary work is accepted again", func() bool {
		err := l.Reserve(1000, false)
		if err == nil {
			l.Release(1000)
		}
		return err == nil
	})
	for range 100 {
		mustPut(t, l, letter(n+1, 5000))
		n++
	}
	isPrepared(t, l)
	next := d.restart(rand.New(rand.NewPCG(1, 1)), 0)
	if got, rep := numbersOf(t, next); got != n || len(rep.Damaged) > 0 {
		t.Errorf("%d records, want %d; %+v", got, n, rep)
	}
	d.Kill() // the old log may end
}

func numbersOf(t *testing.T, d *disk) (int, Report) {
	t.Helper()
	count := 0
	l, rep := mustOpen(t, onDisk(d, 0), func(Record) error { count++; return nil })
	mustClose(t, l)
	return count, rep
}

// What was reserved can be written although the disk is full by then, however
// unfortunately the records fall onto the segments.
func TestReservationHolds(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		d := small()
		o := onDisk(d, 0)
		o.Fatal = func(err error) { t.Errorf("seed %d: %v", seed, err) }
		l, _ := mustOpen(t, o, nil)
		var entries []*Entry
		for {
			e := letter(len(entries)+1, rng.IntN(int(l.InlineLimit())))
			e.Meta = make([]byte, rng.IntN(l.MetaLimit()))
			if err := l.Reserve(e.Size(), rng.IntN(2) == 0); err != nil {
				if !errors.Is(err, ErrNoSpace) {
					t.Fatal(err)
				}
				break
			}
			entries = append(entries, e)
		}
		d.Occupy(0)
		if len(entries) < 64 {
			t.Errorf("seed %d: only %d reservations", seed, len(entries))
		}
		rng.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		for len(entries) > 0 {
			some := entries[:min(1+rng.IntN(10), len(entries))]
			entries = entries[len(some):]
			for _, e := range some {
				l.Append(e)
			}
			if err := l.Wait(some[len(some)-1]); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if l.reserved != 0 || l.queued != 0 {
			t.Errorf("seed %d: %d bytes reserved and %d queued in the end", seed, l.reserved, l.queued)
		}
		mustClose(t, l)
	}
}

// A full disk is no reason not to start.
func TestOpenOnFullDisk(t *testing.T) {
	d := small()
	l, _ := mustOpen(t, onDisk(d, 0), nil)
	mustPut(t, l, letter(1, 100))
	mustClose(t, l)
	for _, name := range d.Files() {
		if n, ok := ParseSegmentName(name[len("d/"):]); ok && n > 1 {
			d.Remove(name)
		}
	}
	d.Occupy(0)
	l, rep := mustOpen(t, onDisk(d, 0), nil)
	defer mustClose(t, l)
	if rep.Last != 1 {
		t.Errorf("%+v", rep)
	}
	for _, urgent := range []bool{false, true} {
		if err := l.Reserve(100, urgent); !errors.Is(err, ErrNoSpace) {
			t.Errorf("Reserve on a full disk: %v", err)
		}
	}
	d.Occupy(32 * testSegment)
	eventually(t, "the record is accepted", func() bool {
		err := put(l, letter(2, 100))
		if err != nil && !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
		return err == nil
	})
}

func TestSizesFitTheFileSystem(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		asked, total       int64
		segment, databases int64
	}{
		{0, 0, 32 * mib, 64 * mib},
		{0, 1 << 40, 32 * mib, 64 * mib},
		{0, 1 << 30, 16 * mib, 64 * mib},
		{0, 300 * mib, 4 * mib, 300 * mib / 8},
		{0, 10 * mib, 256 << 10, 10 * mib / 8},
		{256 << 10, 1 << 40, 256 << 10, 64 * mib},
		{1000, 0, 256 << 10, 64 * mib},
		{1 << 40, 0, 1 << 30, 64 * mib},
	} {
		l := &Log{o: Options{SegmentSize: test.asked}}
		l.fit(Space{Total: test.total})
		if l.segmentSize != test.segment || l.keepFree != test.databases {
			t.Errorf("%d asked on %d: segments of %d, %d for the databases", test.asked, test.total, l.segmentSize, l.keepFree)
		}
	}
}

// On a copy-on-write file system no zeros are written.
func TestCopyOnWrite(t *testing.T) {
	d := newDisk()
	d.cow = true
	l, _ := mustOpen(t, onDisk(d, 0), nil)
	isPrepared(t, l)
	for _, name := range d.Files() {
		if d.Counts(name).Writes > 0 {
			t.Errorf("%s was written before the first record", name)
		}
	}
	for n := range 300 {
		mustPut(t, l, letter(n+1, 2000))
	}
	mustClose(t, l)
	if got, _ := numbers(t, d, 0); !slices.Equal(got, upTo(300)) {
		t.Errorf("replayed %d", got)
	}
}

// One flush for a lone record, and full groups for many writers.
func TestOneFlushARecord(t *testing.T) {
	d := newDisk()
	l, _ := mustOpen(t, onDisk(d, 0), nil)
	defer mustClose(t, l)
	isPrepared(t, l)
	counts := func() disktest.Counts { return d.Counts(segmentName("d", 1)) }
	before := counts()
	for n := range 50 {
		mustPut(t, l, letter(n+1, 2000))
	}
	after := counts()
	if after != (disktest.Counts{Writes: before.Writes + 50, Datasyncs: before.Datasyncs + 50, Syncs: before.Syncs}) {
		t.Errorf("50 records made the calls %+v of %+v", after, before)
	}
	group := make([]*Entry, 10)
	for i := range group {
		group[i] = letter(51+i, 2000)
		l.Append(group[i])
	}
	if err := l.Wait(group[9]); err != nil {
		t.Fatal(err)
	}
	if got := counts(); got != (disktest.Counts{Writes: after.Writes + 1, Datasyncs: after.Datasyncs + 1, Syncs: after.Syncs}) {
		t.Errorf("a group of ten made %+v of %+v", got, after)
	}
}

// Start after start, segments that were prepared and not used serve again.
func TestPreparedSegmentsServeAgain(t *testing.T) {
	d := newDisk()
	for range 5 {
		l, _ := mustOpen(t, onDisk(d, 0), nil)
		isPrepared(t, l)
		mustClose(t, l)
	}
	if files := d.Files(); len(files) != defaultAhead {
		t.Errorf("files: %s", files)
	}
}
