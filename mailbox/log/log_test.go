package log

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

const testSegment = 256 << 10

// quiet are options for a log in dir with small segments.
func quiet(dir string) Options {
	return Options{Dir: dir, SegmentSize: testSegment, Logger: slog.New(slog.DiscardHandler)}
}

func mustOpen(t testing.TB, o Options, replay func(Record) error) (*Log, Report) {
	t.Helper()
	if replay == nil {
		replay = func(Record) error { return nil }
	}
	l, rep, err := Open(o, replay)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return l, rep
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// put reserves, appends and waits.
func put(l *Log, e *Entry) error {
	if err := l.Reserve(e.Size(), false); err != nil {
		return err
	}
	l.Append(e)
	return l.Wait(e)
}

func mustPut(t testing.TB, l *Log, e *Entry) {
	t.Helper()
	if err := put(l, e); err != nil {
		t.Fatalf("writing record %d: %v", e.LSN, err)
	}
}

// letter is entry number n with a body that only n determines.
func letter(n, size int) *Entry {
	return &Entry{Kind: 7, Meta: fmt.Appendf(nil, "meta of %d", n), BodyID: BodyID(n), Body: content(n, size)}
}

func content(n, size int) []byte {
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	b := make([]byte, size)
	r.Read(b)
	return b
}

func readBody(l *Log, p Place, id BodyID) ([]byte, error) {
	b, err := l.Body(p, id)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var buf bytes.Buffer
	n, err := b.WriteTo(&buf)
	if n != b.Size() {
		err = errors.Join(err, fmt.Errorf("%d bytes of %d", n, b.Size()))
	}
	return buf.Bytes(), err
}

func TestWriteReopenRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, _ := mustOpen(t, quiet(dir), nil)
	var places []Place
	for n := 1; n <= 300; n++ { // several segments
		e := letter(n, n*37%9000)
		mustPut(t, l, e)
		if e.LSN != LSN(n) {
			t.Fatalf("record %d got LSN %d", n, e.LSN)
		}
		places = append(places, e.Place)
	}
	check := func(l *Log) {
		t.Helper()
		for i, p := range places {
			got, err := readBody(l, p, BodyID(i+1))
			if err != nil || !bytes.Equal(got, content(i+1, (i+1)*37%9000)) {
				t.Fatalf("body %d at %+v: %v", i+1, p, err)
			}
		}
	}
	check(l)
	if n := len(l.Segments()); n < 3 {
		t.Fatalf("%d segments, want several", n)
	}
	mustClose(t, l)

	o := quiet(dir)
	o.Applied = 100
	next := LSN(101)
	l, rep := mustOpen(t, o, func(r Record) error {
		if r.LSN != next || r.Kind != 7 || string(r.Meta) != fmt.Sprintf("meta of %d", r.LSN) || r.Place != places[r.LSN-1] {
			return fmt.Errorf("record %+v, want %d", r, next)
		}
		next++
		return nil
	})
	defer mustClose(t, l)
	if next != 301 || rep.Replayed != 200 || rep.Last != 300 || len(rep.Damaged) > 0 || rep.TornBytes > 0 || rep.LostTo > 0 {
		t.Errorf("replayed up to %d, report %+v", next, rep)
	}
	check(l)
	e := letter(301, 10)
	mustPut(t, l, e)
	if e.LSN != 301 || l.Durable() != 301 || l.Last() != 301 {
		t.Errorf("record after reopening has LSN %d, durable %d", e.LSN, l.Durable())
	}
	seen := LSN(0)
	damaged, err := l.Verify(func(r Record, body []byte) error {
		seen++
		if r.LSN != seen || int64(len(body)) != r.Place.Size {
			return fmt.Errorf("record %d, want %d", r.LSN, seen)
		}
		return nil
	})
	if err != nil || len(damaged) > 0 || seen != 301 {
		t.Errorf("Verify: %d records, %v, %v", seen, damaged, err)
	}
}

