package log

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	// MaxInline is the largest body, in bytes, that a record carries itself.
	// Larger ones are files of their own, so that one record never holds the
	// group that it is flushed with for longer than a few milliseconds.
	MaxInline = 1 << 20

	// MaxMeta is the largest metadata of a record, in bytes: a flag change of
	// 100,000 messages fits, and recovery can hold it in memory.
	MaxMeta = 8 << 20

	recordHeaderSize = 56
	recordAlign      = 8 // of a record's start, so that a search for records can step

	flagBig = 1 << 0 // the body is in a file of its own
)

// recordMagic begins every record; the segment's epoch follows it, and a
// search for records behind damage looks for both.
var recordMagic = [4]byte{'M', 'S', 'r', '1'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordHeader is the fixed part of a record; doc.go has its bytes.
type recordHeader struct {
	epoch    uint32
	headCRC  uint32
	bodyCRC  uint32
	lsn      LSN
	durable  LSN // what was on disk when the record was written
	bodyID   BodyID
	bodySize int64
	metaSize uint32
	kind     Kind
	flags    uint8
}

func (h *recordHeader) big() bool { return h.flags&flagBig != 0 }

// inline is the number of body bytes in the record itself.
func (h *recordHeader) inline() int64 {
	if h.big() {
		return 0
	}
	return h.bodySize
}

// size is the record's length on disk.
func (h *recordHeader) size() int64 { return RecordSize(int(h.metaSize), h.inline()) }

// RecordSize is the number of bytes that a record takes in the log with meta
// bytes of metadata and inline bytes of body (0 for a big one). It is what
// Reserve is to be asked for.
func RecordSize(meta int, inline int64) int64 {
	n := int64(recordHeaderSize) + int64(meta) + inline
	return (n + recordAlign - 1) &^ (recordAlign - 1)
}

// put encodes h into b and seals it with the checksum over header and meta.
func (h *recordHeader) put(b []byte, seed uint32, meta []byte) {
	le := binary.LittleEndian
	copy(b, recordMagic[:])
	le.PutUint32(b[4:], h.epoch)
	le.PutUint32(b[12:], h.bodyCRC)
	le.PutUint64(b[16:], uint64(h.lsn))
	le.PutUint64(b[24:], uint64(h.durable))
	le.PutUint64(b[32:], uint64(h.bodyID))
	le.PutUint64(b[40:], uint64(h.bodySize))
	le.PutUint32(b[48:], h.metaSize)
	b[52], b[53], b[54], b[55] = byte(h.kind), h.flags, 0, 0
	le.PutUint32(b[8:], headSum(seed, b, meta))
}

// headSum is the checksum over a record's header, but for its own field, and
// its metadata. The body has a sum of its own, inside the header: so it can
// be computed before the record has a number, and stays when a body is moved.
func headSum(seed uint32, header, meta []byte) uint32 {
	sum := crc32.Update(seed, castagnoli, header[:8])
	sum = crc32.Update(sum, castagnoli, header[12:recordHeaderSize])
	return crc32.Update(sum, castagnoli, meta)
}

// segmentSeed starts the sums of a segment's records, so that a record that
// strayed from another segment does not validate.
func segmentSeed(number uint32) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint32(nil, number), castagnoli)
}

// parseHeader decodes a header and says whether its lengths are within the
// format's bounds. Nothing else is verified.
func parseHeader(b []byte) (h recordHeader, ok bool) {
	if len(b) < recordHeaderSize || [4]byte(b) != recordMagic {
		return h, false
	}
	le := binary.LittleEndian
	h = recordHeader{
		epoch:    le.Uint32(b[4:]),
		headCRC:  le.Uint32(b[8:]),
		bodyCRC:  le.Uint32(b[12:]),
		lsn:      LSN(le.Uint64(b[16:])),
		durable:  LSN(le.Uint64(b[24:])),
		bodyID:   BodyID(le.Uint64(b[32:])),
		bodySize: int64(le.Uint64(b[40:])),
		metaSize: le.Uint32(b[48:]),
		kind:     Kind(b[52]),
		flags:    b[53],
	}
	plain := h.flags&^flagBig == 0 && b[54] == 0 && b[55] == 0
	return h, plain && h.metaSize <= MaxMeta && h.bodySize >= 0 && h.inline() <= MaxInline &&
		h.lsn > 0 && h.durable < h.lsn
}
