package training

import (
	"encoding/binary"
	"errors"
	"fmt"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
)

// room is the store's room for all that is kept.
const room = "junk"

// The kinds of keys. Integers in keys are big-endian, values are varints.
const (
	positionKey = "position"
	receiptKeys = 'r'
	stepKeys    = 'j'
	modelKeys   = 'm'
	knownKeys   = 'c'
)

// everybody is the account whose model is the server's: no account has the number 0.
const everybody mailbox.AccountID = 0

func accountKey(kind byte, a mailbox.AccountID) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind}, uint32(a))
}

func receiptKey(a mailbox.AccountID, body mailbox.BodyID) string {
	return string(binary.BigEndian.AppendUint64(accountKey(receiptKeys, a), uint64(body)))
}

func stepKey(number uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{stepKeys}, number))
}

func modelKey(a mailbox.AccountID, part int) string {
	return string(append(accountKey(modelKeys, a), byte(part)))
}

func knownKey(a mailbox.AccountID, address string) string {
	return string(binary.BigEndian.AppendUint64(accountKey(knownKeys, a), addressHash(address)))
}

// errValue says that a value of the room is none that this package writes.
var errValue = errors.New("training: a value of the room is damaged")

// cause is what an owner did.
type cause uint8

// The causes. Their numbers are on disk.
const (
	undone cause = iota // nothing: a lesson was undone, or there was none
	moved
	marked
	answered
	left // the owner has read it and left it where it is
)

// lesson is the receipt of a letter, with how it came to be.
type lesson struct {
	cause   cause
	lsn     mailbox.ModSeq // of the record that says so
	receipt junk.Receipt
	mailbox mailbox.ID // where it was marked, so that it is noticed when the mark goes
	uid     goimap.UID
	beside  mailbox.BodyID // the letter that was taught as good beside this one; 0 for none
}

func (l *lesson) append(dst []byte) []byte {
	dst = append(dst, byte(l.cause), classByte(&l.receipt))
	dst = binary.AppendUvarint(dst, uint64(l.lsn))
	dst = binary.AppendVarint(dst, int64(l.receipt.Server))
	dst = binary.AppendVarint(dst, int64(l.receipt.Account))
	dst = binary.AppendUvarint(dst, uint64(l.receipt.Features))
	dst = binary.AppendUvarint(dst, uint64(l.mailbox))
	dst = binary.AppendUvarint(dst, uint64(l.uid))
	return binary.AppendUvarint(dst, uint64(l.beside))
}

func readLesson(value []byte) (lesson, error) {
	r := fields{value: value}
	l := lesson{cause: cause(r.byte()), lsn: 0}
	r.class(&l.receipt)
	l.lsn = mailbox.ModSeq(r.unsigned())
	l.receipt.Server, l.receipt.Account = int32(r.signed()), int32(r.signed())
	l.receipt.Features = uint32(r.unsigned())
	l.mailbox, l.uid = mailbox.ID(r.unsigned()), goimap.UID(r.unsigned())
	l.beside = mailbox.BodyID(r.unsigned())
	if r.bad || len(r.value) > 0 || l.cause > left {
		return lesson{}, fmt.Errorf("%w: a receipt", errValue)
	}
	return l, nil
}

// step is a lesson, or the undoing of one, that models on disk may lack.
type step struct {
	number  uint64
	account mailbox.AccountID
	body    mailbox.BodyID
	undo    bool
	receipt junk.Receipt
}

func (s *step) append(dst []byte) []byte {
	dst = append(dst, classByte(&s.receipt), boolByte(s.undo))
	dst = binary.AppendUvarint(dst, uint64(s.account))
	dst = binary.AppendUvarint(dst, uint64(s.body))
	dst = binary.AppendVarint(dst, int64(s.receipt.Server))
	dst = binary.AppendVarint(dst, int64(s.receipt.Account))
	return binary.AppendUvarint(dst, uint64(s.receipt.Features))
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func readStep(key string, value []byte) (step, error) {
	r := fields{value: value}
	var s step
	r.class(&s.receipt)
	s.undo = r.byte() == 1
	s.account, s.body = mailbox.AccountID(r.unsigned()), mailbox.BodyID(r.unsigned())
	s.receipt.Server, s.receipt.Account = int32(r.signed()), int32(r.signed())
	s.receipt.Features = uint32(r.unsigned())
	if r.bad || len(r.value) > 0 || len(key) != len(stepKey(0)) {
		return step{}, fmt.Errorf("%w: a step", errValue)
	}
	s.number = binary.BigEndian.Uint64([]byte(key[1:]))
	return s, nil
}

// countedBit is set in the octet of a class where the letter was counted.
const countedBit = 2

func classByte(r *junk.Receipt) byte { return byte(r.Class) | countedBit*boolByte(r.Counted) }

// fields reads what append has written.
type fields struct {
	value []byte
	bad   bool
}

func (f *fields) byte() byte {
	if len(f.value) == 0 {
		f.bad = true
		return 0
	}
	b := f.value[0]
	f.value = f.value[1:]
	return b
}

func (f *fields) class(r *junk.Receipt) {
	b := f.byte()
	r.Class, r.Counted = junk.Class(b&^countedBit), b&countedBit != 0
	f.bad = f.bad || r.Class > junk.Junk
}

func (f *fields) unsigned() uint64 {
	v, n := binary.Uvarint(f.value)
	f.skip(n)
	return v
}

func (f *fields) signed() int64 {
	v, n := binary.Varint(f.value)
	f.skip(n)
	return v
}

func (f *fields) skip(n int) {
	if n <= 0 {
		f.bad, f.value = true, nil
		return
	}
	f.value = f.value[n:]
}