// Publish sees every entry once, in order, before its waiter goes on.
func TestPublishInOrderBeforeWaiters(t *testing.T) {
	o := quiet(t.TempDir())
	var mu sync.Mutex
	var published []LSN
	o.Publish = func(group []*Entry) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range group {
			published = append(published, e.LSN)
		}
	}
	l, _ := mustOpen(t, o, nil)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 100 {
				e := letter(w*1000+i+1, 300)
				if err := put(l, e); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if LSN(len(published)) < e.LSN || published[e.LSN-1] != e.LSN {
					t.Errorf("record %d acknowledged before it was published", e.LSN)
				}
				mu.Unlock()
				if got, err := readBody(l, e.Place, e.BodyID); err != nil || !bytes.Equal(got, e.Body) {
					t.Errorf("body of %d: %v", e.LSN, err)
				}
			}
		})
	}
	wg.Wait()
	mustClose(t, l)
	if len(published) != 1600 || !slices.IsSorted(published) {
		t.Errorf("%d records published, sorted: %v", len(published), slices.IsSorted(published))
	}
}

// The disk does not wait for a publication, and publications wait for each other.
func TestNextGroupIsFlushedDuringPublication(t *testing.T) {
	o := quiet(t.TempDir())
	var l *Log
	var second sync.WaitGroup
	var published []LSN
	o.Publish = func(group []*Entry) {
		published = append(published, group[0].LSN)
		if group[0].LSN != 1 {
			return
		}
		second.Go(func() {
			if err := put(l, letter(2, 300)); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "the second record is flushed while the first is published", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.flushed == 2
		})
		if len(published) != 1 || l.Durable() != 0 {
			t.Errorf("published %v, durable up to %d", published, l.Durable())
		}
	}
	l, _ = mustOpen(t, o, nil)
	mustPut(t, l, letter(1, 300))
	second.Wait()
	mustClose(t, l)
	if !slices.Equal(published, []LSN{1, 2}) {
		t.Errorf("published %v", published)
	}
}

func TestKickFlushesWhatNobodyWaitsFor(t *testing.T) {
	o := quiet(t.TempDir())
	published := make(chan LSN, 1)
	o.Publish = func(group []*Entry) { published <- group[len(group)-1].LSN }
	l, _ := mustOpen(t, o, nil)
	defer mustClose(t, l)
	l.Append(letter(1, 10))
	l.Append(letter(2, 10))
	l.Kick()
	select {
	case lsn := <-published:
		if lsn != 2 {
			t.Errorf("published up to %d", lsn)
		}
	case <-time.After(time.Minute):
		t.Fatal("never published")
	}
}

func TestCloseFlushes(t *testing.T) {
	dir := t.TempDir()
	l, _ := mustOpen(t, quiet(dir), nil)
	e := letter(1, 10)
	l.Append(e)
	mustClose(t, l)
	if err := l.Wait(e); err != nil {
		t.Errorf("Wait after Close: %v", err)
	}
	late := letter(2, 10)
	if lsn := l.Append(late); lsn != 0 || !errors.Is(l.Wait(late), ErrClosed) {
		t.Errorf("Append after Close gave %d, %v", lsn, l.Wait(late))
	}
	l, rep := mustOpen(t, quiet(dir), nil)
	defer mustClose(t, l)
	if rep.Last != 1 {
		t.Errorf("%+v", rep)
	}
}

func TestTooLarge(t *testing.T) {
	l, _ := mustOpen(t, quiet(t.TempDir()), nil)
	defer mustClose(t, l)
	for _, e := range []*Entry{
		{BodyID: 1, Body: make([]byte, l.InlineLimit()+1)},
		{Meta: make([]byte, l.MetaLimit()+1)},
	} {
		if lsn := l.Append(e); lsn != 0 || !errors.Is(l.Wait(e), ErrTooLarge) {
			t.Errorf("Append gave %d, %v", lsn, l.Wait(e))
		}
	}
	mustPut(t, l, &Entry{Meta: make([]byte, l.MetaLimit()), BodyID: 1, Body: make([]byte, l.InlineLimit())})
}

