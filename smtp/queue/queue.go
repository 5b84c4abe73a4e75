// Package queue keeps outgoing mail until it is delivered, refused or too old,
// durably in a room of the store, and tells senders what became of it.
//
// An entry is one message for the recipients of one destination. Its states on
// disk are those of its key in the room:
//
//	state              what a crash in it leaves
//	not there          nothing: the message was not answered 250, or is done
//	recipients open    they are tried again, also those a courier has just
//	                   delivered to and whose note was lost: at least once
//	recipients failed  their notice could not be stored (the disk was full) and
//	                   is made at the next attempt
//	recipients done    the same, of success; with these an entry begins that is
//	                   to tell of a copy in a mailbox of this server
//
// The message's body is held by its entries. An entry is made by the record that
// stores the body, and ends by the record that stores the notice about it, where
// there is one: nothing is ever between the two.
package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/journal"
	"mailstead/smtp/route"
)

// Message is what a courier is given: one message for recipients of one destination.
type Message struct {
	From       string            // reverse-path without brackets; "" is the null one
	Recipients []string          // addresses without brackets
	Account    mailbox.AccountID // who submitted it; 0 for mail from outside and our own notices
	Size       int64             // octets
	EightBit   bool              // the body has octets above 127
	UTF8       bool              // needs SMTPUTF8: an address or a header has them (RFC 6531)
	TLS        TLSDemand
	Route      route.Route // the way it takes, for couriers to the world
	Open       func() (io.ReadCloser, error)

	Transaction string            // that the message came by, for the journal
	Filing      map[string]Filing // by recipient, where it was said
	Report      bool              // as in Envelope

	EnvelopeID string          // ENVID as it was said, in xtext; "" = nothing was
	Return     Return          // RET
	Wishes     map[string]Wish // by recipient, where something was said
	Proven     bool            // From is not forged, as far as can be known

	// Tell hears the conversation with others' servers, a line at a time and never two at once: "> EHLO …" was
	// said, "< 250 …" was heard, "* connected to …" happened. Lines are printable ASCII; a courier bounds
	// their length and number. Octets of messages and secrets are not in them. nil = nobody listens.
	Tell func(line string)
}

// Filing is where a copy for a mailbox of this server was to go when it came: the
// zero value is its INBOX.
type Filing struct {
	Junk    bool     `json:"junk,omitempty"`    // it is junk, for this recipient
	Here    bool     `json:"here,omitempty"`    // what the recipient forwards is on its way already
	Details []string `json:"details,omitempty"` // behind the plus of the addresses it was sent to (RFC 5233 section 4)
}

// TLSDemand is what the sender of a message wants of the connections that it goes over (RFC 8689). It is part of the
// entry's form on disk.
type TLSDemand string

// The demands; without one, it is what the recipient's domain wants.
const (
	TLSRequired TLSDemand = "required" // REQUIRETLS: only over connections that are safe, to servers that go on like this
	TLSOptional TLSDemand = "optional" // "TLS-Required: No": over any, whatever the recipient's domain wants
)

// Status is how an attempt ended for one recipient. The zero value keeps the
// mail: a courier that forgets to say must not lose it.
type Status uint8

const (
	Temporary Status = iota // to be tried again
	Delivered               // others have taken responsibility
	Permanent               // never again
)

// Outcome is what a courier reports of one recipient.
type Outcome struct {
	Recipient string
	Status    Status
	Code      int    // the SMTP reply code, 0 where there was none
	Enhanced  string // "5.1.1" (RFC 3463)
	Text      string // the other side's words, printable and bounded
	Host      string // who said so: MX name and address, "" for ourselves
	TLS       bool
	Security  Security

	// Told is what the sender may hear of a delivery who wants to: ActionDelivered, ActionRelayed,
	// or ActionExpanded. "" = nothing, as who took the message tells the rest.
	Told Action
}

