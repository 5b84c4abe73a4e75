package log

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// readAll is what a cursor finds up to through.
func readAll(c *Cursor, through LSN) (list []LSN, err error) {
	err = c.Read(through, func(r Record) error {
		list = append(list, r.LSN)
		if want := fmt.Sprintf("meta of %d", r.LSN); string(r.Meta) != want || r.BodyID != BodyID(r.LSN) || r.Kind != 7 {
			return fmt.Errorf("record %d: %q, body %d", r.LSN, r.Meta, r.BodyID)
		}
		return nil
	})
	return list, err
}

func TestCursor(t *testing.T) {
	l, _ := mustOpen(t, quiet(t.TempDir()), nil)
	defer mustClose(t, l)
	live := l.Cursor(0)
	var heard []LSN
	const count = 60
	for n := range count { // of 20 KB: twelve in a segment
		mustPut(t, l, letter(n+1, 20<<10))
		if n%7 == 0 {
			list, err := readAll(live, l.Durable())
			if err != nil {
				t.Fatal(err)
			}
			heard = append(heard, list...)
		}
	}
	list, err := readAll(live, l.Durable())
	if heard = append(heard, list...); err != nil || !slices.Equal(heard, upTo(count)) {
		t.Errorf("live: %v, %v", heard, err)
	}
	if list, err := readAll(live, l.Durable()); len(list) > 0 || err != nil {
		t.Errorf("at the end: %v, %v", list, err)
	}
	for _, after := range []LSN{0, 1, 11, 12, 13, count - 1, count} {
		list, err := readAll(l.Cursor(after), count-1)
		if want := upTo(count - 1)[min(after, count-1):]; err != nil || !slices.Equal(list, want) {
			t.Errorf("behind %d: %v, %v", after, list, err)
		}
	}
	if _, err := readAll(l.Cursor(count+1), count); !errors.Is(err, ErrGone) {
		t.Errorf("from the future: %v", err)
	}
}

// TestCursorOfAnError: what fn refused is read again.
func TestCursorOfAnError(t *testing.T) {
	l, _ := mustOpen(t, quiet(t.TempDir()), nil)
	defer mustClose(t, l)
	for n := range 5 {
		mustPut(t, l, letter(n+1, 100))
	}
	c, stop := l.Cursor(0), errors.New("stop")
	err := c.Read(5, func(r Record) error {
		if r.LSN == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || c.Last() != 2 {
		t.Errorf("%v, read up to %d", err, c.Last())
	}
	if list, err := readAll(c, 5); err != nil || !slices.Equal(list, upTo(5)[2:]) {
		t.Errorf("%v, %v", list, err)
	}
}

// TestCursorBehindRemovedSegments: who fell behind is told so, others go on.
func TestCursorBehindRemovedSegments(t *testing.T) {
	o := quiet(t.TempDir())
	l, _ := mustOpen(t, o, nil)
	behind, within := l.Cursor(0), l.Cursor(0)
	for n := range 60 {
		isPrepared(t, l) // so that every segment has many
		mustPut(t, l, letter(n+1, 20<<10))
	}
	infos := l.Segments()
	if _, err := readAll(within, infos[1].First); err != nil { // stands in the second segment
		t.Fatal(err)
	}
	for _, s := range infos[:2] {
		eventually(t, "the segment is cut", func() bool { return l.Remove(s.Number) == nil })
	}
	if list, err := readAll(behind, 60); len(list) > 0 || !errors.Is(err, ErrGone) {
		t.Errorf("from the beginning: %v, %v", list, err)
	}
	if list, err := readAll(within, 60); len(list) > 0 || !errors.Is(err, ErrGone) {
		t.Errorf("from within what is removed: %v, %v", list, err)
	}
	last := infos[1].Last
	for _, again := range []bool{false, true} {
		if list, err := readAll(l.Cursor(last), 60); err != nil || !slices.Equal(list, upTo(60)[last:]) {
			t.Errorf("reopened %v: %v, %v", again, list, err)
		}
		mustClose(t, l)
		if !again {
			o.Applied = 60
			l, _ = mustOpen(t, o, nil)
		}
	}
}

// TestCursorAndDamage: records that do not validate are gone for those who
// have not read them, and passed over by those who have.
func TestCursorAndDamage(t *testing.T) {
	d, entries := filled(t, 40, 20<<10)
	at := entries[4].Place
	d.spoil(at.Segment, int64(at.Offset)+recordHeaderSize, int64(at.Offset)+recordHeaderSize+4)
	l, _ := mustOpen(t, onDisk(d, 40), nil)
	defer mustClose(t, l)
	if list, err := readAll(l.Cursor(0), 40); !errors.Is(err, ErrGone) || !slices.Equal(list, upTo(4)) {
		t.Errorf("from the beginning: %v, %v", list, err)
	}
	if list, err := readAll(l.Cursor(5), 40); err != nil || !slices.Equal(list, upTo(40)[5:]) {
		t.Errorf("behind the damage: %v, %v", list, err)
	}
}

// BenchmarkCursor reads 10,000 records of an ordinary message each, in the page cache.
func BenchmarkCursor(b *testing.B) {
	o := quiet(b.TempDir())
	o.SegmentSize = defaultSegmentSize
	l, _ := mustOpen(b, o, nil)
	defer mustClose(b, l)
	const count, size = 10_000, 4 << 10
	for n := range count {
		e := letter(n+1, size)
		if err := l.Reserve(e.Size(), false); err != nil {
			b.Fatal(err)
		}
		if l.Append(e); n%500 == 499 {
			if err := l.Wait(e); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(count * RecordSize(14, size))
	for b.Loop() {
		if err := l.Cursor(0).Read(count, func(Record) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
