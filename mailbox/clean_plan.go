package mailbox

import (
	"cmp"
	"slices"

	"mailstead/mailbox/log"
)

const (
	// deadShare is how much of what is alive may lie dead in the segments: with
	// records' headers and what waits for checkpoints, log and large bodies take some 8 %
	// more than the mail, and derived.db 3 %. Half of it would have twice as many bodies moved
	// for the same space.
	deadShare = 0.05

	// lowShare is the share of dead bytes from which on a segment is worth
	// emptying when space is short.
	lowShare = 0.10

	// smallShare is the part of a full segment below which a sealed one is small:
	// every start seals one, however little is in it.
	smallShare = 1.0 / 8

	// manySmall is how many small segments may stay: each is a file that is opened
	// when its mail is read, and copied by itself.
	manySmall = 32
)

// cleaningRules are what a plan depends on beside the segments.
type cleaningRules struct {
	covered log.LSN         // by the older kept checkpoint
	overdue log.LSN         // what died up to here has to go, however full its segment is
	low     bool            // on space
	full    bool            // only the reserve is left to write into
	fenced  map[uint32]bool // segments that hold a body which cannot be moved
	must    map[uint32]bool // segments that have to go
	segment int64           // size of a segment in bytes
}

// cleaningPlan says what is to be done with which segments.
type cleaningPlan struct {
	empty   []log.SegmentInfo // may be unlinked now
	waiting int64             // bytes of those that are empty and wait for checkpoints
	waits   int               // how many these are
	move    []uint32          // to be emptied, the one that costs the least first
}

// planCleaning decides. It looks at segments that are never written again, and
// of which state.db knows every record; the last one tells how far the log
// went and always stays.
func planCleaning(segments []log.SegmentInfo, v *survey, rules cleaningRules) (plan cleaningPlan) {
	type candidate struct {
		number     uint32
		live, dead int64
		must       bool
		small      bool
	}
	var list []candidate
	var dead int64
	small := 0
	for i, info := range segments {
		if i == len(segments)-1 || !info.Sealed {
			break
		}
		last := cmp.Or(info.Last, segments[i+1].First-1)
		use := v.segments[info.Number]
		switch {
		case last > v.applied:
		case (use == nil || use.bodies == 0) && last <= rules.covered:
			plan.empty = append(plan.empty, info)
		case use == nil || use.bodies == 0:
			plan.waiting += info.Size
			plan.waits++
		case !rules.fenced[info.Number]:
			c := candidate{number: info.Number, live: use.live, dead: max(0, info.Size-use.live)}
			c.must = rules.must[info.Number] || use.oldest != 0 && use.oldest <= rules.overdue ||
				rules.low && float64(c.dead) >= lowShare*float64(info.Size)
			if c.small = float64(info.Size) < smallShare*float64(rules.segment); c.small {
				small++
			}
			dead += c.dead
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.live, b.live), cmp.Compare(a.number, b.number)) })
	allowed := int64(deadShare*float64(v.live)) + rules.segment/2
	for _, c := range list {
		if rules.full && c.live > rules.segment/2 {
			break // what is left of the reserve is for those who delete
		}
		tooMany := c.small && small > manySmall
		if c.must || tooMany || dead > allowed && c.dead > 0 {
			if c.small {
				small--
			}
			plan.move = append(plan.move, c.number)
			dead -= c.dead
		}
	}
	return plan
}
