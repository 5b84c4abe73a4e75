package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// onDisk are options for a log on a simulated disk.
func onDisk(d *disk, applied LSN) Options {
	o := quiet("d")
	o.FS, o.Applied = d, applied
	o.Fatal = func(error) {}
	return o
}

// filled returns a disk that lost its power after count acknowledged records
// of size bytes each, written one by one, and the records.
func filled(t *testing.T, count, size int) (*disk, []*Entry) {
	t.Helper()
	d := newDisk()
	l, _ := mustOpen(t, onDisk(d, 0), nil)
	var entries []*Entry
	for n := 1; n <= count; n++ {
		isPrepared(t, l) // so that every segment is filled to its end
		e := letter(n, size)
		mustPut(t, l, e)
		entries = append(entries, e)
	}
	d = d.restart(rand.New(rand.NewPCG(1, 1)), 0)
	l.Close()
	return d, entries
}

// numbers opens the log and returns what is replayed.
func numbers(t *testing.T, d *disk, applied LSN) ([]LSN, Report) {
	t.Helper()
	var got []LSN
	l, rep := mustOpen(t, onDisk(d, applied), func(r Record) error {
		if want := fmt.Sprintf("meta of %d", r.LSN); string(r.Meta) != want {
			return fmt.Errorf("record %d is %q", r.LSN, r.Meta)
		}
		got = append(got, r.LSN)
		return nil
	})
	mustClose(t, l)
	return got, rep
}

func upTo(n LSN, without ...LSN) []LSN {
	var all []LSN
	for lsn := LSN(1); lsn <= n; lsn++ {
		if !slices.Contains(without, lsn) {
			all = append(all, lsn)
		}
	}
	return all
}

func TestDamage(t *testing.T) {
	const count = 400 // of 2,000 bytes: four segments
	type test struct {
		name    string
		applied LSN
		harm    func(d *disk, e []*Entry)
		want    []LSN
		damaged []LSN // the first of each damage
	}
	at := func(d *disk, e *Entry, from, to int64) {
		d.spoil(e.Place.Segment, int64(e.Place.Offset)+from, int64(e.Place.Offset)+to)
	}
	tests := []test{
		{"nothing", 0, func(d *disk, e []*Entry) {}, upTo(count), nil},
		{"a body", 0, func(d *disk, e []*Entry) { at(d, e[9], 700, 701) }, upTo(count, 10), []LSN{10}},
		{"metadata", 0, func(d *disk, e []*Entry) { at(d, e[9], recordHeaderSize, recordHeaderSize+1) }, upTo(count, 10), []LSN{10}},
		{"a header's length", 0, func(d *disk, e []*Entry) { at(d, e[9], 48, 49) }, upTo(count, 10), []LSN{10}},
		{"three in a row", 0, func(d *disk, e []*Entry) { at(d, e[9], 1000, 5000) }, upTo(count, 10, 11, 12), []LSN{10}},
		{"two places", 0, func(d *disk, e []*Entry) { at(d, e[9], 0, 1); at(d, e[300], 0, 1) }, upTo(count, 10, 301), []LSN{10, 301}},
		{"the last of a segment", 0, func(d *disk, e []*Entry) { at(d, e[123], 0, 9) }, upTo(count, 124), []LSN{124}},
		{"a page of zeros", 0, func(d *disk, e []*Entry) {
			d.zero(e[9].Place.Segment, int64(e[9].Place.Offset), int64(e[9].Place.Offset)+4096)
		}, upTo(count, 10, 11), []LSN{10}},
		{"the very last record looks like a torn write", 0, func(d *disk, e []*Entry) { at(d, e[count-1], 100, 101) }, upTo(count - 1), nil},
		{"the last but one", 0, func(d *disk, e []*Entry) { at(d, e[count-2], 100, 101) }, upTo(count, count-1), []LSN{count - 1}},
		{"one copy of a segment's header", 0, func(d *disk, e []*Entry) { d.spoil(2, 0, 64) }, upTo(count), nil},
		{"both copies", 0, func(d *disk, e []*Entry) { d.spoil(2, 0, 4096) }, upTo(count), []LSN{125}},
		{"both copies, zeroed", 0, func(d *disk, e []*Entry) { d.zero(2, 0, 4096) }, upTo(count), []LSN{125}},
		{"a segment's beginning", 0, func(d *disk, e []*Entry) { d.spoil(2, 0, 9000) }, upTo(count, 125, 126, 127), []LSN{125, 128}},
		{"a segment is missing", 0, func(d *disk, e []*Entry) { d.Remove(segmentName("d", 2)) }, append(upTo(124), upTo(count, upTo(248)...)...), []LSN{125}},
		{"the first segment is missing", 0, func(d *disk, e []*Entry) { d.Remove(segmentName("d", 1)) }, upTo(count, upTo(124)...), []LSN{1}},
		{"a missing segment that is applied", 124, func(d *disk, e []*Entry) { d.Remove(segmentName("d", 1)) }, upTo(count, upTo(124)...), nil},
		{"an applied record at the end", count, func(d *disk, e []*Entry) { at(d, e[count-1], 100, 101) }, nil, []LSN{count}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, entries := filled(t, count, 2000)
			if s := entries[123].Place.Segment; s != 1 || entries[124].Place.Segment != 2 {
				t.Fatalf("record 124 is in segment %d", s)
			}
			test.harm(d, entries)
			got, rep := numbers(t, d, test.applied)
			if !slices.Equal(got, test.want) {
				t.Errorf("replayed %d records, want %d", len(got), len(test.want))
			}
			var damaged []LSN
			for _, dam := range rep.Damaged {
				damaged = append(damaged, dam.First)
			}
			if !slices.Equal(damaged, test.damaged) {
				t.Errorf("damage %+v, want at %d", rep.Damaged, test.damaged)
			}
			again, _ := numbers(t, d, test.applied)
			if !slices.Equal(again, got) {
				t.Errorf("the second start replayed %d records, the first %d", len(again), len(got))
			}
		})
	}
}

