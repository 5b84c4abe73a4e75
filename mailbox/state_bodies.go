package mailbox

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// The one table of bodies: where each is and how many hold it. A body nobody
// holds stays, listed under the LSN of the record that took its last
// reference, until cleaning has a checkpoint behind that.

func (a *applying) bodyChunk(id BodyID) (*held[storedBody], error) {
	n := bodyChunkOf(id)
	if c, ok := a.bodies[n]; ok {
		return c, nil
	}
	list, err := decodeBodyChunk(nil, n, tableOf(a.tx, bucketBodies).Get(n.append(nil)))
	if err != nil {
		return nil, fmt.Errorf("bodies %d: %w", n, err)
	}
	c := &held[storedBody]{list: list}
	a.bodies[n] = c
	return c, nil
}

// bodyArrives enters the body that a record brought.
func (a *applying) bodyArrives(id BodyID, place log.Place) error {
	a.last.Body = max(a.last.Body, id)
	c, err := a.bodyChunk(id)
	if err != nil {
		return err
	}
	i, known := findBody(c.list, id)
	if !known {
		c.list = slices.Insert(c.list, i, storedBody{ID: id})
	}
	c.list[i].Place, c.list[i].Lost, c.changed = place, false, true
	return nil
}

// bodyUnused makes a body that its own record does not use garbage.
func (a *applying) bodyUnused(id BodyID) error {
	c, err := a.bodyChunk(id)
	if err != nil {
		return err
	}
	i, _ := findBody(c.list, id)
	if s := &c.list[i]; s.Refs == 0 && s.Died == 0 {
		a.die(s)
	}
	return nil
}

// hold takes a reference on a body. One that no record brought is entered as
// lost, so that its messages are shown and their bodies reported damaged.
func (a *applying) hold(id BodyID) error {
	if id == 0 {
		return nil
	}
	a.last.Body = max(a.last.Body, id)
	c, err := a.bodyChunk(id)
	if err != nil {
		return err
	}
	i, known := findBody(c.list, id)
	if !known {
		a.missing("body", uint64(id))
		c.list = slices.Insert(c.list, i, storedBody{ID: id, Lost: true})
	}
	s := &c.list[i]
	if s.Died != 0 {
		a.revive(s)
	}
	s.Refs++
	c.changed = true
	return nil
}

// release gives a reference back.
func (a *applying) release(id BodyID) error {
	if id == 0 {
		return nil
	}
	c, err := a.bodyChunk(id)
	if err != nil {
		return err
	}
	i, known := findBody(c.list, id)
	if !known || c.list[i].Refs == 0 {
		a.missing("reference of body", uint64(id))
		return nil
	}
	s := &c.list[i]
	s.Refs--
	c.changed = true
	switch {
	case s.Refs > 0:
	case s.Lost:
		c.list = slices.Delete(c.list, i, i+1)
	default:
		a.die(s)
	}
	return nil
}

func (a *applying) die(s *storedBody) {
	s.Died = a.lsn
	a.garbage[garbageKey{died: a.lsn, body: s.ID}] = true
}

func (a *applying) revive(s *storedBody) {
	key := garbageKey{died: s.Died, body: s.ID}
	if a.garbage[key] { // it died in this transaction
		delete(a.garbage, key)
	} else {
		a.garbage[key] = false
	}
	s.Died = 0
}

func (k garbageKey) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.died))
	return binary.BigEndian.AppendUint64(dst, uint64(k.body))
}

func (k garbageKey) compare(o garbageKey) int {
	return cmp.Or(cmp.Compare(k.died, o.died), cmp.Compare(k.body, o.body))
}

func (a *applying) putGarbage() error {
	b := tableOf(a.tx, bucketGarbage)
	for _, k := range slices.SortedFunc(maps.Keys(a.garbage), garbageKey.compare) {
		var err error
		if a.garbage[k] {
			err = b.Put(k.append(nil), []byte{})
		} else {
			err = b.Delete(k.append(nil))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// place returns where a body is. ok is false for a body that is not known, or
// whose record was lost.
func (d *disk) place(id BodyID) (p log.Place, ok bool, err error) {
	err = d.places([]BodyID{id}, func(_ int, found log.Place, known bool) { p, ok = found, known })
	return p, ok, err
}

// places calls f with the place of each body, in the order asked for; see place
// for ok. Ascending bodies, as a download has them, are found in one pass.
func (d *disk) places(bodies []BodyID, f func(i int, p log.Place, ok bool)) error {
	return d.state.View(func(tx *bbolt.Tx) error {
		b := tableOf(tx, bucketBodies)
		var r bodyReader
		var key [8]byte
		for i, id := range bodies {
			if n := bodyChunkOf(id); i == 0 || n != r.number || id < r.body.ID {
				r = bodyReader{number: n, fields: fieldReader{rest: b.Get(n.append(key[:0]))}}
			}
			for r.body.ID < id && r.next() {
			}
			if err := r.err(); err != nil {
				return fmt.Errorf("bodies %d: %w", r.number, err)
			}
			f(i, r.body.Place, id != 0 && r.body.ID == id && !r.body.Lost)
		}
		return nil
	})
}
