package mailbox

import (
	"sync"
	"sync/atomic"

	goimap "github.com/emersion/go-imap/v2"
)

// header is what is known of a mailbox without its messages. Each mailbox has
// it twice: pending, with everything numbered, and durable.
type header struct {
	uidNext  goimap.UID
	highest  ModSeq // of the last change of a message; of the mailbox's making before the first
	messages uint32
	unseen   uint32
	deleted  uint32
	size     int64
	keywords int // so many of the box's table are on record
	gone     bool
}

// count adds (sign 1) or takes away (sign -1) one message.
func (h *header) count(f FlagSet, size int64, sign int32) {
	h.messages += uint32(sign)
	h.size += size * int64(sign)
	h.countFlags(f, sign)
}

func (h *header) countFlags(f FlagSet, sign int32) {
	if !f.Has(FlagSeen) {
		h.unseen += uint32(sign)
	}
	if f.Has(FlagDeleted) {
		h.deleted += uint32(sign)
	}
}

// box is a mailbox in memory: always with its headers, with its messages
// while some session has it open and for a while after.
type box struct {
	id       ID
	account  AccountID
	validity uint32 // UIDVALIDITY
	made     ModSeq // of the record that made it; 0 when that was before this start

	pending header // guarded by Store.seq

	loading  sync.Mutex // held by who loads the messages; taken before mu
	users    int        // sessions that have it open; guarded by opened.mu
	idleSize int        // messages it counts with among the idle ones; guarded by opened.mu

	last atomic.Uint64 // LSN of the last published change: views look here before they take mu

	mu       sync.RWMutex
	keywords []string // the table: its names are appended to, never changed
	durable  header

	// changes are those that state.db lacks, in LSN order; the first
	// published of them are in durable and messages, the others are numbered
	// only. While keep is set (messages are being loaded) none is dropped.
	changes   []*change
	published int
	keep      bool

	messages *messages // durable; nil when not open

	told   goimap.UID // some session was told of every message below it as \Recent
	recent uint32     // durable messages from told on

	watchers map[*watcher]struct{}
}

// change is what one record does to one mailbox, in the order of its fields.
type change struct {
	box      *box
	lsn      ModSeq
	after    header // the pending header after it
	grown    Usage  // what it adds to the account's usage
	added    []added
	flags    []flagRun
	expunged []uidRange
}

// flagRun gives all messages in ranges the same flags.
type flagRun struct {
	flags FlagSet
	uids  []uidRange
}

// numbered takes a change that just got its number. The caller holds Store.seq.
func (b *box) numbered(c *change) {
	b.pending = c.after
	b.mu.Lock()
	b.changes = append(b.changes, c)
	b.mu.Unlock()
}

// publish makes the oldest numbered change, which is c, durable state. It reports whether
// it put the mailbox into memory, which costs nothing for one without messages: so who
// opens one that was just filled finds it there.
func (b *box) publish(c *change) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.published++
	if b.messages == nil && !b.keep && b.durable.messages == 0 && len(c.added) > 0 {
		b.messages, opened = new(messages), true
	}
	b.recent += uint32(len(c.added))
	if b.messages != nil {
		if len(c.expunged) > 0 {
			b.recent -= b.messages.countFrom(b.told, c.expunged)
		}
		b.messages.apply(c)
	}
	b.durable = c.after
	b.last.Store(uint64(c.lsn))
	for w := range b.watchers {
		w.signal()
	}
	return opened
}

// signal tells who watches the mailbox.
func (b *box) signal() {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for w := range b.watchers {
		w.signal()
	}
}

// applied drops the changes that state.db holds now.
func (b *box) applied(lsn ModSeq) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keep {
		return // the loader drops them when it is done
	}
	n := 0
	for n < b.published && b.changes[n].lsn <= lsn {
		n++
	}
	b.changes = append(b.changes[:0:0], b.changes[n:]...)
	b.published -= n
}

// tell notes that a session is told of all messages below below. The caller
// holds mu for writing, and the messages are loaded.
func (b *box) tell(below goimap.UID) {
	if below > b.told {
		b.told = below
		b.recent = b.messages.from(below)
	}
}
