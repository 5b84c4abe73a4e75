package training

import (
	"context"
	"encoding/binary"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
)

// What a lesson weighs: an owner who moves a letter says what it is, the others hint at it. Mail programs set keywords by their
// own filters, and somebody may answer junk.
const (
	movedWeight = 1
	hintWeight  = 0.3
)

// maxReceipts bounds the lessons of an account that can be undone; the oldest stay learned.
const maxReceipts = 4096

// act is something that an owner did with a letter.
type act struct {
	account mailbox.AccountID
	body    mailbox.BodyID
	lsn     mailbox.ModSeq
	class   junk.Class
	cause   cause
	at      mark // of a keyword
}

// receipt is what was learned from a letter.
func (t *Trainer) receipt(a mailbox.AccountID, body mailbox.BodyID) (lesson, error) {
	value, ok, err := t.get(receiptKey(a, body))
	if err != nil || !ok {
		return lesson{}, err
	}
	return readLesson(value)
}

// learn does what an act asks for. What was taught beside another letter gives way to whatever its owner does. A record that is read again, after a crash, finds what it did before.
func (t *Trainer) learn(a act) error {
	had, err := t.receipt(a.account, a.body)
	if err != nil || had.lsn >= a.lsn {
		return err
	}
	switch {
	case had.cause == undone:
		return t.teach(a)
	case had.receipt.Class == a.class:
		if had.cause != left && (a.cause != moved || had.cause == moved) {
			return nil
		}
	case had.cause == moved:
		if a.cause == moved { // moved back: it is as if nothing had been done
			return t.undo(a.account, a.body, a.lsn)
		}
		return nil // a program's opinion against the owner's
	}
	if err := t.undo(a.account, a.body, a.lsn); err != nil {
		return err
	}
	return t.teach(a)
}

// teach teaches a letter, and where it is junk then one that is good beside it.
func (t *Trainer) teach(a act) error {
	var beside mailbox.BodyID
	if a.class == junk.Junk {
		var err error
		if beside, err = t.besideOf(&a); err != nil {
			return err
		}
	}
	if err := t.teachOne(a, beside); err != nil || beside == 0 {
		return err
	}
	return t.teachOne(act{account: a.account, body: beside, lsn: a.lsn, class: junk.Good, cause: left}, 0)
}

// recentRead is among how many of the newest letters of INBOX one is looked for that was read and left there.
const recentRead = 200

// besideOf is the newest letter that the owner has read and left in INBOX, and that taught nothing yet: it is taught as good beside one of
// junk, unless more good ones than junk were taught. 0 is none. Owners say what they do not want, and nothing of the rest: without it,
// what all letters have in common would come to speak for junk.
func (t *Trainer) besideOf(a *act) (mailbox.BodyID, error) {
	model, err := t.models.of(a.account)
	if err != nil {
		return 0, err
	}
	if model != nil {
		if bad, good := model.Letters(); good > bad {
			return 0, nil
		}
	}
	box, err := t.store.OpenMailbox(context.Background(), a.account, "INBOX")
	if err != nil {
		return 0, passing(err)
	}
	defer box.Close()
	k := t.mask(box)
	v := box.View(false)
	for _, row := range slices.Backward(v.Rows(nil, v.Len()-min(v.Len(), recentRead)+1, v.Len())) {
		if !row.Flags.Has(mailbox.FlagSeen) || row.Flags.Has(mailbox.FlagDeleted) || overlap(row.Flags, k.junk) || row.Body == a.body {
			continue
		}
		had, err := t.receipt(a.account, row.Body)
		if err != nil {
			return 0, err
		}
		if had.lsn == 0 {
			return row.Body, nil
		}
	}
	return 0, nil
}

