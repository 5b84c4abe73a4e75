package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// maxProblems is how many violations a check names: past it, one cause has
// many effects and the rest only fills memory.
const maxProblems = 100

// check verifies every invariant of both databases and returns all violations
// joined, nil when there are none. apply waits meanwhile; readers do not.
// docs/STORAGE.md lists the invariants.
func (d *disk) check() error {
	return errors.Join(
		checkDatabase(d.state, stateFile, func(c *checker) { c.state() }),
		checkDatabase(d.derived, derivedFile, func(c *checker) { c.derived() }),
	)
}

// checkInvariants returns what is wrong in a state.db of which the page
// structure is whole.
func checkInvariants(tx *bbolt.Tx) []error {
	c := newChecker()
	c.tx = tx
	c.state()
	return c.problems
}

func newChecker() *checker {
	return &checker{refs: make(map[BodyID]uint64), mailboxes: make(map[ID]*checkedMailbox), deletedOf: make(map[ID]FlagSet)}
}

// checkDatabase runs bbolt's own check and f in a transaction that excludes
// writers, as bbolt's check asks for, and changes nothing.
func checkDatabase(db *database, name string, f func(*checker)) error {
	c := newChecker()
	err := db.exclusive(func(tx *bbolt.Tx) {
		c.tx = tx
		for err := range tx.Check() {
			c.add("page structure: %w", err)
		}
		if len(c.problems) == 0 { // a broken tree must not be walked
			c.problems = checkContent(tx)
		}
		if len(c.problems) == 0 { // and a broken seal not be opened
			f(c)
		}
	})
	if err != nil {
		c.add("%w", err)
	}
	if len(c.problems) == 0 {
		return nil
	}
	return fmt.Errorf("checking %s: %w", name, errors.Join(c.problems...))
}

// checker walks one database and collects what is wrong.
type checker struct {
	tx        *bbolt.Tx
	problems  []error
	applied   log.LSN
	last      lastIDs
	mailboxes map[ID]*checkedMailbox
	deletedOf map[ID]FlagSet    // deleted mailboxes, with the bits that mean something
	refs      map[BodyID]uint64 // counted references
}

// checkedMailbox is a mailbox's header beside what was counted.
type checkedMailbox struct {
	diskMailbox
	counted diskMailbox
	lastUID goimap.UID
	named   FlagSet // the bits that mean something
}

func (c *checker) add(format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, fmt.Errorf(format, args...))
	}
}

// expect adds a problem unless ok.
func (c *checker) expect(ok bool, format string, args ...any) {
	if !ok {
		c.add(format, args...)
	}
}

// each calls f for every key of a bucket.
func (c *checker) each(bucket []byte, f func(key, value []byte) error) {
	err := tableOf(c.tx, bucket).ForEach(func(key, value []byte) error {
		if err := f(key, value); err != nil {
			c.add("%s, key %x: %w", bucket, key, err)
		}
		return nil
	})
	c.expect(err == nil, "%s: %w", bucket, err)
}

func (c *checker) state() {
	c.applied = txApplied(c.tx)
	var err error
	if c.last, err = readLast(c.tx); err != nil {
		c.add("%w", err)
	}
	c.headers()
	c.gone()
	c.messages()
	c.deleted()
	c.history()
	c.rooms()
	c.annotations()
	c.counters()
	c.bodies()
}

func (c *checker) derived() {
	c.each(bucketIndexes, func(key, value []byte) error {
		c.expect(len(key) == 8 && len(value) > 0, "malformed index %x", key)
		return nil
	})
}

func (c *checker) headers() {
	accounts := tableOf(c.tx, bucketAccounts)
	c.each(bucketAccounts, func(key, value []byte) error {
		id, err := keyID[AccountID](key)
		if err != nil {
			return err
		}
		c.expect(id <= c.last.Account, "account %d above the last id %d", id, c.last.Account)
		stored, err := decodeAccount(value)
		c.expect(stored.made >= 1 && stored.made <= c.applied, "account %d was made by record %d, applied %d", id, stored.made, c.applied)
		c.expect(stored.quota.Storage >= 0 && stored.quota.Messages >= 0, "account %d: quota %+v", id, stored.quota)
		return err
	})
	names := make(map[subscribed]ID)
	c.each(bucketMailboxes, func(key, _ []byte) error {
		id, err := keyID[ID](key)
		if err != nil {
			return err
		}
		m, err := readMailbox(c.tx, id)
		if err != nil {
			return err
		}
		c.mailboxes[id] = &checkedMailbox{diskMailbox: *m, named: namedBits(len(m.Keywords))}
		c.header(m)
		name := subscribed{m.Account, m.Name}
		c.expect(names[name] == 0, "mailboxes %d and %d have one name", id, names[name])
		names[name] = id
		c.expect(accounts.Get(idKey(m.Account)) != nil, "mailbox %d of no account", id)
		c.grants(id, m.Grants)
		c.expect(tableOf(c.tx, bucketGone).Get(key) == nil, "mailbox %d is deleted and is not", id)
		return nil
	})
	c.each(bucketCounters, func(key, _ []byte) error {
		c.expect(tableOf(c.tx, bucketMailboxes).Get(key) != nil, "counters %x of no mailbox", key)
		return nil
	})
	c.each(bucketSubscriptions, func(key, _ []byte) error {
		c.expect(len(key) >= 4 && accounts.Get(key[:4]) != nil, "subscription of no account")
		return nil
	})
}

