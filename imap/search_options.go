package imap

import (
	"strconv"

	"mailstead/imap/wire"
)

// searchReturn is a set of result options.
type searchReturn uint16

const (
	returnMin searchReturn = 1 << iota
	returnMax
	returnCount
	returnAll
	returnPartial   // RFC 9394
	returnSave      // RFC 5182
	returnContext   // RFC 5267
	returnUpdate    // RFC 5267
	returnRelevancy // RFC 6203
)

// searchOptions are the result options by name.
var searchOptions = map[string]searchReturn{
	"MIN": returnMin, "MAX": returnMax, "COUNT": returnCount, "ALL": returnAll, "PARTIAL": returnPartial,
	"SAVE": returnSave, "CONTEXT": returnContext, "UPDATE": returnUpdate, "RELEVANCY": returnRelevancy,
}

// returnOptions reads the list of result options behind RETURN; an empty one means ALL.
// CONTEXT is a hint that is not taken: a search that comes again runs again.
func (p *searchParser) returnOptions(prog *searchProgram) {
	prog.extended = true
	p.List(func() {
		o, ok := searchOptions[p.Word()]
		if !ok {
			p.Fail("unknown result option")
		}
		if o == returnPartial {
			if prog.options&returnPartial != 0 {
				p.Fail("PARTIAL was asked for twice")
			}
			p.SP()
			prog.partial = partialArgument(p.Decoder)
		}
		prog.options |= o
	})
	if prog.options&(returnPartial|returnAll) == returnPartial|returnAll {
		p.Fail("PARTIAL and ALL exclude each other") // RFC 9394 section 3.1
	}
	if prog.options == 0 {
		prog.options = returnAll
	}
}

// partialRange is a piece of a list of results: the places of both its ends, counted
// from 1 at the beginning or, backwards, at the end of the list (RFC 9394 section 3.1).
type partialRange struct {
	from, to uint32 // as the client named them
	backward bool
}

// partialArgument reads "1:500" or "-1:-500".
func partialArgument(d *wire.Decoder) partialRange {
	p := partialRange{backward: d.Accept('-')}
	p.from = partialPlace(d)
	d.Expect(':')
	if p.backward {
		d.Expect('-')
	}
	p.to = partialPlace(d)
	return p
}

func partialPlace(d *wire.Decoder) uint32 {
	n := d.Number()
	if n == 0 {
		d.Fail("places are counted from 1")
	}
	return n
}

// append appends the range as the client named it.
func (p partialRange) append(b []byte) []byte {
	sign := ""
	if p.backward {
		sign = "-"
	}
	b = strconv.AppendUint(append(b, sign...), uint64(p.from), 10)
	b = append(append(b, ':'), sign...)
	return strconv.AppendUint(b, uint64(p.to), 10)
}

// reach is how many results, from the end that the range counts from, hold all of it.
func (p partialRange) reach() uint32 { return max(p.from, p.to) }

// window returns which of n results are in the range, from (included) to (not included).
func (p partialRange) window(n int) (from, to int) {
	low, high := int64(min(p.from, p.to)), int64(max(p.from, p.to))
	if p.backward {
		low, high = int64(n)-high+1, int64(n)-low+1
	}
	from, to = int(max(low, 1))-1, int(min(high, int64(n)))
	if from >= to {
		return 0, 0
	}
	return from, to
}

// windowOf returns the part of the messages of ascending spans that p asks for.
func windowOf(spans []span, p partialRange) []span {
	n := 0
	for _, sp := range spans {
		n += int(sp.to-sp.from) + 1
	}
	from, to := p.window(n)
	var out []span
	at := 0
	for _, sp := range spans {
		size := int(sp.to-sp.from) + 1
		first, last := max(from-at, 0), min(to-at, size)
		if first < last {
			out = append(out, span{sp.from + uint32(first), sp.from + uint32(last) - 1})
		}
		at += size
	}
	return out
}
