package mailbox

import (
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// movesBody says whether a record of ops brings a body that was there before.
func movesBody(ops []op) bool {
	if len(ops) != 1 {
		return false
	}
	_, ok := ops[0].(opMoved)
	return ok
}

// forgotten takes bodies that nobody holds out of the table.
func (a *applying) forgotten(o opForgotten) error {
	for _, b := range o.Bodies {
		for id := b.First; ; id++ {
			if err := a.forgetBody(id); err != nil {
				return err
			}
			if id == b.Last {
				break
			}
		}
	}
	return nil
}

func (a *applying) forgetBody(id BodyID) error {
	c, err := a.bodyChunk(id)
	if err != nil {
		return err
	}
	i, known := findBody(c.list, id)
	if !known {
		return nil
	}
	s := &c.list[i]
	if s.Refs > 0 {
		a.missing("a body that nobody holds", uint64(id))
		return nil
	}
	a.revive(s) // off the list of garbage
	c.list, c.changed = slices.Delete(c.list, i, i+1), true
	return nil
}

// segmentUse is what the table of bodies knows of one segment.
type segmentUse struct {
	bodies int     // that somebody holds, large ones included
	live   int64   // what their records take, in bytes
	oldest log.LSN // the first death among those that nobody holds; 0 = none
}

// bodyMeta is about the metadata of a record with a body, in bytes.
const bodyMeta = 40

// survey is what the table of bodies adds up to.
type survey struct {
	segments map[uint32]*segmentUse
	applied  log.LSN
	covered  log.LSN
	live     int64 // bytes of all bodies that somebody holds
	dead     int   // bodies that nobody holds
	deadBig  int64 // bytes of large ones among them that no checkpoint lets go yet
}

// survey reads the whole table of bodies: some 70 ms for a million. covered is
// what the older kept checkpoint is true for.
func (d *disk) survey(covered log.LSN) (*survey, error) {
	v := &survey{segments: make(map[uint32]*segmentUse), covered: covered}
	err := d.eachBody(func(tx *bbolt.Tx) { v.applied = txApplied(tx) }, v.count)
	if err != nil {
		return nil, fmt.Errorf("surveying bodies: %w", err)
	}
	return v, nil
}

func (v *survey) count(s *storedBody) {
	use := v.segments[s.Place.Segment]
	if use == nil {
		use = new(segmentUse)
		v.segments[s.Place.Segment] = use
	}
	switch {
	case s.Refs == 0 && s.Place.Big:
		v.dead++
		if s.Died > v.covered {
			v.deadBig += s.Place.Size
		}
	case s.Refs == 0:
		v.dead++
		if use.oldest == 0 || s.Died < use.oldest {
			use.oldest = s.Died
		}
	case s.Place.Big:
		use.bodies++
		use.live += log.RecordSize(bodyMeta, 0)
		v.live += s.Place.Size
	default:
		use.bodies++
		use.live += log.RecordSize(bodyMeta, s.Place.Size)
		v.live += s.Place.Size
	}
}

// eachBody calls f with every body of the table that has a place, by id, and
// begin, which may be nil, with the transaction before. The body is valid during
// the call.
func (d *disk) eachBody(begin func(*bbolt.Tx), f func(*storedBody)) error {
	return d.state.View(func(tx *bbolt.Tx) error {
		if begin != nil {
			begin(tx)
		}
		c := tableOf(tx, bucketBodies).Cursor()
		for key, value := c.First(); key != nil; key, value = c.Next() {
			if len(key) != 8 {
				return fmt.Errorf("%w: malformed key of bodies", errDatabase)
			}
			r := bodyReader{number: bodyChunk(binary.BigEndian.Uint64(key)), fields: fieldReader{rest: value}}
			for r.next() {
				if !r.body.Lost {
					f(&r.body)
				}
			}
			if err := r.err(); err != nil {
				return fmt.Errorf("bodies %d: %w", r.number, err)
			}
		}
		return nil
	})
}

// garbageUpTo returns up to limit bodies, from the oldest on, that nobody holds
// since a record up to lsn.
func (d *disk) garbageUpTo(lsn log.LSN, after garbageKey, limit int) (list []garbageKey, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		c := tableOf(tx, bucketGarbage).Cursor()
		from := after.append(nil)
		for key, _ := c.Seek(from); key != nil && len(list) < limit; key, _ = c.Next() {
			if len(key) != 16 {
				return fmt.Errorf("%w: malformed key of garbage", errDatabase)
			}
			k := garbageKey{died: log.LSN(binary.BigEndian.Uint64(key)), body: BodyID(binary.BigEndian.Uint64(key[8:]))}
			if k.died > lsn {
				return nil
			}
			if k != after {
				list = append(list, k)
			}
		}
		return nil
	})
	return list, err
}
