package log

import (
	"bytes"
	"errors"
	"testing"
)

// A body that is carried into another record is the same there, whatever its
// metadata and size, and its first segment can go.
func TestCarry(t *testing.T) {
	dir := t.TempDir()
	l, _ := mustOpen(t, quiet(dir), nil)
	defer mustClose(t, l)
	var sources []*Entry
	for n, c := range []struct{ meta, size int }{{0, 0}, {25, 1}, {usualMeta, 4000}, {usualMeta + 1, 4000}, {20_000, 30_000}} {
		e := letter(n+1, c.size)
		e.Meta = bytes.Repeat([]byte("m"), c.meta)
		mustPut(t, l, e)
		sources = append(sources, e)
	}
	large, err := l.NewBig(9)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := large.Write(content(9, 70_000)); err != nil {
		t.Fatal(err)
	}
	if err := large.Commit(); err != nil {
		t.Fatal(err)
	}
	described := new(Entry)
	large.Describe(described)
	mustPut(t, l, described)
	sources = append(sources, described)
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	var buf []byte
	var carried []*Entry
	for _, from := range sources {
		e := &Entry{Meta: []byte("moved")}
		if buf, err = l.Carry(e, from.Place, from.BodyID, nil); err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, e)
		carried = append(carried, e)
	}
	if err := l.Remove(sources[0].Place.Segment); err != nil {
		t.Fatal(err)
	}
	for i, from := range sources {
		e := carried[i]
		if e.Place.Segment == from.Place.Segment || e.Place.Size != from.Place.Size || e.Place.Big != from.Place.Big {
			t.Errorf("body %d: from %+v to %+v", e.BodyID, from.Place, e.Place)
		}
		got, err := readBody(l, e.Place, e.BodyID)
		if want := content(int(from.BodyID), int(from.Place.Size)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("body %d: %d bytes, error %v", e.BodyID, len(got), err)
		}
		if _, err := l.Carry(new(Entry), from.Place, from.BodyID, buf); !errors.Is(err, ErrGone) {
			t.Errorf("carried from a removed segment: %v", err)
		}
	}
	if damaged, err := l.Verify(func(Record, []byte) error { return nil }); err != nil || len(damaged) > 0 {
		t.Errorf("damage %v, error %v", damaged, err)
	}
}

// What is not as it was written is not written a second time.
func TestCarryRefuses(t *testing.T) {
	d, entries := filled(t, 6, 300)
	l, _ := mustOpen(t, onDisk(d, 6), nil)
	defer mustClose(t, l)
	first, second, third := entries[0], entries[1], entries[2]
	d.spoil(first.Place.Segment, int64(first.Place.Offset)+first.Size()-20, int64(first.Place.Offset)+first.Size()-19)
	d.spoil(second.Place.Segment, int64(second.Place.Offset)+16, int64(second.Place.Offset)+17)
	wrongSize := third.Place
	wrongSize.Size--
	for name, c := range map[string]struct {
		p    Place
		id   BodyID
		want error
	}{
		"flipped bit in the body":   {first.Place, first.BodyID, ErrDamaged},
		"flipped bit in the header": {second.Place, second.BodyID, ErrDamaged},
		"another body":              {third.Place, first.BodyID, ErrDamaged},
		"another size":              {wrongSize, third.BodyID, ErrDamaged},
		"behind the end":            {Place{Segment: third.Place.Segment, Offset: 1 << 30, Size: 5}, third.BodyID, ErrDamaged},
		"no such segment":           {Place{Segment: 99}, third.BodyID, ErrGone},
		"too large":                 {Place{Segment: third.Place.Segment, Size: MaxInline + 1}, third.BodyID, ErrTooLarge},
	} {
		if _, err := l.Carry(new(Entry), c.p, c.id, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A segment that was removed from between two others is no damage, also where
// the one before it is exactly as long as it was made and is read again.
func TestRemovedBetween(t *testing.T) {
	d := newDisk()
	d.cow = true // no segment is left early for a zeroed one
	o := onDisk(d, 0)
	l, _ := mustOpen(t, o, nil)
	var numbers []uint32
	for range 3 {
		for rest := l.segmentSize - headerPage; rest > 0; {
			size := min(rest, RecordSize(l.MetaLimit(), 0))
			mustPut(t, l, &Entry{Meta: make([]byte, size-recordHeaderSize)})
			rest -= size
		}
		infos := l.Segments()
		if newest := infos[len(infos)-1]; newest.Size != l.segmentSize {
			t.Fatalf("%+v", infos)
		}
		numbers = append(numbers, infos[len(infos)-1].Number)
	}
	mustPut(t, l, letter(50, 10))
	if err := l.sealRetired(); err != nil {
		t.Fatal(err)
	}
	last := l.Last()
	for _, number := range numbers[1:] {
		if err := l.Remove(number); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	o.Applied = last - 1
	l, rep := mustOpen(t, o, nil)
	mustClose(t, l)
	if len(rep.Damaged) > 0 || rep.First != 1 || rep.Replayed != 1 || rep.LostTo != 0 {
		t.Errorf("%+v", rep)
	}
}
