package mailbox

import (
	"slices"
	"testing"

	"mailstead/mailbox/log"
)

// planned is a plan in short.
type planned struct {
	empty, move []uint32
	waiting     int64
}

func TestPlanCleaning(t *testing.T) {
	segment := func(number uint32, size int64) log.SegmentInfo {
		last := log.LSN(number * 10)
		return log.SegmentInfo{Number: number, First: last - 9, Last: last, Size: size, Sealed: true}
	}
	three := []log.SegmentInfo{segment(1, 1000), segment(2, 1000), segment(3, 1000)}
	unknownEnd := slices.Clone(three)
	unknownEnd[0].Last = 0
	open := slices.Clone(three)
	open[1].Sealed = false
	uses := func(live ...int64) map[uint32]*segmentUse {
		m := make(map[uint32]*segmentUse)
		for i, n := range live {
			m[uint32(i+1)] = &segmentUse{live: n}
			if n > 0 {
				m[uint32(i+1)].bodies = 1
			}
		}
		return m
	}
	overdue := uses(999, 999, 0)
	var small []log.SegmentInfo
	var full []int64
	for n := range uint32(manySmall + 3) {
		small, full = append(small, segment(n+1, 100-int64(n))), append(full, 90-int64(n))
	}
	overdue[2].oldest = 5
	for name, c := range map[string]struct {
		segments []log.SegmentInfo
		uses     map[uint32]*segmentUse
		live     int64
		applied  log.LSN
		rules    cleaningRules
		want     planned
	}{
		"nothing there":                   {want: planned{}},
		"empty and covered":               {three, uses(), 0, 30, cleaningRules{covered: 10}, planned{empty: []uint32{1}, waiting: 1000}},
		"the last one stays":              {three, uses(), 0, 30, cleaningRules{covered: 30}, planned{empty: []uint32{1, 2}}},
		"not applied":                     {three, uses(), 0, 19, cleaningRules{covered: 9}, planned{waiting: 1000}},
		"its end is the next one's start": {unknownEnd, uses(), 0, 30, cleaningRules{covered: 10}, planned{empty: []uint32{1}, waiting: 1000}},
		"nothing behind what is written":  {open, uses(), 0, 30, cleaningRules{covered: 30}, planned{empty: []uint32{1}}},
		"full enough":                     {three, uses(900, 950, 0), 10_000, 30, cleaningRules{}, planned{}},
		"the emptiest first":              {three, uses(300, 100, 0), 400, 30, cleaningRules{}, planned{move: []uint32{2, 1}}},
		"as many as it takes":             {three, uses(950, 100, 0), 1050, 30, cleaningRules{}, planned{move: []uint32{2}}},
		"half a segment is nothing":       {three, uses(900, 800, 0), 1700, 30, cleaningRules{segment: 1000}, planned{}},
		"overdue":                         {three, overdue, 10_000, 30, cleaningRules{overdue: 5}, planned{move: []uint32{2}}},
		"not overdue yet":                 {three, overdue, 10_000, 30, cleaningRules{overdue: 4}, planned{}},
		"has to go":                       {three, uses(1000, 999, 0), 10_000, 30, cleaningRules{must: map[uint32]bool{1: true}}, planned{move: []uint32{1}}},
		"fenced":                          {three, uses(1, 1, 0), 2, 30, cleaningRules{fenced: map[uint32]bool{1: true}}, planned{move: []uint32{2}}},
		"low on space":                    {three, uses(901, 900, 0), 10_000, 30, cleaningRules{low: true}, planned{move: []uint32{2}}},
		"many are small":                  {small, uses(full...), 10_000, 10_000, cleaningRules{segment: 10_000}, planned{move: []uint32{manySmall + 2, manySmall + 1}}},
		"not so many are small":           {small[:manySmall+1], uses(full...), 10_000, 10_000, cleaningRules{segment: 10_000}, planned{}},
		"many, but not small":             {small, uses(full...), 10_000, 10_000, cleaningRules{segment: 500}, planned{}},
		"only the reserve is left":        {three, uses(600, 400, 0), 1000, 30, cleaningRules{low: true, full: true, segment: 1000}, planned{move: []uint32{2}}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := planCleaning(c.segments, &survey{segments: c.uses, live: c.live, applied: c.applied}, c.rules)
			var empty []uint32
			for _, info := range plan.empty {
				empty = append(empty, info.Number)
			}
			if !slices.Equal(empty, c.want.empty) || !slices.Equal(plan.move, c.want.move) || plan.waiting != c.want.waiting {
				t.Errorf("empty %v, move %v, waiting %d; want %+v", empty, plan.move, plan.waiting, c.want)
			}
		})
	}
}

func TestJoinBodies(t *testing.T) {
	got := joinBodies([]BodyID{1, 2, 3, 7, 9, 10})
	if want := []bodyRange{{1, 3}, {7, 7}, {9, 10}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for _, r := range got {
		longest := opForgotten{Bodies: []bodyRange{{1<<64 - 5000, 1<<64 - 1000}}}
		if n := len(longest.appendTo(nil)) - 2; n > bodyRangeNeed {
			t.Errorf("a range takes %d bytes, %v", n, r)
		}
	}
}

func TestHasBody(t *testing.T) {
	var ranges []bodyRange
	for _, id := range []BodyID{9, 10, 5, 6, 7, 6, 20, 1, 2, 3, 2} {
		ranges = appendBody(ranges, id)
	}
	ranges = sortBodies(ranges)
	if want := []bodyRange{{1, 3}, {5, 7}, {9, 10}, {20, 20}}; !slices.Equal(ranges, want) {
		t.Errorf("%v, want %v", ranges, want)
	}
	for id := range BodyID(22) {
		if got, want := hasBody(ranges, id), !slices.Contains([]BodyID{0, 4, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21}, id); got != want {
			t.Errorf("body %d: %v", id, got)
		}
	}
}
