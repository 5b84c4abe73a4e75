package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
	"mailstead/mailbox/message"
)

// verifyIndexes is how many indexes one transaction looks at.
const verifyIndexes = 1000

// judged is an index with what is wrong with it.
type judged struct {
	body BodyID
	size int64 // that it says of its body
	err  error
}

// indexes looks whether every index of derived.db can be read and is about its
// body. What cannot be read is made again.
func (v *verification) indexes() error {
	v.step("checking the indexes", v.found.Bodies, false)
	for after := BodyID(0); ; {
		list, err := v.s.disk.judgeIndexes(after)
		if errors.Is(err, errDatabase) {
			v.add(Finding{Where: derivedFile, What: err.Error()})
			return nil
		}
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return v.searchBlocks()
		}
		if err := v.judge(list); err != nil {
			return err
		}
		if err := v.did(int64(len(list))); err != nil {
			return err
		}
		after = list[len(list)-1].body
	}
}

// judgeIndexes decodes the indexes behind that of a body.
func (d *disk) judgeIndexes(after BodyID) (list []judged, err error) {
	err = d.derived.View(func(tx *bbolt.Tx) error {
		t := tableOf(tx, bucketIndexes)
		c := t.bucket.Cursor()
		for key, value := c.Seek(bodyKey(after + 1)); key != nil && len(list) < verifyIndexes; key, value = c.Next() {
			if len(key) != 8 {
				return fmt.Errorf("%w: malformed key %x", errDatabase, key)
			}
			j := judged{body: BodyID(binary.BigEndian.Uint64(key))}
			j.size, j.err = t.judge(key, value)
			list = append(list, j)
		}
		return nil
	})
	return list, err
}

// judge returns the size of the body that a stored index is about.
func (t table) judge(key, stored []byte) (size int64, err error) {
	value, ok := t.unseal(key, stored)
	if !ok {
		return 0, &sealError{name: t.name, key: bytes.Clone(key)}
	}
	view, err := message.Open(value)
	if err != nil {
		return 0, err
	}
	return view.Size(), view.Check()
}

// judge holds indexes against the bodies they are about, and makes those
// again that are wrong.
func (v *verification) judge(list []judged) error {
	ids := make([]BodyID, len(list))
	for i := range list {
		ids[i] = list[i].body
	}
	var wrong []judged
	err := v.s.disk.places(ids, func(i int, p log.Place, ok bool) {
		j := list[i]
		v.found.Indexes++
		switch _, newer := v.s.overlay.place(j.body); {
		case newer:
		case !ok:
			v.found.Orphans++
		case j.err == nil && j.size != p.Size:
			j.err = fmt.Errorf("it is about %d octets, the body has %d", j.size, p.Size)
			wrong = append(wrong, j)
		case j.err != nil:
			wrong = append(wrong, j)
		}
	})
	for _, j := range wrong {
		what := fmt.Sprintf("the index of body %d: %v; made again", j.body, j.err)
		if _, err := v.s.remakeIndex(j.body); err != nil {
			what = fmt.Sprintf("the index of body %d: %v; it cannot be made again: %v", j.body, j.err, err)
		}
		v.add(Finding{Where: derivedFile, What: what})
	}
	return err
}

// searchBlocks looks whether every block of the search index is whole. One that is not goes, and its bodies are
// indexed again.
func (v *verification) searchBlocks() error {
	for after := []byte{}; ; {
		key, wrong, err := v.s.disk.judgeSearchBlock(after)
		if err != nil || key == nil {
			return err
		}
		if wrong != nil {
			what := fmt.Sprintf("block %x of the search index: %v; made again", key, wrong)
			if err := v.s.dropSearchBlock(key); err != nil {
				what = fmt.Sprintf("block %x of the search index: %v; it cannot be made again: %v", key, wrong, err)
			}
			v.add(Finding{Where: derivedFile, What: what})
		}
		if err := v.did(1); err != nil {
			return err
		}
		after = append(key, 0)
	}
}
