package training

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
	"mailstead/mailbox/message"
)

// Rejects is the name of the mailbox for copies of mail that was refused.
const Rejects = "Rejects"

// place is what a mailbox is to the filter.
type place uint8

const (
	elsewhere place = iota // INBOX, Archive, folders of one's own: what is there is wanted
	inJunk
	inTrash
	outgoing // Sent, Drafts
)

// placeOf says what a mailbox is; ok is false for one that is gone.
func (t *Trainer) placeOf(a mailbox.AccountID, id mailbox.ID) (p place, name string, ok bool) {
	list, err := t.store.Mailboxes(a)
	if err != nil {
		return elsewhere, "", false
	}
	i := slices.IndexFunc(list, func(m mailbox.Info) bool { return m.ID == id })
	if i < 0 {
		return elsewhere, "", false
	}
	name = list[i].Name
	for _, m := range list {
		if !isBelow(name, m.Name) {
			continue
		}
		switch {
		case m.SpecialUse == goimap.MailboxAttrJunk, m.Name == Rejects:
			return inJunk, name, true
		case m.SpecialUse == goimap.MailboxAttrTrash:
			return inTrash, name, true
		case m.SpecialUse == goimap.MailboxAttrSent, m.SpecialUse == goimap.MailboxAttrDrafts:
			return outgoing, name, true
		}
	}
	return elsewhere, name, true
}

// change learns from a record.
func (t *Trainer) change(ctx context.Context, c *mailbox.Change) error {
	for _, a := range c.Erased {
		if err := t.forget(ctx, a); err != nil {
			return err
		}
	}
	t.copies.expire(c.LSN)
	for i := range c.Mailboxes {
		m := &c.Mailboxes[i]
		if m.Account == 0 { // it is gone
			continue
		}
		if err := t.added(ctx, c, m); err != nil {
			return err
		}
		if err := t.flagged(ctx, c, m); err != nil {
			return err
		}
		if err := t.resolve(m, c.LSN, m.Expunged); err != nil {
			return err
		}
	}
	return nil
}

// added learns from messages that came into a mailbox.
func (t *Trainer) added(ctx context.Context, c *mailbox.Change, m *mailbox.MailboxChange) error {
	if c.Restored || len(m.Added) == 0 {
		return nil
	}
	if c.Body != 0 { // what is copied or moved brings no body
		return t.arrived(c, m)
	}
	to, _, ok := t.placeOf(m.Account, m.Mailbox)
	if !ok {
		return nil
	}
	source := sourceOf(c, m)
	if source == nil {
		return t.copied(ctx, c, m, to)
	}
	from, _, ok := t.placeOf(source.Account, source.Mailbox)
	if !ok || source.Account != m.Account {
		return nil
	}
	for i := range m.Added {
		if err := t.move(m.Account, m.Added[i].Body, from, to, c.LSN); err != nil {
			return err
		}
	}
	return nil
}

// arrived learns from messages that are new: delivered, or uploaded.
func (t *Trainer) arrived(c *mailbox.Change, m *mailbox.MailboxChange) error {
	sent, err := t.store.SpecialUse(m.Account, goimap.MailboxAttrSent)
	if err != nil || sent.ID != m.Mailbox {
		return passing(err)
	}
	for i := range m.Added {
		if err := t.sent(m.Account, m.Added[i].Body, c.LSN); err != nil {
			return err
		}
	}
	return nil
}

// sourceOf is the mailbox that a move took its messages from; nil for a copy.
func sourceOf(c *mailbox.Change, to *mailbox.MailboxChange) *mailbox.MailboxChange {
	for i := range c.Mailboxes {
		if m := &c.Mailboxes[i]; len(m.Expunged) > 0 && m.Account != 0 {
			return m
		}
	}
	return nil
}

