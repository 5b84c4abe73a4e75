package mailbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// appliedRecord is a durable record of the log on its way into state.db.
type appliedRecord struct {
	LSN   log.LSN
	Ops   []op
	Body  BodyID    // the body the record brought; 0 = none
	Place log.Place // where that is
}

// errUIDOrder says that a record adds a message under a UID the mailbox may
// have had: a fault of the program that wrote it.
var errUIDOrder = errors.New("mailbox: record adds a UID that was given before")

// maxHistory is how many ranges of expunged UIDs a mailbox keeps for clients
// that were away (RFC 7162 section 3.2.7). A range is 2 to 4 bytes, so at most
// some 40 KB; a client behind it compares UIDs instead.
const maxHistory = 10_000

// apply puts records, ascending by LSN, into state.db in one synced
// transaction together with the LSN of the last: all or none of them are in it
// after a crash. Records that are in it already are passed over, so applying
// twice is applying once.
//
// An operation on something that is not there (a record before it was damaged
// and fenced off) is passed over with a warning; a body that a message names but
// no record brought is kept as lost. The error is errUIDOrder, errDatabase or
// the system's, and then nothing was applied.
func (d *disk) apply(recs []appliedRecord) error {
	recs = after(recs, d.applied())
	if len(recs) == 0 {
		return nil
	}
	err := d.state.Update(func(tx *bbolt.Tx) error {
		// A commit whose very last sync failed has told of an error and yet may
		// be in the file: only the file knows.
		todo := after(recs, txApplied(tx))
		if len(todo) == 0 {
			return nil
		}
		a, err := newApplying(d, tx)
		if err != nil {
			return err
		}
		for i := range todo {
			if err := a.record(&todo[i]); err != nil {
				return fmt.Errorf("record %d: %w", todo[i].LSN, err)
			}
		}
		return a.finish()
	})
	if err != nil {
		return fmt.Errorf("applying records to %s: %w", stateFile, err)
	}
	d.lsn.Store(uint64(recs[len(recs)-1].LSN))
	d.reserve()
	return nil
}

// after returns the records behind lsn.
func after(recs []appliedRecord, lsn log.LSN) []appliedRecord {
	for len(recs) > 0 && recs[0].LSN <= lsn {
		recs = recs[1:]
	}
	return recs
}

// applying is one transaction of apply: what it touched stays decoded until the
// end, so a thousand deliveries into a mailbox rewrite its last values once.
type applying struct {
	disk      *disk
	tx        *bbolt.Tx
	lsn       log.LSN // of the record at hand
	last      lastIDs
	mailboxes map[ID]*heldMailbox // with nil for those that are not there
	messages  map[chunkKey]*held[added]
	flags     map[chunkKey]*held[flagged]
	bodies    map[bodyChunk]*held[storedBody]
	rooms     map[string]table
	garbage   map[garbageKey]bool       // true to be put, false to be deleted
	ops       []op                      // of the record at hand
	movedTo   map[AccountID][]bodyRange // of the record at hand: bodies that it adds to an account, ascending; nil = not known yet
}

// held is a packed value, decoded.
type held[T any] struct {
	list    []T
	changed bool
}

type heldMailbox struct {
	diskMailbox
	described bool // the description changed
	counted   bool // the counters changed
}

type garbageKey struct {
	died log.LSN
	body BodyID
}

func newApplying(d *disk, tx *bbolt.Tx) (*applying, error) {
	a := &applying{
		disk:      d,
		tx:        tx,
		mailboxes: make(map[ID]*heldMailbox),
		messages:  make(map[chunkKey]*held[added]),
		flags:     make(map[chunkKey]*held[flagged]),
		bodies:    make(map[bodyChunk]*held[storedBody]),
		rooms:     make(map[string]table),
		garbage:   make(map[garbageKey]bool),
	}
	// These keys ascend: full leaves instead of halves that nobody fills.
	for _, name := range [][]byte{bucketBodies, bucketGarbage, bucketDeleted} {
		tx.Bucket(name).FillPercent = 0.95
	}
	var err error
	a.last, err = readLast(tx)
	return a, err
}

func (a *applying) record(rec *appliedRecord) error {
	if rec.LSN <= a.lsn {
		return fmt.Errorf("%w: not ascending", errRecord)
	}
	a.lsn = rec.LSN
	a.ops, a.movedTo = rec.Ops, nil
	if rec.Body != 0 {
		if err := a.bodyArrives(rec.Body, rec.Place); err != nil {
			return err
		}
	}
	for _, o := range rec.Ops {
		if err := a.op(o); err != nil {
			return err
		}
	}
	if rec.Body != 0 {
		return a.bodyUnused(rec.Body)
	}
	return nil
}