// The databases know more than the log: numbers go on behind what they hold.
func TestAppliedIsAhead(t *testing.T) {
	d, _ := filled(t, 10, 100)
	l, rep := mustOpen(t, onDisk(d, 50), nil)
	if rep.LostFrom != 11 || rep.LostTo != 50 || rep.NextNumber != 51 {
		t.Errorf("%+v", rep)
	}
	e := letter(51, 100)
	mustPut(t, l, e)
	mustClose(t, l)
	if e.LSN != 51 {
		t.Fatalf("LSN %d", e.LSN)
	}
	for _, applied := range []LSN{0, 10, 30, 50, 51} {
		got, rep := numbers(t, d, applied)
		want := upTo(51, upTo(50)[10:]...)
		want = slices.DeleteFunc(want, func(l LSN) bool { return l <= applied })
		if !slices.Equal(got, want) || len(rep.Damaged) > 0 || rep.LostTo > 0 {
			t.Errorf("applied %d: replayed %d, %+v", applied, got, rep)
		}
	}
}

// What is applied was durable, even if no later record says so.
func TestDamageInTheLastGroup(t *testing.T) {
	for _, applied := range []LSN{0, 3} {
		d := newDisk()
		l, _ := mustOpen(t, onDisk(d, 0), nil)
		group := []*Entry{letter(1, 100), letter(2, 100), letter(3, 100)}
		for _, e := range group {
			l.Append(e)
		}
		if err := l.Wait(group[2]); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		at := int64(group[1].Place.Offset)
		d.spoil(1, at, at+1)
		_, rep := numbers(t, d, applied)
		switch {
		case applied == 0 && (rep.Last != 1 || len(rep.Damaged) > 0):
			t.Errorf("a torn write: %+v", rep)
		case applied == 3 && (rep.Last != 3 || len(rep.Damaged) != 1 || rep.Damaged[0].First != 2 || rep.Damaged[0].Last != 2):
			t.Errorf("damage: %+v", rep)
		}
	}
}

// What proves that a damaged record was durable may itself be torn off: the
// start after the first must still come to the same result.
func TestProofOutlivesTheFirstStart(t *testing.T) {
	d := newDisk()
	l, _ := mustOpen(t, onDisk(d, 0), nil)
	var all []*Entry
	for n := range 4 { // two groups of two
		all = append(all, letter(n+1, 3000))
		l.Append(all[n])
		if n%2 == 1 {
			if err := l.Wait(all[n]); err != nil {
				t.Fatal(err)
			}
		}
	}
	next := d.restart(rand.New(rand.NewPCG(1, 1)), 0)
	l.Close()
	for _, e := range []*Entry{all[0], all[2]} { // damage, and a torn write with the proof behind it
		next.spoil(1, int64(e.Place.Offset)+100, int64(e.Place.Offset)+101)
	}
	for range 3 {
		if got, rep := numbers(t, next, 0); !slices.Equal(got, []LSN{2}) || len(rep.Damaged) != 1 {
			t.Fatalf("replayed %d, %+v", got, rep)
		}
	}
	l, _ = mustOpen(t, onDisk(next, 0), nil)
	mustPut(t, l, letter(3, 10))
	mustClose(t, l)
	if got, rep := numbers(t, next, 0); !slices.Equal(got, []LSN{2, 3}) || len(rep.Damaged) != 1 {
		t.Fatalf("with a new segment: replayed %d, %+v", got, rep)
	}
}

