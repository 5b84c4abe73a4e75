package training

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// maxKnown bounds the correspondents of an account; those of whom nothing was heard for longest go first.
const maxKnown = 4096

// maxRecipients bounds the addresses of one letter that become correspondents.
const maxRecipients = 64

// Why somebody is known.
const (
	written byte = 1 << iota
	rescued
)

// correspondent is somebody an account knows.
type correspondent struct {
	why byte
	day uint64 // of the last news, since 1970
}

// addressHash names an address, in any case, without telling it (FNV-1a of 64 bits, mixed).
func addressHash(address string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range []byte(strings.ToLower(address)) {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return h ^ h>>33
}

// know notes that an account knows somebody.
func (t *Trainer) know(a mailbox.AccountID, address string, why byte) error {
	if address == "" {
		return nil
	}
	had, err := t.correspondent(a, address)
	if err != nil {
		return err
	}
	now := correspondent{had.why | why, uint64(max(0, t.o.Now().Unix()) / int64(24*time.Hour/time.Second))}
	if now != had {
		t.set(knownKey(a, address), binary.AppendUvarint([]byte{now.why}, now.day))
	}
	return nil
}

// unknow takes that back.
func (t *Trainer) unknow(a mailbox.AccountID, address string, why byte) error {
	had, err := t.correspondent(a, address)
	if err != nil || had.why&why == 0 {
		return err
	}
	if had.why &^= why; had.why == 0 {
		t.set(knownKey(a, address), nil)
		return nil
	}
	t.set(knownKey(a, address), binary.AppendUvarint([]byte{had.why}, had.day))
	return nil
}

func (t *Trainer) correspondent(a mailbox.AccountID, address string) (correspondent, error) {
	value, _, err := t.get(knownKey(a, address))
	return known(value), err
}

// wrote is a letter that was submitted.
type wrote struct {
	account    mailbox.AccountID
	recipients []string
}

// maxWrote bounds the letters whose recipients wait to be noted. What is beyond is noted when its copy comes to Sent.
const maxWrote = 1024

// WroteTo notes those to whom an account sends mail, by submission. It does not wait.
func (t *Trainer) WroteTo(a mailbox.AccountID, recipients []string) {
	t.wrote.Lock()
	if len(t.wrote.list) < maxWrote {
		t.wrote.list = append(t.wrote.list, wrote{a, slices.Clone(recipients[:min(len(recipients), maxRecipients)])})
	}
	t.wrote.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// HasWritten reports whether an account has written to an address before, as far as is noted yet. Where that cannot be
// read it has not.
func (t *Trainer) HasWritten(a mailbox.AccountID, address string) bool {
	value, _, err := t.room.Get(knownKey(a, address))
	return err == nil && known(value).why&written != 0
}

// noteWritten notes the recipients of letters that were submitted.
func (t *Trainer) noteWritten() error {
	t.wrote.Lock()
	list := t.wrote.list
	t.wrote.list = nil
	t.wrote.Unlock()
	for _, w := range list {
		for _, address := range w.recipients {
			if err := t.know(w.account, address, written); err != nil {
				return err
			}
		}
	}
	return nil
}

// sent learns from a letter that its owner has sent: whom it is addressed to, and what it answers.
func (t *Trainer) sent(a mailbox.AccountID, body mailbox.BodyID, lsn mailbox.ModSeq) error {
	r := <-t.models.readers
	err := r.head(t.store, body)
	var addresses []string
	var answers []byte
	if err == nil {
		addresses = recipientsOf(r.raw)
		if value, ok := message.FieldValue(r.raw, "in-reply-to"); ok {
			if ids := message.AppendMessageIDs(nil, value); len(ids) > 0 {
				answers = slices.Clone(ids[0])
			}
		}
	}
	t.models.readers <- r
	if err != nil {
		return gone(err)
	}
	for _, address := range addresses {
		if err := t.know(a, address, written); err != nil {
			return err
		}
	}
	if answers == nil {
		return nil
	}
	return t.answer(a, string(answers), lsn)
}

// gone is nil for the errors of letters that cannot be read any more.
func gone(err error) error {
	if errors.Is(err, mailbox.ErrGone) || errors.Is(err, mailbox.ErrDamaged) {
		return nil
	}
	return err
}

// recipientsOf are the addresses a letter was sent to.
func recipientsOf(header []byte) (addresses []string) {
	for _, name := range []string{"to", "cc", "bcc"} {
		value, ok := message.FieldValue(header, name)
		if !ok {
			continue
		}
		for _, a := range message.ParseAddressList(value) {
			if a.Kind == message.Mailbox && a.Domain != "" && len(addresses) < maxRecipients {
				addresses = append(addresses, a.Local+"@"+a.Domain)
			}
		}
	}
	return addresses
}

// oldestKept is the age from which on values are kept, so that at most so many are; ages of 0 never are.
func oldestKept(ages []uint64, most int) uint64 {
	if len(ages) <= most {
		return 1
	}
	slices.Sort(ages)
	return max(1, ages[len(ages)-most])
}
