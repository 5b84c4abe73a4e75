package mailbox

import (
	"encoding/binary"

	goimap "github.com/emersion/go-imap/v2"
)

func (o opPurge) appendTo(dst []byte) []byte {
	dst = append(dst, codePurge)
	dst = binary.AppendUvarint(dst, uint64(len(o.Messages)))
	var before deletedID
	for i := range o.Messages {
		dst = appendDeletedID(dst, &o.Messages[i], &before)
		before = o.Messages[i]
	}
	return appendMailboxIDs(dst, o.Mailboxes)
}

func (o opRestored) appendTo(dst []byte) []byte {
	dst = append(dst, codeRestored)
	dst = binary.AppendUvarint(dst, uint64(len(o.Messages)))
	var before deletedID
	for i := range o.Messages {
		dst = appendDeletedID(dst, &o.Messages[i].From, &before)
		dst = appendRanges(dst, o.Messages[i].UIDs)
		before = o.Messages[i].From
	}
	return appendMailboxIDs(dst, o.Mailboxes)
}

// appendDeletedID writes times and mod-sequences as differences to those before.
func appendDeletedID(dst []byte, id, before *deletedID) []byte {
	dst = binary.AppendVarint(dst, id.Time-before.Time)
	dst = binary.AppendVarint(dst, int64(id.ModSeq-before.ModSeq))
	dst = binary.AppendUvarint(dst, uint64(id.Mailbox))
	return binary.AppendUvarint(dst, uint64(id.First))
}

func appendMailboxIDs(dst []byte, ids []ID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	return dst
}

// deletedIDSize is the fewest bytes appendDeletedID writes.
const deletedIDSize = 4

func (r *fieldReader) deletedID(before *deletedID) deletedID {
	return deletedID{
		Time: before.Time + r.int64(), ModSeq: before.ModSeq + ModSeq(r.int64()),
		Mailbox: ID(r.uint32()), First: goimap.UID(r.uint32()),
	}
}

func (r *fieldReader) deletedIDs() []deletedID {
	n := r.count(deletedIDSize)
	if n == 0 {
		return nil
	}
	list := make([]deletedID, n)
	var before deletedID
	for i := range list {
		list[i] = r.deletedID(&before)
		before = list[i]
	}
	return list
}

func (r *fieldReader) deletedParts() []deletedPart {
	n := r.count(deletedIDSize + 1)
	if n == 0 {
		return nil
	}
	list := make([]deletedPart, n)
	var before deletedID
	for i := range list {
		list[i] = deletedPart{From: r.deletedID(&before), UIDs: r.ranges()}
		before = list[i].From
	}
	return list
}

func (r *fieldReader) mailboxIDs() []ID {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	list := make([]ID, n)
	for i := range list {
		list[i] = ID(r.uint32())
	}
	return list
}
