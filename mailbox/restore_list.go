package mailbox

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/message"
)

// DeletedFilter chooses among deleted messages; the zero value is all of them.
type DeletedFilter struct {
	Mailbox       string    // they were in this one; "" = in any
	Since, Before time.Time // their INTERNALDATE is not before Since, and before Before; zero = whenever
	From          string    // their From field has this, in any case and form of Unicode; "" = anything
}

// DeletedMessage is an expunged message that can be restored.
type DeletedMessage struct {
	Mailbox  string // it was in
	UID      goimap.UID
	Body     BodyID
	Deleted  time.Time
	Received time.Time // INTERNALDATE
	Size     int64     // octets
	From     string    // the fields, decoded; "" where they cannot be read
	Subject  string
}

// DeletedMailbox is a deleted mailbox of an account that is there.
type DeletedMailbox struct {
	Name     string
	Deleted  time.Time
	Messages int   // deleted with it
	Size     int64 // octets of them
}

// DeletedAccount is an account that can be restored.
type DeletedAccount struct {
	ID       AccountID
	Deleted  time.Time
	Messages int
	Size     int64 // octets
}

// ErrCursor says that a place in a list is not one that was given.
var ErrCursor = errors.New("mailbox: no such place in the list")

// DeletedMessages returns deleted messages of account a behind the place
// after ("" is the beginning), oldest deletion first, and the place behind
// them, "" at the end. About limit, above 0, is the most. What the account has in another
// mailbox, too, is not gone and not listed; what was in a deleted mailbox is.
// ErrNoAccount, ErrCursor, ErrNoSpace, ErrClosed.
func (s *Store) DeletedMessages(ctx context.Context, a AccountID, f DeletedFilter, after string, limit int) (page []DeletedMessage, next string, err error) {
	from, err := hex.DecodeString(after)
	if err != nil || len(from) != 0 && len(from) != deletedKeySize {
		return nil, "", ErrCursor
	}
	s.retention.mu.Lock()
	defer s.retention.mu.Unlock()
	search, err := s.searchDeleted(a, f)
	if err != nil {
		return nil, "", err
	}
	err = search.each(ctx, from, func(found *foundDeleted) (bool, error) {
		page = append(page, found.infos...)
		if len(page) < limit {
			return true, nil
		}
		next = hex.EncodeToString(found.entry.key())
		return false, nil
	})
	return page, next, err
}

// deletedSearch looks for messages of an account that can be restored. The
// caller holds retention.mu.
type deletedSearch struct {
	s       *Store
	filter  DeletedFilter
	needle  []byte // folded
	sources map[ID]deletedSource
	live    []BodyID // that the account has, ascending
}

// deletedSource is a mailbox that messages were in.
type deletedSource struct {
	name     string
	keywords []string
}

// searchDeleted reads what there is of the account now.
func (s *Store) searchDeleted(a AccountID, f DeletedFilter) (*deletedSearch, error) {
	if err := s.settle(); err != nil {
		return nil, err
	}
	f.Mailbox = canonicalName(f.Mailbox)
	d := &deletedSearch{s: s, filter: f, needle: message.FoldString(f.From), sources: make(map[ID]deletedSource)}
	boxes, err := s.boxes(a)
	if err != nil {
		return nil, err
	}
	if err := d.readLive(boxes); err != nil {
		return nil, err
	}
	s.mu.RLock()
	for _, b := range boxes {
		if l := s.durable.listings[b.id]; l != nil {
			d.sources[b.id] = deletedSource{name: l.name, keywords: b.allKeywords()}
		}
	}
	s.mu.RUnlock()
	gone, err := s.disk.goneMailboxes()
	for i := range gone {
		if m := &gone[i]; m.Account == a {
			d.sources[m.ID] = deletedSource{name: m.Name, keywords: m.Keywords}
		}
	}
	return d, err
}

// boxes returns the account's durable mailboxes in no order. ErrNoAccount.
func (s *Store) boxes(a AccountID) ([]*box, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc := s.durable.accounts[a]
	if acc == nil {
		return nil, ErrNoAccount
	}
	boxes := make([]*box, 0, len(acc.names))
	for _, l := range acc.names {
		boxes = append(boxes, l.box)
	}
	return boxes, nil
}

// readLive reads which bodies the account has: 8 bytes a message.
func (d *deletedSearch) readLive(boxes []*box) error {
	for _, b := range boxes {
		_, err := d.s.disk.loadMessages(b.id, func(block []Message) {
			for i := range block {
				d.live = append(d.live, block[i].Body)
			}
		})
		if err != nil {
			return err
		}
	}
	slices.Sort(d.live)
	return nil
}

// foundDeleted is what a search found under one key.
type foundDeleted struct {
	entry  *deletedEntry // the messages that were chosen only
	source deletedSource
	infos  []DeletedMessage
}

// each calls f with what is found behind the key after, until it returns false.
func (d *deletedSearch) each(ctx context.Context, after []byte, f func(*foundDeleted) (more bool, err error)) error {
	return d.s.disk.eachDeleted(after, func(e *deletedEntry) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		source, ok := d.sources[e.Mailbox]
		if !ok || d.filter.Mailbox != "" && d.filter.Mailbox != source.name {
			return true, nil
		}
		found := foundDeleted{entry: e, source: source}
		e.Messages = slices.DeleteFunc(e.Messages, func(msg added) bool { return !d.wants(&msg) })
		found.infos = d.describe(e, source)
		d.bySender(&found)
		if len(e.Messages) == 0 {
			return true, nil
		}
		return f(&found)
	})
}

