// Package queue keeps outgoing mail until it is delivered, refused or too old,
// durably in a room of the store, and tells senders what became of it.
package queue

import (
	"context"
	"io"
	"time"

	"mailstead/mailbox"
)

// Message is what a courier is given: one message for recipients of one destination.
type Message struct {
	From       string   // reverse-path without brackets; "" is the null one
	Recipients []string // addresses without brackets
	Size       int64    // octets
	EightBit   bool     // the body has octets above 127
	UTF8       bool     // needs SMTPUTF8: an address or a header has them (RFC 6531)
	Open       func() (io.ReadCloser, error)
}

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
}

// Courier carries a message to a destination: to the world (smtp/remote) or
// to mailboxes of this server (smtp/local). It returns one outcome for each
// recipient, always.
type Courier interface {
	Deliver(ctx context.Context, destination string, m Message) []Outcome
}

// Envelope is a message to be queued.
type Envelope struct {
	From       string
	Recipients []string
	Account    mailbox.AccountID // who submitted it; 0 for mail from outside and our own notices
	Size       int64
	EightBit   bool
	UTF8       bool
	Received   time.Time
}

// Add returns the changes that put an envelope with the body into the queue,
// to be made with the record that stores the body: what is answered 250 is in
// the mailboxes and in the queue at once, or nowhere. After that record is
// durable the caller calls Wake.
func (q *Queue) Add(e Envelope) func(mailbox.BodyID) []mailbox.RoomChange { panic("being built") }

// Wake makes the queue look for new entries now.
func (q *Queue) Wake() { panic("being built") }

// Queue is the outgoing queue.
type Queue struct{}
