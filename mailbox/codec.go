package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	goimap "github.com/emersion/go-imap/v2"
)

// The operations of a record travel as its metadata: one version byte, then
// each operation as a code byte and its fields. Numbers are varints; what
// ascends or repeats (UIDs, dates, body ids) is the difference to the one
// before, so an ordinary delivery takes about 25 bytes. docs/STORAGE.md has the
// table of fields.

// codecVersion is the first byte of encoded operations. It changes when the
// meaning of a code's fields does; new codes need no new version, since an older
// program refuses a code it does not know.
const codecVersion = 1

// errRecord says that a record's metadata cannot be what appendOps wrote. A
// record's checksum was good, so it is a newer program's or a fault of ours.
var errRecord = errors.New("mailbox: malformed operations in a record")

// op is one of the operations of record.go, always by value.
type op interface {
	// appendTo appends the code and the fields.
	appendTo(dst []byte) []byte
}

// The codes on disk; never renumbered, never reused.
const (
	codeAccount      = 1
	codeMailbox      = 2
	codeMailboxGone  = 3
	codeSubscription = 4
	codeKeywords     = 5
	codeAdd          = 6
	codeFlags        = 7
	codeExpunge      = 8
	codeRecent       = 9
	codeRoom         = 10
	codeMoved        = 11
	codePurge        = 12
	codeRestored     = 13
	codeLimits       = 14
	codeForgotten    = 15
	codeGiven        = 16
	codeRights       = 17
	codeAnnotation   = 18
)

// appendOps appends the metadata of a record that holds ops to dst.
func appendOps(dst []byte, ops []op) []byte {
	dst = append(dst, codecVersion)
	for _, o := range ops {
		dst = o.appendTo(dst)
	}
	return dst
}

// decodeOps is the reverse of appendOps: every value round-trips exactly, but
// that empty lists come back nil. Nothing of the result refers to meta. Memory
// is bounded by a small multiple of len(meta), whatever the bytes say. The
// error wraps errRecord.
func decodeOps(meta []byte) ([]op, error) {
	if len(meta) == 0 || meta[0] != codecVersion {
		return nil, fmt.Errorf("%w: unknown version", errRecord)
	}
	r := fieldReader{rest: meta[1:]}
	var ops []op
	for len(r.rest) > 0 {
		o := decodeOp(&r)
		if r.bad {
			return nil, fmt.Errorf("%w: operation %d", errRecord, len(ops)+1)
		}
		ops = append(ops, o)
	}
	return ops, nil
}

func decodeOp(r *fieldReader) op {
	switch r.byte() {
	case codeAccount:
		return opAccount{Account: AccountID(r.uint32()), Deleted: r.bool(), Time: r.int64()}
	case codeMailbox:
		return opMailbox{ID: ID(r.uint32()), Account: AccountID(r.uint32()), Name: r.string(),
			UIDValidity: r.uint32(), SpecialUse: goimap.MailboxAttr(r.string())}
	case codeMailboxGone:
		return opMailboxGone{ID: ID(r.uint32()), Time: r.int64()}
	case codeSubscription:
		return opSubscription{Account: AccountID(r.uint32()), Name: r.string(), On: r.bool()}
	case codeKeywords:
		return opKeywords{Mailbox: ID(r.uint32()), First: r.keyword(), Names: r.strings()}
	case codeAdd:
		return opAdd{Mailbox: ID(r.uint32()), Messages: r.messages()}
	case codeFlags:
		return opFlags{Mailbox: ID(r.uint32()), Flags: r.flags(), UIDs: r.ranges()}
	case codeExpunge:
		return opExpunge{Mailbox: ID(r.uint32()), Time: r.int64(), UIDs: r.ranges()}
	case codeRecent:
		return opRecent{Mailbox: ID(r.uint32()), Below: goimap.UID(r.uint32())}
	case codeRoom:
		return opRoom{Room: r.string(), Key: r.string(), Value: r.value(), Body: BodyID(r.uint64())}
	case codeMoved:
		return opMoved{Body: BodyID(r.uint64())}
	case codePurge:
		return opPurge{Messages: r.deletedIDs(), Mailboxes: r.mailboxIDs()}
	case codeRestored:
		return opRestored{Messages: r.deletedParts(), Mailboxes: r.mailboxIDs()}
	case codeLimits:
		return opLimits{Account: AccountID(r.uint32()), Quota: Quota{Storage: r.int64(), Messages: r.int64()}}
	case codeForgotten:
		return opForgotten{Bodies: r.bodies()}
	case codeGiven:
		return opGiven{Account: AccountID(r.uint32()), Mailbox: ID(r.uint32()), Body: BodyID(r.uint64())}
	case codeRights:
		return opRights{Mailbox: ID(r.uint32()), Grants: r.grants()}
	case codeAnnotation:
		return opAnnotation{Mailbox: ID(r.uint32()), Account: AccountID(r.uint32()), Name: r.string(), Value: r.value()}
	}
	r.fail()
	return nil
}