// grants checks the access control list of a mailbox, which may be a deleted one.
func (c *checker) grants(id ID, grants []Grant) {
	c.expect(len(grants) <= maxGrants, "mailbox %d: %d entries with rights", id, len(grants))
	for _, g := range grants {
		c.expect(g.Account == Anyone || tableOf(c.tx, bucketAccounts).Get(idKey(g.Account)) != nil, "mailbox %d: rights of no account %d", id, g.Account)
	}
}

// namedBits returns the bits of the system flags and of so many keywords.
func namedBits(keywords int) (f FlagSet) {
	for bit := range FlagDraft + 1 {
		f = f.With(bit)
	}
	for k := range min(keywords, MaxKeywords) {
		f = f.With(KeywordBit + k)
	}
	return f
}

func (c *checker) header(m *diskMailbox) {
	c.expect(m.ID <= c.last.Mailbox, "mailbox %d above the last id %d", m.ID, c.last.Mailbox)
	c.expect(m.UIDValidity <= c.last.UIDValidity, "mailbox %d: UIDVALIDITY %d above the last %d", m.ID, m.UIDValidity, c.last.UIDValidity)
	c.expect(m.UIDNext >= 1, "mailbox %d: no UIDNEXT", m.ID)
	c.expect(m.HighestModSeq >= 1 && m.HighestModSeq <= ModSeq(c.applied), "mailbox %d: HIGHESTMODSEQ %d, applied %d", m.ID, m.HighestModSeq, c.applied)
	c.expect(len(m.Keywords) <= MaxKeywords, "mailbox %d: %d keywords", m.ID, len(m.Keywords))
}

// mailbox returns the mailbox a key begins with.
func (c *checker) mailbox(key []byte, size int) (*checkedMailbox, error) {
	if len(key) != size {
		return nil, errors.New("malformed key")
	}
	m := c.mailboxes[ID(binary.BigEndian.Uint32(key))]
	if m == nil {
		return nil, errors.New("of no mailbox")
	}
	return m, nil
}

func (c *checker) messages() {
	flags := tableOf(c.tx, bucketFlags)
	values := 0
	c.each(bucketMessages, func(key, value []byte) error {
		values++
		m, err := c.mailbox(key, 8)
		if err != nil {
			return err
		}
		block, err := decodeChunks(nil, value, flags.Get(key))
		if err != nil {
			return err
		}
		c.expect(len(block) > 0, "mailbox %d: a value without messages", m.ID)
		for i := range block {
			if chunkOf(m.ID, block[i].UID).Number != binary.BigEndian.Uint32(key[4:]) {
				c.add("mailbox %d, UID %d: under another's key", m.ID, block[i].UID)
			}
			c.message(m, &block[i])
		}
		return nil
	})
	c.each(bucketFlags, func(_, _ []byte) error {
		values--
		return nil
	})
	c.expect(values == 0, "%d more values of messages than of flags", values)
}

// message runs once for every message of the store, so it makes no arguments
// for problems there are not.
func (c *checker) message(m *checkedMailbox, msg *Message) {
	if msg.UID <= m.lastUID || msg.UID >= m.UIDNext {
		c.add("mailbox %d: UID %d after %d, UIDNEXT %d", m.ID, msg.UID, m.lastUID, m.UIDNext)
	}
	m.lastUID = msg.UID
	if msg.ModSeq < 1 || msg.ModSeq > m.HighestModSeq {
		c.add("mailbox %d, UID %d: MODSEQ %d, highest %d", m.ID, msg.UID, msg.ModSeq, m.HighestModSeq)
	}
	if msg.Flags[0]&^m.named[0]|msg.Flags[1]&^m.named[1] != 0 {
		c.add("mailbox %d, UID %d: flags %x, bits with a name %x", m.ID, msg.UID, msg.Flags, m.named)
	}
	m.counted.Messages++
	m.counted.Size += msg.Size
	if !msg.Flags.Has(FlagSeen) {
		m.counted.Unseen++
	}
	if msg.Flags.Has(FlagDeleted) {
		m.counted.Deleted++
	}
	if msg.UID >= m.RecentBelow {
		m.counted.Recent++
	}
	c.hold(msg.Body)
}