// wants judges by what is known of a message without its header.
func (d *deletedSearch) wants(msg *added) bool {
	f := &d.filter
	if !f.Since.IsZero() && msg.Internal.Unix < f.Since.Unix() || !f.Before.IsZero() && msg.Internal.Unix >= f.Before.Unix() {
		return false
	}
	_, live := slices.BinarySearch(d.live, msg.Body)
	return !live
}

// bySender keeps the messages of the sender looked for.
func (d *deletedSearch) bySender(found *foundDeleted) {
	if len(d.needle) == 0 {
		return
	}
	kept := 0
	for i := range found.infos {
		if bytes.Contains(message.FoldString(found.infos[i].From), d.needle) {
			found.infos[kept], found.entry.Messages[kept] = found.infos[i], found.entry.Messages[i]
			kept++
		}
	}
	found.infos, found.entry.Messages = found.infos[:kept], found.entry.Messages[:kept]
}

// describe returns what a list shows of the messages.
func (d *deletedSearch) describe(e *deletedEntry, source deletedSource) []DeletedMessage {
	infos := make([]DeletedMessage, len(e.Messages))
	for i := range e.Messages {
		msg := &e.Messages[i]
		infos[i] = DeletedMessage{Mailbox: source.name, UID: msg.UID, Body: msg.Body, Size: msg.Size,
			Deleted: time.Unix(e.Time, 0).UTC(), Received: msg.Internal.Time()}
		err := d.s.Indexes([]Message{{Body: msg.Body}}, func(_ int, v message.View) error {
			header := v.AppendHeaderFields(nil, &listedFields)
			infos[i].From, infos[i].Subject = decodedField(header, "From"), decodedField(header, "Subject")
			return nil
		})
		if err != nil { // damaged: it can be restored for what is left of it
			d.s.logger.Warn("a deleted message cannot be read", "body", uint64(msg.Body), "err", err)
		}
	}
	return infos
}

var listedFields = message.NewFieldMatcher([]string{"From", "Subject"}, false)

func decodedField(header []byte, name string) string {
	value, _ := message.FieldValue(header, name)
	return strings.TrimSpace(message.DecodeHeader(value))
}

// DeletedMailboxes returns the deleted mailboxes of account a, the one deleted
// first first. Those that were deleted with an account are restored with it.
// ErrNoAccount, ErrNoSpace, ErrClosed.
func (s *Store) DeletedMailboxes(a AccountID) ([]DeletedMailbox, error) {
	if _, err := s.boxes(a); err != nil {
		return nil, err
	}
	gone, counts, err := s.countGone()
	if err != nil {
		return nil, err
	}
	var list []DeletedMailbox
	for i := range gone {
		if m := &gone[i]; m.Account == a {
			n := counts[m.ID]
			list = append(list, DeletedMailbox{Name: m.Name, Deleted: time.Unix(m.At, 0).UTC(), Messages: int(n.Messages), Size: n.Size})
		}
	}
	return list, nil
}

// DeletedAccounts returns the deleted accounts that can be restored, by id. ErrNoSpace, ErrClosed.
func (s *Store) DeletedAccounts() ([]DeletedAccount, error) {
	gone, counts, err := s.countGone()
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	byAccount := make(map[AccountID][]goneMailbox)
	for _, m := range gone {
		if s.durable.accounts[m.Account] == nil {
			byAccount[m.Account] = append(byAccount[m.Account], m)
		}
	}
	var list []DeletedAccount
	for _, a := range slices.Sorted(maps.Keys(byAccount)) {
		at, last := goneWith(byAccount[a])
		d := DeletedAccount{ID: a, Deleted: time.Unix(at, 0).UTC()}
		for _, m := range last {
			d.Messages += int(counts[m.ID].Messages)
			d.Size += counts[m.ID].Size
		}
		list = append(list, d)
	}
	return list, nil
}

// countGone returns the deleted mailboxes, the oldest deletion first, with the
// number and octets of the messages that were deleted with each.
func (s *Store) countGone() ([]goneMailbox, map[ID]Usage, error) {
	s.retention.mu.Lock()
	defer s.retention.mu.Unlock()
	if err := s.settle(); err != nil {
		return nil, nil, err
	}
	gone, err := s.disk.goneMailboxes()
	if err != nil {
		return nil, nil, err
	}
	gone = restorable(gone)
	slices.SortFunc(gone, byTime)
	at := make(map[ID]int64, len(gone))
	for i := range gone {
		at[gone[i].ID] = gone[i].At
	}
	counts := make(map[ID]Usage)
	err = s.disk.eachDeleted(nil, func(e *deletedEntry) (bool, error) {
		if t, ok := at[e.Mailbox]; ok && t == e.Time {
			n := counts[e.Mailbox]
			n.Messages += int64(len(e.Messages))
			for i := range e.Messages {
				n.Size += e.Messages[i].Size
			}
			counts[e.Mailbox] = n
		}
		return true, nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("counting deleted messages: %w", err)
	}
	return gone, counts, nil
}
