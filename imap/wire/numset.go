package wire

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	goimap "github.com/emersion/go-imap/v2"
)

// SeqSet expects a sequence set of message numbers. The result is sorted, its
// ranges do not touch, and in each Start <= Stop; 0 stands for "*" and only the
// last range may hold it (RFC 3501 section 9, sequence-set). "$" is left to the caller
// (RFC 5182 section 3).
func (d *Decoder) SeqSet() goimap.SeqSet {
	set := d.ranges()
	out := make(goimap.SeqSet, len(set))
	for i, r := range set {
		out[i] = goimap.SeqRange{Start: r.start, Stop: r.stop}
	}
	return out
}

// UIDSet expects a sequence set of UIDs; see SeqSet.
func (d *Decoder) UIDSet() goimap.UIDSet {
	set := d.ranges()
	out := make(goimap.UIDSet, len(set))
	for i, r := range set {
		out[i] = goimap.UIDRange{Start: goimap.UID(r.start), Stop: goimap.UID(r.stop)}
	}
	return out
}

// numRange is one range; 0 is "*".
type numRange struct{ start, stop uint32 }

// star orders "*" behind every number.
func star(n uint32) uint64 {
	if n == 0 {
		return math.MaxUint32 + 1
	}
	return uint64(n)
}

func (d *Decoder) ranges() []numRange {
	var set []numRange
	for {
		r := numRange{start: d.seqNumber()}
		r.stop = r.start
		if d.Accept(':') {
			r.stop = d.seqNumber()
		}
		if d.err != nil {
			return nil
		}
		if star(r.start) > star(r.stop) {
			r.start, r.stop = r.stop, r.start
		}
		if len(set) == MaxRanges {
			d.Fail("more than %d ranges", MaxRanges)
			return nil
		}
		set = append(set, r)
		if !d.Accept(',') {
			return mergeRanges(set)
		}
	}
}

// seqNumber expects a number from 1 to 2^32-1, or "*", which is 0.
func (d *Decoder) seqNumber() uint32 {
	if d.Accept('*') {
		return 0
	}
	n := d.Number()
	if n == 0 {
		d.Fail("0 is not a message number")
	}
	return n
}

// mergeRanges sorts the ranges and joins those that touch. "n:*" means the last
// message even where n is beyond it, which survives: what it is joined with only
// lowers n.
func mergeRanges(set []numRange) []numRange {
	if !slices.IsSortedFunc(set, compareRanges) {
		slices.SortFunc(set, compareRanges)
	}
	out := set[:1]
	for _, r := range set[1:] {
		last := &out[len(out)-1]
		if star(r.start) > star(last.stop)+1 || r.start == 0 && last.stop != 0 {
			out = append(out, r)
		} else if star(r.stop) > star(last.stop) {
			last.stop = r.stop
		}
	}
	return out
}

func compareRanges(a, b numRange) int {
	return cmp.Or(cmp.Compare(star(a.start), star(b.start)), cmp.Compare(star(a.stop), star(b.stop)))
}

// AppendNumbers appends ascending numbers in the shortest form of a sequence set,
// such as 1:3,7. Where a later number is not larger than the one before, a new range
// begins, so that the order stays (COPYUID, RFC 4315 section 3).
func AppendNumbers[N ~uint32](dst []byte, nums []N) []byte {
	for i := 0; i < len(nums); {
		j := i + 1
		for j < len(nums) && nums[j] == nums[j-1]+1 {
			j++
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(nums[i]), 10)
		if j-i > 1 {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(nums[j-1]), 10)
		}
		i = j
	}
	return dst
}
