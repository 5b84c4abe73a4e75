package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	goimap "github.com/emersion/go-imap/v2"
)

// Expunged messages move, packed, from messages and flags to deleted, where
// they keep their bodies until retention ends; the history of UIDs is for
// clients that were away.

func (a *applying) expunge(o opExpunge) error {
	m, err := a.find(o.Mailbox)
	if m == nil {
		return err
	}
	gone, err := a.take(m, o.UIDs, o.Time)
	if err != nil {
		return err
	}
	a.touch(m)
	return a.remember(m, gone)
}

// take moves the messages in ranges to deleted, but those that the record moves
// elsewhere, and returns which were there.
func (a *applying) take(m *heldMailbox, ranges []uidRange, at int64) (gone []uidRange, err error) {
	err = eachChunk(ranges, m.UIDNext, func(number uint32, hit *uidBits) error {
		taken, err := a.takeChunk(m, chunkKey{Mailbox: m.ID, Number: number}, hit)
		if err != nil || len(taken) == 0 {
			return err
		}
		for i := range taken {
			gone = appendUID(gone, taken[i].UID)
		}
		return a.retain(m, taken, at)
	})
	return gone, err
}

func (a *applying) takeChunk(m *heldMailbox, key chunkKey, hit *uidBits) ([]added, error) {
	messages, err := a.messageChunk(key)
	if err != nil {
		return nil, err
	}
	flags, err := a.flagChunk(key)
	if err != nil {
		return nil, err
	}
	if len(messages.list) != len(flags.list) {
		return nil, fmt.Errorf("%w: mailbox %d, chunk %d: %d messages and %d flags", errDatabase, key.Mailbox, key.Number, len(messages.list), len(flags.list))
	}
	taken := make([]added, 0, min(hit.count(), len(messages.list)))
	kept := 0
	for i, msg := range messages.list {
		f := flags.list[i]
		if !hit.has(msg.UID) {
			messages.list[kept], flags.list[kept] = msg, f
			kept++
			continue
		}
		msg.Flags = f.Flags
		taken = append(taken, msg)
		m.count(f.Flags, msg.Size, -1)
		if msg.UID >= m.RecentBelow {
			m.Recent--
		}
	}
	if len(taken) > 0 {
		messages.list, messages.changed = messages.list[:kept], true
		flags.list, flags.changed = flags.list[:kept], true
	}
	return taken, nil
}

// appendUID adds an ascending UID to ranges.
func appendUID(ranges []uidRange, uid goimap.UID) []uidRange {
	if n := len(ranges); n > 0 && ranges[n-1].Last+1 == uid {
		ranges[n-1].Last = uid
		return ranges
	}
	return append(ranges, uidRange{First: uid, Last: uid})
}

// historyKey is the key of what one record expunged of a mailbox.
func historyKey(id ID, modseq ModSeq) []byte {
	return binary.BigEndian.AppendUint64(idKey(id), uint64(modseq))
}

func decodeHistory(value []byte) ([]uidRange, error) {
	r := fieldReader{rest: value}
	list := r.ranges()
	return list, r.end("expunge history")
}

// remember adds to the expunge history and forgets the oldest of a long one.
func (a *applying) remember(m *heldMailbox, gone []uidRange) error {
	if len(gone) == 0 {
		return nil
	}
	b := tableOf(a.tx, bucketExpunged)
	key := historyKey(m.ID, ModSeq(a.lsn))
	if before := b.Get(key); before != nil { // the record's second expunge of this mailbox
		list, err := decodeHistory(before)
		if err != nil {
			return fmt.Errorf("mailbox %d: %w", m.ID, err)
		}
		m.historyCount -= uint32(len(list))
		gone = append(list, gone...)
	}
	gone = joinRanges(gone)
	m.historyCount += uint32(len(gone))
	if err := b.Put(key, appendRanges(nil, gone)); err != nil {
		return err
	}
	for m.historyCount > maxHistory {
		if err := forgetOldest(b, m); err != nil {
			return err
		}
	}
	return nil
}

func forgetOldest(b table, m *heldMailbox) error {
	key, value := b.Cursor().Seek(idKey(m.ID))
	if !bytes.HasPrefix(key, idKey(m.ID)) {
		return fmt.Errorf("%w: mailbox %d: expunge history shorter than its count", errDatabase, m.ID)
	}
	list, err := decodeHistory(value)
	if err != nil {
		return fmt.Errorf("mailbox %d: %w", m.ID, err)
	}
	m.HistoryFrom = ModSeq(binary.BigEndian.Uint64(key[4:]))
	m.historyCount -= min(uint32(len(list)), m.historyCount)
	return b.Delete(key)
}

// mailboxGone deletes a mailbox. Its description stays beside its messages for
// as long as they can be restored.
func (a *applying) mailboxGone(o opMailboxGone) error {
	m, err := a.find(o.ID)
	if m == nil {
		return err
	}
	if m.UIDNext > 1 {
		if _, err := a.take(m, []uidRange{{1, m.UIDNext - 1}}, o.Time); err != nil {
			return err
		}
	}
	a.mailboxes[o.ID] = nil
	if err := deletePrefix(tableOf(a.tx, bucketExpunged), idKey(o.ID)); err != nil {
		return err
	}
	if err := tableOf(a.tx, bucketGone).Put(idKey(o.ID), appendGone(nil, o.Time, &m.diskMailbox)); err != nil {
		return err
	}
	if err := tableOf(a.tx, bucketMailboxes).Delete(idKey(o.ID)); err != nil {
		return err
	}
	return tableOf(a.tx, bucketCounters).Delete(idKey(o.ID))
}

// appendGone appends the value of bucket gone: when, and what the mailbox was.
func appendGone(dst []byte, at int64, m *diskMailbox) []byte {
	return appendDescription(binary.AppendVarint(dst, at), m)
}

func decodeGone(value []byte) (at int64, m diskMailbox, err error) {
	r := fieldReader{rest: value}
	at = r.int64()
	err = decodeDescription(&m, r.rest)
	return at, m, err
}

func (a *applying) account(o opAccount) error {
	a.last.Account = max(a.last.Account, o.Account)
	accounts := tableOf(a.tx, bucketAccounts)
	if !o.Deleted {
		return accounts.Put(idKey(o.Account), storedAccount{made: a.lsn}.append(nil))
	}
	ids, err := a.mailboxesOf(o.Account)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := a.mailboxGone(opMailboxGone{ID: id, Time: o.Time}); err != nil {
			return err
		}
	}
	if err := deletePrefix(tableOf(a.tx, bucketSubscriptions), idKey(o.Account)); err != nil {
		return err
	}
	return errors.Join(a.dropGrants(o.Account), a.dropAnnotationsOf(o.Account), accounts.Delete(idKey(o.Account)))
}

// mailboxesOf returns the mailboxes of an account.
func (a *applying) mailboxesOf(account AccountID) ([]ID, error) {
	return a.mailboxesThat(func(m *diskMailbox) bool { return m.Account == account })
}

func (a *applying) subscription(o opSubscription) error {
	key := subscriptionKey(o.Account, o.Name)
	if !o.On {
		return tableOf(a.tx, bucketSubscriptions).Delete(key)
	}
	return tableOf(a.tx, bucketSubscriptions).Put(key, []byte{})
}

// deletePrefix deletes every key that begins with prefix. It seeks anew for
// each, since a cursor may pass over the key after one it deleted.
func deletePrefix(b table, prefix []byte) error {
	c := b.Cursor()
	for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = c.Seek(prefix) {
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
