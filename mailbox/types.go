package mailbox

import (
	"errors"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// AccountID names an account of the store. It is given out once and never
// again, so that nothing of an erased account can reappear under another.
type AccountID uint32

// ID names a mailbox of the server: unique over all accounts, never reused,
// kept through renames. It is what MAILBOXID is made of (RFC 8474).
type ID uint32

// BodyID names the stored bytes of a message. COPY and MOVE keep it, so it is
// also what EMAILID is made of (RFC 8474). Zero is no body.
type BodyID uint64

// ModSeq is a mod-sequence of RFC 7162: the LSN of the record that changed a
// message last. It is shared by everything that record changed.
type ModSeq uint64

// Errors that a caller decides on. Anything else is a fault of the store and
// temporary to the outside.
var (
	ErrNoAccount  = errors.New("mailbox: no such account")
	ErrNoMailbox  = errors.New("mailbox: no such mailbox")         // NO [NONEXISTENT], or [TRYCREATE] where it is a target
	ErrNoMessage  = errors.New("mailbox: no such message")         // NO [EXPUNGEISSUED]
	ErrExists     = errors.New("mailbox: exists already")          // NO [ALREADYEXISTS]
	ErrName       = errors.New("mailbox: name not allowed")        // NO [CANNOT]
	ErrHasChild   = errors.New("mailbox: has children")            // NO [HASCHILDREN]
	ErrInbox      = errors.New("mailbox: INBOX cannot be deleted") // NO [CANNOT]
	ErrSpecialUse = errors.New("mailbox: special use not allowed") // NO [USEATTR]
	ErrLimit      = errors.New("mailbox: a limit is reached")      // NO [LIMIT]: mailboxes, keywords, depth
	ErrTooBig     = errors.New("mailbox: message too big")         // 552 / NO [TOOBIG]
	ErrOverQuota  = errors.New("mailbox: over quota")              // 452 / NO [OVERQUOTA]
	ErrNoSpace    = errors.New("mailbox: disk is nearly full")     // 452 / NO [OVERQUOTA], temporary
	ErrGone       = errors.New("mailbox: was deleted")             // the mailbox of an open session went away
	ErrRights     = errors.New("mailbox: not permitted")           // NO [NOPERM]
	ErrRoomKey    = errors.New("mailbox: room or key is empty or too long")
	ErrClosed     = errors.New("mailbox: store is closing") // temporary
	ErrDamaged    = errors.New("mailbox: stored message is damaged")
)

// FlagSet is the flags of one message: the system flags as bits 0 to 4, the
// mailbox's keyword k as bit KeywordBit+k. It is comparable.
type FlagSet [2]uint64

// The system flags of RFC 3501 section 2.3.2. \Recent is no state of a
// message but of a session, see View.
const (
	FlagSeen = iota
	FlagAnswered
	FlagFlagged
	FlagDeleted
	FlagDraft

	KeywordBit  = 8       // bits 5 to 7 are kept free
	MaxKeywords = 128 - 8 // different keywords in one mailbox; above it a new keyword is ErrLimit
)

// Has reports whether bit b is set.
func (f FlagSet) Has(b int) bool { return f[b>>6]>>(b&63)&1 != 0 }

// With returns f with bit b set.
func (f FlagSet) With(b int) FlagSet { f[b>>6] |= 1 << (b & 63); return f }

// Without returns f with bit b cleared.
func (f FlagSet) Without(b int) FlagSet { f[b>>6] &^= 1 << (b & 63); return f }

// Message is one message of a mailbox, as the arrays in memory know it.
type Message struct {
	UID      goimap.UID
	FlagsID  uint32 // names Flags among the open mailbox's different sets: small, from 0, so a session can cache the wire form of each; it may come to name another set, so a cache compares Flags
	Flags    FlagSet
	ModSeq   ModSeq
	Size     int64 // RFC822.SIZE in octets
	Internal Date  // INTERNALDATE
	Saved    int64 // SAVEDATE, Unix seconds (RFC 8514)
	Body     BodyID
}

// Date is an instant with the zone it was told in, as INTERNALDATE keeps it.
type Date struct {
	Unix int64 // seconds
	Zone int16 // minutes east of UTC
}

// DateOf returns t's instant and zone; the zero time is the zero Date.
func DateOf(t time.Time) Date {
	if t.IsZero() {
		return Date{}
	}
	_, off := t.Zone()
	return Date{Unix: t.Unix(), Zone: int16(off / 60)}
}

// Time returns d in its own zone.
func (d Date) Time() time.Time {
	return time.Unix(d.Unix, 0).In(time.FixedZone("", int(d.Zone)*60))
}

// Info describes a mailbox as LIST and STATUS show it: the durable state.
type Info struct {
	ID            ID
	Account       AccountID
	Name          string             // UTF-8, "/" between levels; INBOX spelt so
	SpecialUse    goimap.MailboxAttr // "" for none
	Subscribed    bool
	UIDValidity   uint32
	UIDNext       goimap.UID
	HighestModSeq ModSeq
	Messages      uint32
	Unseen        uint32
	Deleted       uint32
	Size          int64  // sum of RFC822.SIZE
	Recent        uint32 // messages no session was told of yet
	Rights        Rights // of who asks: the owner, where nobody is named
}

// Usage is what an account holds.
type Usage struct {
	Messages int64
	Size     int64 // octets, each mailbox's copy counted
}
