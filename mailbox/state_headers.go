package mailbox

import (
	"encoding/binary"
	"fmt"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"
)

// diskMailbox is a mailbox without its messages: what a start loads of it.
type diskMailbox struct {
	Info         // all but Subscribed, which belongs to the name
	Keywords     []string
	Grants       []Grant    // its access control list
	RecentBelow  goimap.UID // sessions were told of all messages below
	HistoryFrom  ModSeq     // the expunge history has everything after this
	historyCount uint32     // ranges in the expunge history
}

// lastIDs are the largest ids ever given out.
type lastIDs struct {
	Account     AccountID
	Mailbox     ID
	Body        BodyID
	UIDValidity uint32
}

func idKey[T ~uint32](id T) []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }

func keyID[T ~uint32](key []byte) (T, error) {
	if len(key) != 4 {
		return 0, fmt.Errorf("%w: key of %d bytes for an id", errDatabase, len(key))
	}
	return T(binary.BigEndian.Uint32(key)), nil
}

// A subscription's key is the account and the name; there is no value.
func subscriptionKey(a AccountID, name string) []byte { return append(idKey(a), name...) }

// appendDescription appends the value of buckets mailboxes and gone.
func appendDescription(dst []byte, m *diskMailbox) []byte {
	dst = binary.AppendUvarint(dst, uint64(m.Account))
	dst = appendString(dst, m.Name)
	dst = binary.AppendUvarint(dst, uint64(m.UIDValidity))
	dst = appendString(dst, string(m.SpecialUse))
	dst = appendStrings(dst, m.Keywords)
	if len(m.Grants) > 0 {
		dst = appendGrants(dst, m.Grants)
	}
	return dst
}

func decodeDescription(m *diskMailbox, value []byte) error {
	r := fieldReader{rest: value}
	m.Account = AccountID(r.uint32())
	m.Name = r.string()
	m.UIDValidity = r.uint32()
	m.SpecialUse = goimap.MailboxAttr(r.string())
	m.Keywords = r.strings()
	m.Grants = nil
	if len(r.rest) > 0 {
		m.Grants = r.grants()
	}
	return r.end("description of a mailbox")
}

// appendCounters appends the value of bucket counters.
func appendCounters(dst []byte, m *diskMailbox) []byte {
	for _, n := range [...]uint64{uint64(m.UIDNext), uint64(m.HighestModSeq), uint64(m.Messages), uint64(m.Unseen), uint64(m.Deleted),
		uint64(m.Size), uint64(m.Recent), uint64(m.RecentBelow), uint64(m.HistoryFrom), uint64(m.historyCount)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func decodeCounters(m *diskMailbox, value []byte) error {
	r := fieldReader{rest: value}
	m.UIDNext = goimap.UID(r.uint32())
	m.HighestModSeq = ModSeq(r.uint64())
	m.Messages, m.Unseen, m.Deleted = r.uint32(), r.uint32(), r.uint32()
	m.Size = int64(r.uint64())
	m.Recent = r.uint32()
	m.RecentBelow = goimap.UID(r.uint32())
	m.HistoryFrom = ModSeq(r.uint64())
	m.historyCount = r.uint32()
	return r.end("counters of a mailbox")
}

// end reports bytes that were missing or are left over.
func (r *fieldReader) end(what string) error {
	if r.bad || len(r.rest) > 0 {
		return fmt.Errorf("%w: malformed %s", errDatabase, what)
	}
	return nil
}

// readMailbox returns the mailbox, nil when there is none.
func readMailbox(tx *bbolt.Tx, id ID) (*diskMailbox, error) {
	value := tableOf(tx, bucketMailboxes).Get(idKey(id))
	if value == nil {
		return nil, nil
	}
	m := &diskMailbox{Info: Info{ID: id}}
	if err := decodeDescription(m, value); err != nil {
		return nil, fmt.Errorf("mailbox %d: %w", id, err)
	}
	if err := decodeCounters(m, tableOf(tx, bucketCounters).Get(idKey(id))); err != nil {
		return nil, fmt.Errorf("mailbox %d: %w", id, err)
	}
	return m, nil
}

func readLast(tx *bbolt.Tx) (lastIDs, error) {
	value := tableOf(tx, bucketMeta).Get(keyLast)
	if value == nil {
		return lastIDs{}, nil
	}
	r := fieldReader{rest: value}
	l := lastIDs{Account: AccountID(r.uint32()), Mailbox: ID(r.uint32()), Body: BodyID(r.uint64()), UIDValidity: r.uint32()}
	return l, r.end("last ids")
}

func putLast(tx *bbolt.Tx, l lastIDs) error {
	var v []byte
	for _, n := range [...]uint64{uint64(l.Account), uint64(l.Mailbox), uint64(l.Body), uint64(l.UIDValidity)} {
		v = binary.AppendUvarint(v, n)
	}
	return tableOf(tx, bucketMeta).Put(keyLast, v)
}