func (a *applying) op(o op) error {
	switch o := o.(type) {
	case opAccount:
		return a.account(o)
	case opLimits:
		return a.limits(o)
	case opMailbox:
		return a.mailbox(o)
	case opMailboxGone:
		return a.mailboxGone(o)
	case opSubscription:
		return a.subscription(o)
	case opAnnotation:
		return a.annotation(o)
	case opKeywords:
		return a.keywords(o)
	case opAdd:
		return a.add(o)
	case opFlags:
		return a.setFlags(o)
	case opExpunge:
		return a.expunge(o)
	case opRecent:
		return a.recent(o)
	case opRoom:
		return a.room(o)
	case opMoved:
		return nil // the body has arrived like any other
	case opPurge:
		return a.purge(o)
	case opRestored:
		return a.restored(o)
	case opForgotten:
		return a.forgotten(o)
	case opGiven:
		a.given(o)
		return nil
	case opRights:
		return a.rights(o)
	}
	return fmt.Errorf("%w: %T", errRecord, o)
}

func (a *applying) given(o opGiven) {
	a.last.Account = max(a.last.Account, o.Account)
	a.last.Mailbox = max(a.last.Mailbox, o.Mailbox)
	a.last.Body = max(a.last.Body, o.Body)
}

// missing reports an operation on something that is not there.
func (a *applying) missing(what string, id uint64) {
	a.disk.logger.Warn("an operation was passed over: what it changes is not in the database",
		"lsn", uint64(a.lsn), "of", what, "id", id)
}

// find returns the mailbox, or nil after a warning.
func (a *applying) find(id ID) (*heldMailbox, error) {
	m, err := a.look(id)
	if m == nil && err == nil {
		a.missing("mailbox", uint64(id))
	}
	return m, err
}

func (a *applying) look(id ID) (*heldMailbox, error) {
	if m, ok := a.mailboxes[id]; ok {
		return m, nil
	}
	stored, err := readMailbox(a.tx, id)
	if err != nil {
		return nil, err
	}
	var m *heldMailbox
	if stored != nil {
		m = &heldMailbox{diskMailbox: *stored}
	}
	a.mailboxes[id] = m
	return m, nil
}

// mailbox makes a mailbox or replaces its description. The account is made
// where its own record was lost: mail without an owner could not be shown.
func (a *applying) mailbox(o opMailbox) error {
	if tableOf(a.tx, bucketAccounts).Get(idKey(o.Account)) == nil {
		if err := a.account(opAccount{Account: o.Account}); err != nil {
			return err
		}
	}
	m, err := a.look(o.ID)
	if err != nil {
		return err
	}
	if m == nil {
		m = &heldMailbox{counted: true}
		m.ID, m.UIDNext, m.RecentBelow, m.HighestModSeq = o.ID, 1, 1, ModSeq(a.lsn)
		a.mailboxes[o.ID] = m
	}
	m.Account, m.Name, m.UIDValidity, m.SpecialUse = o.Account, o.Name, o.UIDValidity, o.SpecialUse
	m.described = true
	a.last.Mailbox = max(a.last.Mailbox, o.ID)
	a.last.UIDValidity = max(a.last.UIDValidity, o.UIDValidity)
	return nil
}

func (a *applying) keywords(o opKeywords) error {
	m, err := a.find(o.Mailbox)
	if m == nil {
		return err
	}
	// A record before it may be lost: its places keep their bits, without a name.
	for len(m.Keywords) < o.First {
		m.Keywords = append(m.Keywords, "")
	}
	for i, name := range o.Names {
		if k := o.First + i; k < len(m.Keywords) {
			m.Keywords[k] = name
		} else if k < MaxKeywords {
			m.Keywords = append(m.Keywords, name)
		}
	}
	m.described = true
	return nil
}

func (a *applying) add(o opAdd) error {
	m, err := a.find(o.Mailbox)
	if m == nil {
		return err
	}
	for i := range o.Messages {
		if err := a.addOne(m, &o.Messages[i]); err != nil {
			return err
		}
	}
	a.touch(m)
	return nil
}

func (a *applying) addOne(m *heldMailbox, msg *added) error {
	if msg.UID < m.UIDNext {
		return fmt.Errorf("%w: mailbox %d, UID %d below UIDNEXT %d", errUIDOrder, m.ID, msg.UID, m.UIDNext)
	}
	key := chunkOf(m.ID, msg.UID)
	messages, err := a.messageChunk(key)
	if err != nil {
		return err
	}
	flags, err := a.flagChunk(key)
	if err != nil {
		return err
	}
	messages.list, messages.changed = append(messages.list, *msg), true
	flags.list = append(flags.list, flagged{UID: msg.UID, Flags: msg.Flags, ModSeq: ModSeq(a.lsn)})
	flags.changed = true
	m.UIDNext = msg.UID + 1
	m.count(msg.Flags, msg.Size, 1)
	m.Recent++
	return a.hold(msg.Body)
}

// count adds one message (by 1) to the counters, or takes it out (by -1).
func (m *heldMailbox) count(f FlagSet, size int64, by int32) {
	m.Messages += uint32(by)
	m.Size += size * int64(by)
	m.countFlags(f, by)
}