// Security is what the recipient's domain demanded of the connection, or the smarthost's name, and what was found.
type Security struct {
	Policy string // type of the policy (RFC 8460 section 4.2): "tlsa", "sts"; "" = nothing was demanded
	Result string // what was wrong, by its name in RFC 8460 section 4.3; "" = nothing
	Words  string // both, for people
}

// Courier carries a message to a destination: to the world (smtp/remote) or
// to mailboxes of this server (smtp/local). It returns one outcome for each
// recipient, always, and soon after ctx has ended.
type Courier interface {
	Deliver(ctx context.Context, destination string, m Message) []Outcome
}

// Envelope is a message to be queued.
type Envelope struct {
	From       string
	Recipients []string
	Account    mailbox.AccountID // who submitted it; 0 for mail from outside and our own notices
	Size       int64             // octets
	EightBit   bool
	UTF8       bool // the reverse-path or a header field needs SMTPUTF8; recipients are looked at
	TLS        TLSDemand
	Received   time.Time // zero = now

	Transaction string            // that the message came by, for the journal; "" = not known
	Filing      map[string]Filing // by recipient; others have the zero value
	Report      bool              // it tells another domain what was seen of it; nobody hears of its failure

	EnvelopeID string          // ENVID as it was said, in xtext (RFC 3461 section 4.4); "" = nothing was
	Return     Return          // RET; "" = nothing was said
	Wishes     map[string]Wish // by recipient; others have the zero value
	// Proven says that the reverse-path of mail from outside is not forged, as far as can be known:
	// only then its sender is told anything.
	Proven bool
	// Settled are recipients that need no delivery any more; their senders hear of them.
	Settled []Settled
}

// Options are what a queue works with. Remote, Local and IsLocal are needed, the
// zero value of each other field is good.
type Options struct {
	Remote  Courier                  // to other domains
	Local   Courier                  // to domains of this server, and to "postmaster" without domain
	IsLocal func(domain string) bool // reports whether a domain is of this server

	// Routes chooses the way of mail to other domains, as route.Table.For does. It is asked for each entry when it
	// comes and after each attempt; Rerouted says when its answers change. nil = all of it goes directly.
	Routes func(route.Mail) route.Route

	// Disabled says that there is no direct way to other domains: mail for them waits,
	// visible, and never gets too old, unless it has a smarthost.
	Disabled bool

	// Sign gives fields with signatures for a notice of ours, to be put in front of it: start is
	// its header and the beginning of its body, rest writes what follows. nil = none are signed.
	Sign func(start []byte, rest func(io.Writer) error) ([]byte, error)

	Journal  *journal.Journal // is told of each attempt; nil = nobody is
	Hostname string           // our name in notices; "" = localhost
	Now      func() time.Time // nil = time.Now
	Rand     func() float64   // in [0,1), spreads retries; nil = that of math/rand
	Logger   *slog.Logger     // nil = none
	Limits   Limits
}

// Limits bound what the queue does at once; a zero field takes its default.
type Limits struct {
	Attempts       int           // at the same time, until their results are on disk; 40
	PerDestination int           // of them to one destination that takes what it is given; 20
	Grace          time.Duration // for attempts under way when stopping; 20 s
	Delay          time.Duration // that mail is tried before its sender hears that it takes long; 4 h
}

func (o Options) withDefaults() Options {
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Limits.Attempts <= 0 {
		o.Limits.Attempts = 40
	}
	if o.Limits.PerDestination <= 0 {
		o.Limits.PerDestination = 20
	}
	if o.Limits.Grace <= 0 {
		o.Limits.Grace = 20 * time.Second
	}
	if o.Limits.Delay <= 0 {
		o.Limits.Delay = 4 * time.Hour
	}
	return o
}

// Queue is the outgoing queue. Its methods may be called concurrently.
type Queue struct {
	store *mailbox.Store
	room  *mailbox.Room
	o     Options
	log   *slog.Logger

	kick     chan struct{} // wakes Run
	closing  chan struct{}
	runs     sync.WaitGroup // of Run
	attempts sync.WaitGroup

	mu     sync.Mutex
	closed bool
	lastID entryID
	fresh  []freshEntry // given out by Add, not seen on disk yet
	board  board
}