func (o opAccount) appendTo(dst []byte) []byte {
	dst = append(dst, codeAccount)
	dst = binary.AppendUvarint(dst, uint64(o.Account))
	dst = appendBool(dst, o.Deleted)
	return binary.AppendVarint(dst, o.Time)
}

func (o opLimits) appendTo(dst []byte) []byte {
	dst = append(dst, codeLimits)
	dst = binary.AppendUvarint(dst, uint64(o.Account))
	dst = binary.AppendVarint(dst, o.Storage)
	return binary.AppendVarint(dst, o.Messages)
}

func (o opMailbox) appendTo(dst []byte) []byte {
	dst = append(dst, codeMailbox)
	dst = binary.AppendUvarint(dst, uint64(o.ID))
	dst = binary.AppendUvarint(dst, uint64(o.Account))
	dst = appendString(dst, o.Name)
	dst = binary.AppendUvarint(dst, uint64(o.UIDValidity))
	return appendString(dst, string(o.SpecialUse))
}

func (o opMailboxGone) appendTo(dst []byte) []byte {
	dst = append(dst, codeMailboxGone)
	dst = binary.AppendUvarint(dst, uint64(o.ID))
	return binary.AppendVarint(dst, o.Time)
}

func (o opSubscription) appendTo(dst []byte) []byte {
	dst = append(dst, codeSubscription)
	dst = binary.AppendUvarint(dst, uint64(o.Account))
	dst = appendString(dst, o.Name)
	return appendBool(dst, o.On)
}

func (o opKeywords) appendTo(dst []byte) []byte {
	dst = append(dst, codeKeywords)
	dst = binary.AppendUvarint(dst, uint64(o.Mailbox))
	dst = binary.AppendUvarint(dst, uint64(o.First))
	return appendStrings(dst, o.Names)
}

func (o opAdd) appendTo(dst []byte) []byte {
	dst = append(dst, codeAdd)
	dst = binary.AppendUvarint(dst, uint64(o.Mailbox))
	return appendMessages(dst, o.Messages)
}

func (o opFlags) appendTo(dst []byte) []byte {
	dst = append(dst, codeFlags)
	dst = binary.AppendUvarint(dst, uint64(o.Mailbox))
	dst = appendFlags(dst, o.Flags)
	return appendRanges(dst, o.UIDs)
}

func (o opExpunge) appendTo(dst []byte) []byte {
	dst = append(dst, codeExpunge)
	dst = binary.AppendUvarint(dst, uint64(o.Mailbox))
	dst = binary.AppendVarint(dst, o.Time)
	return appendRanges(dst, o.UIDs)
}

func (o opRecent) appendTo(dst []byte) []byte {
	dst = append(dst, codeRecent)
	dst = binary.AppendUvarint(dst, uint64(o.Mailbox))
	return binary.AppendUvarint(dst, uint64(o.Below))
}

func (o opRoom) appendTo(dst []byte) []byte {
	dst = append(dst, codeRoom)
	dst = appendString(dst, o.Room)
	dst = appendString(dst, o.Key)
	dst = appendValue(dst, o.Value)
	return binary.AppendUvarint(dst, uint64(o.Body))
}

func (o opMoved) appendTo(dst []byte) []byte {
	return binary.AppendUvarint(append(dst, codeMoved), uint64(o.Body))
}

func (o opForgotten) appendTo(dst []byte) []byte {
	return appendBodies(append(dst, codeForgotten), o.Bodies)
}

func (o opGiven) appendTo(dst []byte) []byte {
	dst = append(dst, codeGiven)
	dst = binary.AppendUvarint(dst, uint64(o.Account))
	dst = binary.AppendUvarint(dst, uint64(o.Mailbox))
	return binary.AppendUvarint(dst, uint64(o.Body))
}

func (o opAnnotation) appendTo(dst []byte) []byte {
	dst = append(dst, codeAnnotation)
	dst = binary.AppendUvarint(dst, uint64(o.Mailbox))
	dst = binary.AppendUvarint(dst, uint64(o.Account))
	dst = appendString(dst, o.Name)
	return appendValue(dst, o.Value)
}
