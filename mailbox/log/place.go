package log

import (
	"encoding/binary"
	"fmt"
)

// LSN is the number of a record. 1 is the first; 0 means none.
type LSN uint64

// BodyID names a body for ever; the caller allocates it. 0 means none.
type BodyID uint64

// Kind is the caller's kind of a record. The log stores it and does not look.
type Kind uint8

// Place says where the bytes of a body are.
type Place struct {
	Segment uint32 // the segment with the record that brought the body
	Offset  uint32 // of that record's header in the segment, in bytes
	Size    int64  // of the body, in bytes
	Big     bool   // the bytes are in the file big/ID, not in the segment
}

// PlaceSize is the length of an encoded Place in bytes.
const PlaceSize = 16

const placeBig = 1 << 63 // the top bit of the encoded size

// Append appends the encoding of p, PlaceSize bytes, to b.
func (p Place) Append(b []byte) []byte {
	size := uint64(p.Size)
	if p.Big {
		size |= placeBig
	}
	b = binary.LittleEndian.AppendUint32(b, p.Segment)
	b = binary.LittleEndian.AppendUint32(b, p.Offset)
	return binary.LittleEndian.AppendUint64(b, size)
}

// DecodePlace reads what Append wrote. The error is ErrDamaged when b is too short.
func DecodePlace(b []byte) (Place, error) {
	if len(b) < PlaceSize {
		return Place{}, fmt.Errorf("decoding a place of %d bytes: %w", len(b), ErrDamaged)
	}
	size := binary.LittleEndian.Uint64(b[8:])
	return Place{
		Segment: binary.LittleEndian.Uint32(b),
		Offset:  binary.LittleEndian.Uint32(b[4:]),
		Size:    int64(size &^ placeBig),
		Big:     size&placeBig != 0,
	}, nil
}
