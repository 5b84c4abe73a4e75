package mailbox

import (
	"context"

	goimap "github.com/emersion/go-imap/v2"
)

// Mailbox is an open mailbox: its messages as arrays in memory, shared by all
// sessions that have it open.
type Mailbox struct{}

// OpenMailbox loads the mailbox, or shares it when it is open. ErrNoMailbox.
func (s *Store) OpenMailbox(ctx context.Context, a AccountID, name string) (*Mailbox, error) {
	panic("being built")
}

// Close gives the session's share back.
func (m *Mailbox) Close() { panic("being built") }

// Info is the durable state now. ErrGone after the mailbox was deleted.
func (m *Mailbox) Info() (Info, error) { panic("being built") }

// Keywords returns the mailbox's keywords; keyword k has bit KeywordBit+k. The
// slice is never changed, only replaced by a longer one.
func (m *Mailbox) Keywords() []string { panic("being built") }

// Bits returns the flag set of flags, giving new keywords their bit when
// create is set (they become the mailbox's with the next change that uses
// them). Unknown keywords are left out otherwise. ErrLimit.
func (m *Mailbox) Bits(flags []goimap.Flag, create bool) (FlagSet, error) { panic("being built") }

// Watch has c signalled, without blocking, whenever something of the mailbox
// became durable, until stop is called.
func (m *Mailbox) Watch(c chan<- struct{}) (stop func()) { panic("being built") }

// Row is a message with its sequence number in a view.
type Row struct {
	Seq uint32
	Message
}

// View is one session's picture of a mailbox: which message has which
// sequence number. It changes only by Update. It belongs to one goroutine.
type View struct{}

// View returns the present picture. With claim, the session is the one that is
// told of new messages as \Recent (SELECT; EXAMINE and POP3 do not claim).
func (m *Mailbox) View(claim bool) *View { panic("being built") }

// Len is the number of messages in the view.
func (v *View) Len() uint32 { panic("being built") }

// UIDs are the view's UIDs in sequence order; the slice must not be changed
// and is valid until the next Update.
func (v *View) UIDs() []goimap.UID { panic("being built") }

// Seq returns the sequence number of uid.
func (v *View) Seq(uid goimap.UID) (seq uint32, ok bool) { panic("being built") }

// Rows appends the messages from sequence number from to to (inclusive,
// clipped) to dst. Messages that other sessions expunged meanwhile are left
// out. Call it for a few hundred at a time and write to nobody meanwhile.
func (v *View) Rows(dst []Row, from, to uint32) []Row { panic("being built") }

// Recent reports whether uid is \Recent in this session.
func (v *View) Recent(uid goimap.UID) bool { panic("being built") }

// RecentCount is the number of messages that are \Recent in this session.
func (v *View) RecentCount() uint32 { panic("being built") }

// Update is what happened since the last one, in the order to be told:
// expunges, then the new size, then flags.
type Update struct {
	Expunged []uint32     // sequence numbers, each as it counts at its moment (RFC 3501 section 7.4.1)
	Vanished []goimap.UID // the same messages
	Exists   bool         // there are new messages: tell EXISTS and RECENT
	Changed  []Row        // messages whose flags or MODSEQ changed and were not reported
	Gone     bool         // the mailbox was deleted
}

// Update moves the view to the durable state. Without expunge, messages that
// are gone keep their numbers until an Update with it (RFC 3501 section 5.5).
func (v *View) Update(expunge bool) Update { panic("being built") }

// Reported tells the view that the session has itself told its client the
// flags set by the change with mod-sequence m (a STORE's own answer), so that
// Update does not tell them again.
func (v *View) Reported(m ModSeq) { panic("being built") }

// FlagOp is how STORE changes flags.
type FlagOp uint8

const (
	FlagsReplace FlagOp = iota
	FlagsAdd
	FlagsRemove
)

// StoreChange is what a STORE asks for.
type StoreChange struct {
	UIDs           []goimap.UID // ascending; unknown ones are passed over
	Op             FlagOp
	Flags          []goimap.Flag
	UnchangedSince *ModSeq // only messages whose MODSEQ is not larger (RFC 7162 section 3.1.3)
}

// StoreResult is what a STORE did.
type StoreResult struct {
	ModSeq   ModSeq       // of the change; 0 when nothing changed
	Modified []goimap.UID // failed UnchangedSince
}

// Store changes flags; durable when it returns. Messages that have the flags
// already keep their MODSEQ.
func (m *Mailbox) Store(ctx context.Context, c StoreChange) (StoreResult, error) {
	panic("being built")
}

// Expunge removes messages for good; durable when it returns. With only set,
// just those uids (ascending) of them; deleted restricts to those with
// \Deleted. It returns what was removed, ascending.
func (m *Mailbox) Expunge(ctx context.Context, only []goimap.UID, deleted bool) ([]goimap.UID, error) {
	panic("being built")
}

// Copied maps source UIDs to the new ones, both ascending and of one length.
type Copied struct {
	UIDValidity  uint32
	Source, Dest []goimap.UID
}

// Copy copies messages with flags and dates into mailbox name of the same
// account, all or none. UIDs that are gone are passed over. ErrNoMailbox, ErrOverQuota.
func (m *Mailbox) Copy(ctx context.Context, uids []goimap.UID, name string) (Copied, error) {
	panic("being built")
}

// Move is Copy and Expunge as one change (RFC 6851). Moving into the same mailbox gives new UIDs.
func (m *Mailbox) Move(ctx context.Context, uids []goimap.UID, name string) (Copied, error) {
	panic("being built")
}

// Vanished returns the UIDs expunged after since, ascending; ok is false when
// the history does not reach back that far (RFC 7162 section 3.2.5).
func (m *Mailbox) Vanished(since ModSeq) (uids []goimap.UID, ok bool) { panic("being built") }
