package mailbox

import (
	goimap "github.com/emersion/go-imap/v2"
)

// gone checks the descriptions of deleted mailboxes.
func (c *checker) gone() {
	c.each(bucketGone, func(key, value []byte) error {
		id, err := keyID[ID](key)
		if err != nil {
			return err
		}
		_, m, err := decodeGone(value)
		c.expect(id <= c.last.Mailbox, "deleted mailbox %d above the last id %d", id, c.last.Mailbox)
		c.expect(m.Account <= c.last.Account, "deleted mailbox %d of account %d, above the last id %d", id, m.Account, c.last.Account)
		c.deletedOf[id] = namedBits(len(m.Keywords))
		c.grants(id, m.Grants)
		return err
	})
}

// deleted checks the messages that can be restored: each is of a mailbox that
// is known, if only as deleted, and holds its body.
func (c *checker) deleted() {
	c.each(bucketDeleted, func(key, value []byte) error {
		id, err := decodeDeletedKey(key)
		if err != nil {
			return err
		}
		list, err := decodeDeleted(value)
		if err != nil {
			return err
		}
		below, named := goimap.UID(0), FlagSet{} // 0: any UID
		if m := c.mailboxes[id.Mailbox]; m != nil {
			below, named = m.UIDNext, m.named
		} else if bits, ok := c.deletedOf[id.Mailbox]; ok {
			named = bits
		} else {
			c.add("deleted messages of no mailbox %d", id.Mailbox)
			return nil
		}
		c.expect(id.ModSeq <= ModSeq(c.applied), "mailbox %d: deleted at %d, applied %d", id.Mailbox, id.ModSeq, c.applied)
		c.expect(len(list) > 0, "mailbox %d: an entry without deleted messages", id.Mailbox)
		last := max(id.First, 1) - 1
		for i := range list {
			msg := &list[i]
			if msg.UID <= last || below != 0 && msg.UID >= below {
				c.add("mailbox %d: deleted UID %d after %d, UIDNEXT %d", id.Mailbox, msg.UID, last, below)
			}
			if msg.Flags[0]&^named[0]|msg.Flags[1]&^named[1] != 0 {
				c.add("mailbox %d, deleted UID %d: flags %x, bits with a name %x", id.Mailbox, msg.UID, msg.Flags, named)
			}
			last = msg.UID
			c.hold(msg.Body)
		}
		return nil
	})
}
