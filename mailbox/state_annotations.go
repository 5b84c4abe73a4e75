package mailbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"
)

// Annotations are in a bucket of their own: the key is mailbox, account and name,
// the value their octets. Those of a deleted mailbox stay for as long as it can be
// restored.

func appendAnnotationKey(dst []byte, o *opAnnotation) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(o.Mailbox))
	dst = binary.BigEndian.AppendUint32(dst, uint32(o.Account))
	return append(dst, o.Name...)
}

// decodeAnnotation returns an annotation whose value is a copy.
func decodeAnnotation(key, value []byte) (o opAnnotation, err error) {
	if len(key) <= 8 {
		return o, fmt.Errorf("%w: malformed annotation", errDatabase)
	}
	o.Mailbox = ID(binary.BigEndian.Uint32(key))
	o.Account = AccountID(binary.BigEndian.Uint32(key[4:]))
	o.Name, o.Value = string(key[8:]), append([]byte{}, value...)
	return o, nil
}

func (a *applying) annotation(o opAnnotation) error {
	if o.Account != 0 && tableOf(a.tx, bucketAccounts).Get(idKey(o.Account)) == nil {
		a.missing("account", uint64(o.Account))
		return nil
	}
	if o.Mailbox != ServerAnnotations {
		if m, err := a.find(o.Mailbox); m == nil {
			return err
		}
	}
	b, key := tableOf(a.tx, bucketAnnotations), appendAnnotationKey(nil, &o)
	if o.Value == nil {
		return b.Delete(key)
	}
	return b.Put(key, o.Value)
}

// dropAnnotationsOf removes the private annotations of an account that is deleted,
// but those of its own mailboxes, which may be restored with it.
func (a *applying) dropAnnotationsOf(account AccountID) error {
	b := tableOf(a.tx, bucketAnnotations)
	var gone [][]byte
	err := b.ForEach(func(key, value []byte) error {
		o, err := decodeAnnotation(key, value)
		if err != nil || o.Account != account {
			return err
		}
		if stored := tableOf(a.tx, bucketGone).Get(idKey(o.Mailbox)); stored != nil {
			_, m, err := decodeGone(stored)
			if err != nil || m.Account == account {
				return err
			}
		}
		gone = append(gone, bytes.Clone(key))
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range gone {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// readAnnotations reads those of the server and of mailboxes that are there.
func (h *diskHeaders) readAnnotations(tx *bbolt.Tx) error {
	mailboxes := tableOf(tx, bucketMailboxes)
	return tableOf(tx, bucketAnnotations).ForEach(func(key, value []byte) error {
		o, err := decodeAnnotation(key, value)
		if err != nil {
			return err
		}
		if o.Mailbox == ServerAnnotations || mailboxes.Get(idKey(o.Mailbox)) != nil {
			h.Annotations = append(h.Annotations, o)
		}
		return nil
	})
}

// annotationsOf returns the annotations of a mailbox, also of a deleted one.
func (d *disk) annotationsOf(id ID) (list []opAnnotation, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		c := tableOf(tx, bucketAnnotations).Cursor()
		for key, value := c.Seek(idKey(id)); bytes.HasPrefix(key, idKey(id)); key, value = c.Next() {
			o, err := decodeAnnotation(key, value)
			if err != nil {
				return err
			}
			list = append(list, o)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the annotations of mailbox %d: %w", id, err)
	}
	return list, nil
}

// annotations checks that each is of a mailbox that is there or can be restored,
// and private to an account that is, or went with it.
func (c *checker) annotations() {
	accounts, gone := tableOf(c.tx, bucketAccounts), tableOf(c.tx, bucketGone)
	c.each(bucketAnnotations, func(key, value []byte) error {
		o, err := decodeAnnotation(key, value)
		if err != nil {
			return err
		}
		c.expect(len(o.Value) <= MaxAnnotation && len(o.Name) <= MaxAnnotationName, "annotation of %d octets, its name of %d", len(o.Value), len(o.Name))
		c.expect(o.Mailbox != ServerAnnotations || o.Account != 0, "shared annotation of the server")
		owner := AccountID(0) // of a deleted mailbox
		if o.Mailbox != ServerAnnotations && c.mailboxes[o.Mailbox] == nil {
			stored := gone.Get(idKey(o.Mailbox))
			if stored == nil {
				return fmt.Errorf("annotation of no mailbox %d", o.Mailbox)
			}
			at, m, err := decodeGone(stored)
			if err != nil {
				return err
			}
			c.expect(at != goneRestored, "mailbox %d was restored and has annotations", o.Mailbox)
			owner = m.Account
		}
		c.expect(o.Account == 0 || o.Account == owner || accounts.Get(idKey(o.Account)) != nil, "annotation of no account %d", o.Account)
		return nil
	})
}

// annotations compares what memory has with state.db, and with what is counted.
func (c *comparison) annotations(h *diskHeaders) {
	stored := newCatalogue()
	stored.listings = c.s.durable.listings
	for id := range c.s.durable.accounts {
		stored.addAccount(id)
	}
	for _, o := range h.Annotations {
		stored.annotate(o)
	}
	for what, have := range map[string]*catalogue{"durable": c.s.durable, "pending": c.s.pending} {
		c.expect(len(have.annotations) == len(stored.annotations), "%s: %d mailboxes with annotations, %d on disk", what, len(have.annotations), len(stored.annotations))
		for id, all := range stored.annotations {
			c.expect(maps.Equal(have.annotations[id], all), "%s: annotations of mailbox %d differ", what, id)
		}
		for id, acc := range stored.accounts {
			if here := have.accounts[id]; here != nil { // or catalogues has said so
				c.expect(here.annotated == acc.annotated, "%s: account %d: annotations are counted as %+v, there are %+v", what, id, here.annotated, acc.annotated)
			}
		}
	}
}

// annotationsIn divides annotations into parts that fit a record each.
func (s *Store) annotationsIn(list []opAnnotation) (parts [][]opAnnotation) {
	most := s.log.MetaLimit() / 2
	for len(list) > 0 {
		n, size := 0, 0
		for n < len(list) && (n == 0 || size+annotationNeed+len(list[n].Name)+len(list[n].Value) <= most) {
			size += annotationNeed + len(list[n].Name) + len(list[n].Value)
			n++
		}
		parts = append(parts, slices.Clip(list[:n]))
		list = list[n:]
	}
	return parts
}