func TestBigBody(t *testing.T) {
	dir := t.TempDir()
	l, _ := mustOpen(t, quiet(dir), nil)
	big, err := l.NewBig(5)
	if err != nil {
		t.Fatal(err)
	}
	want := content(5, 3<<20)
	if _, err := io.CopyBuffer(big, bytes.NewReader(want), make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	if err := big.Commit(); err != nil {
		t.Fatal(err)
	}
	e := &Entry{Meta: []byte("m")}
	big.Describe(e)
	mustPut(t, l, e)
	if got, err := readBody(l, e.Place, 5); err != nil || !bytes.Equal(got, want) || !e.Place.Big {
		t.Fatalf("big body: %d bytes, %v", len(got), err)
	}
	given, err := l.NewBig(6)
	if err != nil {
		t.Fatal(err)
	}
	given.Write(want[:10])
	if err := given.Abort(); err != nil {
		t.Error(err)
	}
	mustClose(t, l)

	var again Place
	l, _ = mustOpen(t, quiet(dir), func(r Record) error { again = r.Place; return nil })
	defer mustClose(t, l)
	if again != e.Place {
		t.Errorf("replayed %+v, written %+v", again, e.Place)
	}
	ids, err := l.Bigs()
	if err != nil || !slices.Equal(ids, []BodyID{5}) {
		t.Errorf("Bigs: %v, %v", ids, err)
	}
	open, err := l.Body(again, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := l.RemoveBig(5); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Body(again, 5); !errors.Is(err, ErrGone) {
		t.Errorf("removed big body: %v", err)
	}
	if n, err := open.ReadAt(make([]byte, 10), 3<<20-10); n != 10 || err != nil {
		t.Errorf("reader of a removed body: %d, %v", n, err)
	}
}

func TestBodyIsChecked(t *testing.T) {
	l, _ := mustOpen(t, quiet(t.TempDir()), nil)
	defer mustClose(t, l)
	e := letter(9, 500)
	mustPut(t, l, e)
	for name, c := range map[string]struct {
		change func(*Place)
		id     BodyID
		want   error
	}{
		"other id":      {func(p *Place) {}, 8, ErrDamaged},
		"other size":    {func(p *Place) { p.Size++ }, 9, ErrDamaged},
		"other offset":  {func(p *Place) { p.Offset += 8 }, 9, ErrDamaged},
		"behind end":    {func(p *Place) { p.Offset = 1 << 31 }, 9, ErrDamaged},
		"other segment": {func(p *Place) { p.Segment = 77 }, 9, ErrGone},
		"not big":       {func(p *Place) { p.Big = true }, 9, ErrGone},
	} {
		p := e.Place
		c.change(&p)
		for _, buf := range [][]byte{nil, make([]byte, 4096)} {
			if _, err := l.BodyIn(buf, p, c.id); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
}

// Whether a body fits into the buffer decides where it is read from, not what is read.
func TestBodyInBuffer(t *testing.T) {
	l, _ := mustOpen(t, quiet(t.TempDir()), nil)
	defer mustClose(t, l)
	buf := bytes.Repeat([]byte{'?'}, 4096)
	fits := len(buf) - recordHeaderSize - usualMeta
	for n, c := range []struct {
		size, meta int
		whole      bool
	}{
		{1, 0, true}, {2000, 100, true}, {fits, 100, true}, {fits + 1, 100, false}, {30_000, 100, false},
		{2000, usualMeta, true}, {2000, usualMeta + 1, false}, {2000, 5000, false},
		{2000, 0, true}, // the last of its segment
	} {
		e := letter(1+n, c.size)
		e.Meta = content(n, c.meta)
		mustPut(t, l, e)
		if n == 8 {
			if err := l.Seal(); err != nil {
				t.Fatal(err)
			}
		}
		b, err := l.BodyIn(buf, e.Place, e.BodyID)
		if err != nil {
			t.Fatal(err)
		}
		if whole := b.whole != nil; whole != c.whole {
			t.Errorf("%+v: read at once: %v", c, whole)
		}
		got := make([]byte, c.size+1)
		if n, err := b.ReadAt(got, 0); n != c.size || err != io.EOF || !bytes.Equal(got[:n], e.Body) {
			t.Errorf("%+v: read %d bytes, error %v", c, n, err)
		}
		half := got[:(c.size+1)/2]
		if n, err := b.ReadAt(half, int64(c.size-len(half))); n != len(half) || err != nil || !bytes.Equal(half, e.Body[c.size-len(half):]) {
			t.Errorf("%+v: read %d bytes of the second half, error %v", c, n, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSealAndRemove(t *testing.T) {
	dir := t.TempDir()
	l, _ := mustOpen(t, quiet(dir), nil)
	defer mustClose(t, l)
	first := letter(1, 500)
	mustPut(t, l, first)
	if err := l.Remove(first.Place.Segment); !errors.Is(err, ErrInUse) {
		t.Errorf("removing the current segment: %v", err)
	}
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(first.Place.Segment); !errors.Is(err, ErrInUse) {
		t.Errorf("removing the last segment: %v", err)
	}
	second := letter(2, 500)
	mustPut(t, l, second)
	if second.Place.Segment == first.Place.Segment {
		t.Error("sealed segment was written to")
	}
	infos := l.Segments()
	if len(infos) != 2 || !infos[0].Sealed || infos[0].Last != 1 || infos[0].Size != headerPage+first.Size() || infos[1].Sealed {
		t.Errorf("%+v", infos)
	}
	open, err := l.Body(first.Place, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(first.Place.Segment); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Body(first.Place, 1); !errors.Is(err, ErrGone) {
		t.Errorf("body of a removed segment: %v", err)
	}
	if n, err := open.ReadAt(make([]byte, 500), 0); n != 500 || err != nil {
		t.Errorf("reader of a removed segment: %d, %v", n, err)
	}
	if err := open.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Remove(first.Place.Segment); !errors.Is(err, ErrGone) {
		t.Errorf("removing twice: %v", err)
	}
}

func TestPlaceEncoding(t *testing.T) {
	for _, p := range []Place{{}, {1, 4096, 77, false}, {1<<32 - 1, 1<<32 - 8, 1<<62 - 1, true}} {
		b := p.Append(nil)
		got, err := DecodePlace(b)
		if err != nil || got != p || len(b) != PlaceSize {
			t.Errorf("%+v became %+v, %v", p, got, err)
		}
	}
	if _, err := DecodePlace(make([]byte, PlaceSize-1)); !errors.Is(err, ErrDamaged) {
		t.Errorf("short place: %v", err)
	}
}

// Writers, readers, sealing, removing and verifying beside each other.
func TestEverythingAtOnce(t *testing.T) {
	l, _ := mustOpen(t, quiet(t.TempDir()), nil)
	defer mustClose(t, l)
	const writers, each = 8, 60
	var writing, beside sync.WaitGroup
	written := make(chan *Entry, writers*each)
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				e := letter(1+w*each+i, 4000)
				e.Sum()
				if err := put(l, e); err != nil {
					t.Error(err)
					return
				}
				written <- e
			}
		})
	}
	beside.Go(func() {
		for e := range written {
			got, err := readBody(l, e.Place, e.BodyID)
			if !errors.Is(err, ErrGone) && (err != nil || !bytes.Equal(got, e.Body)) {
				t.Errorf("body %d: %v", e.BodyID, err)
			}
		}
	})
	stop := make(chan struct{})
	beside.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := l.Seal(); err != nil {
				t.Error(err)
			}
			if damaged, err := l.Verify(func(Record, []byte) error { return nil }); err != nil || len(damaged) > 0 {
				t.Errorf("Verify: %v, %v", damaged, err)
			}
			for _, s := range l.Segments()[:max(0, len(l.Segments())-3)] {
				if err := l.Remove(s.Number); err != nil && !errors.Is(err, ErrInUse) {
					t.Error(err)
				}
			}
		}
	})
	writing.Wait()
	close(written)
	close(stop)
	beside.Wait()
	if l.Durable() != writers*each {
		t.Errorf("durable is %d", l.Durable())
	}
}