func (c *checker) hold(body BodyID) {
	if body != 0 {
		c.refs[body]++
	}
}

func (c *checker) history() {
	c.each(bucketExpunged, func(key, value []byte) error {
		m, err := c.mailbox(key, 12)
		if err != nil {
			return err
		}
		modseq := ModSeq(binary.BigEndian.Uint64(key[4:]))
		c.expect(modseq > m.HistoryFrom && modseq <= m.HighestModSeq, "mailbox %d: history of %d, from %d, highest %d", m.ID, modseq, m.HistoryFrom, m.HighestModSeq)
		list, err := decodeHistory(value)
		if err != nil {
			return err
		}
		m.counted.historyCount += uint32(len(list))
		var last goimap.UID
		for _, u := range list {
			c.expect(u.First > last && u.First <= u.Last && u.Last < m.UIDNext, "mailbox %d: history has %d:%d after %d, UIDNEXT %d", m.ID, u.First, u.Last, last, m.UIDNext)
			last = u.Last
		}
		return nil
	})
}

func (c *checker) rooms() {
	rooms := c.tx.Bucket(bucketRooms)
	err := rooms.ForEachBucket(func(name []byte) error {
		return newTable(rooms.Bucket(name), name).ForEach(func(key, stored []byte) error {
			e, err := decodeRoomEntry(stored)
			c.expect(err == nil, "room %s, key %q: %w", name, key, err)
			c.hold(e.Body)
			return nil
		})
	})
	c.expect(err == nil, "rooms: %w", err)
}

// counters compares what headers say with what was counted.
func (c *checker) counters() {
	for _, id := range slices.Sorted(maps.Keys(c.mailboxes)) {
		m := c.mailboxes[id]
		has := [...]int64{int64(m.Messages), m.Size, int64(m.Unseen), int64(m.Deleted), int64(m.Recent), int64(m.historyCount)}
		n := &m.counted
		want := [...]int64{int64(n.Messages), n.Size, int64(n.Unseen), int64(n.Deleted), int64(n.Recent), int64(n.historyCount)}
		c.expect(has == want, "mailbox %d: counters %v, counted %v (messages, size, unseen, deleted, recent, history)", id, has, want)
	}
}

func (c *checker) bodies() {
	garbage := tableOf(c.tx, bucketGarbage)
	dead := 0
	c.each(bucketBodies, func(key, value []byte) error {
		if len(key) != 8 {
			return errors.New("malformed key")
		}
		list, err := decodeBodyChunk(nil, bodyChunk(binary.BigEndian.Uint64(key)), value)
		if err != nil {
			return err
		}
		for i := range list {
			s := &list[i]
			c.body(s)
			if s.Refs == 0 {
				dead++
				c.expect(garbage.Get(garbageKey{died: s.Died, body: s.ID}.append(nil)) != nil, "body %d has no reference and is not listed as garbage", s.ID)
			}
		}
		return nil
	})
	for _, id := range slices.Sorted(maps.Keys(c.refs)) {
		c.add("body %d is referenced and not known", id)
	}
	c.each(bucketGarbage, func(_, _ []byte) error {
		dead--
		return nil
	})
	c.expect(dead == 0, "%d more bodies without reference than listed as garbage", dead)
}

func (c *checker) body(s *storedBody) {
	if s.Refs != c.refs[s.ID] {
		c.add("body %d: %d references, counted %d", s.ID, s.Refs, c.refs[s.ID])
	}
	delete(c.refs, s.ID)
	if s.Lost {
		c.add("body %d has no place: the record that brought it is lost", s.ID)
	}
	if s.ID > c.last.Body {
		c.add("body %d above the last id %d", s.ID, c.last.Body)
	}
	if s.Refs == 0 && (s.Died < 1 || s.Died > c.applied) {
		c.add("body %d died at %d, applied %d", s.ID, s.Died, c.applied)
	}
}
