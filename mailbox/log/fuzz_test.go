package log

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// written returns a segment with a few records, as it is on disk.
func written(t testing.TB) []byte {
	d := newDisk()
	l, _ := mustOpen(t, onDisk(d, 0), nil)
	for n := range 4 {
		mustPut(t, l, letter(n+1, 300*n))
	}
	if b, err := bigEntry(l, 9, 10); err == nil {
		mustPut(t, l, b)
	}
	mustClose(t, l)
	return d.Bytes(segmentName("d", 1))
}

func addSegments(f *testing.F) {
	whole := written(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(whole[headerPage:])
	f.Add(append(bytes.Clone(whole), whole[headerPage:]...))
	f.Add(make([]byte, 3*pageSize))
	f.Add([]byte{})
}

// FuzzScan searches arbitrary bytes for records. None may reach beyond the
// file, and memory is bounded by the largest metadata.
func FuzzScan(f *testing.F) {
	addSegments(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		h, ok, err := parseSegmentHeader(data, 1)
		if !ok || err != nil {
			h.epoch = 1
		}
		s := newScanner(bytes.NewReader(data), int64(len(data)), 1, h.epoch)
		for off := int64(0); ; {
			at, rec, ok := s.find(off, 1)
			if !ok {
				break
			}
			if at < off || at%recordAlign != 0 || at+rec.size() > int64(len(data)) {
				t.Fatalf("record at %d of %d bytes in %d", at, rec.size(), len(data))
			}
			off = at + rec.size()
		}
		if cap(s.buf) > windowSize+MaxMeta+recordHeaderSize {
			t.Errorf("%d bytes of memory", cap(s.buf))
		}
	})
}

// FuzzRecover takes arbitrary bytes for the only segment of a log. Records
// come in order, and a second recovery finds what the first one left.
func FuzzRecover(f *testing.F) {
	addSegments(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDisk()
		d.Put(segmentName("d", 1), data)
		var found [2][]LSN
		for i := range found {
			l, err := newLog(onDisk(d, 0))
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.recover(func(r Record) error {
				if n := len(found[i]); n > 0 && found[i][n-1] >= r.LSN {
					t.Errorf("record %d follows %d", r.LSN, found[i][n-1])
				}
				found[i] = append(found[i], r.LSN)
				return nil
			})
			if err != nil && !errors.Is(err, ErrNewerFormat) {
				t.Fatal(err)
			}
		}
		if !slices.Equal(found[0], found[1]) {
			t.Errorf("first %d, then %d", found[0], found[1])
		}
	})
}

func FuzzDecodePlace(f *testing.F) {
	f.Add(Place{Segment: 3, Offset: 4096, Size: 99, Big: true}.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePlace(data)
		if err == nil && !bytes.Equal(p.Append(nil), data[:PlaceSize]) {
			t.Errorf("%x became %+v", data, p)
		}
	})
}
