package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// verifyFolder is where Verify has its copy of state.db: checking takes long,
// and a transaction that long would make the file itself grow.
const verifyFolder = "verify"

// openCopy copies state.db, has a child check the copy, and opens it.
func (v *verification) openCopy() error {
	v.step("copying the database", 0, true)
	dir := filepath.Join(v.s.dir, verifyFolder)
	if err := os.RemoveAll(dir); err != nil { // of one that did not get to its end
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, stateFile)
	if err := v.s.disk.copyState(path); err != nil {
		return fmt.Errorf("copying %s: %w", stateFile, err)
	}
	v.step("checking the database", 0, false)
	switch err := v.s.check(path); {
	case errors.Is(err, errDatabase):
		v.stateDamaged(err)
		return nil
	case err != nil && !errors.Is(err, errNoChild):
		return err
	}
	db, err := files{log.OS()}.openBolt(path, databaseOptions(true))
	if errors.Is(err, errDatabase) {
		v.stateDamaged(err)
		return nil
	}
	v.copy = db
	return err
}

// stateDamaged notes that state.db is not what was stored, and has the next start make
// it again: it checks, too.
func (v *verification) stateDamaged(err error) {
	v.s.disk.state.mark()
	v.add(Finding{Where: stateFile, What: fmt.Sprintf("%v; the next start makes it again from checkpoint and log", err)})
}

// copyState copies the file as it is, free pages included.
func (d *disk) copyState(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = d.state.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(f)
		return err
	})
	return errors.Join(err, f.Close())
}

func (v *verification) closeCopy() error {
	var err error
	if v.copy != nil {
		err = v.copy.Close()
	}
	return errors.Join(err, os.RemoveAll(filepath.Join(v.s.dir, verifyFolder)))
}

// state verifies the invariants of the copy, and finds out what is to be read.
func (v *verification) state() error {
	if v.copy == nil {
		return nil
	}
	return v.copy.View(func(tx *bbolt.Tx) error {
		for _, problem := range checkInvariants(tx) {
			v.add(Finding{Where: stateFile, What: problem.Error()})
		}
		return eachBody(tx, func(b *storedBody) error {
			if b.Refs > 0 {
				v.found.Bodies++
				if b.Place.Big {
					v.bigSize += b.Place.Size
				}
			}
			return nil
		})
	})
}

// eachBody calls f for every known body, in order; what is malformed the check
// has told of.
func eachBody(tx *bbolt.Tx, f func(*storedBody) error) error {
	return tableOf(tx, bucketBodies).ForEach(func(key, value []byte) error {
		if len(key) != 8 {
			return nil
		}
		r := bodyReader{number: bodyChunk(binary.BigEndian.Uint64(key)), fields: fieldReader{rest: value}}
		for r.next() {
			if err := f(&r.body); err != nil {
				return err
			}
		}
		return nil
	})
}

// bodies looks whether every referenced body is where state.db says.
func (v *verification) bodies() error {
	if v.copy == nil {
		return nil
	}
	v.step("looking for every body", v.found.Bodies, false)
	return v.copy.View(func(tx *bbolt.Tx) error {
		return eachBody(tx, func(b *storedBody) error {
			if b.Refs == 0 {
				return nil
			}
			v.body(b)
			return v.did(1)
		})
	})
}

// body notes a body that is damaged. Cleaning moves bodies meanwhile, and the
// last reference may go: that is none.
func (v *verification) body(b *storedBody) {
	what := "the record that brought it is lost"
	if !b.Lost {
		at := v.damageAt(b.Place)
		switch now, err := v.s.place(b.ID); {
		case errors.Is(err, ErrGone): // forgotten meanwhile
			return
		case at >= 0 && now == b.Place:
			v.damaged[b.ID] = at
			return
		}
		err := v.s.present(b.Place, b.ID)
		if err == nil {
			return
		}
		what = err.Error()
	}
	v.damaged[b.ID] = v.add(Finding{Where: "log", What: fmt.Sprintf("body %d: %s", b.ID, what),
		Segment: b.Place.Segment, Offset: int64(b.Place.Offset), End: int64(b.Place.Offset)})
}