// move learns from a letter that its owner has moved.
func (t *Trainer) move(a mailbox.AccountID, body mailbox.BodyID, from, to place, lsn mailbox.ModSeq) error {
	what := act{account: a, body: body, lsn: lsn, cause: moved}
	switch {
	case to == inJunk && from != inJunk:
		what.class = junk.Junk
		return t.learn(what)
	case to == elsewhere && from == inJunk:
		what.class = junk.Good
		return t.learn(what)
	case to == elsewhere && from == inTrash: // out of Junk by way of Trash
		had, err := t.receipt(a, body)
		if err == nil && had.cause == moved && had.receipt.Class == junk.Junk && had.lsn < lsn {
			return t.undo(a, body, lsn)
		}
		return err
	}
	return nil
}

// mask is which bits of a mailbox's flags are keywords of junk.
type mask struct {
	known      int // keywords of the mailbox that were looked at
	junk, good mailbox.FlagSet
}

// maxMasks bounds the mailboxes whose keywords are remembered.
const maxMasks = 256

// keywords of junk, in lower case, as programs spell them; $Junk and $NotJunk are those of RFC 9051 section 2.3.2.
var (
	junkWords = []string{"$junk", "junk", "\\junk", "$spam"}
	goodWords = []string{"$notjunk", "notjunk", "nonjunk", "$nonjunk", "$ham"}
)

// flagged learns from flags that were set.
func (t *Trainer) flagged(ctx context.Context, c *mailbox.Change, m *mailbox.MailboxChange) error {
	for i := range m.Flags {
		f := &m.Flags[i]
		if f.Flags.Has(mailbox.FlagDeleted) {
			if err := t.resolve(m, c.LSN, f.UIDs); err != nil {
				return err
			}
		}
		if err := t.unmark(m, f, c.LSN); err != nil {
			return err
		}
		words := f.Flags[0]>>mailbox.KeywordBit != 0 || f.Flags[1] != 0
		if !words && !f.Flags.Has(mailbox.FlagAnswered) {
			continue
		}
		if err := t.hinted(ctx, c.LSN, m, f); err != nil {
			return err
		}
	}
	return nil
}

// maxHints bounds the messages of one record that are taken as answered, or for what a keyword says: a program that sets the flags of
// a whole mailbox has no opinion of each letter.
const maxHints = 64

// hinted learns from messages that have a keyword of junk, or were answered.
func (t *Trainer) hinted(ctx context.Context, lsn mailbox.ModSeq, m *mailbox.MailboxChange, f *mailbox.FlagChange) error {
	at, name, ok := t.placeOf(m.Account, m.Mailbox)
	if !ok || at != elsewhere && at != inJunk {
		return nil
	}
	box, err := t.store.OpenMailbox(ctx, m.Account, name)
	if err != nil {
		return passing(err)
	}
	defer box.Close()
	k := t.mask(box)
	class, why := junk.Good, answered
	switch isJunk, isGood := overlap(f.Flags, k.junk), overlap(f.Flags, k.good); {
	case isJunk && !isGood && at == elsewhere:
		class, why = junk.Junk, marked
	case isGood && !isJunk && at == inJunk:
		why = marked
	case !f.Flags.Has(mailbox.FlagAnswered):
		return nil
	}
	v := box.View(false)
	var rows []mailbox.Row
	for _, r := range f.UIDs {
		from, to := seqRange(v.UIDs(), r)
		if rows = v.Rows(rows, from, min(to, from+maxHints)); len(rows) > maxHints {
			return nil
		}
	}
	for _, row := range rows {
		if row.Flags != f.Flags { // changed since: that record comes, too
			continue
		}
		what := act{account: m.Account, body: row.Body, lsn: lsn, class: class, cause: why, at: mark{m.Account, m.Mailbox, uint32(row.UID)}}
		if err := t.learn(what); err != nil {
			return err
		}
	}
	return nil
}