func (m *heldMailbox) countFlags(f FlagSet, by int32) {
	if !f.Has(FlagSeen) {
		m.Unseen += uint32(by)
	}
	if f.Has(FlagDeleted) {
		m.Deleted += uint32(by)
	}
}

// touch gives the mailbox the record's mod-sequence.
func (a *applying) touch(m *heldMailbox) {
	m.HighestModSeq = ModSeq(a.lsn)
	m.counted = true
}

func (a *applying) setFlags(o opFlags) error {
	m, err := a.find(o.Mailbox)
	if m == nil {
		return err
	}
	err = eachChunk(o.UIDs, m.UIDNext, func(number uint32, hit *uidBits) error {
		c, err := a.flagChunk(chunkKey{Mailbox: m.ID, Number: number})
		if err != nil {
			return err
		}
		for i := range c.list {
			f := &c.list[i]
			if !hit.has(f.UID) {
				continue
			}
			m.countFlags(f.Flags, -1)
			m.countFlags(o.Flags, 1)
			f.Flags, f.ModSeq, c.changed = o.Flags, ModSeq(a.lsn), true
		}
		return nil
	})
	a.touch(m)
	return err
}

func (a *applying) recent(o opRecent) error {
	m, err := a.find(o.Mailbox)
	if m == nil || o.Below <= m.RecentBelow {
		return err
	}
	m.RecentBelow, m.Recent, m.counted = o.Below, 0, true
	if o.Below >= m.UIDNext {
		return nil
	}
	return eachChunk([]uidRange{{o.Below, m.UIDNext - 1}}, m.UIDNext, func(number uint32, hit *uidBits) error {
		c, err := a.flagChunk(chunkKey{Mailbox: m.ID, Number: number})
		if err != nil {
			return err
		}
		for i := range c.list {
			if hit.has(c.list[i].UID) {
				m.Recent++
			}
		}
		return nil
	})
}

func (a *applying) messageChunk(key chunkKey) (*held[added], error) {
	if c, ok := a.messages[key]; ok {
		return c, nil
	}
	list, err := decodeMessageChunk(nil, tableOf(a.tx, bucketMessages).Get(key.append(nil)))
	if err != nil {
		return nil, fmt.Errorf("mailbox %d, messages %d: %w", key.Mailbox, key.Number, err)
	}
	c := &held[added]{list: list}
	a.messages[key] = c
	return c, nil
}

func (a *applying) flagChunk(key chunkKey) (*held[flagged], error) {
	if c, ok := a.flags[key]; ok {
		return c, nil
	}
	list, err := decodeFlagChunk(nil, tableOf(a.tx, bucketFlags).Get(key.append(nil)))
	if err != nil {
		return nil, fmt.Errorf("mailbox %d, flags %d: %w", key.Mailbox, key.Number, err)
	}
	c := &held[flagged]{list: list}
	a.flags[key] = c
	return c, nil
}

// finish writes what changed, each bucket in the order of its keys.
func (a *applying) finish() error {
	return errors.Join(
		a.putMailboxes(),
		putChanged(a.tx, bucketMessages, a.messages, appendMessageChunk),
		putChanged(a.tx, bucketFlags, a.flags, appendFlagChunk),
		putChanged(a.tx, bucketBodies, a.bodies, appendBodyChunk),
		a.putGarbage(),
		putLast(a.tx, a.last),
		putApplied(a.tx, a.lsn),
	)
}

// packedKey is a key of packed values.
type packedKey[K any] interface {
	comparable
	append(dst []byte) []byte
	compare(K) int
}

// putChanged writes the changed values of one bucket; empty ones are deleted.
func putChanged[K packedKey[K], T any](tx *bbolt.Tx, bucket []byte, values map[K]*held[T], appendList func([]byte, []T) []byte) error {
	b := tableOf(tx, bucket)
	for _, k := range slices.SortedFunc(maps.Keys(values), K.compare) {
		v := values[k]
		if !v.changed {
			continue
		}
		var err error
		if len(v.list) == 0 {
			err = b.Delete(k.append(nil))
		} else {
			// bbolt keeps the slice until the commit, so each value has its own.
			err = b.Put(k.append(nil), appendList(nil, v.list))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) putMailboxes() error {
	described, counters := tableOf(a.tx, bucketMailboxes), tableOf(a.tx, bucketCounters)
	for _, id := range slices.Sorted(maps.Keys(a.mailboxes)) {
		m := a.mailboxes[id]
		if m == nil {
			continue
		}
		if m.described {
			if err := described.Put(idKey(id), appendDescription(nil, &m.diskMailbox)); err != nil {
				return err
			}
		}
		if m.described || m.counted {
			if err := counters.Put(idKey(id), appendCounters(nil, &m.diskMailbox)); err != nil {
				return err
			}
		}
	}
	return nil
}