// What an older run left behind in a segment must not follow on what a newer
// one writes there.
func TestRemainsOfAnOlderRun(t *testing.T) {
	d, entries := filled(t, 30, 1980) // records of 2 KiB, so that no padding hides what follows
	d.zero(1, 0, 2*pageSize)          // as if the first pages of the first write had not survived
	for i := range 2 {
		l, rep := mustOpen(t, onDisk(d, 0), nil)
		if i == 1 && rep.Last != 4 {
			t.Errorf("the log ends with record %d", rep.Last)
		}
		for n := range 4 * (1 - i) {
			e := letter(n+1, 1980)
			mustPut(t, l, e)
			if e.Place != entries[n].Place {
				t.Fatalf("record at %+v, want it where the old one was, at %+v", e.Place, entries[n].Place)
			}
		}
		next := d.restart(rand.New(rand.NewPCG(1, 1)), 0)
		l.Close()
		d = next
	}
}

// An fdatasync that failed leaves pages that look clean and are not on disk.
func TestFailedFlushEndsWriting(t *testing.T) {
	d := newDisk()
	o := onDisk(d, 0)
	var fatal []error
	o.Fatal = func(err error) { fatal = append(fatal, err) }
	published := 0
	o.Publish = func(g []*Entry) { published += len(g) }
	l, _ := mustOpen(t, o, nil)
	mustPut(t, l, letter(1, 100))
	isPrepared(t, l)
	broken := errors.New("I/O error")
	d.Fail(nil, broken)
	e := letter(2, 100)
	if err := put(l, e); !errors.Is(err, broken) {
		t.Errorf("Wait: %v", err)
	}
	if len(fatal) != 1 || !errors.Is(fatal[0], broken) || published != 1 {
		t.Errorf("Fatal was told %v, %d published", fatal, published)
	}
	late := letter(3, 100)
	if lsn := l.Append(late); lsn != 0 || !errors.Is(l.Wait(late), broken) {
		t.Errorf("Append afterwards: %d, %v", lsn, l.Wait(late))
	}
	if err := l.Reserve(10, true); !errors.Is(err, broken) {
		t.Errorf("Reserve afterwards: %v", err)
	}
	l.Close()
	d.Fail(nil, nil)
	got, _ := numbers(t, d, 0)
	if !slices.Equal(got, upTo(2)) {
		t.Fatalf("replayed %d", got)
	}
	d = d.restart(rand.New(rand.NewPCG(1, 1)), 0)
	if got, _ := numbers(t, d, 0); !slices.Equal(got, upTo(2)) {
		t.Errorf("after a power cut %d: what was replayed was not durable", got)
	}
}

func TestFailedWriteEndsWriting(t *testing.T) {
	d := newDisk()
	o := onDisk(d, 0)
	fatal := 0
	o.Fatal = func(err error) { fatal++ }
	l, _ := mustOpen(t, o, nil)
	isPrepared(t, l)
	broken := errors.New("I/O error")
	d.Fail(broken, nil)
	if err := put(l, letter(1, 100)); !errors.Is(err, broken) || fatal != 1 {
		t.Errorf("Wait: %v, Fatal called %d times", err, fatal)
	}
	l.Close()
}

func TestNewerFormatIsRefused(t *testing.T) {
	d, _ := filled(t, 3, 100)
	d.Harm(segmentName("d", 1), 0, headerPage, func(page []byte) { reversion(page, formatVersion+1) })
	_, _, err := Open(onDisk(d, 0), func(Record) error { return nil })
	if !errors.Is(err, ErrNewerFormat) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("%v", err)
	}
}

func TestReplayError(t *testing.T) {
	d, _ := filled(t, 3, 100)
	broken := errors.New("no")
	if _, _, err := Open(onDisk(d, 0), func(Record) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if got, _ := numbers(t, d, 0); !slices.Equal(got, upTo(3)) {
		t.Errorf("afterwards %d", got)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	d, entries := filled(t, 300, 2000)
	l, _ := mustOpen(t, onDisk(d, 0), nil)
	defer mustClose(t, l)
	big, err := bigEntry(l, 1000, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, l, big)
	gone, err := bigEntry(l, 1001, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, l, gone)
	if err := l.RemoveBig(1001); err != nil {
		t.Fatal(err)
	}
	check := func(want ...LSN) {
		t.Helper()
		var got []LSN
		damaged, err := l.Verify(func(r Record, b []byte) error { return nil })
		for _, d := range damaged {
			got = append(got, d.First)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("damage at %d, want %d; %v", got, want, err)
		}
	}
	check()
	p := entries[199].Place
	d.spoil(p.Segment, int64(p.Offset)+1000, int64(p.Offset)+1001)
	check(200)
	d.Harm(l.bigName(1000), 7, 8, func(b []byte) { b[0] ^= 1 })
	check(200, 301)
}

// reversion gives a segment's header, in both copies, another format version.
func reversion(page []byte, version uint32) {
	for _, at := range []int{0, headerCopy} {
		b := page[at : at+segHeaderSize]
		binary.LittleEndian.PutUint32(b[8:], version)
		binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	}
}