// present looks whether body id is at p, or, when it is not there any more,
// where it was moved to.
func (s *Store) present(p log.Place, id BodyID) error {
	const moves = 3
	var err error
	for range moves {
		var b *log.Body
		if b, err = s.log.Body(p, log.BodyID(id)); err == nil {
			return b.Close()
		}
		now, gone := s.place(id)
		if errors.Is(gone, ErrGone) { // forgotten meanwhile
			return nil
		}
		if gone != nil || now == p {
			return err
		}
		p = now
	}
	return err
}

// hits names the messages and room entries that the damage is about.
func (v *verification) hits() error {
	if v.copy == nil || len(v.damaged) == 0 {
		return nil
	}
	v.step("looking whose mail is damaged", 0, false)
	return v.copy.View(func(tx *bbolt.Tx) error {
		return errors.Join(v.messageHits(tx), v.deletedHits(tx), v.roomHits(tx))
	})
}

// hit adds to the finding about a body.
func (v *verification) hit(h Hit) {
	at, damaged := v.damaged[h.Body]
	if !damaged {
		return
	}
	f := &v.found.Findings[at]
	if len(f.Hit) == maxHits {
		f.HitMore++
		return
	}
	f.Hit = append(f.Hit, h)
}

// owner is a Hit with the mailbox's account and name, as far as they can be read.
func owner(tx *bbolt.Tx, id ID) Hit {
	if m, err := readMailbox(tx, id); err == nil && m != nil {
		return Hit{Account: m.Account, Mailbox: m.Name}
	}
	if value := tableOf(tx, bucketGone).Get(idKey(id)); value != nil {
		if _, m, err := decodeGone(value); err == nil {
			return Hit{Account: m.Account, Mailbox: m.Name}
		}
	}
	return Hit{Mailbox: fmt.Sprint("mailbox ", id)}
}

func (v *verification) messageHits(tx *bbolt.Tx) error {
	flags := tableOf(tx, bucketFlags)
	var block []Message
	return tableOf(tx, bucketMessages).ForEach(func(key, value []byte) error {
		var err error
		if block, err = decodeChunks(block[:0], value, flags.Get(key)); err != nil || len(key) != 8 {
			return nil // the check has told of it
		}
		for i := range block {
			if _, damaged := v.damaged[block[i].Body]; damaged {
				h := owner(tx, ID(binary.BigEndian.Uint32(key)))
				h.Body, h.UID = block[i].Body, block[i].UID
				v.hit(h)
			}
		}
		return v.did(int64(len(block)))
	})
}

func (v *verification) deletedHits(tx *bbolt.Tx) error {
	return tableOf(tx, bucketDeleted).ForEach(func(key, value []byte) error {
		id, err := decodeDeletedKey(key)
		if err != nil {
			return nil // as above
		}
		list, err := decodeDeleted(value)
		if err != nil {
			return nil
		}
		for i := range list {
			if _, damaged := v.damaged[list[i].Body]; damaged {
				h := owner(tx, id.Mailbox)
				h.Body, h.UID, h.Expunged = list[i].Body, goimap.UID(list[i].UID), true
				v.hit(h)
			}
		}
		return nil
	})
}

func (v *verification) roomHits(tx *bbolt.Tx) error {
	rooms := tx.Bucket(bucketRooms)
	return rooms.ForEachBucket(func(name []byte) error {
		return newTable(rooms.Bucket(name), name).ForEach(func(key, stored []byte) error {
			if e, err := decodeRoomEntry(stored); err == nil && e.Body != 0 {
				v.hit(Hit{Body: e.Body, Room: string(name), Key: string(key)})
			}
			return nil
		})
	})
}
