package mailbox

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"
)

// What can be restored is in two buckets: deleted has expunged messages with
// their bodies' references, gone what deleted mailboxes were.

// deletedKeySize is the length of a key of bucket deleted.
const deletedKeySize = 24

// key begins with the time, so that what is kept longest is in front.
func (id deletedID) key() []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, deletedKeySize), uint64(max(id.Time, 0)))
	key = binary.BigEndian.AppendUint64(key, uint64(id.ModSeq))
	key = binary.BigEndian.AppendUint32(key, uint32(id.Mailbox))
	return binary.BigEndian.AppendUint32(key, uint32(id.First))
}

func decodeDeletedKey(key []byte) (deletedID, error) {
	if len(key) != deletedKeySize {
		return deletedID{}, fmt.Errorf("%w: malformed key of a deleted message", errDatabase)
	}
	return deletedID{
		Time:    int64(binary.BigEndian.Uint64(key)),
		ModSeq:  ModSeq(binary.BigEndian.Uint64(key[8:])),
		Mailbox: ID(binary.BigEndian.Uint32(key[16:])),
		First:   goimap.UID(binary.BigEndian.Uint32(key[20:])),
	}, nil
}

func decodeDeleted(value []byte) ([]added, error) {
	r := fieldReader{rest: value}
	list := r.messages()
	return list, r.end("deleted messages")
}

// moved returns the bodies that the record at hand adds to mailboxes of an account. What
// it expunges there, too, was moved, and leaves nothing that would have to be restored;
// what went to another account can be. A record adds messages before it expunges
// those that they are copies of.
func (a *applying) moved(to AccountID) ([]bodyRange, error) {
	if a.movedTo != nil {
		return a.movedTo[to], nil
	}
	a.movedTo = make(map[AccountID][]bodyRange)
	if !slices.ContainsFunc(a.ops, func(o op) bool { _, ok := o.(opExpunge); return ok }) {
		return nil, nil
	}
	for _, o := range a.ops {
		add, ok := o.(opAdd)
		if !ok {
			continue
		}
		m, err := a.look(add.Mailbox)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		for i := range add.Messages {
			a.movedTo[m.Account] = appendBody(a.movedTo[m.Account], add.Messages[i].Body)
		}
	}
	for account, bodies := range a.movedTo {
		a.movedTo[account] = sortBodies(bodies)
	}
	return a.movedTo[to], nil
}

// appendBody adds a body to ranges. In a mailbox most follow on each other.
func appendBody(ranges []bodyRange, id BodyID) []bodyRange {
	if n := len(ranges); n > 0 && ranges[n-1].Last+1 == id {
		ranges[n-1].Last = id
		return ranges
	}
	return append(ranges, bodyRange{First: id, Last: id})
}

// sortBodies brings ranges into order, with none that touch or overlap.
func sortBodies(ranges []bodyRange) []bodyRange {
	slices.SortFunc(ranges, func(x, y bodyRange) int { return cmp.Compare(x.First, y.First) })
	joined := ranges[:0]
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.First <= joined[n-1].Last+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}

// hasBody reports whether sorted ranges have a body.
func hasBody(ranges []bodyRange, id BodyID) bool {
	i, found := slices.BinarySearchFunc(ranges, id, func(r bodyRange, id BodyID) int { return cmp.Compare(r.First, id) })
	return found || i > 0 && id <= ranges[i-1].Last
}

// retain keeps expunged messages with their bodies until retention ends.
// Those that the record moved within the account only give their references back.
func (a *applying) retain(m *heldMailbox, taken []added, at int64) error {
	moved, err := a.moved(m.Account)
	if err != nil {
		return err
	}
	if len(moved) > 0 {
		kept := taken[:0]
		for _, msg := range taken {
			if !hasBody(moved, msg.Body) {
				kept = append(kept, msg)
				continue
			}
			if err := a.release(msg.Body); err != nil {
				return err
			}
		}
		taken = kept
	}
	if len(taken) == 0 {
		return nil
	}
	key := deletedID{Time: at, ModSeq: ModSeq(a.lsn), Mailbox: m.ID, First: taken[0].UID}.key()
	return tableOf(a.tx, bucketDeleted).Put(key, appendMessages(nil, taken))
}

// purge gives the references of expunged messages back, and forgets deleted mailboxes.
func (a *applying) purge(o opPurge) error {
	deleted := tableOf(a.tx, bucketDeleted)
	for i := range o.Messages {
		list, err := a.retained(o.Messages[i])
		if err != nil {
			return err
		}
		for _, msg := range list {
			if err := a.release(msg.Body); err != nil {
				return err
			}
		}
		if err := deleted.Delete(o.Messages[i].key()); err != nil {
			return err
		}
	}
	return a.forgetGone(o.Mailboxes)
}

// restored takes messages out of deleted. Their references go to those that
// the record added before, so no body is without one meanwhile.
func (a *applying) restored(o opRestored) error {
	for i := range o.Messages {
		if err := a.restoredPart(&o.Messages[i]); err != nil {
			return err
		}
	}
	for _, id := range o.Mailboxes {
		if err := a.restoredMailbox(id); err != nil {
			return err
		}
	}
	return nil
}

// goneRestored is the time of a deleted mailbox that was restored. What it was
// stays for as long as messages that were expunged before can be restored.
const goneRestored = -1

