package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

// FirstLSN is the LSN of the first record in the log of a folder that nobody
// has open, as far as headers tell; 0 when there is none. The error is
// ErrNewerFormat or the system's.
func FirstLSN(fsys FS, dir string) (LSN, error) {
	names, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the log's folder: %w", err)
	}
	var numbers []uint32
	for _, name := range names {
		if number, ok := ParseSegmentName(name); ok {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		first, err := firstIn(fsys, dir, number)
		if err != nil || first != 0 {
			return first, err
		}
	}
	return 0, nil
}

// firstIn is the first LSN of a segment; 0 for one without records, or of which
// the beginning is lost.
func firstIn(fsys FS, dir string, number uint32) (LSN, error) {
	f, err := fsys.Open(segmentName(filepath.Clean(dir), number), false)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	pages := make([]byte, headerPage+recordHeaderSize)
	n, err := f.ReadAt(pages, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading segment %d: %w", number, err)
	}
	h, ok, err := parseSegmentHeader(pages[:min(n, headerPage)], number)
	if err != nil || ok {
		return h.first, err
	}
	if n < len(pages) {
		return 0, nil
	}
	if r, ok := parseHeader(pages[headerPage:]); ok {
		return r.lsn, nil
	}
	return 0, nil
}
