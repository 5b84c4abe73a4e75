package mailbox

import (
	"encoding/binary"

	goimap "github.com/emersion/go-imap/v2"
)

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

// appendValue keeps nil (which deletes) and empty apart: the length is one more
// than it is, and 0 for nil.
func appendValue(dst, v []byte) []byte {
	if v == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v))+1)
	return append(dst, v...)
}

func appendFlags(dst []byte, f FlagSet) []byte {
	dst = binary.AppendUvarint(dst, f[0])
	return binary.AppendUvarint(dst, f[1])
}

// appendRanges writes each range as its distance from the end of the one
// before and its length less one. Both wrap around in 32 bits, so that ranges
// in no order come back as they were.
func appendRanges(dst []byte, ranges []uidRange) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ranges)))
	var last goimap.UID
	for _, u := range ranges {
		dst = binary.AppendUvarint(dst, uint64(uint32(u.First-last)))
		dst = binary.AppendUvarint(dst, uint64(uint32(u.Last-u.First)))
		last = u.Last
	}
	return dst
}

// appendAdded writes the part of a message that never changes, as differences
// to the message before it.
func appendAdded(dst []byte, m, before *added) []byte {
	dst = binary.AppendUvarint(dst, uint64(uint32(m.UID-before.UID)))
	dst = binary.AppendVarint(dst, m.Size)
	dst = binary.AppendVarint(dst, m.Internal.Unix-before.Internal.Unix)
	dst = binary.AppendVarint(dst, int64(m.Internal.Zone))
	dst = binary.AppendVarint(dst, m.Saved-before.Saved)
	return binary.AppendVarint(dst, int64(m.Body-before.Body))
}

func appendMessages(dst []byte, list []added) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	var before added
	for i := range list {
		dst = appendAdded(dst, &list[i], &before)
		dst = appendFlags(dst, list[i].Flags)
		before = list[i]
	}
	return dst
}

// fieldReader takes fields off the front of bytes that may be anything. After
// the first failure bad is set, nothing is left and every field is zero, so
// callers look once, at the end.
type fieldReader struct {
	rest []byte
	bad  bool
}

func (r *fieldReader) fail() { r.bad, r.rest = true, nil }

func (r *fieldReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *fieldReader) bool() bool {
	b := r.byte()
	if b > 1 {
		r.fail()
	}
	return b == 1
}

func (r *fieldReader) uint64() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 { // most fields are one byte
		v := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *fieldReader) int64() int64 { return zigzag(r.uint64()) }

// zigzag is the signed number that a zigzag varint stands for.
func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// uvarints reads as many numbers at position at of p as dst has place for, and returns
// what is behind them: more than p is long where there are fewer. For lists in which
// a call for each number would be most of the work.
func uvarints(dst []uint64, p []byte, at int) (next int) {
	for i := range dst {
		if at >= len(p) {
			return len(p) + 1
		}
		v := uint64(p[at])
		at++
		switch {
		case v < 0x80:
		case at < len(p) && p[at] < 0x80:
			v = v&0x7f | uint64(p[at])<<7
			at++
		default:
			var n int
			if v, n = binary.Uvarint(p[at-1:]); n <= 0 {
				return len(p) + 1
			}
			at += n - 1
		}
		dst[i] = v
	}
	return at
}

func (r *fieldReader) uint32() uint32 {
	v := r.uint64()
	if v > 1<<32-1 {
		r.fail()
		return 0
	}
	return uint32(v)
}

func (r *fieldReader) int16() int16 {
	v := r.int64()
	if int64(int16(v)) != v {
		r.fail()
		return 0
	}
	return int16(v)
}

// keyword is the number of a keyword of a mailbox's table, or one above the
// last of a full one.
func (r *fieldReader) keyword() int {
	v := r.uint64()
	if v > MaxKeywords {
		r.fail()
		return 0
	}
	return int(v)
}