func (a *applying) restoredMailbox(id ID) error {
	b := tableOf(a.tx, bucketGone)
	value := b.Get(idKey(id))
	if value == nil {
		a.missing("deleted mailbox", uint64(id))
		return nil
	}
	_, m, err := decodeGone(value)
	if err != nil {
		return fmt.Errorf("mailbox %d: %w", id, err)
	}
	if err := deletePrefix(tableOf(a.tx, bucketAnnotations), idKey(id)); err != nil {
		return err
	}
	return b.Put(idKey(id), appendGone(nil, goneRestored, &m))
}

func (a *applying) restoredPart(part *deletedPart) error {
	list, err := a.retained(part.From)
	if err != nil {
		return err
	}
	kept := list[:0]
	for _, msg := range list {
		if !inRanges(part.UIDs, msg.UID) {
			kept = append(kept, msg)
			continue
		}
		if err := a.release(msg.Body); err != nil {
			return err
		}
	}
	deleted := tableOf(a.tx, bucketDeleted)
	if len(kept) == 0 {
		return deleted.Delete(part.From.key())
	}
	return deleted.Put(part.From.key(), appendMessages(nil, kept))
}

// retained reads expunged messages; none after a warning when they are not there.
func (a *applying) retained(id deletedID) ([]added, error) {
	value := tableOf(a.tx, bucketDeleted).Get(id.key())
	if value == nil {
		a.missing("deleted messages of mailbox", uint64(id.Mailbox))
		return nil, nil
	}
	list, err := decodeDeleted(value)
	if err != nil {
		return nil, fmt.Errorf("mailbox %d: %w", id.Mailbox, err)
	}
	return list, nil
}

func (a *applying) forgetGone(ids []ID) error {
	for _, id := range ids {
		if err := deletePrefix(tableOf(a.tx, bucketAnnotations), idKey(id)); err != nil {
			return err
		}
		if err := tableOf(a.tx, bucketGone).Delete(idKey(id)); err != nil {
			return err
		}
	}
	return nil
}

// inRanges reports whether ascending ranges have uid.
func inRanges(ranges []uidRange, uid goimap.UID) bool {
	_, found := slices.BinarySearchFunc(ranges, uid, func(r uidRange, uid goimap.UID) int {
		switch {
		case r.Last < uid:
			return -1
		case r.First > uid:
			return 1
		}
		return 0
	})
	return found
}

// deletedEntry is what bucket deleted has under one key: at most a packed
// value of messages, ascending by UID.
type deletedEntry struct {
	deletedID
	Messages []added
}

// deletedPage returns up to limit entries behind the key after (nil: from the
// front), from one short transaction. Fewer than limit means there are no more.
func (d *disk) deletedPage(after []byte, limit int) (page []deletedEntry, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		c := tableOf(tx, bucketDeleted).Cursor()
		key, value := c.Seek(after)
		if key != nil && slices.Equal(key, after) {
			key, value = c.Next()
		}
		for ; key != nil && len(page) < limit; key, value = c.Next() {
			id, err := decodeDeletedKey(key)
			if err != nil {
				return err
			}
			list, err := decodeDeleted(value)
			if err != nil {
				return fmt.Errorf("mailbox %d: %w", id.Mailbox, err)
			}
			page = append(page, deletedEntry{deletedID: id, Messages: list})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading deleted messages: %w", err)
	}
	return page, nil
}

// deletedPageSize is how many entries are decoded at a time: at most 16,384
// messages, about 1 MB.
const deletedPageSize = 64

// eachDeleted calls f, outside of a transaction, with every entry behind the key after, in the order
// of their keys, until it returns false. Entries that come or go meanwhile are
// seen or not.
func (d *disk) eachDeleted(after []byte, f func(e *deletedEntry) (more bool, err error)) error {
	for {
		page, err := d.deletedPage(after, deletedPageSize)
		if err != nil {
			return err
		}
		for i := range page {
			if more, err := f(&page[i]); err != nil || !more {
				return err
			}
		}
		if len(page) < deletedPageSize {
			return nil
		}
		after = page[len(page)-1].key()
	}
}

// goneMailbox is a deleted mailbox: only its description is known.
type goneMailbox struct {
	diskMailbox
	At int64 // Unix seconds, or goneRestored
}

// goneMailboxes returns the deleted mailboxes by id, of which a server has tens.
func (d *disk) goneMailboxes() (list []goneMailbox, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		return tableOf(tx, bucketGone).ForEach(func(key, value []byte) error {
			id, err := keyID[ID](key)
			if err != nil {
				return err
			}
			at, m, err := decodeGone(value)
			if err != nil {
				return fmt.Errorf("mailbox %d: %w", id, err)
			}
			m.ID = id
			list = append(list, goneMailbox{diskMailbox: m, At: at})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading deleted mailboxes: %w", err)
	}
	return list, nil
}

// restorable drops those that were restored.
func restorable(gone []goneMailbox) []goneMailbox {
	return slices.DeleteFunc(gone, func(m goneMailbox) bool { return m.At == goneRestored })
}

// retains reports whether anything at all can be restored.
func (d *disk) retains() (some bool, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		deleted, _ := tableOf(tx, bucketDeleted).Cursor().First()
		gone, _ := tableOf(tx, bucketGone).Cursor().First()
		some = deleted != nil || gone != nil
		return nil
	})
	return some, err
}

// byTime orders deleted mailboxes, the oldest first.
func byTime(x, y goneMailbox) int { return cmp.Or(cmp.Compare(x.At, y.At), cmp.Compare(x.ID, y.ID)) }
