package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
)

// FormatVersion is the version of the segments that this program writes; it reads those from 1 on.
const FormatVersion = formatVersion

// NewestFormat is the largest version that a segment in a log's folder says it has, and the number of that segment; 0 without
// segments, or where none has a header that is whole. Nothing is changed, and nobody is kept from writing.
func NewestFormat(fsys FS, dir string) (version int, number uint32, err error) {
	names, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading the log's folder: %w", err)
	}
	page := make([]byte, headerPage)
	for _, name := range names {
		n, ok := ParseSegmentName(name)
		if !ok {
			continue
		}
		v, err := formatIn(fsys, segmentName(dir, n), page)
		if isNotExist(err) { // a running server has cleaned
			continue
		}
		if err != nil {
			return 0, 0, fmt.Errorf("reading segment %d: %w", n, err)
		}
		if v > version {
			version, number = v, n
		}
	}
	return version, number, nil
}

// formatIn is the version in the header of a segment, 0 where no copy of it is whole.
func formatIn(fsys FS, name string, page []byte) (int, error) {
	f, err := fsys.Open(name, false)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := f.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	le := binary.LittleEndian
	for _, at := range []int{0, headerCopy} {
		if n < at+segHeaderSize {
			break
		}
		b := page[at : at+segHeaderSize]
		if [8]byte(b) == segmentMagic && le.Uint32(b[60:]) == crc32.Checksum(b[:60], castagnoli) {
			return int(le.Uint32(b[8:])), nil
		}
	}
	return 0, nil
}