// teachOne teaches a letter and keeps the receipt.
func (t *Trainer) teachOne(a act, beside mailbox.BodyID) error {
	weight := hintWeight
	if a.cause == moved || a.cause == left {
		weight = movedWeight
	}
	return t.models.withLetter(a.body, func(l *junk.Letter, author string) error {
		s, err := t.models.teach(a.account, a.body, l, a.class, weight)
		if err != nil {
			return err
		}
		kept := lesson{cause: a.cause, lsn: a.lsn, receipt: s.receipt, beside: beside}
		if a.cause == marked {
			kept.mailbox, kept.uid = a.at.mailbox, goimap.UID(a.at.uid)
			t.addMark(a.at, a.body)
		}
		t.keep(a.account, a.body, &kept, &s)
		if a.cause == moved && a.class == junk.Good {
			return t.know(a.account, author, rescued)
		}
		return nil
	})
}

// undo takes back what was learned from a letter, and beside it. Where the letter cannot be read any more, or is read differently by this version,
// it stays learned.
func (t *Trainer) undo(a mailbox.AccountID, body mailbox.BodyID, lsn mailbox.ModSeq) error {
	had, err := t.receipt(a, body)
	if err != nil || had.cause == undone {
		return err
	}
	delete(t.marks, mark{a, had.mailbox, uint32(had.uid)})
	if had.beside != 0 {
		other, err := t.receipt(a, had.beside)
		if err == nil && other.cause == left {
			err = t.undo(a, had.beside, lsn)
		}
		if err != nil {
			return err
		}
	}
	return t.models.withLetter(body, func(l *junk.Letter, author string) error {
		if !had.receipt.Fits(l) {
			return nil
		}
		s, err := t.models.unteach(a, body, l, had.receipt)
		if err != nil {
			return err
		}
		t.keep(a, body, &lesson{cause: undone, lsn: lsn}, &s)
		if had.cause == moved && had.receipt.Class == junk.Good {
			return t.unknow(a, author, rescued)
		}
		return nil
	})
}

// keep notes a receipt and the step that made it.
func (t *Trainer) keep(a mailbox.AccountID, body mailbox.BodyID, l *lesson, s *step) {
	t.set(receiptKey(a, body), l.append(nil))
	t.set(stepKey(s.number), s.append(nil))
}

// maxMarks bounds the letters that are watched for their keyword to go; where there are more, a keyword that is taken off
// is not noticed.
const maxMarks = 4096

func (t *Trainer) addMark(m mark, body mailbox.BodyID) {
	if len(t.marks) < maxMarks {
		t.marks[m] = body
	}
}

// trim drops the receipts of an account that are too many, the oldest first, and so its correspondents.
func (t *Trainer) trim(a mailbox.AccountID) error {
	if a == everybody {
		return nil
	}
	age := func(value []byte) uint64 {
		l, err := readLesson(value)
		if err != nil || l.cause == undone && l.lsn < t.position {
			return 0
		}
		return uint64(l.lsn)
	}
	if err := t.trimKeys(accountKey(receiptKeys, a), maxReceipts, age); err != nil {
		return err
	}
	return t.trimKeys(accountKey(knownKeys, a), maxKnown, func(value []byte) uint64 { return known(value).day })
}

// trimKeys drops what is too much of the keys with a prefix, the oldest first, and all of age 0.
func (t *Trainer) trimKeys(prefix []byte, most int, age func(value []byte) uint64) error {
	var ages []uint64
	err := t.room.Each(string(prefix), func(_ string, value []byte) error {
		ages = append(ages, age(value))
		return nil
	})
	if err != nil {
		return err
	}
	least := oldestKept(ages, most)
	return t.room.Each(string(prefix), func(key string, value []byte) error {
		if _, ok := t.changed[key]; !ok && age(value) < least {
			t.set(key, nil)
		}
		return nil
	})
}

// known is what is kept of a correspondent.
func known(value []byte) (c correspondent) {
	if len(value) < 2 {
		return c
	}
	day, n := binary.Uvarint(value[1:])
	if n <= 0 {
		return c
	}
	return correspondent{why: value[0], day: day}
}
