package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// windowSize is how much of a segment is read at once.
const windowSize = 256 << 10

// window reads a file in large pieces. Bytes that cannot be read count as
// zeros, and that is remembered: no decision to cut may rest on them.
type window struct {
	file io.ReaderAt
	size int64
	base int64
	buf  []byte
	err  error // the first read error
}

// bytes returns the n bytes at off, fewer at the file's end. They are valid
// until the next call. n is bounded by the caller: a header or metadata.
func (w *window) bytes(off int64, n int) []byte {
	n = int(min(int64(n), w.size-off))
	if n <= 0 {
		return nil
	}
	if off < w.base || off+int64(n) > w.base+int64(len(w.buf)) {
		w.fill(off, max(n, windowSize))
	}
	at := off - w.base
	return w.buf[at : at+int64(n)]
}

func (w *window) fill(off int64, n int) {
	n = int(min(int64(n), w.size-off))
	if cap(w.buf) < n {
		w.buf = make([]byte, n)
	}
	w.base, w.buf = off, w.buf[:n]
	if w.readFull(w.buf, off) == nil {
		return
	}
	for at := 0; at < n; at += pageSize { // one bad sector must not hide its neighbours
		page := w.buf[at:min(at+pageSize, n)]
		if err := w.readFull(page, off+int64(at)); err != nil {
			clear(page)
			if w.err == nil {
				w.err = err
			}
		}
	}
}

func (w *window) readFull(p []byte, off int64) error {
	n, err := w.file.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		clear(p[n:]) // the file became shorter: not an error of the disk
		return nil
	}
	return err
}

// scanner finds the valid records of one segment.
type scanner struct {
	window
	number uint32
	seed   uint32
	epoch  uint32
}

func newScanner(file io.ReaderAt, size int64, number, epoch uint32) *scanner {
	return &scanner{window: window{file: file, size: size}, number: number, seed: segmentSeed(number), epoch: epoch}
}

// head reads the header and metadata at off and verifies them. The metadata
// is valid until the next call.
func (s *scanner) head(off int64) (h recordHeader, meta []byte, ok bool) {
	h, ok = parseHeader(s.bytes(off, recordHeaderSize))
	if !ok || h.epoch != s.epoch || off+h.size() > s.size {
		return h, nil, false
	}
	b := s.bytes(off, recordHeaderSize+int(h.metaSize))
	return h, b[recordHeaderSize:], headSum(s.seed, b, b[recordHeaderSize:]) == h.headCRC
}

// record verifies the whole record at off, its body included.
func (s *scanner) record(off int64) (recordHeader, bool) {
	h, _, ok := s.head(off)
	if !ok {
		return h, false
	}
	return h, h.big() || s.bodySum(off, &h) == h.bodyCRC
}

// bodySum is the checksum of the inline body of the record at off.
func (s *scanner) bodySum(off int64, h *recordHeader) uint32 {
	var sum uint32
	at, left := off+recordHeaderSize+int64(h.metaSize), h.inline()
	for left > 0 {
		b := s.bytes(at, int(min(left, windowSize)))
		if len(b) == 0 {
			break
		}
		sum = crc32.Update(sum, castagnoli, b)
		at += int64(len(b))
		left -= int64(len(b))
	}
	return sum
}

// find returns the first valid record at or behind from with an LSN of at least least.
func (s *scanner) find(from int64, least LSN) (off int64, h recordHeader, ok bool) {
	var mark [8]byte
	copy(mark[:], recordMagic[:])
	binary.LittleEndian.PutUint32(mark[4:], s.epoch)
	for off = alignUp(from); off+recordHeaderSize <= s.size; {
		b := s.bytes(off, windowSize)
		i := bytes.Index(b, mark[:])
		if i < 0 {
			if off+int64(len(b)) >= s.size {
				break
			}
			off += int64(len(b)) - int64(len(mark)) // both multiples of recordAlign
			continue
		}
		at := off + int64(i)
		if at%recordAlign == 0 {
			if h, ok := s.record(at); ok && h.lsn >= least {
				return at, h, true
			}
		}
		off = alignUp(at + 1)
	}
	return 0, h, false
}

func alignUp(off int64) int64 { return (off + recordAlign - 1) &^ (recordAlign - 1) }