// seqRange is which sequence numbers have UIDs of a range; from is above to for none.
func seqRange(uids []goimap.UID, r goimap.UIDRange) (from, to uint32) {
	i, _ := slices.BinarySearch(uids, r.Start)
	j, found := slices.BinarySearch(uids, r.Stop)
	if found {
		j++
	}
	return uint32(i) + 1, uint32(j)
}

// passing is nil for the errors of mailboxes and accounts that have gone meanwhile.
func passing(err error) error {
	if errors.Is(err, mailbox.ErrNoMailbox) || errors.Is(err, mailbox.ErrNoAccount) {
		return nil
	}
	return err
}

// mask finds the keywords of junk among those of a mailbox.
func (t *Trainer) mask(box *mailbox.Mailbox) mask {
	info, err := box.Info()
	if err != nil { // it is gone
		return mask{}
	}
	id, words := info.ID, box.Keywords()
	k, ok := t.masks[id]
	if ok && k.known == len(words) {
		return k
	}
	k = mask{known: len(words)}
	for i, w := range words {
		switch w = strings.ToLower(w); {
		case slices.Contains(junkWords, w):
			k.junk = k.junk.With(mailbox.KeywordBit + i)
		case slices.Contains(goodWords, w):
			k.good = k.good.With(mailbox.KeywordBit + i)
		}
	}
	if len(t.masks) >= maxMasks {
		clear(t.masks)
	}
	t.masks[id] = k
	return k
}

func overlap(a, b mailbox.FlagSet) bool { return a[0]&b[0] != 0 || a[1]&b[1] != 0 }

// unmark undoes what keywords taught that are gone.
func (t *Trainer) unmark(m *mailbox.MailboxChange, f *mailbox.FlagChange, lsn mailbox.ModSeq) error {
	if len(t.marks) == 0 || overlap(f.Flags, t.masks[m.Mailbox].junk) || overlap(f.Flags, t.masks[m.Mailbox].good) {
		return nil
	}
	for at, body := range t.marks {
		if at.mailbox != m.Mailbox || !f.UIDs.Contains(goimap.UID(at.uid)) {
			continue
		}
		if had, err := t.receipt(m.Account, body); err != nil {
			return err
		} else if had.cause != marked || had.lsn >= lsn {
			continue
		}
		if err := t.undo(m.Account, body, lsn); err != nil {
			return err
		}
	}
	return nil
}

// recentLetters is in how many of the newest letters of INBOX and of Junk the one is looked for that another answers.
const recentLetters = 500

// errFound ends a look through letters.
var errFound = errors.New("training: found")

// answer learns that the owner has answered a letter, if it is a recent one.
func (t *Trainer) answer(a mailbox.AccountID, id string, lsn mailbox.ModSeq) error {
	names := []string{"INBOX"}
	if m, err := t.store.SpecialUse(a, goimap.MailboxAttrJunk); err == nil {
		names = append(names, m.Name)
	}
	for _, name := range names {
		body, err := t.withMessageID(a, name, id)
		if err != nil {
			return fmt.Errorf("looking for the letter that was answered: %w", err)
		}
		if body != 0 {
			return t.learn(act{account: a, body: body, lsn: lsn, class: junk.Good, cause: answered})
		}
	}
	return nil
}

// withMessageID finds a letter among the newest ones of a mailbox; 0 for none.
func (t *Trainer) withMessageID(a mailbox.AccountID, name, id string) (found mailbox.BodyID, err error) {
	box, err := t.store.OpenMailbox(context.Background(), a, name)
	if err != nil {
		return 0, passing(err)
	}
	defer box.Close()
	v := box.View(false)
	rows := v.Rows(nil, v.Len()-min(v.Len(), recentLetters)+1, v.Len())
	letters := make([]mailbox.Message, len(rows))
	for i := range rows {
		letters[i] = rows[i].Message
	}
	err = t.store.Indexes(letters, func(i int, v message.View) error {
		if string(v.MessageID()) == id {
			found = letters[i].Body
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, gone(err)
}
