package mailbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// diskHeaders is everything but messages, bodies and rooms, as of Applied.
type diskHeaders struct {
	Applied       log.LSN
	Last          lastIDs
	Accounts      []AccountID
	Quotas        map[AccountID]Quota // of the accounts that have one
	Mailboxes     []diskMailbox
	Subscriptions []subscribed
	Annotations   []opAnnotation // of what is not deleted
}

type subscribed struct {
	Account AccountID
	Name    string
}

// load reads the headers of all mailboxes. It counts nothing, so it takes as
// long for mailboxes with a million messages as for empty ones.
func (d *disk) load() (h diskHeaders, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		h.Applied = txApplied(tx)
		var err error
		if h.Last, err = readLast(tx); err != nil {
			return err
		}
		return h.read(tx)
	})
	if err != nil {
		return diskHeaders{}, fmt.Errorf("loading %s: %w", stateFile, err)
	}
	return h, nil
}

func (h *diskHeaders) read(tx *bbolt.Tx) error {
	if err := h.readAccounts(tx); err != nil {
		return err
	}
	err := tableOf(tx, bucketMailboxes).ForEach(func(key, _ []byte) error {
		id, err := keyID[ID](key)
		if err != nil {
			return err
		}
		m, err := readMailbox(tx, id)
		if err == nil {
			h.Mailboxes = append(h.Mailboxes, *m)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = tableOf(tx, bucketSubscriptions).ForEach(func(key, _ []byte) error {
		if len(key) < 4 {
			return fmt.Errorf("%w: malformed subscription", errDatabase)
		}
		h.Subscriptions = append(h.Subscriptions, subscribed{Account: AccountID(binary.BigEndian.Uint32(key)), Name: string(key[4:])})
		return nil
	})
	if err != nil {
		return err
	}
	return h.readAnnotations(tx)
}

// loadMessages calls f with the messages of a mailbox in blocks, ascending by
// UID, and returns the LSN they are true for. A mailbox that is not there has
// none. The block is f's until it returns; FlagsID is not set.
func (d *disk) loadMessages(id ID, f func(block []Message)) (lsn log.LSN, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		lsn = txApplied(tx)
		return readMessages(tx, id, d.aheadState.begin(tx, time.Now()), f)
	})
	if err != nil {
		return 0, fmt.Errorf("loading mailbox %d from %s: %w", id, stateFile, err)
	}
	return lsn, nil
}

func readMessages(tx *bbolt.Tx, id ID, ahead readAheadTx, f func(block []Message)) error {
	block := make([]Message, 0, 1<<chunkBits)
	m, err := readMailbox(tx, id)
	if err != nil {
		return err
	}
	n := 0
	messages := tableOf(tx, bucketMessages)
	err = readChunks(tx, id, ahead, func(key, stored, flags []byte) error {
		if block, err = decodeChunks(block[:0], messages.opened(key, stored), flags); err != nil {
			return fmt.Errorf("messages %x: %w", key, err)
		}
		f(block)
		n += len(block)
		return nil
	})
	if err == nil && m != nil && int(m.Messages) != n {
		return wrongCount(n, m)
	}
	return err
}

// wrongCount is the error where a mailbox's counter says otherwise than its messages, n.
func wrongCount(n int, m *diskMailbox) error {
	return fmt.Errorf("%w: %d messages, there should be %d", errDatabase, n, m.Messages)
}

// readChunks calls f with the two values of each chunk of a mailbox, ascending: that of
// its messages with the seal on it, since it may be opened beside.
func readChunks(tx *bbolt.Tx, id ID, ahead readAheadTx, f func(key, stored, flags []byte) error) error {
	prefix := idKey(id)
	c, cf := tx.Bucket(bucketMessages).Cursor(), tableOf(tx, bucketFlags).Cursor()
	key, stored := c.Seek(prefix)
	keyFlags, flags := cf.Seek(prefix)
	for bytes.HasPrefix(key, prefix) {
		ahead.want(stored)
		ahead.want(flags)
		if !bytes.Equal(key, keyFlags) {
			return fmt.Errorf("%w: messages %x without flags", errDatabase, key)
		}
		if err := f(key, stored, flags); err != nil {
			return err
		}
		key, stored = c.Next()
		keyFlags, flags = cf.Next()
	}
	if bytes.HasPrefix(keyFlags, prefix) {
		return fmt.Errorf("%w: flags %x without messages", errDatabase, keyFlags)
	}
	return nil
}

// decodeChunks appends the messages of a chunk, whose two values must be about
// the same UIDs, to block. It does what fieldReader.added and fieldReader.flagged do for whoever
// goes through all messages, one chunk at a time; opening a mailbox does it into arrays, see loader.
func decodeChunks(block []Message, messages, flags []byte) ([]Message, error) {
	var m Message
	var f [6]uint64 // in the order of appendAdded
	var g [4]uint64 // in that of appendFlagChunk
	at, atFlags := 0, 0
	for at < len(messages) {
		at, atFlags = uvarints(f[:], messages, at), uvarints(g[:], flags, atFlags)
		before := m.UID
		m.UID += goimap.UID(f[0])
		m.Size = zigzag(f[1])
		m.Internal = Date{Unix: m.Internal.Unix + zigzag(f[2]), Zone: int16(zigzag(f[3]))}
		m.Saved += zigzag(f[4])
		m.Body += BodyID(zigzag(f[5]))
		m.Flags = FlagSet{g[1], g[2]}
		m.ModSeq += ModSeq(zigzag(g[3]))
		tooLarge := f[0]>>32|f[3]>>16 != 0
		if tooLarge || f[0] != g[0] || m.UID <= before || at > len(messages) || atFlags > len(flags) {
			return block, fmt.Errorf("%w: malformed messages or flags behind UID %d", errDatabase, before)
		}
		block = append(block, m)
	}
	if atFlags != len(flags) {
		return block, fmt.Errorf("%w: more flags than messages", errDatabase)
	}
	return block, nil
}

// vanished returns the UIDs expunged from a mailbox after since, ascending and
// joined (RFC 7162 section 3.2.10). ok is false when the history does not
// reach back that far, or there is no such mailbox.
func (d *disk) vanished(id ID, since ModSeq) (gone []uidRange, ok bool, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		m, err := readMailbox(tx, id)
		if m == nil || since < m.HistoryFrom {
			return err
		}
		ok = true
		prefix := idKey(id)
		c := tableOf(tx, bucketExpunged).Cursor()
		for key, value := c.Seek(historyKey(id, since+1)); bytes.HasPrefix(key, prefix); key, value = c.Next() {
			list, err := decodeHistory(value)
			if err != nil {
				return err
			}
			gone = append(gone, list...)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("reading the expunge history of mailbox %d: %w", id, err)
	}
	return joinRanges(gone), ok, nil
}

// joinRanges sorts ranges and joins those that touch.
func joinRanges(ranges []uidRange) []uidRange {
	slices.SortFunc(ranges, func(a, b uidRange) int { return int(int64(a.First) - int64(b.First)) })
	joined := ranges[:0]
	for _, u := range ranges {
		if n := len(joined); n > 0 && int64(u.First) <= int64(joined[n-1].Last)+1 {
			joined[n-1].Last = max(joined[n-1].Last, u.Last)
			continue
		}
		joined = append(joined, u)
	}
	return joined
}