// freshEntry is an entry whose record was not durable yet when it was looked for.
type freshEntry struct {
	id    entryID
	given time.Time
}

// Open reads what is in the queue. Nothing is tried before Run.
func Open(s *mailbox.Store, o Options) (*Queue, error) {
	if o.Remote == nil || o.Local == nil || o.IsLocal == nil {
		return nil, errors.New("queue: couriers and local domains are needed")
	}
	q := &Queue{
		store: s, room: s.Room(roomName), o: o.withDefaults(),
		kick: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	q.log = q.o.Logger
	q.board = newBoard(q.o.Limits)
	if err := q.room.Each("", q.found); err != nil {
		return nil, fmt.Errorf("queue: open: %w", err)
	}
	return q, nil
}

// found takes an entry from the room onto the board.
func (q *Queue) found(key string, value []byte) error {
	id, e, err := decodeEntry(key, value)
	if err != nil {
		// It stays in the room, for a program that can read it.
		q.log.Error("queue: an entry cannot be read", "id", key, "err", err)
		return nil
	}
	q.lastID = max(q.lastID, id)
	e.Next = q.due(&e)
	q.board.add(id, &e, q.way(&e))
	return nil
}

// Add returns the changes that put an envelope with the body into the queue,
// to be made with the record that stores the body: what is answered 250 is in
// the mailboxes and in the queue at once, or nowhere. After that record is
// durable the caller calls Wake.
func (q *Queue) Add(e Envelope) func(mailbox.BodyID) []mailbox.RoomChange {
	return q.add(e, ordinary)
}

func (q *Queue) add(env Envelope, notice noticeKind) func(mailbox.BodyID) []mailbox.RoomChange {
	return func(body mailbox.BodyID) []mailbox.RoomChange {
		now := q.o.Now()
		entries := split(env, notice, body, now)
		changes := make([]mailbox.RoomChange, len(entries))
		q.mu.Lock()
		defer q.mu.Unlock()
		for i := range entries {
			q.lastID = max(q.lastID+1, entryID(now.UnixMicro()))
			q.fresh = append(q.fresh, freshEntry{q.lastID, now})
			changes[i] = entries[i].change(q.lastID)
		}
		return changes
	}
}

// Wake makes the queue look for new entries now.
func (q *Queue) Wake() {
	select {
	case q.kick <- struct{}{}:
	default: // it is awake
	}
}

// freshFor is how long a record may take to become durable. What takes longer
// failed, or is found at the next start.
const freshFor = 15 * time.Minute

// adopt takes over entries whose record has become durable.
func (q *Queue) adopt() {
	q.mu.Lock()
	fresh := q.fresh
	q.fresh = nil
	q.mu.Unlock()
	if len(fresh) == 0 {
		return
	}
	now := q.o.Now()
	wait := slices.DeleteFunc(fresh, func(f freshEntry) bool {
		e, err := q.load(f.id)
		if err == nil {
			q.mu.Lock()
			q.board.add(f.id, &e, q.way(&e))
			q.mu.Unlock()
			if len(e.open()) > 0 {
				q.noteEntry(journal.Queued, f.id.String(), &e)
			}
		}
		return err == nil || errors.Is(err, ErrNoSuch) && now.Sub(f.given) > freshFor
	})
	q.mu.Lock()
	q.fresh = append(q.fresh, wait...)
	q.mu.Unlock()
}

// load reads an entry. ErrNoSuch says that there is none; one that cannot be
// read is another error, and is not gone.
func (q *Queue) load(id entryID) (entry, error) {
	value, ok, err := q.room.Get(id.String())
	if err != nil {
		return entry{}, fmt.Errorf("queue: read entry %v: %w", id, err)
	}
	if !ok {
		return entry{}, fmt.Errorf("%w: %v", ErrNoSuch, id)
	}
	_, e, err := decodeEntry(id.String(), value)
	return e, err
}
