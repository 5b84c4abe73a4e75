// Package mailbox is the store: accounts' mailboxes and messages, and the
// small state of other parts in named rooms. It is the only user of bbolt.
package mailbox

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/message"
)

// Options are the settings of a store; the zero value of each field is good.
type Options struct {
	SegmentSize    int64         // of the log in bytes; 0 = 32 MiB, tests take 256 KiB
	MaxMessageSize int64         // 0 = 50 MiB
	CommitEvery    time.Duration // longest wait of acknowledged state for the databases; 0 = 1 s
	Logger         *slog.Logger
	Now            func() time.Time
	Fatal          func(error) // the disk's state is unknown: must not return; nil = log and exit
}

// Store is an open store folder. All methods may be called concurrently.
type Store struct{}

// Open locks the folder (a second process gets an error that names the
// holder), recovers what was acknowledged, and returns the store.
func Open(dir string, o Options) (*Store, error) { panic("being built") }

// Close ends background work, brings the databases up to the log and closes.
func (s *Store) Close() error { panic("being built") }

// Check verifies every invariant of log, databases and memory and returns all
// violations joined. It ends every test of a store.
func (s *Store) Check() error { panic("being built") }

// --- accounts and their mailboxes ---

// CreateAccount makes an account with INBOX and, subscribed, Drafts, Sent,
// Junk, Trash and Archive with their special uses (RFC 6154). It is durable,
// together with changes, when it returns.
func (s *Store) CreateAccount(ctx context.Context, changes func(AccountID) []RoomChange) (AccountID, error) {
	panic("being built")
}

// DeleteAccount removes the account with all its mailboxes, with changes.
func (s *Store) DeleteAccount(ctx context.Context, a AccountID, changes ...RoomChange) error {
	panic("being built")
}

// Usage returns what account a holds. ErrNoAccount.
func (s *Store) Usage(a AccountID) (Usage, error) { panic("being built") }

// Mailboxes returns the durable mailboxes of a, sorted by name.
func (s *Store) Mailboxes(a AccountID) ([]Info, error) { panic("being built") }

// Subscriptions returns all subscribed names of a, also of names without a mailbox.
func (s *Store) Subscriptions(a AccountID) ([]string, error) { panic("being built") }

// Mailbox returns one mailbox; the name INBOX in any case. ErrNoMailbox.
func (s *Store) Mailbox(a AccountID, name string) (Info, error) { panic("being built") }

// SpecialUse returns the mailbox of a with that use. ErrNoMailbox.
func (s *Store) SpecialUse(a AccountID, use goimap.MailboxAttr) (Info, error) { panic("being built") }

// Create makes a mailbox and the missing levels above it.
// ErrExists, ErrName, ErrLimit, ErrSpecialUse.
func (s *Store) Create(ctx context.Context, a AccountID, name string, use goimap.MailboxAttr) (Info, error) {
	panic("being built")
}

// Delete removes a mailbox. Its children stay. ErrNoMailbox, ErrInbox.
func (s *Store) Delete(ctx context.Context, a AccountID, name string) error { panic("being built") }

// Rename renames a mailbox with everything below it; renaming INBOX moves its
// messages to the new name and leaves it empty (RFC 3501 section 6.3.5).
func (s *Store) Rename(ctx context.Context, a AccountID, from, to string) error { panic("being built") }

// Subscribe sets or takes back the subscription of a name, which need not exist.
func (s *Store) Subscribe(ctx context.Context, a AccountID, name string, on bool) error {
	panic("being built")
}

// WatchAccount has c signalled (without blocking, so give it a buffer of one)
// whenever anything of account a became durable, until stop is called.
func (s *Store) WatchAccount(a AccountID, c chan<- struct{}) (stop func()) { panic("being built") }

// --- writing messages ---

// NewBody begins a message. The caller writes it, then hands it to Deliver, or
// aborts it. Bodies above 1 MiB stream to disk while they are written; every
// write goes through the message indexer.
func (s *Store) NewBody() *NewBody { panic("being built") }

// NewBody is a message being received.
type NewBody struct{}

// Write adds bytes. ErrTooBig, ErrNoSpace: then the body is useless.
func (b *NewBody) Write(p []byte) (int, error) { panic("being built") }

// Size is what was written so far, in bytes.
func (b *NewBody) Size() int64 { panic("being built") }

// Index is what the indexer knows of the finished body; it ends writing. It
// is valid until Deliver or Abort.
func (b *NewBody) Index() *message.Index { panic("being built") }

// Abort gives the body up. After Deliver it does nothing.
func (b *NewBody) Abort() { panic("being built") }

// Target is a mailbox a message goes to.
type Target struct {
	Account AccountID
	Name    string // of the mailbox
	Flags   []goimap.Flag
	Date    time.Time // INTERNALDATE; zero = now
}

// Placed is where a target's copy is.
type Placed struct {
	UIDValidity uint32
	UID         goimap.UID
	Err         error // this target alone was refused: ErrNoMailbox, ErrOverQuota, ErrLimit
}

// Deliver stores b once for all targets, together with changes, as one record.
// It returns when everything is on disk. An error means that nothing was
// stored; a target that was refused on its own has its Err set and the others
// are stored.  With no target left and no changes nothing is stored.
// The changes function, when not nil, is called with the body's id.
func (s *Store) Deliver(ctx context.Context, b *NewBody, targets []Target, changes func(BodyID) []RoomChange) ([]Placed, error) {
	panic("being built")
}

// --- reading messages ---

// OpenBody gives the stored bytes. ErrDamaged, ErrGone.
func (s *Store) OpenBody(id BodyID) (*Body, error) { panic("being built") }

// Body is a stored message being read; no transaction or lock is held.
type Body struct{}

func (b *Body) ReadAt(p []byte, off int64) (int, error) { panic("being built") }
func (b *Body) Size() int64                             { panic("being built") }
func (b *Body) WriteTo(w io.Writer) (int64, error)      { panic("being built") }
func (b *Body) Close() error                            { panic("being built") }

// Indexes calls f with the stored index of each message, in order. The View is
// valid during the call only, and f must not block: a database transaction is
// open. An index that is missing is made again from the body.
func (s *Store) Indexes(msgs []Message, f func(i int, v message.View) error) error {
	panic("being built")
}

// --- rooms: the state of other parts ---

// Room is the named, durable key-value state of another part of the server.
type Room struct{}

// Room returns the room of that name. It need not be made.
func (s *Store) Room(name string) *Room { panic("being built") }

// Get returns the durable value. nil, false when there is none.
func (r *Room) Get(key string) ([]byte, bool) { panic("being built") }

// All iterates over the durable pairs whose key begins with prefix, by key.
// Values are the caller's to keep. Nothing is locked while the loop's body runs.
func (r *Room) All(prefix string) iter.Seq2[string, []byte] { panic("being built") }

// RoomChange sets or deletes one key of a room.
type RoomChange struct {
	Room, Key string
	Value     []byte // nil deletes
	Body      BodyID // the entry holds this body: its bytes stay while the entry names it; 0 = none
}

// Change makes all changes as one record and returns when it is on disk.
// Concurrent changes of one key: the later call wins; callers that read and
// then write lock for themselves.
func (s *Store) Change(ctx context.Context, changes ...RoomChange) error { panic("being built") }
