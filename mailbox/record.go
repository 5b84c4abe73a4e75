package mailbox

import (
	goimap "github.com/emersion/go-imap/v2"
)

// A record of the log holds operations in order. Each says a result, never a
// step: what a name, a flag set or a value is afterwards. The record's LSN is
// the mod-sequence of everything in it.

// opAccount makes or erases an account. Erasing takes what is left of its
// mailboxes with it.
type opAccount struct {
	Account AccountID
	Deleted bool
	Time    int64 // Unix seconds, of an erasure: retention counts from it
}

// opLimits sets the quota of an account.
type opLimits struct {
	Account AccountID
	Quota
}

// opMailbox makes a mailbox or replaces its description.
type opMailbox struct {
	ID          ID
	Account     AccountID
	Name        string
	UIDValidity uint32
	SpecialUse  goimap.MailboxAttr
}

// opMailboxGone deletes a mailbox with its messages.
type opMailboxGone struct {
	ID   ID
	Time int64 // Unix seconds: retention counts from it
}

// opSubscription subscribes to a name or takes it back.
type opSubscription struct {
	Account AccountID
	Name    string
	On      bool
}

// opAnnotation sets (or, with a nil Value, removes) an annotation.
type opAnnotation struct {
	Mailbox ID        // 0 = the server
	Account AccountID // whose private one it is; 0 = shared
	Name    string
	Value   []byte
}

// opKeywords appends keywords to a mailbox's table: Names[0] is keyword First.
type opKeywords struct {
	Mailbox ID
	First   int
	Names   []string
}

// opAdd adds messages, ascending by UID, above every UID the mailbox ever had.
type opAdd struct {
	Mailbox  ID
	Messages []added
}

type added struct {
	UID      goimap.UID
	Flags    FlagSet
	Size     int64
	Internal Date
	Saved    int64
	Body     BodyID
}

// uidRange is First to Last, inclusive.
type uidRange struct {
	First, Last goimap.UID
}

// opFlags sets the flags of every existing message in the ranges.
type opFlags struct {
	Mailbox ID
	Flags   FlagSet
	UIDs    []uidRange
}

// opExpunge removes messages.
type opExpunge struct {
	Mailbox ID
	Time    int64 // Unix seconds: retention counts from it, whenever the record is applied
	UIDs    []uidRange
}

// opRecent says that sessions were told of all messages below UID.
type opRecent struct {
	Mailbox ID
	Below   goimap.UID
}

// opRoom sets (or, with a nil Value, deletes) a key of a room.
type opRoom struct {
	Room, Key string
	Value     []byte
	Body      BodyID // held by the entry; 0 = none
}

// deletedID names expunged messages that can be restored: those that one
// record took out of one packed value of a mailbox.
type deletedID struct {
	Time    int64 // Unix seconds: retention counts from it
	ModSeq  ModSeq
	Mailbox ID
	First   goimap.UID // of them when they were expunged
}

// deletedPart is some of the messages of a deletedID.
type deletedPart struct {
	From deletedID
	UIDs []uidRange
}

// opPurge ends the retention of expunged messages and deleted mailboxes.
type opPurge struct {
	Messages  []deletedID
	Mailboxes []ID
}

// opRestored takes expunged messages, and what deleted mailboxes were, out of
// retention: the operations before it in its record made them anew.
type opRestored struct {
	Messages  []deletedPart
	Mailboxes []ID
}

// opMoved says that the record brings a body once more, so that its place is
// here from now on. It is a record's only operation. A body that is not known
// becomes garbage: where a damaged log has lost the record that brought it, this
// may be the only copy, and a later record may hold it.
type opMoved struct {
	Body BodyID
}

// opForgotten says that bodies which nobody holds are not known any more.
// Without any it only moves the LSN on.
type opForgotten struct {
	Bodies []bodyRange
}

// opGiven says that ids up to these may have been given to what is not there
// any more. They are not given again.
type opGiven struct {
	Account AccountID
	Mailbox ID
	Body    BodyID
}

// opRights gives a mailbox an access control list: ascending, each entry once.
type opRights struct {
	Mailbox ID
	Grants  []Grant
}

// bodyRange is First to Last, inclusive.
type bodyRange struct {
	First, Last BodyID
}