// count is the length of a list whose elements take at least size bytes each:
// more than the rest can hold is refused before anything is allocated.
func (r *fieldReader) count(size int) int {
	n := r.uint64()
	if n > uint64(len(r.rest)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *fieldReader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *fieldReader) string() string { return string(r.bytes(r.uint64())) }

func (r *fieldReader) strings() []string {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.string()
	}
	return list
}

// value returns a copy: nil for nil, as appendValue wrote it.
func (r *fieldReader) value() []byte {
	n := r.uint64()
	if n == 0 {
		return nil
	}
	return append([]byte{}, r.bytes(n-1)...)
}

func (r *fieldReader) flags() FlagSet { return FlagSet{r.uint64(), r.uint64()} }

func (r *fieldReader) ranges() []uidRange {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	list := make([]uidRange, n)
	var last goimap.UID
	for i := range list {
		first := last + goimap.UID(r.uint32())
		last = first + goimap.UID(r.uint32())
		list[i] = uidRange{First: first, Last: last}
	}
	return list
}

// added is the reverse of appendAdded; m's flags are left alone. before may be m.
func (r *fieldReader) added(m, before *added) {
	m.UID = before.UID + goimap.UID(r.uint32())
	m.Size = r.int64()
	m.Internal = Date{Unix: before.Internal.Unix + r.int64(), Zone: r.int16()}
	m.Saved = before.Saved + r.int64()
	m.Body = before.Body + BodyID(r.int64())
}

// addedSize is the fewest bytes appendAdded writes.
const addedSize = 6

func (r *fieldReader) messages() []added {
	n := r.count(addedSize + 2)
	if n == 0 {
		return nil
	}
	list := make([]added, n)
	var before added
	for i := range list {
		r.added(&list[i], &before)
		list[i].Flags = r.flags()
		before = list[i]
	}
	return list
}

// appendBodies writes ascending ranges that do not touch: each as its distance
// from the end of the one before and its length less one.
func appendBodies(dst []byte, ranges []bodyRange) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ranges)))
	var last BodyID
	for _, b := range ranges {
		dst = binary.AppendUvarint(dst, uint64(b.First-last))
		dst = binary.AppendUvarint(dst, uint64(b.Last-b.First))
		last = b.Last
	}
	return dst
}

// maxForgotten is how many bodies one record may forget: applying it takes a
// few milliseconds.
const maxForgotten = 4096

// bodies is the reverse of appendBodies.
func (r *fieldReader) bodies() []bodyRange {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	list := make([]bodyRange, n)
	var last BodyID
	for i := range list {
		first, more := last+BodyID(r.uint64()), r.uint64()
		if first <= last || more >= maxForgotten || first+BodyID(more) < first {
			r.fail()
			return nil
		}
		last = first + BodyID(more)
		list[i] = bodyRange{First: first, Last: last}
	}
	return list
}

func (o opRights) appendTo(dst []byte) []byte {
	dst = append(dst, codeRights)
	dst = binary.AppendUvarint(dst, uint64(o.Mailbox))
	return appendGrants(dst, o.Grants)
}

// appendGrants writes an access control list; the last bit beside the rights says that
// they are taken.
func appendGrants(dst []byte, grants []Grant) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(grants)))
	for _, g := range grants {
		dst = binary.AppendUvarint(dst, uint64(g.Account))
		rights := uint64(g.Rights) << 1
		if g.Negative {
			rights |= 1
		}
		dst = binary.AppendUvarint(dst, rights)
	}
	return dst
}

// grants is the reverse of appendGrants.
func (r *fieldReader) grants() []Grant {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	list := make([]Grant, n)
	for i := range list {
		account, rights := AccountID(r.uint32()), r.uint64()
		list[i] = Grant{Account: account, Negative: rights&1 != 0, Rights: Rights(rights >> 1)}
		if rights>>1 == 0 || rights>>1 > uint64(AllRights) || i > 0 && compareGrants(list[i-1], list[i]) >= 0 {
			r.fail()
			return nil
		}
	}
	return list
}
