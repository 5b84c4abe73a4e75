package log

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	formatVersion = 1

	// headerPage is the space before a segment's first record: one page, so
	// that it is never written again when records follow.
	headerPage = 4096

	// The header stands twice in its page, in different sectors.
	headerCopy    = 2048
	segHeaderSize = 64

	segmentSuffix = ".seg"
	spareSuffix   = ".tmp"
	bigFolder     = "big"
)

var segmentMagic = [8]byte{'M', 'A', 'I', 'L', 'S', 'E', 'G', '\n'}

// segmentHeader is the description at the start of a segment; doc.go has its bytes.
type segmentHeader struct {
	number    uint32
	epoch     uint32 // drawn at random for each run: an older run's remains never validate
	first     LSN    // of the first record
	previous  LSN    // of the record before this segment, as the writer knew it
	allocated int64  // the file's length while it is written; a sealed one is shorter
}

func (h *segmentHeader) put(page []byte) {
	b := page[:segHeaderSize]
	le := binary.LittleEndian
	copy(b, segmentMagic[:])
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], h.number)
	le.PutUint32(b[16:], h.epoch)
	le.PutUint64(b[24:], uint64(h.first))
	le.PutUint64(b[32:], uint64(h.previous))
	le.PutUint64(b[40:], uint64(h.allocated))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	copy(page[headerCopy:], b)
}

// parseSegmentHeader takes the first copy in page that is whole. The error is
// ErrNewerFormat when that copy is of a later version.
func parseSegmentHeader(page []byte, number uint32) (h segmentHeader, ok bool, err error) {
	le := binary.LittleEndian
	for _, at := range []int{0, headerCopy} {
		if len(page) < at+segHeaderSize {
			continue
		}
		b := page[at : at+segHeaderSize]
		if [8]byte(b) != segmentMagic || le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
			continue
		}
		if v := le.Uint32(b[8:]); v > formatVersion {
			return h, false, fmt.Errorf("segment %d has format version %d, this program knows %d: %w", number, v, formatVersion, ErrNewerFormat)
		}
		h = segmentHeader{
			number:    le.Uint32(b[12:]),
			epoch:     le.Uint32(b[16:]),
			first:     LSN(le.Uint64(b[24:])),
			previous:  LSN(le.Uint64(b[32:])),
			allocated: int64(le.Uint64(b[40:])),
		}
		if h.number == number && h.first > h.previous && h.allocated > headerPage {
			return h, true, nil
		}
	}
	return h, false, nil
}

// SegmentName is the name of a segment's file in the log's folder.
func SegmentName(number uint32) string { return fmt.Sprintf("%010d%s", number, segmentSuffix) }

func segmentName(dir string, number uint32) string {
	return filepath.Join(dir, SegmentName(number))
}

// ParseSegmentName is the inverse of SegmentName.
func ParseSegmentName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 10 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil && n > 0
}

// segment is one file of the log.
type segment struct {
	number uint32
	size   int64 // of the file while it is written
	zeroed bool  // a flush of what is written into it costs no journal commit

	// Under Log.mu.
	first, last LSN
	end         int64 // where the durable records end
	sealed      bool  // cut to its length, or about to be: never written again

	// Under segments.mu.
	file File // nil while nobody needs it
	refs int
	gone bool
}

// maxOpenSegments bounds the descriptors of sealed segments that nobody reads
// at the moment. 512 of 32 MiB are 16 GiB of mail.
const maxOpenSegments = 512

// segments are the files with records, by number, with the readers of each.
type segments struct {
	fs     FS
	dir    string
	mu     sync.Mutex
	table  map[uint32]*segment
	open   int // files open in the table
	closed bool
}

// add enters a segment. Its file may be open already.
func (t *segments) add(s *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table[s.number] = s
	if s.file != nil {
		t.open++
	}
}

// sorted returns all segments by number.
func (t *segments) sorted() []*segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.table), func(a, b *segment) int {
		return cmp.Compare(a.number, b.number)
	})
}

// acquire takes a reference on a segment and opens its file if need be. The
// error is ErrGone when there is no such segment (any more).
func (t *segments) acquire(number uint32) (*segment, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.table[number]
	if s == nil || t.closed {
		return nil, fmt.Errorf("segment %d: %w", number, ErrGone)
	}
	if s.file == nil {
		f, err := t.fs.Open(segmentName(t.dir, number), false)
		if err != nil {
			return nil, fmt.Errorf("opening segment %d: %w", number, err)
		}
		s.file = f
		t.open++
	}
	s.refs++
	return s, nil
}

// release gives a reference back. The last one closes the file of a segment
// that was removed, or that is one too many.
func (t *segments) release(s *segment) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.refs--
	if s.refs > 0 || (!s.gone && !t.closed && t.open <= maxOpenSegments) {
		return nil
	}
	return t.closeFile(s)
}

// closeFile closes the file of s. t.mu is held.
func (t *segments) closeFile(s *segment) error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	t.open--
	return f.Close()
}

// remove unlinks a segment. Those who read it keep the file until they
// release it; nobody else gets it.
func (t *segments) remove(number uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.table[number]
	if s == nil {
		return fmt.Errorf("removing segment %d: %w", number, ErrGone)
	}
	if err := t.fs.Remove(segmentName(t.dir, number)); err != nil && !isNotExist(err) {
		return fmt.Errorf("removing segment %d: %w", number, err)
	}
	delete(t.table, number)
	s.gone = true
	if s.refs > 0 {
		return nil
	}
	return t.closeFile(s)
}

// close closes all files that nobody reads; readers close theirs themselves.
func (t *segments) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	var first error
	for _, s := range t.table {
		if s.refs > 0 {
			continue
		}
		if err := t.closeFile(s); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
